//! 3x3 convolution, stride 1, padding 1, with bias and `ReLU` in one step.

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};
use kernels::activation::{self, Activation};
use kernels::convolution::{self, ConvolutionShape};

use super::{relu, values, with_values};

/// Convolves, adds the bias and clips at zero.
///
/// # Shapes
///
/// - `images`: `(batch, in, rows, columns)`; `weights`: `(out, in, 3, 3)`; `bias`: `(out)`; f32
/// - returns `(batch, out, rows, columns)`
pub(crate) fn convolution(images: &Tensor, weights: &Tensor, bias: &Tensor) -> Result<Tensor> {
    match images.device() {
        Device::Cpu => {
            images.contiguous()?.apply_op3(&weights.contiguous()?, &bias.contiguous()?, Convolution)
        }
        _ => by_tensor_operations(images, weights, bias),
    }
}

/// The same by candle's operations.
pub(super) fn by_tensor_operations(
    images: &Tensor,
    weights: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let products = images.conv2d(weights, 1, 1, 1, 1)?;
    relu(&products.broadcast_add(&bias.reshape((1, (), 1, 1))?)?)
}

/// The operation on a CPU.
struct Convolution;

impl Convolution {
    const NAME: &'static str = "convolution";

    fn shape(images: &Shape, weights: &Shape) -> Result<ConvolutionShape> {
        let (batch, in_channels, height, width) = images.dims4()?;
        let out_channels = weights.dims4()?.0;
        Ok(ConvolutionShape { batch, in_channels, out_channels, height, width })
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        Self::NAME
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
        let shape = Self::shape(images_layout.shape(), weights_layout.shape())?;
        let ConvolutionShape { batch, out_channels, height, width, .. } = shape;
        let mut output = vec![0.0; shape.output_len()];
        convolution::forward(
            shape,
            values(images, images_layout, Self::NAME)?,
            values(weights, weights_layout, Self::NAME)?,
            values(bias, bias_layout, Self::NAME)?,
            Activation::Relu,
            &mut output,
        );
        Ok((CpuStorage::F32(output), (batch, out_channels, height, width).into()))
    }

    fn bwd(
        &self,
        images: &Tensor,
        weights: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let shape = Self::shape(images.shape(), weights.shape())?;
        let mut grad = grad_output.flatten_all()?.to_vec1::<f32>()?;
        with_values(output, Self::NAME, |output| activation::relu_backward(output, &mut grad))?;

        let grad_images = if images.track_op() {
            let mut grad_images = vec![0.0; images.elem_count()];
            with_values(weights, Self::NAME, |weights| {
                convolution::backward_images(shape, weights, &grad, &mut grad_images);
            })?;
            Some(Tensor::from_vec(grad_images, images.shape(), &Device::Cpu)?)
        } else {
            None
        };
        if !weights.track_op() && !bias.track_op() {
            return Ok((grad_images, None, None));
        }
        let mut grad_weights = vec![0.0; weights.elem_count()];
        let mut grad_bias = vec![0.0; bias.elem_count()];
        with_values(images, Self::NAME, |images| {
            convolution::backward_weights(shape, images, &grad, &mut grad_weights, &mut grad_bias);
        })?;
        Ok((
            grad_images,
            Some(Tensor::from_vec(grad_weights, weights.shape(), &Device::Cpu)?),
            Some(Tensor::from_vec(grad_bias, bias.shape(), &Device::Cpu)?),
        ))
    }
}
