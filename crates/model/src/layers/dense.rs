//! An affine layer with its activation.

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};
use kernels::activation;
use kernels::dense::{self, DenseShape};

use super::{Parameters, relu, values, with_values};
use crate::Gradient;
use crate::architecture::Activation;

/// Flattens each image in (channel, row, column) order, multiplies, adds the bias, activates.
///
/// # Shapes
///
/// - `inputs`: `(batch, ..)`; weights: `(out, in)`; bias: `(out)`; f32
/// - returns `(batch, out)`
pub(crate) fn dense(
    inputs: &Tensor,
    parameters: Parameters,
    activation: Activation,
) -> Result<Tensor> {
    let inputs = inputs.flatten_from(1)?;
    match inputs.device() {
        Device::Cpu => {
            let (weights, bias) = (parameters.weights.contiguous()?, parameters.bias.contiguous()?);
            inputs.contiguous()?.apply_op3(&weights, &bias, Dense { parameters, activation })
        }
        _ => by_tensor_operations(&inputs, &parameters.weights, &parameters.bias, activation),
    }
}

/// The same by candle's operations, on flat inputs.
pub(super) fn by_tensor_operations(
    inputs: &Tensor,
    weights: &Tensor,
    bias: &Tensor,
    activation: Activation,
) -> Result<Tensor> {
    let sums = inputs.matmul(&weights.t()?)?.broadcast_add(bias)?;
    match activation {
        Activation::Relu => relu(&sums),
        Activation::Identity => Ok(sums),
    }
}

/// The operation on a CPU.
struct Dense {
    parameters: Parameters,
    activation: Activation,
}

impl Dense {
    const NAME: &'static str = "dense";

    fn shape(inputs: &Shape, weights: &Shape) -> Result<DenseShape> {
        let (batch, in_features) = inputs.dims2()?;
        let out_features = weights.dims2()?.0;
        Ok(DenseShape { batch, in_features, out_features })
    }
}

impl CustomOp3 for Dense {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = Self::shape(inputs_layout.shape(), weights_layout.shape())?;
        let mut output = vec![0.0; shape.output_len()];
        dense::forward(
            shape,
            values(inputs, inputs_layout, Self::NAME)?,
            values(weights, weights_layout, Self::NAME)?,
            values(bias, bias_layout, Self::NAME)?,
            match self.activation {
                Activation::Relu => activation::Activation::Relu,
                Activation::Identity => activation::Activation::Identity,
            },
            &mut output,
        );
        Ok((CpuStorage::F32(output), (shape.batch, shape.out_features).into()))
    }

    fn bwd(
        &self,
        inputs: &Tensor,
        weights: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let shape = Self::shape(inputs.shape(), weights.shape())?;
        let mut grad = grad_output.flatten_all()?.to_vec1::<f32>()?;
        if self.activation == Activation::Relu {
            with_values(output, Self::NAME, |output| activation::relu_backward(output, &mut grad))?;
        }

        let grad_inputs = if inputs.track_op() {
            let mut grad_inputs = vec![0.0; inputs.elem_count()];
            with_values(weights, Self::NAME, |weights| {
                dense::backward_inputs(shape, weights, &grad, &mut grad_inputs);
            })?;
            Some(Tensor::from_vec(grad_inputs, inputs.shape(), &Device::Cpu)?)
        } else {
            None
        };
        if !self.parameters.track_op() {
            return Ok((grad_inputs, None, None));
        }
        let mut grad_bias = vec![0.0; bias.elem_count()];
        dense::bias_gradient(shape, &grad, &mut grad_bias);
        let weights = Gradient::Product {
            inputs: inputs.detach(),
            grad_output: Tensor::from_vec(grad, output.shape(), &Device::Cpu)?,
        };
        self.parameters.add_gradients(weights, grad_bias)?;
        Ok((grad_inputs, None, None))
    }
}
