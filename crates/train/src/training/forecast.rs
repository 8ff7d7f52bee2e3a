//! How long a run will take: by what its epochs have taken, and before they have, by the products of
//! their stages.

use std::collections::BTreeMap;

use model::{Architecture, Layer, LayerKind};

use super::plan::StagePlan;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    /// Folds of this call that are done.
    pub(crate) folds: usize,
    /// The stage at work, from 0.
    pub(crate) stage: usize,
    /// Epochs of it that are done, and the share of the one at work.
    pub(crate) epochs: f64,
}

/// How far a run has come, and how long it will take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prospect {
    /// Of the whole time, 0 to 1.
    pub(crate) share: f64,
    pub(crate) seconds_left: f64,
}

/// A stage of a fold.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Work {
    epochs: usize,
    /// Multiply-adds of an image, forward and backward.
    products: f64,
}

/// What is known of the time that stages take.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forecast {
    folds: usize,
    stages: Vec<Work>,
    /// By stage: seconds of epochs that were measured, and how many they were.
    measured: BTreeMap<usize, (f64, f64)>,
}

impl Forecast {
    /// Of a run that is to train so many folds, before any of its epochs.
    pub(crate) fn new(folds: usize, plans: &[StagePlan<'_>], architecture: &Architecture) -> Self {
        let layers = architecture.layers();
        let work = |plan: &StagePlan<'_>| Work {
            epochs: plan.stage.epochs.get(),
            products: products(plan, &layers),
        };
        Self { folds, stages: plans.iter().map(work).collect(), measured: BTreeMap::new() }
    }

    /// Takes note of what a stage's epochs took, or of a part of one.
    pub(crate) fn measure(&mut self, stage: usize, seconds: f64, epochs: f64) {
        let (all, count) = self.measured.entry(stage).or_default();
        *all += seconds;
        *count += epochs;
    }

    /// What is to be expected; none before anything was measured. A stage that may stop early counts
    /// as if it did not.
    pub(crate) fn prospect(&self, at: Place) -> Option<Prospect> {
        let epoch = |stage: usize| self.seconds_an_epoch(stage);
        let stage = |number: usize| Some(self.stages[number].epochs as f64 * epoch(number)?);
        let sum =
            |stages: &mut dyn Iterator<Item = usize>| -> Option<f64> { stages.map(stage).sum() };
        let fold = sum(&mut (0..self.stages.len()))?;
        let begun = sum(&mut (0..at.stage.min(self.stages.len())))?;
        let now = if at.stage < self.stages.len() { at.epochs * epoch(at.stage)? } else { 0.0 };
        let (done, whole) = (at.folds as f64 * fold + begun + now, self.folds as f64 * fold);
        let share = (done / whole).clamp(0.0, 1.0);
        Some(Prospect { share, seconds_left: (whole - done).max(0.0) })
    }

    /// As measured, else as the stages that were measured would have taken with as many products.
    fn seconds_an_epoch(&self, stage: usize) -> Option<f64> {
        let known = |(seconds, epochs): (f64, f64)| (0.0 < epochs).then(|| seconds / epochs);
        if let Some(seconds) = self.measured.get(&stage).copied().and_then(known) {
            return Some(seconds);
        }
        let (seconds, products) =
            self.measured.iter().fold((0.0, 0.0), |sum, (&other, &(seconds, epochs))| {
                (sum.0 + seconds, sum.1 + epochs * self.stages[other].products)
            });
        (0.0 < products).then(|| self.stages[stage].products * seconds / products)
    }
}

/// Multiply-adds of an image in a stage: forward from where it enters, backward twice as many down to the
/// lowest layer that learns. A dense layer's weights are so many that their update costs as much again.
fn products(plan: &StagePlan<'_>, layers: &[Layer]) -> f64 {
    let entry = if plan.stage.augment.is_some() { 0 } else { plan.cut.index() };
    let lowest = layers.iter().position(|layer| plan.trainable.contains(&layer.name));
    let lowest = lowest.unwrap_or(layers.len());
    let products = |layer: &Layer| -> (f64, f64) {
        match layer.kind {
            LayerKind::Convolution { in_channels, .. } => (
                9.0 * in_channels as f64 * layer.output_shape.iter().product::<usize>() as f64,
                2.0,
            ),
            LayerKind::Dense { in_features, out_features, .. } => {
                (in_features as f64 * out_features as f64, 5.0)
            }
            LayerKind::MaxPool | LayerKind::Dropout { .. } => (0.0, 0.0),
        }
    };
    let places = layers.iter().enumerate().skip(entry);
    places
        .map(|(place, layer)| {
            let (forward, backward) = products(layer);
            forward * (1.0 + if lowest <= place { backward } else { 0.0 })
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(folds: usize, stages: &[(usize, f64)]) -> Forecast {
        let work = |&(epochs, products)| Work { epochs, products };
        Forecast { folds, stages: stages.iter().map(work).collect(), measured: BTreeMap::new() }
    }

    fn at(folds: usize, stage: usize, epochs: f64) -> Place {
        Place { folds, stage, epochs }
    }

    #[test]
    fn nothing_is_promised_before_anything_was_measured() {
        assert_eq!(forecast(3, &[(10, 1.0)]).prospect(at(0, 0, 0.5)), None);
    }

    #[test]
    fn a_stage_that_was_not_measured_takes_as_long_as_its_products_say() {
        let mut forecast = forecast(2, &[(10, 1.0), (5, 4.0)]);
        forecast.measure(0, 6.0, 2.0);
        // A fold takes 10 epochs of 3 s and 5 of 12 s.
        let prospect = forecast.prospect(at(0, 0, 2.0)).unwrap();
        assert!((prospect.seconds_left - 174.0).abs() < 1e-9, "{prospect:?}");
        assert!((prospect.share - 6.0 / 180.0).abs() < 1e-9, "{prospect:?}");
        forecast.measure(1, 10.0, 0.5);
        let prospect = forecast.prospect(at(1, 1, 2.5)).unwrap();
        assert!((prospect.seconds_left - 50.0).abs() < 1e-9, "{prospect:?}");
    }

    #[test]
    fn at_its_end_nothing_is_left() {
        let mut forecast = forecast(1, &[(2, 1.0)]);
        forecast.measure(0, 1.0, 1.0);
        let end = Prospect { share: 1.0, seconds_left: 0.0 };
        assert_eq!(forecast.prospect(at(1, 0, 0.0)), Some(end));
        assert_eq!(forecast.prospect(at(0, 1, 0.0)), Some(end));
        assert_eq!(forecast.prospect(at(0, 0, 9.0)), Some(end), "more epochs than were to be");
    }
}
