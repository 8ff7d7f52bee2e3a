//! A step in place on the CPU, by the kernels: no tensor as large as a parameter is made.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use kernels::optimizer::{self, Lookahead};

use super::{Moments, OptimizerConfig, Step};

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
        let (Some((start, end)), Some((gradient_start, gradient_end))) =
            (variable_layout.contiguous_offsets(), gradient_layout.contiguous_offsets())
        else {
            bail!("a variable is not contiguous, expected it as it was made")
        };
        let CpuStorage::F32(values) = variable else { bail!("a variable is not f32") };
        let values = &mut values[start..end];
        let gradient = &gradient.as_slice::<f32>()?[gradient_start..gradient_end];
        let mut moments = self.moments.borrow_mut();
        let Moments { momentum, velocity } = &mut **moments;
        let learning_rate = self.step.learning_rate;
        match self.config {
            OptimizerConfig::Adam(adam) => optimizer::adam(
                optimizer::Adam {
                    learning_rate,
                    beta_1: adam.beta_1.get(),
                    beta_2: adam.beta_2.get(),
                    epsilon: adam.epsilon.get(),
                },
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
