//! Optimizers as Keras has them, with state that is kept by parameter name.

mod config;
mod in_place;
mod on_tensors;

use std::collections::{BTreeMap, btree_map::Entry};

use candle_core::{Tensor, Var};
use kernels::threads::on_workers;
use model::Gradient;

pub use config::{Adam, OptimizerConfig, RmsProp, Sgd};

use crate::Error;

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
    /// Steps done, for all parameters together; Keras's `iterations`.
    steps: u32,
    state: BTreeMap<String, ParameterState>,
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

/// One step of all parameters.
#[derive(Debug, Clone, Copy)]
struct Step {
    learning_rate: f64,
    /// From 1.
    number: u32,
}

impl Optimizer {
    /// An optimizer that has done no step.
    pub fn new(config: OptimizerConfig) -> Self {
        Optimizer { config, steps: 0, state: BTreeMap::new() }
    }

    /// Moves each variable, in place, by its gradient.
    ///
    /// A tensor that shares a variable's storage, such as a detached one, changes with it. The
    /// configuration's own rate is where a schedule starts; a step goes by `learning_rate`.
    ///
    /// # Errors
    ///
    /// [`Error::NoGradient`] if a variable takes no part in the loss, before any is moved;
    /// [`Error::Tensor`] if a variable is not contiguous f32.
    pub fn step(
        &mut self,
        variables: &[(&str, &Var)],
        gradients: &BTreeMap<String, Gradient>,
        learning_rate: f64,
    ) -> Result<(), Error> {
        let with_gradients = variables
            .iter()
            .map(|&(name, variable)| match gradients.get(name) {
                Some(gradient) => Ok((name, variable, gradient)),
                None => Err(Error::NoGradient { name: name.to_owned() }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.steps += 1;
        let step = Step { learning_rate, number: self.steps };
        on_workers(|| {
            for (name, variable, gradient) in with_gradients {
                let state = match self.state.entry(name.to_owned()) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        entry.insert(ParameterState::new(&self.config, variable)?)
                    }
                };
                state.apply(&self.config, step, variable, gradient)?;
            }
            Ok(())
        })
    }
}

impl ParameterState {
    /// In place where the parameter lies on the CPU and the kernels have the configuration.
    fn new(config: &OptimizerConfig, variable: &Var) -> candle_core::Result<Self> {
        let has_kernel = match config {
            OptimizerConfig::Adam(_) => true,
            OptimizerConfig::Sgd(sgd) => sgd.momentum.get() > 0.0,
            OptimizerConfig::RmsProp(rmsprop) => rmsprop.momentum.get() == 0.0,
        };
        if variable.device().is_cpu() && has_kernel {
            return Ok(Self::in_place(config, variable));
        }
        Self::on_tensors(config, variable)
    }

    fn in_place(config: &OptimizerConfig, variable: &Tensor) -> Self {
        let zeros = |is_needed| vec![0.0; if is_needed { variable.elem_count() } else { 0 }];
        ParameterState::InPlace(Moments {
            momentum: zeros(config.needs_momentum()),
            velocity: zeros(config.needs_velocity()),
        })
    }

    fn on_tensors(config: &OptimizerConfig, variable: &Tensor) -> candle_core::Result<Self> {
        let zeros = |is_needed| {
            if is_needed {
                return variable.zeros_like();
            }
            Tensor::zeros(0, variable.dtype(), variable.device())
        };
        Ok(ParameterState::OnTensors(Moments {
            momentum: zeros(config.needs_momentum())?,
            velocity: zeros(config.needs_velocity())?,
        }))
    }

    fn apply(
        &mut self,
        config: &OptimizerConfig,
        step: Step,
        variable: &Var,
        gradient: &Gradient,
    ) -> candle_core::Result<()> {
        match self {
            ParameterState::InPlace(moments) => {
                in_place::apply(config, step, variable, gradient, moments)
            }
            ParameterState::OnTensors(moments) => {
                on_tensors::apply(config, step, variable, &gradient.to_tensor()?, moments)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        adam: Vec<Trace>,
        sgd: Vec<Trace>,
        rmsprop: Vec<Trace>,
    }

    #[derive(Deserialize)]
    struct Trace {
        args: Value,
        init: Vec<f32>,
        #[serde(rename = "trace")]
        steps: Vec<TraceStep>,
    }

    #[derive(Deserialize)]
    struct TraceStep {
        grad: Vec<f32>,
        param: Vec<f32>,
    }

    /// Every trace with the configuration that it was made with.
    fn golden() -> Vec<(OptimizerConfig, Trace)> {
        let golden: Golden =
            serde_json::from_str(include_str!("../tests/golden/keras_callbacks_optimizers.json"))
                .unwrap();
        let kinds = [("adam", golden.adam), ("sgd", golden.sgd), ("rmsprop", golden.rmsprop)];
        kinds
            .into_iter()
            .flat_map(|(kind, traces)| traces.into_iter().map(move |trace| (kind, trace)))
            .map(|(kind, trace)| {
                let mut settings = trace.args.clone();
                settings["kind"] = kind.into();
                (serde_json::from_value(settings).unwrap(), trace)
            })
            .collect()
    }

    fn variable(values: &[f32]) -> Var {
        Var::new(values, &Device::Cpu).unwrap()
    }

    fn values(variable: &Var) -> Vec<f32> {
        variable.to_vec1().unwrap()
    }

    /// One gradient.
    fn gradients(name: &str, gradient: &[f32]) -> BTreeMap<String, Gradient> {
        BTreeMap::from([(name.to_owned(), whole(gradient))])
    }

    fn whole(gradient: &[f32]) -> Gradient {
        Gradient::Whole(Tensor::new(gradient, &Device::Cpu).unwrap())
    }

    /// Follows a trace from a state that has seen nothing.
    fn assert_follows(config: &OptimizerConfig, trace: &Trace, mut state: ParameterState) {
        let variable = variable(&trace.init);
        for (number, expected) in (1..).zip(&trace.steps) {
            let step = Step { learning_rate: config.learning_rate(), number };
            state.apply(config, step, &variable, &whole(&expected.grad)).unwrap();
            for (index, (found, expected)) in
                values(&variable).iter().zip(&expected.param).enumerate()
            {
                // A last digit of the largest values: Keras's bias corrections are that far off.
                let difference = (found - expected).abs();
                assert!(
                    difference <= f32::EPSILON,
                    "{config:?}, step {number}, {index}: {found} is {difference:e} off {expected}"
                );
            }
        }
    }

    #[test]
    fn tensor_steps_are_those_of_keras() {
        for (config, trace) in golden() {
            let state = ParameterState::on_tensors(&config, &variable(&trace.init)).unwrap();
            assert_follows(&config, &trace, state);
        }
    }

    #[test]
    fn steps_on_the_cpu_are_those_of_keras() {
        let mut in_place = 0;
        for (config, trace) in golden() {
            let state = ParameterState::new(&config, &variable(&trace.init)).unwrap();
            in_place += usize::from(matches!(state, ParameterState::InPlace(_)));
            assert_follows(&config, &trace, state);
        }
        assert_eq!(in_place, 7);
    }

    #[test]
    fn all_parameters_share_the_number_of_the_step() {
        let config = OptimizerConfig::Adam(Adam::default());
        let (first, late) = (variable(&[1.0]), variable(&[1.0]));
        let mut optimizer = Optimizer::new(config);
        optimizer.step(&[("first", &first)], &gradients("first", &[1.0]), 0.1).unwrap();
        optimizer.step(&[("late", &late)], &gradients("late", &[1.0]), 0.1).unwrap();
        // Fresh moments at step 2: 0.1 sqrt(1 - 0.999^2) / (1 - 0.9^2) * 0.1 / sqrt(0.001).
        let expected = 1.0 - 0.1 * (1.0_f64 - 0.998_001).sqrt() / 0.19 * 0.1 / 0.001_f64.sqrt();
        assert!((f64::from(values(&late)[0]) - expected).abs() < 1e-6);
    }

    #[test]
    fn goes_by_the_rate_of_the_step() {
        let weights = variable(&[1.0]);
        let mut optimizer = Optimizer::new(OptimizerConfig::Sgd(Sgd::default()));
        optimizer.step(&[("fc8.weight", &weights)], &gradients("fc8.weight", &[1.0]), 0.5).unwrap();
        assert_eq!(values(&weights), [0.5]);
    }

    #[test]
    fn a_parameter_without_gradient_is_named_before_any_moves() {
        let (with, without) = (variable(&[1.0]), variable(&[1.0]));
        let mut optimizer = Optimizer::new(OptimizerConfig::Sgd(Sgd::default()));
        let variables = [("fc6.weight", &with), ("fc7.weight", &without)];
        let error = optimizer.step(&variables, &gradients("fc6.weight", &[1.0]), 0.5).unwrap_err();
        assert!(matches!(error, Error::NoGradient { name } if name == "fc7.weight"));
        assert_eq!(values(&with), [1.0]);
    }

    #[test]
    fn a_transposed_gradient_lands_on_the_right_elements() {
        let weights = Var::new(&[[0_f32, 0.0, 0.0], [0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
        let gradient = Tensor::new(&[[1_f32, 4.0], [2.0, 5.0], [3.0, 6.0]], &Device::Cpu).unwrap();
        let config: OptimizerConfig =
            toml::from_str("kind = \"sgd\"\nlearning_rate = 1.0\nmomentum = 0.9").unwrap();
        let mut state = ParameterState::new(&config, &weights).unwrap();
        let step = Step { learning_rate: 1.0, number: 1 };
        let gradient = Gradient::Whole(gradient.t().unwrap());
        state.apply(&config, step, &weights, &gradient).unwrap();
        let found: Vec<Vec<f32>> = weights.to_vec2().unwrap();
        assert_eq!(found, [[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]);
    }

    #[test]
    fn a_gradient_in_factors_moves_weights_as_the_whole_one_does() {
        let tensor = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|at| (at % 7) as f32 - 3.0).collect();
            Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
        };
        let product = Gradient::Product { inputs: tensor(4, 5), grad_output: tensor(4, 3) };
        let whole = Gradient::Whole(product.to_tensor().unwrap());
        for kind in ["\"adam\"", "\"sgd\"", "\"sgd\"\nmomentum = 0.9", "\"rmsprop\""] {
            let config: OptimizerConfig =
                toml::from_str(&format!("kind = {kind}\nlearning_rate = 0.01")).unwrap();
            let moved = |gradient: &Gradient| {
                let weights = Var::from_tensor(&tensor(3, 5)).unwrap();
                let mut state = ParameterState::new(&config, &weights).unwrap();
                for number in 1..4 {
                    let step = Step { learning_rate: 0.01, number };
                    state.apply(&config, step, &weights, gradient).unwrap();
                }
                weights.to_vec2::<f32>().unwrap()
            };
            assert_eq!(moved(&product), moved(&whole), "{kind}");
            assert_ne!(moved(&product), tensor(3, 5).to_vec2::<f32>().unwrap(), "{kind}");
        }
    }
}
