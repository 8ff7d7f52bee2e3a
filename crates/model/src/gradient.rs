//! The gradient of one parameter, and those of several batches as one.

mod accumulation;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use kernels::dense::{self, DenseShape};

pub use accumulation::Accumulation;

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
    ///
    /// Two in factors stay so, with the images of both: nothing as large as the parameter is made.
    ///
    /// # Errors
    ///
    /// Those of candle, if the gradients are not of one parameter.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        match (self, other) {
            (
                Self::Product { inputs, grad_output },
                Self::Product { inputs: other_inputs, grad_output: other_grad_output },
            ) => Ok(Self::Product {
                inputs: Tensor::cat(&[inputs, other_inputs], 0)?,
                grad_output: Tensor::cat(&[grad_output, other_grad_output], 0)?,
            }),
            _ => Ok(Self::Whole((self.to_tensor()? + other.to_tensor()?)?)),
        }
    }

    /// The gradient of so many times the loss.
    ///
    /// # Errors
    ///
    /// Those of candle, if there is no room for it.
    pub fn scaled(&self, factor: f64) -> Result<Self> {
        match self {
            Self::Whole(gradient) => Ok(Self::Whole((gradient * factor)?)),
            Self::Product { inputs, grad_output } => {
                Ok(Self::Product { inputs: inputs.clone(), grad_output: (grad_output * factor)? })
            }
        }
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn product(batch: usize, seed: usize) -> Gradient {
        let tensor = |columns: usize, seed: usize| {
            let values: Vec<f32> =
                (0..batch * columns).map(|at| ((at + seed) % 7) as f32 - 3.0).collect();
            Tensor::from_vec(values, (batch, columns), &Device::Cpu).unwrap()
        };
        Gradient::Product { inputs: tensor(5, seed), grad_output: tensor(3, seed + 4) }
    }

    fn values(gradient: &Gradient) -> Vec<Vec<f32>> {
        gradient.to_tensor().unwrap().to_vec2().unwrap()
    }

    // Small whole numbers: sums in any order have the same bits.

    #[test]
    fn a_sum_of_factors_stays_in_factors() {
        let (left, right) = (product(4, 1), product(2, 2));
        let sum = left.plus(&right).unwrap();
        let Gradient::Product { inputs, grad_output } = &sum else { panic!("{sum:?}") };
        assert_eq!((inputs.dims(), grad_output.dims()), (&[6, 5][..], &[6, 3][..]));
        let whole = |gradient: &Gradient| Gradient::Whole(gradient.to_tensor().unwrap());
        let expected = values(&whole(&left).plus(&whole(&right)).unwrap());
        assert_eq!(values(&sum), expected);
        assert_eq!(values(&left.plus(&whole(&right)).unwrap()), expected);
        assert_ne!(values(&left), expected);
    }

    #[test]
    fn factors_are_scaled_as_their_product_is() {
        let gradient = product(4, 1);
        let whole = Gradient::Whole(gradient.to_tensor().unwrap());
        let scaled = gradient.scaled(0.5).unwrap();
        assert!(matches!(scaled, Gradient::Product { .. }));
        assert_eq!(values(&scaled), values(&whole.scaled(0.5).unwrap()));
        assert_ne!(values(&scaled), values(&whole));
    }
}
