//! A step in place on the CPU, by the kernels: no tensor as large as a parameter is made.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, bail};
use kernels::dense::DenseShape;
use kernels::optimizer::{self, Lookahead};

use super::{Adam, Moments, OptimizerConfig, Step};

/// Applies `gradient` to `variable`, both on the CPU.
pub(super) fn apply(
    config: &OptimizerConfig,
    step: Step,
    variable: &Var,
    gradient: &Tensor,
    moments: &mut Moments<Vec<f32>>,
) -> Result<()> {
    let operation = InPlace { config, step, moments: RefCell::new(moments) };
    variable.inplace_op2(&gradient.contiguous()?, &operation)
}

/// Applies the gradient of a dense layer's weights, given by its factors, all on the CPU.
pub(super) fn apply_product(
    adam: &Adam,
    step: Step,
    variable: &Var,
    inputs: &Tensor,
    grad_output: &Tensor,
    moments: &mut Moments<Vec<f32>>,
) -> Result<()> {
    let operation = DenseInPlace { adam, step, moments: RefCell::new(moments) };
    variable.inplace_op3(&inputs.contiguous()?, &grad_output.contiguous()?, &operation)
}

/// The operation as candle wants it: it may change its first operand, and has no `&mut self` for
/// the moments.
struct InPlace<'a> {
    config: &'a OptimizerConfig,
    step: Step,
    moments: RefCell<&'a mut Moments<Vec<f32>>>,
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        variable_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let values = values_mut(variable, variable_layout)?;
        let gradient = values_of(gradient, gradient_layout)?;
        let mut moments = self.moments.borrow_mut();
        let Moments { momentum, velocity } = &mut **moments;
        let learning_rate = self.step.learning_rate;
        match self.config {
            OptimizerConfig::Adam(adam) => optimizer::adam(
                settings(adam, learning_rate),
                self.step.number,
                values,
                gradient,
                momentum,
                velocity,
            ),
            OptimizerConfig::Sgd(sgd) => optimizer::sgd(
                optimizer::Sgd {
                    learning_rate,
                    momentum: sgd.momentum.get(),
                    lookahead: if sgd.nesterov { Lookahead::Nesterov } else { Lookahead::None },
                },
                values,
                gradient,
                momentum,
            ),
            OptimizerConfig::RmsProp(rmsprop) => optimizer::rmsprop(
                optimizer::RmsProp {
                    learning_rate,
                    rho: rmsprop.rho.get(),
                    epsilon: rmsprop.epsilon.get(),
                },
                values,
                gradient,
                velocity,
            ),
        }
        Ok(())
    }
}

/// As [`InPlace`], for a gradient in two factors.
struct DenseInPlace<'a> {
    adam: &'a Adam,
    step: Step,
    moments: RefCell<&'a mut Moments<Vec<f32>>>,
}

impl InplaceOp3 for DenseInPlace<'_> {
    fn name(&self) -> &'static str {
        "optimizer-step-of-dense"
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        variable_layout: &Layout,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        grad_output: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<()> {
        let (batch, in_features) = inputs_layout.shape().dims2()?;
        let (_, out_features) = grad_layout.shape().dims2()?;
        let mut moments = self.moments.borrow_mut();
        let Moments { momentum, velocity } = &mut **moments;
        optimizer::adam_dense(
            settings(self.adam, self.step.learning_rate),
            self.step.number,
            DenseShape { batch, in_features, out_features },
            values_of(inputs, inputs_layout)?,
            values_of(grad_output, grad_layout)?,
            values_mut(variable, variable_layout)?,
            momentum,
            velocity,
        );
        Ok(())
    }
}

fn settings(adam: &Adam, learning_rate: f64) -> optimizer::Adam {
    optimizer::Adam {
        learning_rate,
        beta_1: adam.beta_1.get(),
        beta_2: adam.beta_2.get(),
        epsilon: adam.epsilon.get(),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("a variable is not contiguous f32, expected it as it was made"),
    }
}

fn values_of<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a gradient is not contiguous, expected it as its caller made it"),
    }
}
