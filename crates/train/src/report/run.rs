//! A run as its folder tells it: whole, or as far as it has come.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::predictions::{PredictedImage, read_predictions};
use crate::{
    Error,
    diagnosis::Diagnosis,
    run::{
        EpochRecord, Record, RecordLog, RunIdentity, Summary, fold_path, read_diagnosis,
        read_identity, read_summary,
    },
};

/// A run as its folder tells it.
pub(super) struct ReportedRun {
    /// What it is called in the report.
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) identity: RunIdentity,
    /// None until a fold is done.
    pub(super) summary: Option<Summary>,
    /// As they came.
    pub(super) epochs: Vec<EpochRecord>,
    pub(super) diagnosis: Option<Diagnosis>,
    /// Of the folds that are done.
    pub(super) predictions: BTreeMap<usize, Vec<PredictedImage>>,
    /// Whether a process trains it now.
    pub(super) is_running: bool,
    /// What has just ended it, where something has.
    pub(super) ended_by: Option<String>,
}

impl ReportedRun {
    /// Reads a run's folder.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`] if there is none, [`Error::Read`] if the disk fails, [`Error::Format`] if a
    /// file is broken or of another version.
    pub(super) fn read(name: String, folder: &Path, is_running: bool) -> Result<Self, Error> {
        let identity = read_identity(folder)?;
        let path = folder.join("metrics.jsonl");
        let records = if path.exists() { RecordLog::whole_records(&path)? } else { Vec::new() };
        let epochs = records.into_iter().filter_map(|record| match record {
            Record::Epoch(epoch) => Some(epoch),
            Record::Step(_) | Record::Health(_) => None,
        });
        let summary = read_summary(folder)?;
        let mut predictions = BTreeMap::new();
        for fold in summary.iter().flat_map(|summary| &summary.folds) {
            let path = fold_path(folder, fold.fold).join("predictions.csv");
            if let Some(rows) = read_predictions(&path)? {
                predictions.insert(fold.fold, rows);
            }
        }
        Ok(Self {
            name,
            folder: folder.to_owned(),
            identity,
            summary,
            epochs: epochs.collect(),
            // One of another version is no reason to show nothing.
            diagnosis: read_diagnosis(folder).ok().flatten(),
            predictions,
            is_running,
            ended_by: None,
        })
    }

    /// What was said of each photograph that was held out, once: of a repeated K-fold, by the folds of
    /// the first repeat that has any.
    pub(super) fn predictions_once(&self) -> impl Iterator<Item = &PredictedImage> {
        let repeat = |fold: usize| fold / self.identity.num_folds.max(1);
        let first = self.predictions.keys().map(|&fold| repeat(fold)).min();
        let once = self.predictions.iter().filter(move |(fold, _)| Some(repeat(**fold)) == first);
        once.flat_map(|(_, rows)| rows)
    }

    /// How many folds the whole run has.
    pub(super) fn num_folds(&self) -> usize {
        self.identity.num_folds * self.identity.repeats.get()
    }

    /// How many of them are done.
    pub(super) fn folds_done(&self) -> usize {
        self.summary.as_ref().map_or(0, |summary| summary.folds.len())
    }

    /// Whether the run was begun with `--no-faces`.
    pub(super) fn leaves_faces_out(&self) -> bool {
        self.identity.places.as_ref().is_some_and(|places| places.no_faces)
    }

    /// The epochs of a fold, as they came.
    pub(super) fn epochs_of(&self, fold: usize) -> Vec<&EpochRecord> {
        self.epochs.iter().filter(|epoch| epoch.fold == fold).collect()
    }

    /// Folds that have begun, ascending.
    pub(super) fn begun(&self) -> Vec<usize> {
        let mut folds: Vec<usize> = self.epochs.iter().map(|epoch| epoch.fold).collect();
        folds.sort_unstable();
        folds.dedup();
        folds
    }
}
