//! Averages of the weights over steps or epochs, which as a rule generalize better than the last ones.

mod in_place;
mod state;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    num::NonZeroUsize,
};

use candle_core::{Tensor, Var};
use kernels::threads::on_workers;
use serde::{Deserialize, Serialize};

pub use state::AverageState;

use crate::{Error, setting::DecayRate};

/// Which average of the weights a stage leaves.
///
/// # Example
///
/// ```
/// use train::weight_averaging::WeightAveraging;
///
/// let averaging: WeightAveraging = toml::from_str("kind = \"mean\"\nfrom_epoch = 3")?;
/// assert!(matches!(averaging, WeightAveraging::Mean(_)));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum WeightAveraging {
    /// A running average over steps.
    Ema(Ema),
    /// The mean over the ends of epochs.
    Mean(Mean),
}

/// An exponential moving average: after each step `average = momentum average + (1 - momentum) weight`.
///
/// It starts at the weights that the first step leaves.
///
/// # Source
///
/// keras 3.15.1, `optimizers/base_optimizer.py`, `use_ema` and `ema_momentum`, without
/// `ema_overwrite_frequency`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ema {
    /// What the average keeps at each step.
    pub momentum: DecayRate,
}

/// The mean of the weights at the end of each epoch, from one epoch on: stochastic weight averaging.
///
/// # Source
///
/// Izmailov et al., Averaging Weights Leads to Wider Optima (UAI 2018); `PyTorch` 2.15,
/// `optim/swa_utils.py`, `AveragedModel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mean {
    /// The first epoch that counts, from 1 in the stage.
    pub from_epoch: NonZeroUsize,
}

impl Default for Ema {
    fn default() -> Self {
        Ema { momentum: DecayRate::new(0.99).expect("0.99 lies between 0 and 1") }
    }
}

/// The average of a stage's weights, by parameter name.
#[derive(Debug)]
pub struct WeightAverage {
    config: WeightAveraging,
    /// Weights that have been taken in.
    updates: u32,
    averages: BTreeMap<String, Average>,
}

/// The average of one parameter, where the parameter lies.
#[derive(Debug)]
enum Average {
    InPlace(Vec<f32>),
    OnTensor(Tensor),
}

/// How weights enter an average.
#[derive(Debug, Clone, Copy)]
enum Share {
    /// `kept average + taken weight`.
    Blend { kept: f32, taken: f32 },
    /// `average + (weight - average) share`.
    Approach { share: f32 },
}

impl WeightAverage {
    /// An average of nothing yet.
    pub fn new(config: WeightAveraging) -> Self {
        WeightAverage { config, updates: 0, averages: BTreeMap::new() }
    }

    /// Whether nothing has been averaged yet.
    pub fn is_empty(&self) -> bool {
        self.updates == 0
    }

    /// Takes in the weights that a step leaves, if steps are averaged.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if a variable is not contiguous f32, or has changed its shape;
    /// [`Error::WeightAverage`] if it has not been averaged from the first time on.
    pub fn after_step(&mut self, variables: &[(&str, &Var)]) -> Result<(), Error> {
        match self.config {
            WeightAveraging::Ema(ema) => {
                let kept = single(ema.momentum.get());
                // The two make 1 in f32, as in Keras: an average of equal weights stays what they are.
                self.take_in(variables, Share::Blend { kept, taken: 1.0 - kept })
            }
            WeightAveraging::Mean(_) => Ok(()),
        }
    }

    /// Takes in the weights at the end of an epoch, from 1 in the stage, if epochs are averaged and
    /// this one counts.
    ///
    /// # Errors
    ///
    /// As [`WeightAverage::after_step`].
    pub fn after_epoch(&mut self, epoch: usize, variables: &[(&str, &Var)]) -> Result<(), Error> {
        match self.config {
            WeightAveraging::Mean(mean) if mean.from_epoch.get() <= epoch => {
                if epoch - mean.from_epoch.get() < self.updates as usize {
                    // A run that goes on in the middle of an epoch's end has done this before.
                    return Ok(());
                }
                let share = single(1.0 / (f64::from(self.updates) + 1.0));
                self.take_in(variables, Share::Approach { share })
            }
            WeightAveraging::Mean(_) | WeightAveraging::Ema(_) => Ok(()),
        }
    }

    /// Exchanges the variables' values and their averages, in place: once to evaluate or to write
    /// the average, once more to train on. Nothing changes while [`WeightAverage::is_empty`].
    ///
    /// # Errors
    ///
    /// [`Error::WeightAverage`] if a variable has no average, before any is exchanged;
    /// [`Error::Tensor`] as for [`WeightAverage::after_step`].
    pub fn swap(&mut self, variables: &[(&str, &Var)]) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        if let Some((name, _)) =
            variables.iter().find(|(name, _)| !self.averages.contains_key(*name))
        {
            return Err(refusal(name, "was not averaged, the other weights were"));
        }
        on_workers(|| {
            for (name, variable) in variables {
                if let Some(average) = self.averages.get_mut(*name) {
                    average.swap(variable)?;
                }
            }
            Ok(())
        })
    }

    fn take_in(&mut self, variables: &[(&str, &Var)], share: Share) -> Result<(), Error> {
        let is_first = self.is_empty();
        on_workers(|| {
            for &(name, variable) in variables {
                match self.averages.entry(name.to_owned()) {
                    Entry::Occupied(mut entry) => entry.get_mut().take_in(variable, share)?,
                    Entry::Vacant(entry) if is_first => {
                        entry.insert(Average::of(variable)?);
                    }
                    Entry::Vacant(_) => {
                        return Err(refusal(name, "was not averaged from the first time on"));
                    }
                }
            }
            Ok(())
        })?;
        self.updates = self.updates.saturating_add(1);
        Ok(())
    }
}

impl Average {
    /// The variable's values, where it lies.
    fn of(variable: &Var) -> candle_core::Result<Self> {
        if variable.device().is_cpu() {
            return Ok(Average::InPlace(in_place::copied(variable)?));
        }
        Ok(Average::OnTensor(variable.as_detached_tensor().copy()?))
    }

    fn take_in(&mut self, variable: &Tensor, share: Share) -> candle_core::Result<()> {
        match self {
            Average::InPlace(average) => in_place::take_in(average, variable, share)?,
            Average::OnTensor(average) => {
                let weights = variable.detach();
                *average = match share {
                    Share::Blend { kept, taken } => {
                        ((&*average * f64::from(kept))? + (weights * f64::from(taken))?)?
                    }
                    Share::Approach { share } => {
                        (&*average + ((weights - &*average)? * f64::from(share))?)?
                    }
                };
            }
        }
        Ok(())
    }

    fn swap(&mut self, variable: &Var) -> candle_core::Result<()> {
        match self {
            Average::InPlace(average) => in_place::swap(average, variable),
            Average::OnTensor(average) => {
                let weights = variable.as_detached_tensor().copy()?;
                variable.set(average)?;
                *average = weights;
                Ok(())
            }
        }
    }
}

fn refusal(name: &str, problem: impl Into<String>) -> Error {
    Error::WeightAverage { name: name.to_owned(), problem: problem.into() }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32, so their shares are too")]
fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests;
