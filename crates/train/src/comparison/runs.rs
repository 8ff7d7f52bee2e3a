//! Runs that take part in a comparison, read from their folders.

use std::{
    fmt,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::FoldScore;
use crate::{
    Error,
    diagnosis::{Check, Diagnosis, Level},
    run::{FORMAT_VERSION, Summary, read_diagnosis},
};

const SUMMARY: &str = "summary.json";

/// A run that takes part in a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedRun {
    /// What it is called in the comparison; no other run of it has the same name.
    pub name: String,
    /// Its results.
    pub summary: Summary,
    /// What its diagnosis says first.
    pub verdict: Verdict,
}

/// What a run's diagnosis says first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Verdict {
    /// The run's folder has no diagnosis.
    NotDiagnosed,
    /// Every check was skipped.
    NothingChecked,
    /// Checks ran and all were silent.
    NothingFound,
    /// The most likely cause of not learning, or what else comes first.
    Found {
        /// Who found it.
        check: Check,
        /// How bad it is.
        level: Level,
        /// One sentence.
        text: String,
    },
}

impl ComparedRun {
    /// Reads `summary.json` and, where it is there, `diagnosis.json` of a run's folder.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`] if the folder or its summary is not there, [`Error::Read`] if the disk
    /// fails, [`Error::Format`] if a file is broken or of another version.
    pub fn read(name: String, folder: &Path) -> Result<Self, Error> {
        let no_run = |missing| Error::NoRun { path: folder.to_owned(), missing };
        if !folder.is_dir() {
            return Err(no_run("the folder"));
        }
        let path = folder.join(SUMMARY);
        let summary: Summary = read_json(&path)?.ok_or_else(|| no_run(SUMMARY))?;
        if summary.format_version != FORMAT_VERSION {
            let problem =
                format!("has format version {}, expected {FORMAT_VERSION}", summary.format_version);
            return Err(Error::Format { path, problem });
        }
        let verdict = read_diagnosis(folder)?.as_ref().map_or(Verdict::NotDiagnosed, Verdict::of);
        Ok(Self { name, summary, verdict })
    }

    /// The scores of its folds.
    pub fn scores(&self) -> Vec<FoldScore> {
        let images = self.summary.dataset.images;
        let score = |fold: &crate::run::FoldSummary| FoldScore {
            fold: fold.fold,
            accuracy: fold.accuracy,
            // K-fold trains on all that it does not validate; what a fold holds back of that for its
            // own choices is training data to the statistics all the same.
            train_images: images.saturating_sub(fold.validation_images),
            validation_images: fold.validation_images,
        };
        self.summary.folds.iter().map(score).collect()
    }
}

impl Verdict {
    /// The first of a diagnosis.
    pub fn of(diagnosis: &Diagnosis) -> Self {
        match diagnosis.verdict() {
            Some(finding) => Self::Found {
                check: finding.check,
                level: finding.level,
                text: finding.verdict.clone(),
            },
            None if diagnosis.silent.is_empty() => Self::NothingChecked,
            None => Self::NothingFound,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDiagnosed => formatter.write_str("not diagnosed"),
            Self::NothingChecked => formatter.write_str("nothing checked"),
            Self::NothingFound => formatter.write_str("nothing found"),
            Self::Found { level: Level::Error, text, .. } => write!(formatter, "error: {text}"),
            Self::Found { level: Level::Warning, text, .. } => write!(formatter, "warning: {text}"),
            Self::Found { level: Level::Note, text, .. } => write!(formatter, "note: {text}"),
        }
    }
}

/// Reads runs that are there, named by their folders.
///
/// # Errors
///
/// [`Error::TooFewRuns`] of fewer than two, [`Error::EqualNames`] of a folder that is given twice,
/// and those of [`ComparedRun::read`].
pub fn read_runs(folders: &[PathBuf]) -> Result<Vec<ComparedRun>, Error> {
    refuse_given_twice(folders)?;
    // Without what says the same: `run/` is `run`.
    let folders: Vec<PathBuf> =
        folders.iter().map(|folder| folder.components().collect()).collect();
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    check_names(&names)?;
    names.into_iter().zip(folders).map(|(name, folder)| ComparedRun::read(name, &folder)).collect()
}

/// Refuses a folder that is given twice, by whatever path.
///
/// # Errors
///
/// [`Error::EqualNames`] with the path of the second.
pub(crate) fn refuse_given_twice(folders: &[PathBuf]) -> Result<(), Error> {
    let paths: Vec<PathBuf> = folders.iter().map(|folder| whole(folder)).collect();
    for (index, path) in paths.iter().enumerate() {
        if paths[..index].contains(path) {
            let given: PathBuf = folders[index].components().collect();
            return Err(Error::EqualNames { name: given.display().to_string() });
        }
    }
    Ok(())
}

/// A folder's one path; of a folder that is not there, which is refused when it is read, the one given.
pub(crate) fn whole(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// Whether these are names of runs to compare: two at least, and no two equal.
pub(super) fn check_names(names: &[String]) -> Result<(), Error> {
    if names.len() < 2 {
        return Err(Error::TooFewRuns { found: names.len() });
    }
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(Error::EqualNames { name: name.clone() });
        }
    }
    Ok(())
}

/// What a file holds; none if it is not there.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    serde_json::from_str(&text).map(Some).map_err(|cause| Error::Format {
        path: path.to_owned(),
        problem: format!("is broken or of another version ({cause})"),
    })
}
