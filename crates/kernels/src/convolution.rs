//! Convolution of VGG16's kind: 3x3, stride 1, zero padding 1, with a bias.
//!
//! Up to seven input channels the patches are unrolled into a matrix; above, Winograd's F(4x4, 3x3) needs a
//! quarter of the products. A NaN or infinity in an image reaches all outputs that depend on it and, through Winograd's
//! tiles, up to three neighbors more.

mod bias;
mod few_channels;
pub mod plain;
mod shape;
mod winograd;

pub use shape::ConvolutionShape;

use crate::activation::Activation;

/// Up to so many input channels Winograd's transforms cost more than the products they save.
const FEW_CHANNELS: usize = 7;

/// Computes a convolution and its activation.
///
/// # Shapes
///
/// - `images`: `(batch, in_channels, height, width)`
/// - `weights`: `(out_channels, in_channels, 3, 3)`
/// - `bias`: `(out_channels)`
/// - `output`: `(batch, out_channels, height, width)`
///
/// # Panics
///
/// If a slice has another length.
///
/// # Source
///
/// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), section 4, with other interpolation points.
pub fn forward(
    shape: ConvolutionShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    activation: Activation,
    output: &mut [f32],
) {
    assert_eq!(images.len(), shape.images_len(), "images");
    assert_eq!(weights.len(), shape.weights_len(), "weights");
    assert_eq!(bias.len(), shape.out_channels, "bias");
    assert_eq!(output.len(), shape.output_len(), "output");
    if output.is_empty() {
        return;
    }
    if shape.in_channels <= FEW_CHANNELS {
        few_channels::forward(shape, images, weights, bias, activation, output);
    } else {
        winograd::forward(shape, images, weights, bias, activation, output);
    }
}

/// Computes the gradient of the images from that of the sums before the activation.
///
/// # Shapes
///
/// - `weights`: `(out_channels, in_channels, 3, 3)`
/// - `grad_output`: `(batch, out_channels, height, width)`
/// - `grad_images`: `(batch, in_channels, height, width)`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_images(
    shape: ConvolutionShape,
    weights: &[f32],
    grad_output: &[f32],
    grad_images: &mut [f32],
) {
    assert_eq!(weights.len(), shape.weights_len(), "weights");
    assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
    assert_eq!(grad_images.len(), shape.images_len(), "grad_images");
    if grad_images.is_empty() {
        return;
    }
    winograd::backward_images(shape, weights, grad_output, grad_images);
}

/// Computes the gradients of weights and bias from that of the sums before the activation.
///
/// # Shapes
///
/// - `images`: `(batch, in_channels, height, width)`
/// - `grad_output`: `(batch, out_channels, height, width)`
/// - `grad_weights`: `(out_channels, in_channels, 3, 3)`
/// - `grad_bias`: `(out_channels)`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_weights(
    shape: ConvolutionShape,
    images: &[f32],
    grad_output: &[f32],
    grad_weights: &mut [f32],
    grad_bias: &mut [f32],
) {
    assert_eq!(images.len(), shape.images_len(), "images");
    assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
    assert_eq!(grad_weights.len(), shape.weights_len(), "grad_weights");
    assert_eq!(grad_bias.len(), shape.out_channels, "grad_bias");
    if grad_output.is_empty() || images.is_empty() {
        grad_weights.fill(0.0);
        bias::backward(shape, grad_output, grad_bias);
        return;
    }
    if shape.in_channels <= FEW_CHANNELS {
        few_channels::backward_weights(shape, images, grad_output, grad_weights);
    } else {
        winograd::backward_weights(shape, images, grad_output, grad_weights);
    }
    bias::backward(shape, grad_output, grad_bias);
}
