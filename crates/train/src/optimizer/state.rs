//! What an optimizer remembers, to be written down and taken up again.

use std::{borrow::Cow, collections::BTreeMap};

use candle_core::{Tensor, Var};

use super::{Moments, Optimizer, OptimizerConfig, ParameterState, Remembered};
use crate::Error;

/// What an optimizer remembers of the steps that it has done.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerState<'a> {
    /// By parameter name.
    pub moments: BTreeMap<String, ParameterMoments<'a>>,
}

/// Running values of one parameter's gradients, in the order of its elements; empty where the
/// configuration needs none. On a CPU they are borrowed from the optimizer.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterMoments<'a> {
    /// Steps that it has done.
    pub steps: u32,
    /// Adam: mean gradient; SGD and `RMSprop`: sum of changes.
    pub momentum: Cow<'a, [f32]>,
    /// Adam and `RMSprop`: mean squared gradient.
    pub velocity: Cow<'a, [f32]>,
}

impl Optimizer {
    /// What it remembers. Nothing is copied of parameters that lie on a CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if a device cannot be read.
    pub fn state(&self) -> Result<OptimizerState<'_>, Error> {
        let moments = self
            .state
            .iter()
            .map(|(name, remembered)| Ok((name.clone(), remembered.moments()?)))
            .collect::<Result<_, Error>>()?;
        Ok(OptimizerState { moments })
    }

    /// An optimizer that goes on where the one went that left `state`; `variables` are those that
    /// it will move. Moments that are owned are not copied where they go to a CPU.
    ///
    /// # Errors
    ///
    /// [`Error::OptimizerState`] if moments are not as long as their variable, or as the
    /// configuration wants them, or belong to no variable; [`Error::Tensor`] if a device has no room.
    pub fn restore(
        config: OptimizerConfig,
        state: OptimizerState<'_>,
        variables: &[(&str, &Var)],
    ) -> Result<Self, Error> {
        let OptimizerState { mut moments } = state;
        let rule = config.rule();
        let mut restored = BTreeMap::new();
        for &(name, variable) in variables {
            // A layer that has been frozen until now has done no step.
            let Some(ParameterMoments { steps, momentum, velocity }) = moments.remove(name) else {
                continue;
            };
            let count = variable.elem_count();
            for (kind, found, is_needed) in [
                ("momentum", momentum.len(), rule.needs_momentum()),
                ("velocity", velocity.len(), rule.needs_velocity()),
            ] {
                let expected = if is_needed { count } else { 0 };
                if found != expected {
                    let problem = format!("has {found} values of {kind}, expected {expected}");
                    return Err(refusal(name, problem));
                }
            }
            let state = ParameterState::of(momentum.into_owned(), velocity.into_owned(), variable)?;
            restored.insert(name.to_owned(), Remembered { steps, state });
        }
        if let Some((name, _)) = moments.first_key_value() {
            return Err(refusal(name, "belongs to no variable that is trained".to_owned()));
        }
        Ok(Optimizer { config, state: restored })
    }
}

impl Remembered {
    fn moments(&self) -> candle_core::Result<ParameterMoments<'_>> {
        let steps = self.steps;
        Ok(match &self.state {
            ParameterState::InPlace(Moments { momentum, velocity }) => ParameterMoments {
                steps,
                momentum: Cow::Borrowed(momentum),
                velocity: Cow::Borrowed(velocity),
            },
            ParameterState::OnTensors(Moments { momentum, velocity }) => ParameterMoments {
                steps,
                momentum: Cow::Owned(momentum.flatten_all()?.to_vec1()?),
                velocity: Cow::Owned(velocity.flatten_all()?.to_vec1()?),
            },
        })
    }
}

impl ParameterState {
    /// Where the parameter lies; the lengths have been checked.
    fn of(momentum: Vec<f32>, velocity: Vec<f32>, variable: &Var) -> candle_core::Result<Self> {
        if variable.device().is_cpu() {
            return Ok(ParameterState::InPlace(Moments { momentum, velocity }));
        }
        Self::on_tensors_of(momentum, velocity, variable)
    }

    pub(super) fn on_tensors_of(
        momentum: Vec<f32>,
        velocity: Vec<f32>,
        variable: &Tensor,
    ) -> candle_core::Result<Self> {
        let tensor = |values: Vec<f32>| match values.len() {
            0 => Tensor::zeros(0, variable.dtype(), variable.device()),
            _ => Tensor::from_vec(values, variable.shape(), variable.device()),
        };
        Ok(ParameterState::OnTensors(Moments {
            momentum: tensor(momentum)?,
            velocity: tensor(velocity)?,
        }))
    }
}

fn refusal(name: &str, problem: String) -> Error {
    Error::OptimizerState { name: name.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use model::Gradient;

    use super::*;
    use crate::optimizer::LearningRates;

    const KINDS: [&str; 6] = [
        "\"adam\"\nl2 = 0.01",
        "\"sgd\"",
        "\"sgd\"\nmomentum = 0.9",
        "\"sgd\"\nmomentum = 0.9\nnesterov = true",
        "\"rmsprop\"",
        "\"rmsprop\"\nmomentum = 0.9",
    ];

    fn config(kind: &str) -> OptimizerConfig {
        toml::from_str(&format!("kind = {kind}")).unwrap()
    }

    fn tensor(shape: &[usize], seed: usize) -> Tensor {
        let count = shape.iter().product();
        let values: Vec<f32> =
            (0..count).map(|at| ((at + seed) * 7919 % 2003) as f32 / 1001.5 - 1.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn variables() -> [(&'static str, Var); 2] {
        [("fc8.bias", vec![5]), ("fc8.weight", vec![5, 7])]
            .map(|(name, shape)| (name, Var::from_tensor(&tensor(&shape, 1)).unwrap()))
    }

    fn borrowed<'a>(variables: &'a [(&'static str, Var); 2]) -> [(&'a str, &'a Var); 2] {
        variables.each_ref().map(|(name, variable)| (*name, variable))
    }

    fn step(optimizer: &mut Optimizer, variables: &[(&str, &Var)], number: usize) {
        let gradients = variables
            .iter()
            .map(|(name, variable)| {
                ((*name).to_owned(), Gradient::Whole(tensor(variable.dims(), 10 * number)))
            })
            .collect();
        optimizer.step(variables, &gradients, LearningRates::equal(0.01)).unwrap();
    }

    fn bits(variables: &[(&str, &Var)]) -> Vec<u32> {
        let values = |variable: &Var| variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        variables.iter().flat_map(|(_, variable)| values(variable)).map(f32::to_bits).collect()
    }

    #[test]
    fn steps_after_a_restoration_are_those_without_one() {
        for kind in KINDS {
            let (left, right) = (variables(), variables());
            let (straight, restored) = (borrowed(&left), borrowed(&right));
            let mut optimizer = Optimizer::new(config(kind));
            for number in 0..7 {
                step(&mut optimizer, &straight, number);
            }
            let mut first = Optimizer::new(config(kind));
            for number in 0..4 {
                step(&mut first, &restored, number);
            }
            let state = first.state().unwrap();
            assert_eq!(state.moments["fc8.bias"].steps, 4);
            let mut second = Optimizer::restore(config(kind), state, &restored).unwrap();
            drop(first);
            for number in 4..7 {
                step(&mut second, &restored, number);
            }
            assert_eq!(bits(&restored), bits(&straight), "{kind}");
            assert_eq!(second.state().unwrap(), optimizer.state().unwrap(), "{kind}");
        }
    }

    #[test]
    fn moments_on_a_cpu_are_lent_and_those_of_tensors_are_the_same() {
        let variables = variables();
        let variables = borrowed(&variables);
        let mut optimizer = Optimizer::new(config("\"adam\""));
        step(&mut optimizer, &variables, 1);
        let state = optimizer.state().unwrap();
        for (name, variable) in variables {
            let moments = &state.moments[name];
            assert!(matches!(moments.momentum, Cow::Borrowed(values) if values.len() > 1));
            let ParameterMoments { steps, momentum, velocity } = moments.clone();
            let state = ParameterState::on_tensors_of(
                momentum.into_owned(),
                velocity.into_owned(),
                variable,
            );
            let on_tensors = Remembered { steps, state: state.unwrap() };
            assert_eq!(&on_tensors.moments().unwrap(), moments);
        }
    }

    #[test]
    fn a_parameter_that_joins_late_begins_as_any_other() {
        for kind in KINDS {
            let (left, right) = (variables(), variables());
            let (late, fresh) = (borrowed(&left), borrowed(&right));
            let mut optimizer = Optimizer::new(config(kind));
            for number in 0..5 {
                step(&mut optimizer, &late[..1], number);
            }
            step(&mut optimizer, &late[1..], 5);
            step(&mut Optimizer::new(config(kind)), &fresh[1..], 5);
            assert_eq!(bits(&late[1..]), bits(&fresh[1..]), "{kind}");
        }
    }

    fn refused(kind: &str, change: impl FnOnce(&mut OptimizerState<'_>)) -> String {
        let variables = variables();
        let variables = borrowed(&variables);
        let mut optimizer = Optimizer::new(config("\"adam\""));
        step(&mut optimizer, &variables, 1);
        let mut state = optimizer.state().unwrap();
        change(&mut state);
        match Optimizer::restore(config(kind), state, &variables).unwrap_err() {
            error @ Error::OptimizerState { .. } => error.to_string(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let message = refused("\"adam\"", |state| {
            let moments = state.moments.get_mut("fc8.weight").unwrap();
            moments.velocity = Cow::Owned(vec![0.0; 34]);
        });
        assert!(message.contains("`fc8.weight` has 34 values of velocity, expected 35"));
        let message = refused("\"sgd\"", |_| {});
        assert!(message.contains("`fc8.bias` has 5 values of momentum, expected 0"), "{message}");
        let message = refused("\"adam\"", |state| {
            let moments = state.moments["fc8.bias"].clone();
            state.moments.insert("fc7.bias".to_owned(), moments);
        });
        assert!(message.contains("`fc7.bias` belongs to no variable"), "{message}");
    }
}
