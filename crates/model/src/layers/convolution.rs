//! 3x3 convolution, stride 1, padding 1, with bias and `ReLU` in one step, and with the pool that follows.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};
use kernels::blocked::{BlockedShape, Winners, mask_gradient, unpool_gradient};
use kernels::convolution;

use super::{Activations, max_pool, relu, values, with_values};

/// Up to so many channels, images that need no gradient are convolved as they are.
const FEW_CHANNELS: usize = 7;

/// What follows a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Nothing.
    None,
    /// 2x2 maximum pooling, as [`max_pool`] does.
    Max,
}

/// Convolves, adds the bias, clips at zero and pools.
///
/// # Shapes
///
/// - `inputs`: `(batch, in, rows, columns)`; `weights`: `(out, in, 3, 3)`; `bias`: `(out)`; f32
/// - returns `(batch, out, rows, columns)`, halved by pooling
pub(crate) fn convolution(
    inputs: Activations,
    weights: &Tensor,
    bias: &Tensor,
    pooling: Pooling,
) -> Result<Activations> {
    if !matches!(weights.device(), Device::Cpu) {
        let output = by_tensor_operations(&inputs.plain()?, weights, bias)?;
        return match pooling {
            Pooling::None => Ok(Activations::Plain(output)),
            Pooling::Max => max_pool(Activations::Plain(output)),
        };
    }
    let (weights, bias) = (weights.contiguous()?, bias.contiguous()?);
    if let (Activations::Plain(images), Pooling::None) = (&inputs, pooling)
        && !images.track_op()
        && images.dim(1)? <= FEW_CHANNELS
    {
        let (batch, channels, height, width) = images.dims4()?;
        let images_shape = BlockedShape { batch, channels, height, width };
        let output = images.contiguous()?.apply_op3(&weights, &bias, First { images_shape })?;
        let shape = BlockedShape { channels: bias.dim(0)?, ..images_shape };
        return Ok(Activations::Blocked(output, shape));
    }
    let (images, images_shape) = inputs.blocked()?;
    let written = BlockedShape { channels: bias.dim(0)?, ..images_shape };
    match pooling {
        Pooling::None => {
            let output = images.apply_op3(&weights, &bias, Convolution { images_shape })?;
            Ok(Activations::Blocked(output, written))
        }
        Pooling::Max => {
            let pooled = Pooled { images_shape, winners: OnceLock::new() };
            let output = images.apply_op3(&weights, &bias, pooled)?;
            Ok(Activations::Blocked(output, written.pooled()))
        }
    }
}

/// The same by candle's operations, without pooling.
pub(super) fn by_tensor_operations(
    images: &Tensor,
    weights: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let products = images.conv2d(weights, 1, 1, 1, 1)?;
    relu(&products.broadcast_add(&bias.reshape((1, (), 1, 1))?)?)
}

/// The first convolution on a CPU, of plain images; they have no gradient.
struct First {
    images_shape: BlockedShape,
}

/// Any other convolution on a CPU.
struct Convolution {
    images_shape: BlockedShape,
}

/// A convolution and the pool behind it on a CPU, made for one use.
struct Pooled {
    images_shape: BlockedShape,
    winners: OnceLock<Winners>,
}

/// Gradients of images, weights and bias.
type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// The gradients that are asked for, from that of the sums before the activation.
fn gradients(
    shape: BlockedShape,
    images: &Tensor,
    weights: &Tensor,
    bias: &Tensor,
    grad: &[f32],
    name: &'static str,
) -> Result<Gradients> {
    let out_channels = bias.dim(0)?;
    let grad_images = if images.track_op() {
        let grad_images = with_values(weights, name, |weights| {
            convolution::backward_images(shape, out_channels, weights, grad)
        })?;
        Some(Tensor::from_vec(grad_images, images.shape(), &Device::Cpu)?)
    } else {
        None
    };
    if !weights.track_op() && !bias.track_op() {
        return Ok((grad_images, None, None));
    }
    let (grad_weights, grad_bias) = with_values(images, name, |images| {
        convolution::backward_weights(shape, out_channels, images, grad)
    })?;
    Ok((
        grad_images,
        Some(Tensor::from_vec(grad_weights, weights.shape(), &Device::Cpu)?),
        Some(Tensor::from_vec(grad_bias, bias.shape(), &Device::Cpu)?),
    ))
}

/// Implements what the three operations have in common.
macro_rules! operation {
    ($type:ident, $name:literal, $forward:ident, $backward:ident) => {
        impl CustomOp3 for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn cpu_fwd(
                &self,
                images: &CpuStorage,
                images_layout: &Layout,
                weights: &CpuStorage,
                weights_layout: &Layout,
                bias: &CpuStorage,
                bias_layout: &Layout,
            ) -> Result<(CpuStorage, Shape)> {
                let (output, shape) = self.$forward(
                    values(images, images_layout, $name)?,
                    values(weights, weights_layout, $name)?,
                    values(bias, bias_layout, $name)?,
                );
                Ok((CpuStorage::F32(output), shape.extents().to_vec().into()))
            }

            fn bwd(
                &self,
                images: &Tensor,
                weights: &Tensor,
                bias: &Tensor,
                output: &Tensor,
                grad_output: &Tensor,
            ) -> Result<Gradients> {
                let grad_output = grad_output.contiguous()?;
                self.$backward(images, weights, bias, output, &grad_output)
            }
        }
    };
}

operation!(First, "first_convolution", forward, backward);
operation!(Convolution, "convolution", forward, backward);
operation!(Pooled, "pooled_convolution", forward, backward);

impl First {
    fn forward(&self, images: &[f32], weights: &[f32], bias: &[f32]) -> (Vec<f32>, BlockedShape) {
        let shape = BlockedShape { channels: bias.len(), ..self.images_shape };
        (convolution::image_forward(self.images_shape, images, weights, bias), shape)
    }

    fn backward(
        &self,
        images: &Tensor,
        weights: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<Gradients> {
        let name = self.name();
        let shape = BlockedShape { channels: bias.dim(0)?, ..self.images_shape };
        let grad = masked(shape, output, grad_output, name)?;
        let (grad_weights, grad_bias) = with_values(images, name, |images| {
            convolution::image_backward_weights(self.images_shape, shape.channels, images, &grad)
        })?;
        Ok((
            None,
            Some(Tensor::from_vec(grad_weights, weights.shape(), &Device::Cpu)?),
            Some(Tensor::from_vec(grad_bias, bias.shape(), &Device::Cpu)?),
        ))
    }
}

impl Convolution {
    fn forward(&self, images: &[f32], weights: &[f32], bias: &[f32]) -> (Vec<f32>, BlockedShape) {
        let shape = BlockedShape { channels: bias.len(), ..self.images_shape };
        (convolution::forward(self.images_shape, images, weights, bias), shape)
    }

    fn backward(
        &self,
        images: &Tensor,
        weights: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<Gradients> {
        let shape = BlockedShape { channels: bias.dim(0)?, ..self.images_shape };
        let grad = masked(shape, output, grad_output, self.name())?;
        gradients(self.images_shape, images, weights, bias, &grad, self.name())
    }
}

impl Pooled {
    fn forward(&self, images: &[f32], weights: &[f32], bias: &[f32]) -> (Vec<f32>, BlockedShape) {
        let shape = BlockedShape { channels: bias.len(), ..self.images_shape };
        let (output, winners) =
            convolution::forward_pooled(self.images_shape, images, weights, bias);
        self.winners.set(winners).expect("the operation is made for one use");
        (output, shape.pooled())
    }

    fn backward(
        &self,
        images: &Tensor,
        weights: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad_output: &Tensor,
    ) -> Result<Gradients> {
        let shape = BlockedShape { channels: bias.dim(0)?, ..self.images_shape };
        let winners = self.winners.get().expect("backward follows forward");
        let grad = with_values(grad_output, self.name(), |grad_output| {
            unpool_gradient(shape, winners, grad_output)
        })?;
        gradients(self.images_shape, images, weights, bias, &grad, self.name())
    }
}

/// The gradient of the sums before the activation.
fn masked(
    shape: BlockedShape,
    output: &Tensor,
    grad_output: &Tensor,
    name: &'static str,
) -> Result<Vec<f32>> {
    with_values(output, name, |output| {
        with_values(grad_output, name, |grad_output| mask_gradient(shape, output, grad_output))
    })?
}
