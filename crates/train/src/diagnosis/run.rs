//! What a run's records say of it, while it lasts and afterwards.

use std::collections::BTreeMap;

use super::{
    Counts,
    check::Check,
    finding::Outcome,
    origins::NewBlocks,
    watch::{EpochsSeen, fold_trend, of_epoch},
};
use crate::{
    loss::LossKind,
    run::{EpochRecord, HealthRecord, Record},
};

/// What the records do not say of a run.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// What is minimized.
    pub loss: LossKind,
    /// What starts from an initializer.
    pub new_blocks: NewBlocks,
    /// Of all images.
    pub counts: Counts,
    /// The learning rate of each stage by the recipe, by the stage's name.
    pub rates: BTreeMap<String, f64>,
    /// Whether one model goes through all folds.
    pub is_one_model: bool,
}

impl RunContext {
    /// The learning rate of a stage by the recipe; 0 of none that it has.
    pub(crate) fn rate(&self, stage: &str) -> f64 {
        self.rates.get(stage).copied().unwrap_or(0.0)
    }
}

/// The epochs of one stage of one fold.
#[derive(Default)]
struct StageRecords<'a> {
    epochs: Vec<EpochRecord>,
    healths: Vec<&'a HealthRecord>,
}

/// Judges the last epoch of each stage of each fold. A check speaks once: what it found first, in the
/// order of folds and stages, else what it was last silent at.
pub fn of_records(records: &[Record], context: &RunContext) -> Vec<Outcome> {
    let mut stages: Vec<((usize, &str), StageRecords<'_>)> = Vec::new();
    for record in records {
        let (fold, stage) = match record {
            Record::Epoch(epoch) => (epoch.fold, epoch.stage.as_str()),
            Record::Health(health) => (health.fold, health.stage.as_str()),
            Record::Step(_) => continue,
        };
        let place = stages.iter().position(|(key, _)| *key == (fold, stage));
        let place = place.unwrap_or_else(|| {
            stages.push(((fold, stage), StageRecords::default()));
            stages.len() - 1
        });
        match record {
            Record::Epoch(epoch) => stages[place].1.epochs.push(epoch.clone()),
            Record::Health(health) => stages[place].1.healths.push(health),
            Record::Step(_) => {}
        }
    }
    let mut by_check: BTreeMap<Check, Outcome> = BTreeMap::new();
    for ((_, name), stage) in &stages {
        for outcome in of_stage(name, stage, context) {
            let is_kept = by_check.get(&outcome.check()).is_some_and(|kept| {
                matches!(
                    (kept, &outcome),
                    (Outcome::Found(_), _) | (Outcome::Silent { .. }, Outcome::Skipped { .. })
                )
            });
            if !is_kept {
                by_check.insert(outcome.check(), outcome);
            }
        }
    }
    let mut outcomes: Vec<Outcome> = by_check.into_values().collect();
    outcomes.push(trend(&stages, context));
    outcomes
}

fn of_stage(name: &str, stage: &StageRecords<'_>, context: &RunContext) -> Vec<Outcome> {
    let RunContext { loss, new_blocks, counts, .. } = context;
    match (stage.epochs.as_slice(), stage.healths.last()) {
        (epochs @ [.., _], Some(health)) => {
            let rate = context.rate(name);
            of_epoch(&EpochsSeen { epochs, rate, health, loss: *loss, new_blocks, counts })
        }
        _ => Vec::new(),
    }
}

/// Whether folds begin better and better.
fn trend(stages: &[((usize, &str), StageRecords<'_>)], context: &RunContext) -> Outcome {
    if !context.is_one_model {
        return Outcome::skipped(Check::FoldTrend, "each fold has a model of its own");
    }
    let mut firsts: BTreeMap<usize, f64> = BTreeMap::new();
    for ((fold, _), stage) in stages {
        if let Some(first) = stage.epochs.first() {
            firsts.entry(*fold).or_insert(first.validation_accuracy);
        }
    }
    fold_trend(&firsts.into_values().collect::<Vec<_>>())
}
