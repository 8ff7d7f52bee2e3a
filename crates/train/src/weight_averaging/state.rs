//! An average of weights, to be written down and taken up again.

use std::{borrow::Cow, collections::BTreeMap};

use candle_core::{Tensor, Var};

use super::{Average, WeightAverage, WeightAveraging, refusal};
use crate::Error;

/// An average of weights as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct AverageState<'a> {
    /// Weights that have been taken in: steps or epochs.
    pub updates: u32,
    /// By parameter name, in the order of the parameter's elements. On a CPU they are borrowed from
    /// the [`WeightAverage`].
    pub averages: BTreeMap<String, Cow<'a, [f32]>>,
}

impl WeightAverage {
    /// The average as it stands. Nothing is copied of parameters that lie on a CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if a device cannot be read.
    pub fn state(&self) -> Result<AverageState<'_>, Error> {
        let averages = self
            .averages
            .iter()
            .map(|(name, average)| Ok((name.clone(), average.values()?)))
            .collect::<Result<_, Error>>()?;
        Ok(AverageState { updates: self.updates, averages })
    }

    /// An average that goes on where the one went that left `state`; `variables` are those that it
    /// is of. Averages that are owned are not copied where they go to a CPU.
    ///
    /// # Errors
    ///
    /// [`Error::WeightAverage`] if an average is not as long as its variable, belongs to none, or is
    /// missing; [`Error::Tensor`] if a device has no room.
    pub fn restore(
        config: WeightAveraging,
        state: AverageState<'_>,
        variables: &[(&str, &Var)],
    ) -> Result<Self, Error> {
        let AverageState { updates, averages: mut values } = state;
        let mut averages = BTreeMap::new();
        let expected = if updates == 0 { &[] } else { variables };
        for &(name, variable) in expected {
            let Some(values) = values.remove(name) else {
                return Err(refusal(name, format!("is missing after {updates} updates")));
            };
            let (found, expected) = (values.len(), variable.elem_count());
            if found != expected {
                return Err(refusal(name, format!("has {found} values, expected {expected}")));
            }
            let average = if variable.device().is_cpu() {
                Average::InPlace(values.into_owned())
            } else {
                let tensor =
                    Tensor::from_vec(values.into_owned(), variable.shape(), variable.device())?;
                Average::OnTensor(tensor)
            };
            averages.insert(name.to_owned(), average);
        }
        if let Some((name, _)) = values.first_key_value() {
            return Err(refusal(name, "belongs to no variable that is averaged"));
        }
        Ok(WeightAverage { config, updates, averages })
    }
}

impl Average {
    fn values(&self) -> candle_core::Result<Cow<'_, [f32]>> {
        Ok(match self {
            Average::InPlace(values) => Cow::Borrowed(values),
            Average::OnTensor(tensor) => Cow::Owned(tensor.flatten_all()?.to_vec1()?),
        })
    }
}
