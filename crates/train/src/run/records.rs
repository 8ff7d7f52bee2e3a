//! `metrics.jsonl`: one record a line, appended as training goes on.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{Error, diagnosis::PredictionSpread, whole_file::write_whole};

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// An update of the weights.
    Step(StepRecord),
    /// The end of an epoch.
    Epoch(EpochRecord),
    /// The network's health at the end of an epoch.
    Health(HealthRecord),
}

/// An update of the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// From 0.
    pub fold: usize,
    /// The stage's name.
    pub stage: String,
    /// From 1, in the stage.
    pub epoch: usize,
    /// From 1, in the stage.
    pub step: usize,
    /// Mean over the batch, before the update.
    pub loss: f32,
    /// The rate of the update.
    pub learning_rate: f64,
}

/// The end of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 0.
    pub fold: usize,
    /// The stage's name.
    pub stage: String,
    /// From 1, in the stage.
    pub epoch: usize,
    /// Mean over the epoch's images while the weights moved, as Keras reports it.
    pub train_loss: f64,
    /// Likewise.
    pub train_accuracy: f64,
    /// By the weights at the end of the epoch, without dropout.
    pub validation_loss: f64,
    /// Likewise.
    pub validation_accuracy: f64,
    /// Share of validation images whose identity is among the five best.
    pub validation_top5: f64,
    /// Of the inner validation images, which steer the schedules where there are any: mean loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_loss: Option<f64>,
    /// Likewise: accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_accuracy: Option<f64>,
    /// Likewise: share whose identity is among the five best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_top5: Option<f64>,
    /// The rate of this epoch.
    pub learning_rate: f64,
    /// Wall time, validation included.
    pub seconds: f64,
    /// The most memory that the process has held since the stage began, in bytes; on Linux alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// The epoch with the highest accuracy of the images that steer, else of the validation images; the
/// first of equals, none of no epochs.
pub(crate) fn best_epoch(epochs: &[EpochRecord]) -> Option<&EpochRecord> {
    let accuracy = |epoch: &EpochRecord| epoch.inner_accuracy.unwrap_or(epoch.validation_accuracy);
    epochs.iter().reduce(|best, next| if accuracy(best) < accuracy(next) { next } else { best })
}

/// The network's health at the end of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthRecord {
    /// From 0.
    pub fold: usize,
    /// The stage's name.
    pub stage: String,
    /// From 1, in the stage.
    pub epoch: usize,
    /// How the predictions for the held-out images are spread over people.
    pub predictions: PredictionSpread,
    /// Share of the held-out images whose loss is that of a probability of 1e-7 or less.
    pub saturated_share: f64,
    /// Share of each hidden dense layer's units that are zero for every held-out image.
    pub dead_units: BTreeMap<String, f64>,
    /// The epoch's first step, by block.
    pub blocks: Vec<BlockStep>,
    /// Mean cosine between the backbone's features of some images of the whole set now and before the
    /// first stage that trains it; none where the backbone is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_cosine: Option<f64>,
    /// Linear CKA of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_cka: Option<f64>,
}

/// What one step did to the trained layers of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockStep {
    /// `conv1` to `conv5`, `fc6`, `fc7` or `fc8`.
    pub block: String,
    /// Euclidean norm of the gradient.
    pub gradient_norm: f64,
    /// Euclidean norm of the parameters before the step, by sample.
    pub weight_norm: f64,
    /// How far the step moved them, over that norm, by sample.
    pub update_ratio: f64,
}

impl Record {
    fn fold(&self) -> usize {
        match self {
            Self::Health(health) => health.fold,
            Self::Step(step) => step.fold,
            Self::Epoch(epoch) => epoch.fold,
        }
    }
}

/// How many of a fold's records are kept when a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All: the fold is done.
    All,
    /// The first ones: its checkpoint knows no others.
    First(usize),
}

/// The open `metrics.jsonl`.
#[derive(Debug)]
pub struct RecordLog {
    path: PathBuf,
    file: File,
}

impl RecordLog {
    /// Opens the log, keeping of each fold's records as many as `kept` says, the first ones: those
    /// behind a fold's checkpoint are written again, and a line that a crash cut short goes.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if there are fewer, [`Error::Read`] or [`Error::Write`] if the disk fails.
    pub fn open(path: &Path, kept: &BTreeMap<usize, Kept>) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
        };
        let mut left = kept.clone();
        let mut is_kept = |line: &&str| {
            let Ok(record) = serde_json::from_str::<Record>(line) else { return false };
            match left.get_mut(&record.fold()) {
                None | Some(Kept::First(0)) => false,
                Some(Kept::All) => true,
                Some(Kept::First(count)) => {
                    *count -= 1;
                    true
                }
            }
        };
        let rest: String =
            text.lines().filter(&mut is_kept).flat_map(|line| [line, "\n"]).collect();
        let is_short = |kept: &Kept| matches!(kept, Kept::First(1..));
        if let Some((fold, _)) = left.iter().find(|(_, kept)| is_short(kept)) {
            return Err(Error::Format {
                path: path.to_owned(),
                problem: format!(
                    "lacks records that fold {fold}'s checkpoint counts on; delete the \
                     checkpoint to begin the fold anew"
                ),
            });
        }
        if rest != text {
            write_whole(path, rest.as_bytes())?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// All records that are there.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the disk fails, [`Error::Format`] if a line is no record.
    pub fn records(path: &Path) -> Result<Vec<Record>, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        parse(path, &text)
    }

    /// All whole records that are there: the last line may be one that is being written, or that a
    /// crash cut short.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the disk fails, [`Error::Format`] if another line is no record.
    pub(crate) fn whole_records(path: &Path) -> Result<Vec<Record>, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        parse(path, whole)
    }

    /// Waits until all records are on the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    /// A second handle of the file, to wait for the disk with.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the system has none left.
    pub(crate) fn handle(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    /// Appends a record as one whole line.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails or is full.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let failed = |source| Error::Write { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Record>, Error> {
    let record = |line: &str| {
        serde_json::from_str(line).map_err(|cause| Error::Format {
            path: path.to_owned(),
            problem: format!("has a line that is no record ({cause})"),
        })
    };
    text.lines().map(record).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An epoch of any stage, for tests that look at some of its values.
    pub(crate) fn epoch(fold: usize, stage: &str, epoch: usize) -> EpochRecord {
        EpochRecord {
            fold,
            stage: stage.to_owned(),
            epoch,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation_loss: 2.0,
            validation_accuracy: 0.25,
            validation_top5: 0.5,
            inner_loss: None,
            inner_accuracy: None,
            inner_top5: None,
            learning_rate: 1e-4,
            seconds: 1.5,
            memory_bytes: None,
        }
    }

    fn step(fold: usize, step: usize) -> Record {
        let stage = "head".to_owned();
        Record::Step(StepRecord { fold, stage, epoch: 1, step, loss: 0.5, learning_rate: 1e-4 })
    }

    #[test]
    fn a_record_reads_as_scripts_expect() {
        let line = serde_json::to_string(&step(0, 17)).unwrap();
        assert_eq!(
            line,
            r#"{"kind":"step","fold":0,"stage":"head","epoch":1,"step":17,"loss":0.5,"learning_rate":0.0001}"#
        );
    }

    #[test]
    fn records_behind_a_checkpoint_and_torn_lines_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = RecordLog::open(&path, &BTreeMap::new()).unwrap();
        for record in [step(0, 1), step(1, 1), step(2, 1), step(2, 2), step(2, 3)] {
            log.append(&record).unwrap();
        }
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str(r#"{"kind":"step","fold":0,"#);
        std::fs::write(&path, &text).unwrap();

        let kept = BTreeMap::from([(0, Kept::All), (2, Kept::First(2))]);
        let mut log = RecordLog::open(&path, &kept).unwrap();
        log.append(&step(1, 2)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let records: Vec<Record> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records, [step(0, 1), step(2, 1), step(2, 2), step(1, 2)]);
    }

    #[test]
    fn records_that_a_checkpoint_counts_on_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        RecordLog::open(&path, &BTreeMap::new()).unwrap().append(&step(2, 1)).unwrap();
        let refused = RecordLog::open(&path, &BTreeMap::from([(2, Kept::First(2))]));
        assert!(matches!(refused, Err(Error::Format { .. })), "{refused:?}");
    }
}
