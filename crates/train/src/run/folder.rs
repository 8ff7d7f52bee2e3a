//! The output folder: who may write into it, which folds are done, and what they gave.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    FoldSummary, RunDescription, RunIdentity, Summary,
    lock::{Lock, is_there},
};
use crate::{
    Error,
    diagnosis::Diagnosis,
    whole_file::{remove_abandoned, write_whole},
};

const IDENTITY: &str = "run.json";
const DIAGNOSIS: &str = "diagnosis.json";
const SUMMARY: &str = "summary.json";

/// A run's folder, locked against other processes while this value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    done: BTreeMap<usize, FoldSummary>,
    _lock: Lock,
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
        check_holds_runs_only(path)?;
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = Lock::take(path)?;
        remove_abandoned(path).map_err(failed)?;
        if !holds(path, identity)? {
            write_whole(&path.join("recipe.toml"), identity.recipe.as_bytes())?;
            write_json(&path.join(IDENTITY), identity)?;
        } else if let Some(found) = identity_in(path)? {
            leave_faces_out(path, found, identity)?;
        }
        let mut done = BTreeMap::new();
        for fold in 0..identity.num_folds * identity.repeats.get() {
            let result = fold_path(path, fold).join("result.json");
            if result.exists() {
                done.insert(fold, read_json(&result)?);
            }
        }
        Ok(Self { path: path.to_owned(), done, _lock: lock })
    }

    /// Whether [`RunFolder::open`] would take the folder for a run of which all but the near
    /// duplicates is known yet. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`Error::OtherRun`] and [`Error::Output`] as there.
    pub(crate) fn check(path: &Path, identity: &RunIdentity) -> Result<(), Error> {
        check_holds_runs_only(path)?;
        let Some(found) = identity_in(path)? else { return Ok(()) };
        let groups_sha256 = found.groups_sha256;
        holds(path, &RunIdentity { groups_sha256, ..identity.clone() }).map(|_| ())
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
        write_whole(&self.path.join(SUMMARY), summary.to_json().as_bytes())?;
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

/// Writes the diagnosis of the run in a folder.
///
/// # Errors
///
/// [`Error::Write`] if the disk fails or is full.
pub(crate) fn write_diagnosis(path: &Path, diagnosis: &Diagnosis) -> Result<(), Error> {
    write_json(&path.join(DIAGNOSIS), diagnosis)
}

/// What a run is made from, by its folder.
///
/// # Errors
///
/// [`Error::NoRun`] if the folder has none, [`Error::Read`] if the disk fails, [`Error::Format`] if it
/// is broken or of another version.
pub(crate) fn read_identity(path: &Path) -> Result<RunIdentity, Error> {
    let file = path.join(IDENTITY);
    if !path.is_dir() || !file.exists() {
        let missing = if path.is_dir() { IDENTITY } else { "the folder" };
        return Err(Error::NoRun { path: path.to_owned(), missing });
    }
    read_json(&file)
}

/// The results of a run, if a fold is done.
///
/// # Errors
///
/// [`Error::Read`] if the disk fails, [`Error::Format`] if it is broken or of another version.
pub(crate) fn read_summary(path: &Path) -> Result<Option<Summary>, Error> {
    let path = path.join(SUMMARY);
    if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
}

/// The folder of a fold in that of its run.
pub(crate) fn fold_path(path: &Path, fold: usize) -> PathBuf {
    path.join(format!("fold-{fold:02}"))
}

/// Whether nothing but a run is in a folder, if it is there at all.
///
/// # Errors
///
/// [`Error::Output`] where it is not so.
fn check_holds_runs_only(path: &Path) -> Result<(), Error> {
    let unusable =
        |problem: &str| Err(Error::Output { path: path.to_owned(), problem: problem.to_owned() });
    if !path.exists() {
        return Ok(());
    }
    if !path.is_dir() {
        return unusable("is a file, expected a folder; choose another --out");
    }
    let is_of_run = path.join(IDENTITY).exists() || is_there(path);
    let mut entries =
        std::fs::read_dir(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if !is_of_run && entries.next().is_some() {
        return unusable("holds something else than a run; choose another --out");
    }
    Ok(())
}

/// A run that is to have no faces from now on has none in its later pages either.
fn leave_faces_out(path: &Path, mut found: RunIdentity, asked: &RunIdentity) -> Result<(), Error> {
    let is_asked = asked.places.as_ref().is_some_and(|places| places.no_faces);
    match &mut found.places {
        Some(places) if is_asked && !places.no_faces => places.no_faces = true,
        _ => return Ok(()),
    }
    write_json(&path.join(IDENTITY), &found)
}

/// The run of which a folder is, if it is of any.
fn identity_in(path: &Path) -> Result<Option<RunIdentity>, Error> {
    let path = path.join(IDENTITY);
    if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
}

/// Whether a folder is this run's already; otherwise it is free.
///
/// # Errors
///
/// [`Error::OtherRun`] if another run has begun there.
fn holds(path: &Path, identity: &RunIdentity) -> Result<bool, Error> {
    let Some(found) = identity_in(path)? else { return Ok(false) };
    match found.difference_from(identity) {
        None => Ok(true),
        Some(_) if !has_begun(path) => Ok(false),
        Some((what, found, expected)) => {
            Err(Error::OtherRun { path: path.to_owned(), what, found, expected })
        }
    }
}

/// Whether a run has trained anything: one that was stopped before leaves its folder to others.
fn has_begun(path: &Path) -> bool {
    let metrics = std::fs::metadata(path.join("metrics.jsonl"));
    let is_of_run = |name: &str| name.starts_with("fold-") || name == SUMMARY;
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
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{folds::SplitKind, recipe::Recipe, run::FORMAT_VERSION};

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
            places: None,
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
    fn a_folder_is_checked_before_the_near_duplicates_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        RunFolder::check(&path, &identity()).unwrap();
        assert!(!path.exists());
        let known = RunIdentity { groups_sha256: Some("g".to_owned()), ..identity() };
        drop(RunFolder::open(&path, &known).unwrap());
        std::fs::write(path.join("metrics.jsonl"), "{}\n").unwrap();
        RunFolder::check(&path, &identity()).unwrap();
        let other = RunFolder::check(&path, &RunIdentity { seed: 43, ..identity() });
        assert!(matches!(other, Err(Error::OtherRun { what: "the seed", .. })), "{other:?}");
    }

    #[test]
    fn a_folder_with_other_things_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.tex"), "precious").unwrap();
        let result = RunFolder::check(folder.path(), &identity());
        assert!(matches!(result, Err(Error::Output { .. })), "{result:?}");
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
