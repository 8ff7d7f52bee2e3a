//! Convolution of VGG16's kind on blocked activations: 3x3, stride 1, zero padding 1, with bias and `ReLU`, and with
//! 2x2 pooling where a pool follows.
//!
//! Winograd's F(4x4, 3x3) needs a quarter of the products of the definition; only convolutions of few channels, as the
//! first one, follow the definition. A NaN or infinity in an image reaches all outputs that depend on it and, through
//! Winograd's tiles, up to three neighbors more.

mod image;
pub mod plain;

pub use image::{image_backward_weights, image_forward};

use crate::blocked::{BlockedShape, Winners, bias_gradient, pool, unblock, winners_len};
use crate::scratch::elements;
use crate::winograd::{self, Output};

/// Up to so many input channels, of the 16 in a block, Winograd's transforms cost more than the products they save.
const FEW_CHANNELS: usize = 7;

/// Convolves, adds the bias and clips at zero.
///
/// # Shapes
///
/// - `images`: [`BlockedShape::extents`]
/// - `weights`: `(out, in, 3, 3)`; `bias`: `(out)`
/// - returns the extents of as many channels as there are biases
///
/// # Panics
///
/// If a slice has another length.
///
/// # Source
///
/// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), section 4, with other interpolation points.
pub fn forward(shape: BlockedShape, images: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
    if shape.channels <= FEW_CHANNELS {
        return image_forward(shape, &unblock(shape, images), weights, bias);
    }
    let mut output = vec![0.0; BlockedShape { channels: bias.len(), ..shape }.len()];
    winograd::forward(shape, bias.len(), images, weights, bias, Output::Rectified(&mut output));
    output
}

/// Convolves, adds the bias, clips at zero and takes the largest of each 2x2 window; an odd last row or column is
/// dropped.
///
/// # Shapes
///
/// As for [`forward`], pooled.
///
/// # Panics
///
/// If a slice has another length.
pub fn forward_pooled(
    shape: BlockedShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
) -> (Vec<f32>, Winners) {
    let written = BlockedShape { channels: bias.len(), ..shape };
    if shape.channels <= FEW_CHANNELS {
        return pool(written, &forward(shape, images, weights, bias));
    }
    let pooled = written.pooled();
    let mut output = vec![0.0; pooled.len()];
    let mut winners = vec![0; winners_len(pooled)];
    let target = Output::Pooled(&mut output, &mut winners);
    winograd::forward(shape, bias.len(), images, weights, bias, target);
    (output, winners)
}

/// Computes the gradient of the images from that of the sums before the activation.
///
/// # Shapes
///
/// - `grad`: [`BlockedShape::extents`] of `shape` with `out_channels`
/// - `weights`: `(out, in, 3, 3)`
/// - returns [`BlockedShape::extents`] of `shape`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_images(
    shape: BlockedShape,
    out_channels: usize,
    weights: &[f32],
    grad: &[f32],
) -> Vec<f32> {
    let mut grad_images = vec![0.0; shape.len()];
    let grad_shape = BlockedShape { channels: out_channels, ..shape };
    winograd::backward_images(grad_shape, shape.channels, grad, weights, &mut grad_images);
    grad_images
}

/// Computes the gradients of weights and bias from that of the sums before the activation.
///
/// # Shapes
///
/// - `images`: [`BlockedShape::extents`]
/// - `grad`: the same with `out_channels`
/// - returns `(out, in, 3, 3)` and `(out)`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_weights(
    shape: BlockedShape,
    out_channels: usize,
    images: &[f32],
    grad: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let mut grad_weights = vec![0.0; elements(&[out_channels, shape.channels, 9])];
    winograd::backward_weights(shape, out_channels, images, grad, &mut grad_weights);
    let grad_shape = BlockedShape { channels: out_channels, ..shape };
    (grad_weights, bias_gradient(grad_shape, grad))
}
