//! The sizes of a convolution.

use crate::scratch::elements;

/// The sizes of a convolution's images and filters; the output has the height and width of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionShape {
    /// Number of images.
    pub batch: usize,
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels of the output: the number of filters.
    pub out_channels: usize,
    /// Rows of a channel.
    pub height: usize,
    /// Columns of a channel.
    pub width: usize,
}

impl ConvolutionShape {
    /// Elements of the images, `(batch, in_channels, height, width)`.
    pub fn images_len(self) -> usize {
        elements(&[self.batch, self.in_channels, self.height, self.width])
    }

    /// Elements of the weights, `(out_channels, in_channels, 3, 3)`.
    pub fn weights_len(self) -> usize {
        elements(&[self.out_channels, self.in_channels, 9])
    }

    /// Elements of the output, `(batch, out_channels, height, width)`.
    pub fn output_len(self) -> usize {
        elements(&[self.batch, self.out_channels, self.height, self.width])
    }

    /// Elements of one channel of one image.
    pub(crate) fn plane_len(self) -> usize {
        elements(&[self.height, self.width])
    }
}
