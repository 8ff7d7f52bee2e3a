//! Runs side by side: a row for each and an outcome for each pair.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::{ComparedRun, Comparison, Verdict};
use crate::{
    Error,
    folds::SplitKind,
    metrics::Spread,
    run::{FoldSummary, Summary},
};

/// Version of `comparison.json`.
const FORMAT_VERSION: u32 = 1;

/// The run that others are measured against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// The first.
    First,
    /// The one of this name.
    Named(String),
}

/// Runs side by side, as `comparison.json` has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form.
    pub format_version: u32,
    /// The name of the run that others are measured against.
    pub baseline: String,
    /// The runs, as they were given.
    pub runs: Vec<Row>,
    /// Every two of them once, those with the baseline before all others.
    pub pairs: Vec<Pair>,
    /// Runs that were stopped because their loss was no number any more.
    pub stopped: Vec<StoppedRun>,
}

/// The figures of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is called here.
    pub name: String,
    /// Name or path of its recipe.
    pub recipe: String,
    /// People in its data.
    pub identities: usize,
    /// Photographs in its data.
    pub images: usize,
    /// Of its data.
    pub data_sha256: String,
    /// Of the weights that it started from, or `random`.
    pub weights_sha256: String,
    /// How its folds were drawn.
    pub split: SplitKind,
    /// Folds of its split.
    pub num_folds: usize,
    /// How often its images were dealt.
    pub repeats: NonZeroUsize,
    /// Of everything random.
    pub seed: u32,
    /// Folds that are done.
    pub folds_done: usize,
    /// Over the folds that are done, 0 to 1.
    pub accuracy: Spread,
    /// Mean share of images whose identity is among the five best, 0 to 1.
    pub top5_accuracy: f64,
    /// Mean wall time of a fold. What is computed once for all folds is not in it.
    pub seconds_a_fold: f64,
    /// Wall time of all folds that are done.
    pub seconds: f64,
    /// The accuracy of guessing, 0 to 1.
    pub chance: f64,
    /// Whether each fold's figures are of the epoch that was best on its own held-out images.
    pub chosen_on_validation: bool,
    /// Whether a fold started from other weights than the one before: where one model goes through
    /// all folds, it has trained on images that later folds hold out.
    pub carries_weights_over: bool,
    /// What its diagnosis says first.
    pub verdict: Verdict,
}

/// Two runs and what their folds say of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The name of the one; the baseline wherever it takes part.
    pub first: String,
    /// The name of the other, whose accuracy is the higher where the difference is above 0.
    pub second: String,
    /// What their folds say.
    pub outcome: PairOutcome,
}

/// What the folds say of two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PairOutcome {
    /// Fold against fold.
    Paired(Comparison),
    /// Their folds are not the same, and so cannot be paired.
    OtherFolds {
        /// What differs, as in "the split".
        what: String,
        /// Its value in the first; of a data set its SHA-256.
        first: String,
        /// Its value in the second.
        second: String,
    },
    /// Their scores cannot be paired.
    Unpaired {
        /// Why.
        problem: String,
    },
}

/// A run whose loss left the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedRun {
    /// What it is called.
    pub name: String,
    /// Where the loss left the numbers.
    pub problem: String,
}

impl Baseline {
    /// Its place among these names.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBaseline`] if it is not among them.
    pub(super) fn place_in(&self, names: &[String]) -> Result<usize, Error> {
        let Self::Named(baseline) = self else { return Ok(0) };
        names.iter().position(|name| name == baseline).ok_or_else(|| Error::UnknownBaseline {
            name: baseline.clone(),
            known: names.join(", "),
        })
    }

    /// The baseline, or the first run that is there where it was stopped in its first fold and has
    /// no figures; `first` was to be the first.
    pub(super) fn among(&self, runs: &[ComparedRun], first: &str) -> Self {
        let wanted = match self {
            Self::First => first,
            Self::Named(name) => name,
        };
        if runs.iter().any(|run| run.name == wanted) {
            return self.clone();
        }
        tracing::warn!(
            "{wanted} was to be the baseline and has no fold: the others are measured against {}",
            runs.first().map_or("none", |run| &run.name)
        );
        Self::First
    }
}

impl Report {
    /// Sets runs of different names side by side.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBaseline`] if the baseline is not among them.
    ///
    /// # Panics
    ///
    /// If there are no runs.
    pub fn new(
        runs: &[ComparedRun],
        stopped: Vec<StoppedRun>,
        baseline: &Baseline,
    ) -> Result<Self, Error> {
        let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
        let baseline = baseline.place_in(&names)?;
        let mut order: Vec<&ComparedRun> = runs.iter().collect();
        order[..=baseline].rotate_right(1);
        let mut pairs = Vec::new();
        for (index, first) in order.iter().enumerate() {
            pairs.extend(order[index + 1..].iter().map(|second| Pair::of(first, second)));
        }
        Ok(Self {
            format_version: FORMAT_VERSION,
            baseline: names[baseline].clone(),
            runs: runs.iter().map(Row::of).collect(),
            pairs,
            stopped,
        })
    }

    /// The text of `comparison.json`.
    ///
    /// # Panics
    ///
    /// Never: it has plain fields.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has plain fields") + "\n"
    }

    /// What was found of a run against the baseline; none of the baseline itself.
    pub fn against_baseline(&self, name: &str) -> Option<&PairOutcome> {
        let is_it = |pair: &&Pair| pair.first == self.baseline && pair.second == name;
        self.pairs.iter().find(is_it).map(|pair| &pair.outcome)
    }
}

impl Row {
    fn of(run: &ComparedRun) -> Self {
        let summary = &run.summary;
        let folds = &summary.folds;
        let sum = |value: fn(&FoldSummary) -> f64| folds.iter().map(value).sum::<f64>();
        let count = folds.len() as f64;
        let seconds = sum(|fold| fold.seconds);
        Self {
            name: run.name.clone(),
            recipe: summary.recipe.clone(),
            identities: summary.dataset.identities,
            images: summary.dataset.images,
            data_sha256: summary.dataset.sha256.clone(),
            weights_sha256: summary.weights.sha256.clone(),
            split: summary.split,
            num_folds: summary.num_folds,
            repeats: summary.repeats,
            seed: summary.seed,
            folds_done: folds.len(),
            accuracy: summary.accuracy,
            top5_accuracy: sum(|fold| fold.top5_accuracy) / count,
            seconds_a_fold: seconds / count,
            seconds,
            chance: summary.baselines.chance,
            chosen_on_validation: summary.chosen_on_validation,
            carries_weights_over: summary.carries_weights_over(),
            verdict: run.verdict.clone(),
        }
    }
}

impl Pair {
    fn of(first: &ComparedRun, second: &ComparedRun) -> Self {
        let outcome = match other_folds(&first.summary, &second.summary) {
            Some(outcome) => outcome,
            None => match Comparison::of(&first.scores(), &second.scores()) {
                Ok(comparison) => PairOutcome::Paired(comparison),
                Err(cause) => PairOutcome::Unpaired { problem: cause.to_string() },
            },
        };
        Self { first: first.name.clone(), second: second.name.clone(), outcome }
    }
}

/// The first thing in which the folds of two runs differ, if any.
fn other_folds(first: &Summary, second: &Summary) -> Option<PairOutcome> {
    let words = |run: &Summary| {
        // Other splits do not go by the groups.
        let groups = run.groups_sha256.clone().filter(|_| run.split == SplitKind::Grouped);
        [
            ("the data set", run.dataset.sha256.clone()),
            ("the split", run.split.to_string()),
            ("the number of folds", run.num_folds.to_string()),
            ("the number of repeats", run.repeats.to_string()),
            ("the seed", run.seed.to_string()),
            ("near duplicates", groups.unwrap_or_else(|| "none".to_owned())),
        ]
    };
    let mut both = words(first).into_iter().zip(words(second));
    let ((what, first), (_, second)) = both.find(|((_, first), (_, second))| first != second)?;
    Some(PairOutcome::OtherFolds { what: what.to_owned(), first, second })
}
