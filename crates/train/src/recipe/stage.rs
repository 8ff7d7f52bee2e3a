//! A stage of a recipe, and which layers its patterns let learn.

use std::{collections::BTreeSet, num::NonZeroUsize};

use model::Layer;
use preprocess::Augmentation;
use serde::{Deserialize, Serialize};

use super::Pattern;
use crate::{
    early_stopping::EarlyStopping,
    optimizer::{OptimizerConfig, RateFactors},
    sampling::Sampling,
    schedule::{Rates, RatesError, ReduceOnPlateau, Schedule, Warmup},
    setting::{BlockDecay, MixupAlpha},
    weight_averaging::WeightAveraging,
};

/// A part of a run with its own trainable layers and optimizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name in the records.
    pub name: String,
    /// Patterns of layers that stay as they are; read before `train`, the first match wins.
    #[serde(default)]
    pub freeze: Vec<Pattern>,
    /// Patterns of layers that learn.
    pub train: Vec<Pattern>,
    /// Passes over the training images.
    pub epochs: NonZeroUsize,
    /// Who applies the gradients.
    pub optimizer: OptimizerConfig,
    /// Raises the rate over the first steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
    /// Brings the rate down by the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// How a block's rate compares with that of the block above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay_per_block: Option<BlockDecay>,
    /// Lets the trained layers learn one block after the other, from the head down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfreeze: Option<Unfreeze>,
    /// Batches whose gradients make one step together.
    #[serde(default = "one_batch", skip_serializing_if = "is_one_batch")]
    pub accumulate: NonZeroUsize,
    /// Ends, and is measured, with an average of the weights that it went through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_averaging: Option<WeightAveraging>,
    /// Lowers the rate when a metric no longer improves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce_on_plateau: Option<ReduceOnPlateau>,
    /// Ends the stage when a metric no longer improves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Random changes to the training images; validation images are never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augmentation>,
    /// Which training images an epoch shows.
    #[serde(default)]
    pub sampling: Sampling,
    /// Mixes each batch with itself; the alpha of the share's distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<MixupAlpha>,
}

/// When the blocks of a stage's trained layers begin to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { every_epochs = 1 }")]
pub struct Unfreeze {
    /// Epochs after which the next block joins; the head learns from the first on.
    pub every_epochs: NonZeroUsize,
}

fn one_batch() -> NonZeroUsize {
    NonZeroUsize::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_one_batch(batches: &NonZeroUsize) -> bool {
    batches.get() == 1
}

impl Stage {
    /// Refuses settings that contradict one another.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do.
    pub(super) fn check(&self, batch_size: NonZeroUsize) -> Result<(), String> {
        let name = &self.name;
        if batch_size.checked_mul(self.accumulate).is_none() {
            return Err(format!(
                "stage `{name}` has accumulate = {}, which is too many batches of {batch_size}",
                self.accumulate
            ));
        }
        if self.schedule.is_some() && self.reduce_on_plateau.is_some() {
            return Err(format!(
                "stage `{name}` has a `schedule` and `reduce_on_plateau`, which both bring the rate \
                 down; leave one out (`warmup` goes with either)"
            ));
        }
        if let (Some(_), Some(Schedule::OneCycle(_))) = (self.warmup, self.schedule) {
            return Err(format!(
                "stage `{name}` has a `warmup` and a one-cycle schedule, which rises by itself; leave \
                 `warmup` out, or set `pct_start` and `div_factor`"
            ));
        }
        match self.weight_averaging {
            Some(WeightAveraging::Mean(mean)) if self.epochs < mean.from_epoch => {
                return Err(format!(
                    "stage `{name}` averages from epoch {} on and has {} epochs",
                    mean.from_epoch, self.epochs
                ));
            }
            _ => {}
        }
        if self.unfreeze.is_some() && self.weight_averaging.is_some() {
            return Err(format!(
                "stage `{name}` has `unfreeze` and `weight_averaging`, which averages all trained \
                 layers from the first step on; put what is averaged into a stage of its own"
            ));
        }
        Ok(())
    }

    /// What the rate of each layer is multiplied by.
    pub(crate) fn rate_factors(&self, layers: &[Layer]) -> RateFactors {
        let per_block = |decay| RateFactors::per_block(layers, decay);
        self.decay_per_block.map_or_else(RateFactors::default, per_block)
    }

    /// Training images that make one step.
    ///
    /// # Panics
    ///
    /// Never: whether there are too many is checked when a recipe is read.
    pub(crate) fn images_per_step(&self, batch_size: NonZeroUsize) -> usize {
        let images = batch_size.checked_mul(self.accumulate);
        images.expect("a recipe that was read has steps of fewer than 2^64 images").get()
    }

    /// What the base rate is multiplied by at each step.
    ///
    /// # Errors
    ///
    /// [`RatesError`] if warm-up and schedule do not fit the steps.
    ///
    /// # Panics
    ///
    /// If there are no images to train on.
    pub(crate) fn rates(
        &self,
        train_images: usize,
        batch_size: NonZeroUsize,
    ) -> Result<Rates, RatesError> {
        let steps = NonZeroUsize::new(train_images.div_ceil(self.images_per_step(batch_size)));
        let steps = steps.expect("a fold has images to train on");
        Rates::new(self.warmup, self.schedule, steps, self.epochs)
    }

    /// Names of the layers with parameters that this stage trains.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do, if a pattern matches no layer, if a layer with parameters is
    /// covered by no pattern, if no layer is left to train, or if a pattern of `train` is left
    /// with nothing.
    pub fn trainable(&self, layers: &[Layer]) -> Result<BTreeSet<String>, String> {
        let names: Vec<&str> = layers
            .iter()
            .filter(|layer| !layer.parameters().is_empty())
            .map(|layer| layer.name.as_str())
            .collect();
        let matches_none = |pattern: &&Pattern| !names.iter().any(|layer| pattern.matches(layer));
        if let Some(pattern) = self.freeze.iter().chain(&self.train).find(matches_none) {
            return Err(format!(
                "in stage `{}` the pattern `{pattern}` matches no layer, expected some of {}",
                self.name,
                names.join(", ")
            ));
        }
        let is_in = |patterns: &[Pattern], layer| patterns.iter().any(|p| p.matches(layer));
        let mut trainable = BTreeSet::new();
        for &layer in names.iter().filter(|layer| !is_in(&self.freeze, layer)) {
            if !is_in(&self.train, layer) {
                return Err(format!(
                    "stage `{}` neither trains nor freezes `{layer}`; add a pattern for it to \
                     `train` or `freeze`",
                    self.name
                ));
            }
            trainable.insert(layer.to_owned());
        }
        if trainable.is_empty() {
            return Err(format!(
                "stage `{}` trains nothing: `freeze` matches every layer",
                self.name
            ));
        }
        let is_shadowed =
            |pattern: &&Pattern| !trainable.iter().any(|layer| pattern.matches(layer));
        if let Some(pattern) = self.train.iter().find(is_shadowed) {
            return Err(format!(
                "stage `{}` does not train `{pattern}`: `freeze` is read first and matches all of \
                 it; freeze less, or leave the pattern out of `train`",
                self.name
            ));
        }
        Ok(trainable)
    }
}

#[cfg(test)]
mod tests {
    use model::{Architecture, Classifier, Head, Widths};

    use super::*;
    use crate::recipe::Recipe;

    fn layers(head: Head) -> Vec<Layer> {
        Architecture {
            widths: Widths { blocks: [2; 5], fc: 4 },
            side_px: 48,
            classifier: Some(Classifier::new(head, 3)),
        }
        .layers()
    }

    #[test]
    fn an_uncovered_layer_is_refused_by_name() {
        let mut stage = Recipe::builtin("two-stage").unwrap().stages.remove(1);
        stage.train.pop();
        let message = stage.trainable(&layers(Head::Seed)).unwrap_err();
        assert!(message.contains("`fc8`"), "{message}");
    }

    #[test]
    fn freeze_is_read_before_train() {
        let mut stage = Recipe::builtin("linear-probe").unwrap().stages.remove(0);
        stage.train = vec!["*".parse().unwrap()];
        let trainable = stage.trainable(&layers(Head::Linear)).unwrap();
        assert_eq!(trainable, BTreeSet::from(["fc8".to_owned()]));
    }

    #[test]
    fn a_pattern_that_freeze_leaves_nothing_of_is_refused() {
        let mut stage = Recipe::builtin("linear-probe").unwrap().stages.remove(0);
        stage.train.insert(0, "conv5_*".parse().unwrap());
        let message = stage.trainable(&layers(Head::Linear)).unwrap_err();
        assert!(message.contains("`conv5_*`"), "{message}");
    }

    #[test]
    fn a_stage_that_trains_nothing_is_refused() {
        let mut stage = Recipe::builtin("linear-probe").unwrap().stages.remove(0);
        stage.freeze = vec!["*".parse().unwrap()];
        assert!(stage.trainable(&layers(Head::Linear)).is_err());
    }
}
