//! The diagnosis of a run, as far as it has come.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    Error,
    diagnosis::{self, BesideBaseline, Diagnosis, Outcome, RunContext},
    run::{FoldSummary, Record, RecordLog, write_diagnosis},
};

/// What is known of a run beside its records.
pub(crate) struct Diagnosing {
    out: PathBuf,
    metrics: PathBuf,
    /// What was found before its first step.
    before: Vec<Outcome>,
    context: RunContext,
    done: BTreeMap<usize, FoldSummary>,
}

impl Diagnosing {
    /// The diagnosis of the run in a folder, whose records are in `metrics`.
    pub(crate) fn new(
        out: &Path,
        metrics: PathBuf,
        before: Vec<Outcome>,
        context: RunContext,
    ) -> Self {
        Self { out: out.to_owned(), metrics, before, context, done: BTreeMap::new() }
    }

    /// These folds are done now.
    pub(crate) fn folds_done(&mut self, done: &BTreeMap<usize, FoldSummary>) {
        self.done.clone_from(done);
    }

    /// Writes `diagnosis.json` of what is there.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] or [`Error::Format`] if the records cannot be read, [`Error::Write`] if the disk
    /// fails or is full.
    pub(crate) fn write(&self) -> Result<(), Error> {
        let records = if self.metrics.exists() {
            RecordLog::whole_records(&self.metrics)?
        } else {
            Vec::new()
        };
        let mut seen = diagnosis::of_records(&records, &self.context);
        if !self.done.is_empty() {
            seen.push(diagnosis::baseline_beaten(&self.beside_baseline(&records)));
        }
        write_diagnosis(&self.out, &Diagnosis::new([self.before.clone(), seen].concat()))
    }

    /// The same while it trains, which is worth more: what keeps it from being written is a warning.
    pub(crate) fn try_write(&self) {
        if let Err(error) = self.write() {
            tracing::warn!("no diagnosis: {:#}", anyhow::Error::from(error));
        }
    }

    /// What each fold that is done came to, where it is known what the frozen base can do alone.
    fn beside_baseline(&self, records: &[Record]) -> Vec<BesideBaseline> {
        let last = |index: usize| {
            records.iter().rev().find_map(|record| match record {
                Record::Epoch(epoch) if epoch.fold == index => Some(epoch.train_accuracy),
                _ => None,
            })
        };
        let beside = |fold: &FoldSummary| {
            Some(BesideBaseline {
                accuracy: fold.accuracy,
                train_accuracy: last(fold.fold)?,
                nearest_mean: fold.nearest_mean_accuracy?,
                linear_probe: fold.linear_probe_accuracy,
            })
        };
        self.done.values().filter_map(beside).collect()
    }
}
