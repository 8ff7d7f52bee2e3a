//! What an epoch shows of a network's health: how far steps move it, what is dead, what has drifted.
//!
//! Only numbers are taken here; [`diagnosis`](crate::diagnosis) says what they mean.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use model::{Gradient, Vgg16};

use crate::{Error, diagnosis::block_of, optimizer::squared_norm, run::BlockStep};

/// Elements of a parameter that are looked at to measure a step: as many as tell its length to a
/// percent, where fc6 has a hundred million.
const SAMPLE: usize = 1 << 16;

/// Trainable parameters as they were before a step, by sample.
pub(crate) struct BeforeStep {
    /// By parameter.
    samples: BTreeMap<String, Tensor>,
}

impl BeforeStep {
    /// Takes the samples.
    pub(crate) fn of(network: &Vgg16) -> Result<Self, Error> {
        let sample = |(name, var): (&str, &Var)| Ok((name.to_owned(), sample(var)?));
        Ok(Self {
            samples: network.variables().into_iter().map(sample).collect::<Result<_, Error>>()?,
        })
    }

    /// What the step did to each block, in the network's order.
    pub(crate) fn compare(
        self,
        network: &Vgg16,
        gradients: &BTreeMap<String, Gradient>,
    ) -> Result<Vec<BlockStep>, Error> {
        let mut blocks: Vec<(String, Sums)> = Vec::new();
        for (name, var) in network.variables() {
            let block = block_of(name);
            if blocks.last().is_none_or(|(last, _)| last != block) {
                blocks.push((block.to_owned(), Sums::default()));
            }
            let (Some((_, sums)), Some(before)) = (blocks.last_mut(), self.samples.get(name))
            else {
                continue;
            };
            // Each element of the sample stands for as many of the parameter.
            let share = var.elem_count() as f64 / before.elem_count() as f64;
            sums.weights += share * sum_of_squares(before)?;
            sums.updates += share * sum_of_squares(&(sample(var)? - before)?)?;
            if let Some(gradient) = gradients.get(name) {
                sums.gradients += squared_norm(var, gradient)?;
            }
        }
        let finished = |(block, sums): (String, Sums)| BlockStep {
            block,
            gradient_norm: sums.gradients.sqrt(),
            weight_norm: sums.weights.sqrt(),
            update_ratio: (sums.updates / sums.weights).sqrt(),
        };
        Ok(blocks.into_iter().map(finished).collect())
    }
}

#[derive(Default)]
struct Sums {
    weights: f64,
    updates: f64,
    gradients: f64,
}

/// Elements of a parameter at even distances.
fn sample(var: &Var) -> Result<Tensor, Error> {
    let flat = var.as_detached_tensor().flatten_all()?;
    let count = flat.elem_count();
    let stride = count.div_ceil(SAMPLE).max(1);
    let places: Vec<u32> = (0..count)
        .step_by(stride)
        .map(|place| u32::try_from(place).expect("a parameter has fewer elements than 2^32"))
        .collect();
    Ok(flat.index_select(&Tensor::new(places, var.device())?, 0)?.to_device(&Device::Cpu)?)
}

fn sum_of_squares(values: &Tensor) -> Result<f64, Error> {
    Ok(values.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?)
}

/// Which units of a hidden layer have been above zero for any image.
#[derive(Debug, Default)]
pub(crate) struct Units {
    is_alive: Vec<bool>,
}

impl Units {
    /// Takes note of a batch.
    ///
    /// # Shapes
    ///
    /// - `activations`: `(batch, units)`, f32, after `ReLU`
    pub(crate) fn add(&mut self, activations: &Tensor) -> Result<(), Error> {
        let largest = activations.max(0)?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
        self.is_alive.resize(largest.len(), false);
        for (is_alive, largest) in self.is_alive.iter_mut().zip(largest) {
            *is_alive |= 0.0 < largest;
        }
        Ok(())
    }

    /// The share of units that were zero for every image.
    pub(crate) fn dead_share(&self) -> f64 {
        let dead = self.is_alive.iter().filter(|&&is_alive| !is_alive).count();
        dead as f64 / self.is_alive.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_dead_that_no_image_wakes() {
        let mut units = Units::default();
        for batch in [[[0_f32, 1.0, 0.0, 0.0]], [[0.0, 0.0, 0.5, 0.0]]] {
            units.add(&Tensor::new(&batch, &Device::Cpu).unwrap()).unwrap();
        }
        assert!((units.dead_share() - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_sample_covers_a_parameter_from_end_to_end() {
        let var =
            Var::from_vec((0..200_000).map(|i| i as f32).collect(), 200_000, &Device::Cpu).unwrap();
        let values = sample(&var).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((values.len(), values[1] - values[0]), (50_000, 4.0));
        assert!(199_990.0 < *values.last().unwrap());
    }
}
