//! `summary.json`: the result of a run over the folds that are there.

use std::{collections::BTreeSet, num::NonZeroUsize};

use serde::{Deserialize, Serialize};

use super::identity::{FORMAT_VERSION, is_once, once};
use crate::{
    calibration::{Quality, Temperature},
    folds::SplitKind,
    metrics::{Spread, chance},
};

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this file's form.
    pub format_version: u32,
    /// Name or path of the recipe.
    pub recipe: String,
    /// What was trained on.
    pub dataset: DatasetSummary,
    /// What was started from.
    pub weights: WeightsSummary,
    /// How the folds were drawn.
    pub split: SplitKind,
    /// Folds of the whole split.
    pub num_folds: usize,
    /// How often the images are dealt.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeats: NonZeroUsize,
    /// Of every random stream.
    pub seed: u32,
    /// The folds that are there, in order.
    pub folds: Vec<FoldSummary>,
    /// Over the folds that are there.
    pub accuracy: Spread,
    /// What costs nothing.
    pub baselines: Baselines,
    /// SHA-256 of the groups of near duplicates, if there are any and the recipe goes by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_sha256: Option<String>,
    /// Whether the recipe ends by restoring the best epoch, which in some fold is chosen on the
    /// validation fold itself: then its figures are optimistic.
    pub chosen_on_validation: bool,
    /// Of the programs that trained the folds.
    pub version: String,
    /// Where the arithmetic ran.
    pub device: String,
}

/// A data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// How many people.
    pub identities: usize,
    /// How many photographs.
    pub images: usize,
    /// Of the prepared set.
    pub sha256: String,
}

/// A weights file, or `random`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsSummary {
    /// As given on the command line.
    pub path: String,
    /// Of the file; `random` if there is none.
    pub sha256: String,
    /// The normalization of the images.
    pub normalization: String,
}

/// The result of a fold, by the model at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldSummary {
    /// From 0.
    pub fold: usize,
    /// How many images were not held out: those that trained, and the inner ones that steered.
    pub train_images: usize,
    /// How many were held out.
    pub validation_images: usize,
    /// Over all stages.
    pub epochs: usize,
    /// Share of validation images recognized.
    pub accuracy: f64,
    /// Share whose identity is among the five best.
    pub top5_accuracy: f64,
    /// F1 averaged over identities, as scikit-learn's `f1_score(average="macro")`.
    pub macro_f1: f64,
    /// Mean over the validation images.
    pub loss: f64,
    /// The stage of the best epoch.
    pub best_stage: String,
    /// The best epoch, from 1 in its stage: by the accuracy on the inner validation images, where
    /// there are any. Else it is chosen on the validation fold itself, so that `best_accuracy` is
    /// optimistic.
    pub best_epoch: usize,
    /// Validation accuracy of that epoch.
    pub best_accuracy: f64,
    /// How many of the training images steer the schedules and train nothing.
    #[serde(default)]
    pub inner_images: usize,
    /// A temperature for the logits, fitted on the inner validation images; none without them, and
    /// where no temperature is best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Accuracy on these validation images of naming the commonest identity in training.
    pub majority_accuracy: f64,
    /// Accuracy on these validation images of naming the person whose mean features of the frozen base
    /// are nearest; none where those features are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest_mean_accuracy: Option<f64>,
    /// Accuracy on these validation images of a linear classifier on the features of the frozen base, by
    /// ridge regression; none where those features are not kept, or are of too many images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear_probe_accuracy: Option<f64>,
    /// SHA-256 over the weights that the fold started from: equal for all folds of a sound run.
    pub initial_sha256: String,
    /// Wall time.
    pub seconds: f64,
    /// Where the arithmetic ran.
    pub device: String,
    /// Of the program.
    pub version: String,
}

/// What a temperature does to the probabilities of a fold's validation images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What logits are divided by.
    pub temperature: Temperature,
    /// The probabilities as they are.
    pub before: Quality,
    /// With the temperature.
    pub after: Quality,
}

/// Accuracies that need no network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// One over the number of identities.
    pub chance: f64,
    /// Naming the commonest identity in training, averaged over the folds that are there.
    pub majority: f64,
    /// Naming the person whose mean features of the frozen base are nearest, averaged over the folds
    /// that are there; none unless all have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest_mean: Option<f64>,
    /// A linear classifier on the features of the frozen base, by ridge regression, averaged over the
    /// folds that are there; none unless all have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear_probe: Option<f64>,
}

/// What is known of a run before its first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDescription {
    /// Name or path of the recipe.
    pub recipe: String,
    /// What is trained on.
    pub dataset: DatasetSummary,
    /// What is started from.
    pub weights: WeightsSummary,
    /// How the folds are drawn.
    pub split: SplitKind,
    /// Folds of the whole split.
    pub num_folds: usize,
    /// How often the images are dealt.
    pub repeats: NonZeroUsize,
    /// Of every random stream.
    pub seed: u32,
    /// SHA-256 of the groups of near duplicates, if there are any and the recipe goes by them.
    pub groups_sha256: Option<String>,
    /// Whether the recipe ends by restoring the best epoch.
    pub restores_best: bool,
}

impl Summary {
    /// Whether folds started from different weights, as where one model goes through all: it may have
    /// been trained on what it is measured on.
    pub fn carries_weights_over(&self) -> bool {
        self.folds.windows(2).any(|pair| pair[0].initial_sha256 != pair[1].initial_sha256)
    }

    /// As `summary.json` has it.
    ///
    /// # Panics
    ///
    /// Never: it has plain fields.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a summary has plain fields") + "\n"
    }

    /// The summary over these folds, which are put in order.
    ///
    /// # Panics
    ///
    /// If there are no folds or no identities.
    pub fn new(run: RunDescription, mut folds: Vec<FoldSummary>) -> Self {
        folds.sort_by_key(|fold| fold.fold);
        let column = |value: fn(&FoldSummary) -> f64| -> Spread {
            let values: Vec<f64> = folds.iter().map(value).collect();
            Spread::of(&values).expect("a summary covers at least one fold")
        };
        let mean_of_all = |value: fn(&FoldSummary) -> Option<f64>| {
            let values = folds.iter().map(value).collect::<Option<Vec<f64>>>()?;
            Spread::of(&values).map(|spread| spread.mean)
        };
        let identities =
            NonZeroUsize::new(run.dataset.identities).expect("a data set has identities");
        Self {
            format_version: FORMAT_VERSION,
            accuracy: column(|fold| fold.accuracy),
            baselines: Baselines {
                chance: chance(identities),
                majority: column(|fold| fold.majority_accuracy).mean,
                nearest_mean: mean_of_all(|fold| fold.nearest_mean_accuracy),
                linear_probe: mean_of_all(|fold| fold.linear_probe_accuracy),
            },
            recipe: run.recipe,
            dataset: run.dataset,
            weights: run.weights,
            split: run.split,
            num_folds: run.num_folds,
            repeats: run.repeats,
            seed: run.seed,
            groups_sha256: run.groups_sha256,
            chosen_on_validation: run.restores_best
                && folds.iter().any(|fold| fold.inner_images == 0),
            version: distinct(folds.iter().map(|fold| fold.version.as_str())),
            device: distinct(folds.iter().map(|fold| fold.device.as_str())),
            folds,
        }
    }
}

/// What all folds have in common; what they differ in, one after the other.
fn distinct<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: BTreeSet<&str> = words.collect();
    words.into_iter().collect::<Vec<_>>().join(", ")
}
