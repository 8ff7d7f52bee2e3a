//! The output folder: who may write into it, which folds are done, and what they gave.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{FoldSummary, RunDescription, Summary};
use crate::{
    Error,
    diagnosis::Diagnosis,
    folds::SplitKind,
    recipe::Recipe,
    whole_file::{remove_abandoned, write_whole},
};

/// Version of a run's files.
pub(crate) const FORMAT_VERSION: u32 = 1;

const DIAGNOSIS: &str = "diagnosis.json";

/// What runs into one folder must have in common, to complete one another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunIdentity {
    /// Of the run's files.
    pub format_version: u32,
    /// The recipe as resolved.
    pub recipe: String,
    /// Of the prepared set.
    pub data_sha256: String,
    /// Of the groups of near duplicates, where there are any and the recipe's split or its inner
    /// validation goes by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_sha256: Option<String>,
    /// Of the weights file, or `random`.
    pub weights_sha256: String,
    /// How the folds are drawn.
    pub split: SplitKind,
    /// How many there are.
    pub num_folds: usize,
    /// How often the images are dealt.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeats: NonZeroUsize,
    /// Of every random stream.
    pub seed: u32,
}

/// Runs of before folds could be repeated do not say how often.
pub(super) fn once() -> NonZeroUsize {
    NonZeroUsize::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn is_once(repeats: &NonZeroUsize) -> bool {
    repeats.get() == 1
}

impl RunIdentity {
    /// The first thing in which another run differs: what, its value here, its value there.
    pub(crate) fn difference_from(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let groups = |run: &Self| run.groups_sha256.as_deref().unwrap_or("none").to_owned();
        let words = |run: &Self| {
            [
                ("the format version", run.format_version.to_string()),
                ("the data's SHA-256", run.data_sha256.clone()),
                ("the near duplicates' SHA-256", groups(run)),
                ("the weights' SHA-256", run.weights_sha256.clone()),
                ("the split", run.split.to_string()),
                ("the number of folds", run.num_folds.to_string()),
                ("the number of repeats", run.repeats.to_string()),
                ("the seed", run.seed.to_string()),
            ]
        };
        for ((what, here), (_, there)) in words(self).into_iter().zip(words(other)) {
            if here != there {
                return Some((what, here, there));
            }
        }
        self.difference_of_recipe(other)
    }

    /// Recipes are the same if they mean the same: an older version may have left out or written out
    /// other defaults.
    fn difference_of_recipe(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let meaning = |text: &str| {
            let recipe = Recipe::parse("recipe.toml", text).map(|recipe| recipe.to_toml());
            recipe.unwrap_or_else(|_| text.to_owned())
        };
        let (here, there) = (meaning(&self.recipe), meaning(&other.recipe));
        if here == there {
            return None;
        }
        let mut lines = here.lines().zip(there.lines());
        let (here, there) = match lines.find(|(here, there)| here != there) {
            Some((here, there)) => (format!("`{here}`"), format!("`{there}`")),
            None => ("of another length".to_owned(), "longer or shorter".to_owned()),
        };
        Some(("the recipe", here, there))
    }
}

/// A run's folder, locked against other processes while this value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    done: BTreeMap<usize, FoldSummary>,
    lock: File,
}

impl Drop for RunFolder {
    /// Gives the lock back. Closing the file is not enough where this program is starting another,
    /// which has the file open too until it is there.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(%error, "no lock");
        }
    }
}

impl RunFolder {
    /// Makes the folder or goes on with the same run in it. The recipe is written before the
    /// first step.
    ///
    /// # Errors
    ///
    /// [`Error::OtherRun`] if another run has begun there, [`Error::Output`] if the folder holds other
    /// things or another process trains into it, [`Error::Write`] if the disk fails.
    pub fn open(path: &Path, identity: &RunIdentity) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let unusable =
            |problem: &str| Error::Output { path: path.to_owned(), problem: problem.to_owned() };
        if path.exists() && !path.is_dir() {
            return Err(unusable("is a file, expected a folder; choose another --out"));
        }
        std::fs::create_dir_all(path).map_err(failed)?;
        let identity_path = path.join("run.json");
        let is_ours = identity_path.exists() || path.join(".lock").exists();
        if !is_ours && std::fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(unusable("holds something else than a run; choose another --out"));
        }
        let lock = File::create(path.join(".lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(unusable(
                    "another process trains into it; wait, or choose another --out",
                ));
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let is_same = identity_path.exists()
            && match read_json::<RunIdentity>(&identity_path)?.difference_from(identity) {
                None => true,
                Some(_) if !has_begun(path) => false,
                Some((what, found, expected)) => {
                    return Err(Error::OtherRun { path: path.to_owned(), what, found, expected });
                }
            };
        if !is_same {
            write_whole(&path.join("recipe.toml"), identity.recipe.as_bytes())?;
            write_json(&identity_path, identity)?;
        }
        let mut done = BTreeMap::new();
        for fold in 0..identity.num_folds * identity.repeats.get() {
            let result = fold_path(path, fold).join("result.json");
            if result.exists() {
                done.insert(fold, read_json(&result)?);
            }
        }
        Ok(Self { path: path.to_owned(), done, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The results of the folds that are done, by fold.
    pub fn done(&self) -> &BTreeMap<usize, FoldSummary> {
        &self.done
    }

    /// `metrics.jsonl`.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `fold-00` and so on, made if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails.
    pub fn fold_folder(&self, fold: usize) -> Result<PathBuf, Error> {
        let path = fold_path(&self.path, fold);
        std::fs::create_dir_all(&path)
            .map_err(|source| Error::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// The folder of a fold that is to be trained, without what a killed process has left half-written.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails.
    pub(crate) fn clean_fold_folder(&self, fold: usize) -> Result<(), Error> {
        let path = self.fold_folder(fold)?;
        remove_abandoned(&path).map_err(|source| Error::Write { path, source })
    }

    /// Marks a fold as done, after its other files are written.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails or is full.
    pub fn finish_fold(&mut self, result: FoldSummary) -> Result<(), Error> {
        write_json(&self.fold_folder(result.fold)?.join("result.json"), &result)?;
        self.done.insert(result.fold, result);
        Ok(())
    }

    /// Writes `diagnosis.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails or is full.
    pub fn write_diagnosis(&self, diagnosis: &Diagnosis) -> Result<(), Error> {
        write_json(&self.path.join(DIAGNOSIS), diagnosis)
    }

    /// Writes `summary.json` over the folds that are done and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails or is full.
    ///
    /// # Panics
    ///
    /// If no fold is done.
    pub fn summarize(&self, run: &RunDescription) -> Result<Summary, Error> {
        let summary = Summary::new(run.clone(), self.done.values().cloned().collect());
        write_json(&self.path.join("summary.json"), &summary)?;
        Ok(summary)
    }
}

/// The diagnosis of the run in a folder; none where it has none.
///
/// # Errors
///
/// [`Error::Read`] if the disk fails, [`Error::Format`] if it is of another version.
pub fn read_diagnosis(path: &Path) -> Result<Option<Diagnosis>, Error> {
    let path = path.join(DIAGNOSIS);
    if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
}

/// The folder of a fold in that of its run.
pub(crate) fn fold_path(path: &Path, fold: usize) -> PathBuf {
    path.join(format!("fold-{fold:02}"))
}

/// Whether a run has trained anything: one that was stopped before leaves its folder to others.
fn has_begun(path: &Path) -> bool {
    let metrics = std::fs::metadata(path.join("metrics.jsonl"));
    let is_of_run = |name: &str| name.starts_with("fold-") || name == "summary.json";
    metrics.is_ok_and(|file| file.len() > 0)
        || std::fs::read_dir(path).is_ok_and(|entries| {
            entries
                .filter_map(Result::ok)
                .any(|entry| is_of_run(&entry.file_name().to_string_lossy()))
        })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(value).expect("a run's files have plain fields");
    text.push('\n');
    write_whole(path, text.as_bytes())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|cause| Error::Format {
        path: path.to_owned(),
        problem: format!("is broken or of another version ({cause}); choose another --out"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> RunIdentity {
        RunIdentity {
            format_version: FORMAT_VERSION,
            recipe: Recipe::builtin("two-stage").unwrap().to_toml(),
            data_sha256: "d".to_owned(),
            groups_sha256: None,
            weights_sha256: "w".to_owned(),
            split: SplitKind::Stratified,
            num_folds: 3,
            repeats: NonZeroUsize::MIN,
            seed: 42,
        }
    }

    #[test]
    fn the_same_run_goes_on_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        drop(RunFolder::open(&path, &identity()).unwrap());
        assert!(path.join("recipe.toml").exists());
        RunFolder::open(&path, &identity()).unwrap();
    }

    #[test]
    fn a_recipe_that_leaves_out_a_default_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let line = "split = \"stratified\"\n";
        let shorter = identity().recipe.replacen(line, "", 1);
        assert_ne!(shorter, identity().recipe);
        drop(RunFolder::open(&path, &RunIdentity { recipe: shorter, ..identity() }).unwrap());
        RunFolder::open(&path, &identity()).unwrap();
    }

    #[test]
    fn a_run_that_has_not_begun_leaves_its_folder_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        drop(RunFolder::open(&path, &identity()).unwrap());
        let other = RunIdentity { seed: 43, ..identity() };
        drop(RunFolder::open(&path, &other).unwrap());
        std::fs::create_dir(path.join("fold-02")).unwrap();
        RunFolder::open(&path, &other).unwrap();
        assert!(matches!(RunFolder::open(&path, &identity()), Err(Error::OtherRun { .. })));
    }

    #[test]
    fn another_run_is_refused_with_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        drop(RunFolder::open(&path, &identity()).unwrap());
        std::fs::write(path.join("metrics.jsonl"), "{}\n").unwrap();
        let recipe = identity().recipe.replace("32", "16");
        for (other, what) in [
            (RunIdentity { seed: 43, ..identity() }, "the seed"),
            (RunIdentity { data_sha256: "e".to_owned(), ..identity() }, "the data's SHA-256"),
            (
                RunIdentity { groups_sha256: Some("g".to_owned()), ..identity() },
                "the near duplicates' SHA-256",
            ),
            (RunIdentity { recipe, ..identity() }, "the recipe"),
        ] {
            match RunFolder::open(&path, &other) {
                Err(Error::OtherRun { what: found, .. }) => assert_eq!(found, what),
                result => panic!("{result:?}"),
            }
        }
    }

    #[test]
    fn a_folder_with_other_things_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.tex"), "precious").unwrap();
        let result = RunFolder::open(folder.path(), &identity());
        assert!(matches!(result, Err(Error::Output { .. })), "{result:?}");
    }

    #[test]
    fn two_processes_cannot_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let _first = RunFolder::open(&path, &identity()).unwrap();
        let result = RunFolder::open(&path, &identity());
        assert!(matches!(result, Err(Error::Output { .. })), "{result:?}");
    }
}
