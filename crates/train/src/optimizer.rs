//! Optimizers as Keras has them, with state that is kept by parameter name.

mod config;
mod in_place;
mod learning_rates;
mod on_tensors;
mod state;

use std::collections::{BTreeMap, btree_map::Entry};

use candle_core::{Tensor, Var};
use kernels::{
    optimizer::{Rule, Step},
    threads::on_workers,
};
use model::Gradient;

pub use config::{Adam, Clip, OptimizerConfig, RmsProp, Sgd};
pub use learning_rates::{LearningRates, RateFactors};
pub use state::{OptimizerState, ParameterMoments};

use crate::{Error, setting::Threshold};

/// Applies gradients to parameters, and remembers what its configuration needs of them.
///
/// # Source
///
/// keras 3.15.1, `optimizers/adam.py`, `sgd.py`, `rmsprop.py`. Adam adds epsilon to the root of
/// the mean squared gradient before the bias is corrected, where candle's `AdamW` adds it after.
/// The bias corrections are f64 here and f32 in Keras, whose first step is 2e-5 of itself off.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// By parameter name.
    state: BTreeMap<String, Remembered>,
}

/// What is remembered of one parameter.
#[derive(Debug)]
struct Remembered {
    /// Steps that it has done. Keras's `iterations` count for all parameters together, so that the
    /// bias of one that joins later, when a frozen layer is opened, would go uncorrected.
    steps: u32,
    state: ParameterState,
}

/// What is remembered of one parameter, where the step is done.
#[derive(Debug)]
enum ParameterState {
    InPlace(Moments<Vec<f32>>),
    OnTensors(Moments<Tensor>),
}

/// Running values of a parameter's gradients, by Keras's names; empty where the configuration
/// needs none.
#[derive(Debug)]
struct Moments<T> {
    /// Adam: mean gradient; SGD and `RMSprop`: sum of changes.
    momentum: T,
    /// Adam and `RMSprop`: mean squared gradient.
    velocity: T,
}

impl Optimizer {
    /// An optimizer that has done no step.
    pub fn new(config: OptimizerConfig) -> Self {
        Optimizer { config, state: BTreeMap::new() }
    }

    /// Moves each variable, in place, by its gradient.
    ///
    /// A tensor that shares a variable's storage, such as a detached one, changes with it. The
    /// configuration's own rate is where a schedule starts; a step goes by `learning_rates`.
    ///
    /// # Errors
    ///
    /// [`Error::NoGradient`] if a variable takes no part in the loss, before any is moved;
    /// [`Error::Tensor`] if a variable is not contiguous f32.
    pub fn step(
        &mut self,
        variables: &[(&str, &Var)],
        gradients: &BTreeMap<String, Gradient>,
        learning_rates: LearningRates<'_>,
    ) -> Result<(), Error> {
        let with_gradients = variables
            .iter()
            .map(|&(name, variable)| match gradients.get(name) {
                Some(gradient) => Ok((name, variable, gradient)),
                None => Err(Error::NoGradient { name: name.to_owned() }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let rule = self.config.rule();
        let step = Step {
            l2: self.config.l2(),
            weight_decay: self.config.weight_decay(),
            ..Step::new(rule, learning_rates.base, 1)
        };
        on_workers(|| {
            let mut total = 0.0;
            if let Some(Clip::GlobalNorm(_)) = self.config.clip() {
                for (_, variable, gradient) in &with_gradients {
                    total += squared_norm(variable, gradient)?;
                }
            }
            for (name, variable, gradient) in with_gradients {
                let remembered = match self.state.entry(name.to_owned()) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        let state = ParameterState::new(rule, variable)?;
                        entry.insert(Remembered { steps: 0, state })
                    }
                };
                remembered.steps += 1;
                let learning_rate = learning_rates.of(name);
                let step = Step { learning_rate, number: remembered.steps, ..step };
                let step = match self.config.clip() {
                    None => step,
                    Some(Clip::Value(threshold)) => Step { clip_value: threshold.get(), ..step },
                    Some(Clip::Norm(threshold)) => Step {
                        gradient_scale: scale(squared_norm(variable, gradient)?, threshold),
                        ..step
                    },
                    Some(Clip::GlobalNorm(threshold)) => {
                        Step { gradient_scale: scale(total, threshold), ..step }
                    }
                };
                remembered.state.apply(step, variable, gradient)?;
            }
            Ok(())
        })
    }
}

/// The sum of a gradient's squares.
pub(crate) fn squared_norm(variable: &Var, gradient: &Gradient) -> candle_core::Result<f64> {
    if variable.device().is_cpu() {
        return in_place::squared_norm(gradient);
    }
    on_tensors::squared_norm(&gradient.to_tensor()?)
}

/// What brings a norm down to the threshold.
fn scale(squared_norm: f64, threshold: Threshold) -> f64 {
    let norm = squared_norm.sqrt();
    if !norm.is_finite() {
        // As in Keras: a gradient that is no number shall show.
        return f64::NAN;
    }
    if norm <= threshold.get() { 1.0 } else { threshold.get() / norm }
}

impl ParameterState {
    /// In place where the parameter lies on the CPU.
    fn new(rule: Rule, variable: &Var) -> candle_core::Result<Self> {
        if variable.device().is_cpu() {
            return Ok(Self::in_place(rule, variable));
        }
        Self::on_tensors(rule, variable)
    }

    fn in_place(rule: Rule, variable: &Tensor) -> Self {
        let zeros = |is_needed| vec![0.0; if is_needed { variable.elem_count() } else { 0 }];
        ParameterState::InPlace(Moments {
            momentum: zeros(rule.needs_momentum()),
            velocity: zeros(rule.needs_velocity()),
        })
    }

    fn on_tensors(rule: Rule, variable: &Tensor) -> candle_core::Result<Self> {
        let zeros = |is_needed| {
            if is_needed {
                return variable.zeros_like();
            }
            Tensor::zeros(0, variable.dtype(), variable.device())
        };
        Ok(ParameterState::OnTensors(Moments {
            momentum: zeros(rule.needs_momentum())?,
            velocity: zeros(rule.needs_velocity())?,
        }))
    }

    fn apply(
        &mut self,
        step: Step,
        variable: &Var,
        gradient: &Gradient,
    ) -> candle_core::Result<()> {
        match self {
            ParameterState::InPlace(moments) => in_place::apply(step, variable, gradient, moments),
            ParameterState::OnTensors(moments) => {
                on_tensors::apply(step, variable, &gradient.to_tensor()?, moments)
            }
        }
    }
}

#[cfg(test)]
mod tests;
