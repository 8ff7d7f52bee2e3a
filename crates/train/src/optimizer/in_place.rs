//! A step in place on the CPU, by the kernels: no tensor as large as a parameter is made.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Var, bail};
use kernels::dense::DenseShape;
use kernels::optimizer::{self as rules, DenseGradient, Lookahead};
use model::Gradient;

use super::{Moments, OptimizerConfig, Step};

/// Applies `gradient` to `variable`, both on the CPU.
pub(super) fn apply(
    config: &OptimizerConfig,
    step: Step,
    variable: &Var,
    gradient: &Gradient,
    moments: &mut Moments<Vec<f32>>,
) -> Result<()> {
    let operation = InPlace { rule: Rule::new(config, step), moments: RefCell::new(moments) };
    match gradient {
        Gradient::Whole(gradient) => variable.inplace_op2(&gradient.contiguous()?, &operation),
        Gradient::Product { inputs, grad_output } => {
            let (inputs, grad_output) = (inputs.contiguous()?, grad_output.contiguous()?);
            variable.inplace_op3(&inputs, &grad_output, &operation)
        }
    }
}

/// What the kernels want to know of a configuration and a step.
#[derive(Clone, Copy)]
enum Rule {
    Adam(rules::Adam, u32),
    Sgd(rules::Sgd),
    RmsProp(rules::RmsProp),
}

impl Rule {
    fn new(config: &OptimizerConfig, step: Step) -> Self {
        let learning_rate = step.learning_rate;
        match config {
            OptimizerConfig::Adam(adam) => {
                let (beta_1, beta_2) = (adam.beta_1.get(), adam.beta_2.get());
                let epsilon = adam.epsilon.get();
                Self::Adam(rules::Adam { learning_rate, beta_1, beta_2, epsilon }, step.number)
            }
            OptimizerConfig::Sgd(sgd) => Self::Sgd(rules::Sgd {
                learning_rate,
                momentum: sgd.momentum.get(),
                lookahead: if sgd.nesterov { Lookahead::Nesterov } else { Lookahead::None },
            }),
            OptimizerConfig::RmsProp(rmsprop) => Self::RmsProp(rules::RmsProp {
                learning_rate,
                rho: rmsprop.rho.get(),
                epsilon: rmsprop.epsilon.get(),
            }),
        }
    }
}

/// The operation as candle wants it: it may change its first operand, and has no `&mut self` for
/// the moments.
struct InPlace<'a> {
    rule: Rule,
    moments: RefCell<&'a mut Moments<Vec<f32>>>,
}

const NAME: &str = "optimizer-step";

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        variable_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let weights = values_mut(variable, variable_layout)?;
        let gradient = values(gradient, gradient_layout)?;
        let mut moments = self.moments.borrow_mut();
        let Moments { momentum, velocity } = &mut **moments;
        match self.rule {
            Rule::Adam(adam, number) => {
                rules::adam(adam, number, weights, gradient, momentum, velocity);
            }
            Rule::Sgd(sgd) => rules::sgd(sgd, weights, gradient, momentum),
            Rule::RmsProp(rmsprop) => rules::rmsprop(rmsprop, weights, gradient, velocity),
        }
        Ok(())
    }
}

impl InplaceOp3 for InPlace<'_> {
    fn name(&self) -> &'static str {
        NAME
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
        let (images, out_features) = grad_layout.shape().dims2()?;
        let found = variable_layout.shape().dims2()?;
        if images != batch || found != (out_features, in_features) {
            bail!(
                "a variable of shape {found:?}, expected one of ({out_features}, {in_features}) for its gradient in \
                 factors of {batch} and {images} images"
            );
        }
        let gradient = DenseGradient {
            shape: DenseShape { batch, in_features, out_features },
            inputs: values(inputs, inputs_layout)?,
            grad_output: values(grad_output, grad_layout)?,
        };
        let weights = values_mut(variable, variable_layout)?;
        let mut moments = self.moments.borrow_mut();
        let Moments { momentum, velocity } = &mut **moments;
        match self.rule {
            Rule::Adam(adam, number) => {
                rules::adam_dense(adam, number, gradient, weights, momentum, velocity);
            }
            Rule::Sgd(sgd) => rules::sgd_dense(sgd, gradient, weights, momentum),
            Rule::RmsProp(rmsprop) => rules::rmsprop_dense(rmsprop, gradient, weights, velocity),
        }
        Ok(())
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("a variable is not contiguous f32, expected it as it was made"),
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a gradient is not contiguous, expected it as its caller made it"),
    }
}
