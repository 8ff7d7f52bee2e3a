//! Convolution of VGG16's kind on blocked activations: 3x3, stride 1, zero padding 1, with bias and `ReLU`, and with
//! 2x2 pooling where a pool follows.
//!
//! Winograd's F(4x4, 3x3) needs a quarter of the products of the definition; only convolutions of few channels, as the
//! first one, follow the definition. A NaN or infinity in an image reaches all outputs that depend on it and, through
//! Winograd's tiles, up to three neighbors more.

mod image;
pub mod plain;

pub use image::{image_backward_weights, image_forward};

use crate::blocked::{BlockedShape, bias_gradient, pool, unblock};
use crate::scratch::with_shared_buffers;
use crate::winograd::{self, Finish};

/// Weights of a filter, for one channel.
pub(crate) const TAPS: usize = 9;

/// Up to so many input channels, of the 16 in a block, Winograd's transforms cost more than the products they save.
pub const FEW_CHANNELS: usize = 7;

/// What lies before a convolution, through which the gradient of its images goes on.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// Nothing: the gradient of the images themselves is wanted.
    Nothing,
    /// An activation, which gave these images: the gradient of its sums is wanted.
    Activation(&'a [f32]),
    /// An activation and a pool.
    Pool {
        /// The pool's winners.
        winners: &'a [u8],
        /// What was pooled.
        shape: BlockedShape,
    },
}

/// The products of [`forward`] without the transforms around them, of numbers that mean nothing: what a bench holds against
/// the machine's peak.
///
/// # Shapes
///
/// - `weights`: `(out, in, 3, 3)`
///
/// # Panics
///
/// If `weights` has another length.
pub fn forward_products(shape: BlockedShape, out_channels: usize, weights: &[f32]) {
    winograd::forward_products(shape, weights, out_channels);
}

/// Likewise those of [`backward_weights`].
pub fn backward_weights_products(shape: BlockedShape, out_channels: usize) {
    winograd::backward_weights_products(shape, out_channels);
}

/// Convolves, adds the bias and clips at zero. Images have at least one channel.
///
/// # Shapes
///
/// - `images`: [`BlockedShape::extents`]
/// - `weights`: `(out, in, 3, 3)`; `bias`: `(out)`
/// - `output`: the extents of as many channels as there are biases; what was in it does not matter
///
/// # Panics
///
/// If a slice has another length.
///
/// # Source
///
/// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), section 4, with other interpolation points.
pub fn forward(
    shape: BlockedShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    output: &mut [f32],
) {
    if FEW_CHANNELS < shape.channels {
        winograd::forward(shape, images, weights, bias, Finish::Rectified, output);
        return;
    }
    with_shared_buffers([shape.plain_len()], |[plain]| {
        unblock(shape, images, plain);
        image_forward(shape, plain, weights, bias, output);
    });
}

/// Convolves, adds the bias, clips at zero and takes the largest of each 2x2 window; an odd last row or column is
/// dropped.
///
/// # Shapes
///
/// As for [`forward`], pooled; `winners`: [`BlockedShape::winners_len`] of the pooled shape.
///
/// # Panics
///
/// If a slice has another length.
pub fn forward_pooled(
    shape: BlockedShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    output: &mut [f32],
    winners: &mut [u8],
) {
    if FEW_CHANNELS < shape.channels {
        winograd::forward(shape, images, weights, bias, Finish::Pooled(winners), output);
        return;
    }
    let written = BlockedShape { channels: bias.len(), ..shape };
    with_shared_buffers([written.len()], |[full]| {
        forward(shape, images, weights, bias, full);
        pool(written, full, output, winners);
    });
}

/// Computes the gradient of the images, or of what came `before` them, from that of the sums before the activation.
///
/// # Shapes
///
/// - `grad`: [`BlockedShape::extents`] of `shape` with `out_channels`
/// - `weights`: `(out, in, 3, 3)`
/// - `grad_before`: [`BlockedShape::extents`] of `shape`, or of what was pooled to it; what was in it does not matter
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_images(
    shape: BlockedShape,
    out_channels: usize,
    weights: &[f32],
    grad: &[f32],
    before: Before<'_>,
    grad_before: &mut [f32],
) {
    let finish = match before {
        Before::Nothing => Finish::Sums,
        Before::Activation(images) => Finish::Passed(images),
        Before::Pool { winners, shape } => Finish::Unpooled(winners, shape),
    };
    let grad_shape = BlockedShape { channels: out_channels, ..shape };
    winograd::backward_images(grad_shape, shape.channels, grad, weights, finish, grad_before);
}

/// Adds the gradients of weights and bias, from that of the sums before the activation.
///
/// # Shapes
///
/// - `images`: [`BlockedShape::extents`]
/// - `grad`: the same with `out_channels`
/// - `grad_weights`: `(out, in, 3, 3)`; `grad_bias`: `(out)`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_weights(
    shape: BlockedShape,
    out_channels: usize,
    images: &[f32],
    grad: &[f32],
    grad_weights: &mut [f32],
    grad_bias: &mut [f32],
) {
    winograd::backward_weights(shape, out_channels, images, grad, grad_weights);
    bias_gradient(BlockedShape { channels: out_channels, ..shape }, grad, grad_bias);
}
