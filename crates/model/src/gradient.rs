//! The gradient of one parameter.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use kernels::dense::{self, DenseShape};

use crate::layers::values;

/// The gradient of one parameter, as the backward pass leaves it.
#[derive(Debug, Clone)]
pub enum Gradient {
    /// In the shape of the parameter.
    Whole(Tensor),
    /// That of a dense layer's weights, `(out, in)`, as the factors of `grad_output^T inputs`: with 32 images the two are
    /// a hundredth of the 103 million numbers of `fc6`.
    Product {
        /// What the layer read, `(batch, in)`.
        inputs: Tensor,
        /// The gradient of its sums, `(batch, out)`.
        grad_output: Tensor,
    },
}

impl Gradient {
    /// The gradient in the shape of the parameter.
    ///
    /// # Errors
    ///
    /// Those of candle, if there is no room for it.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match self {
            Self::Whole(gradient) => Ok(gradient.clone()),
            Self::Product { inputs, grad_output } => {
                inputs.contiguous()?.apply_op2_no_bwd(&grad_output.contiguous()?, &Product)
            }
        }
    }

    /// The sum of two gradients of a parameter.
    pub(crate) fn plus(&self, other: &Self) -> Result<Self> {
        Ok(Self::Whole((self.to_tensor()? + other.to_tensor()?)?))
    }
}

/// `grad_output^T inputs`.
struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "dense-gradient"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        grad_output: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, in_features) = inputs_layout.shape().dims2()?;
        let (_, out_features) = grad_layout.shape().dims2()?;
        let shape = DenseShape { batch, in_features, out_features };
        let inputs = values(inputs, inputs_layout, self.name())?;
        let grad_output = values(grad_output, grad_layout, self.name())?;
        let mut gradient = vec![0.0; shape.weights_len()];
        dense::backward_weights(shape, inputs, grad_output, &mut gradient);
        Ok((CpuStorage::F32(gradient), (out_features, in_features).into()))
    }
}
