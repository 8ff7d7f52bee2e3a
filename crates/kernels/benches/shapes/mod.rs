//! The shapes of VGG16's layers at 224 px.

use kernels::blocked::BlockedShape;

/// A convolution: its name, input channels, output channels and side; of equal ones the first.
pub(crate) const CONVOLUTIONS: [(&str, usize, usize, usize); 8] = [
    ("conv1_2", 64, 64, 224),
    ("conv2_1", 64, 128, 112),
    ("conv2_2", 128, 128, 112),
    ("conv3_1", 128, 256, 56),
    ("conv3_2", 256, 256, 56),
    ("conv4_1", 256, 512, 28),
    ("conv4_2", 512, 512, 28),
    ("conv5_1", 512, 512, 14),
];

/// The shape of what a convolution reads.
pub(crate) fn images(batch: usize, channels: usize, side: usize) -> BlockedShape {
    BlockedShape { batch, channels, height: side, width: side }
}

/// Values between -1 and 1.
pub(crate) fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
}
