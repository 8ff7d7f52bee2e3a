//! When checkpoints are written, and that only the last good one is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use model::{Vgg16, weights::give_name};

use super::{checkpoint, plan::StagePlan, state::FoldState};
use crate::{
    Error,
    folds::Fold,
    run::{FoldSummary, Kept, RecordLog, RunIdentity, fold_path},
};

/// Where a fold's checkpoint is, if it has one.
pub(crate) fn checkpoint_path(out: &Path, fold: usize) -> PathBuf {
    fold_path(out, fold).join(checkpoint::FILE_NAME)
}

/// The share of the time that writing checkpoints at the ends of epochs may take.
const SHARE: f64 = 0.1;

/// The checkpoints of a run's folds.
#[derive(Debug)]
pub(crate) struct Checkpoints<'a> {
    /// The run's folder.
    out: &'a Path,
    run: &'a RunIdentity,
    /// Layers that the run trains.
    changed: BTreeSet<String>,
    /// How long a checkpoint may lie back inside an epoch.
    every: Duration,
    last: Instant,
    /// How long training stood still for the last one.
    cost: Duration,
    /// The last one on its way to the disk.
    pending: Option<Pending>,
    /// A checkpoint to be removed once a later fold has one.
    superseded: Option<usize>,
}

#[derive(Debug)]
struct Pending {
    path: PathBuf,
    writing: JoinHandle<io::Result<()>>,
}

impl Drop for Checkpoints<'_> {
    /// Waits for the last one, so that a process that ends at once leaves no half of it.
    fn drop(&mut self) {
        if let Some(Pending { writing, .. }) = self.pending.take() {
            // Whether it was written does not matter any more: who cares has waited.
            let _ended = writing.join();
        }
    }
}

impl<'a> Checkpoints<'a> {
    /// The checkpoints of a run that follows these plans; none is older than `every`.
    pub(crate) fn new(
        out: &'a Path,
        run: &'a RunIdentity,
        plans: &[StagePlan<'_>],
        every: Duration,
    ) -> Self {
        Self {
            out,
            run,
            changed: plans.iter().flat_map(|plan| plan.trainable.iter().cloned()).collect(),
            every,
            last: Instant::now(),
            cost: Duration::ZERO,
            pending: None,
            superseded: None,
        }
    }

    /// How many records of each fold are kept when the run goes on: all of those that are done, of
    /// others what their checkpoints know.
    ///
    /// # Errors
    ///
    /// Those of [`checkpoint::records`].
    pub(crate) fn kept(
        &self,
        done: &BTreeMap<usize, FoldSummary>,
        folds: &[Fold],
    ) -> Result<BTreeMap<usize, Kept>, Error> {
        let kept = |fold: &Fold| {
            if done.contains_key(&fold.index) {
                return Ok((fold.index, Kept::All));
            }
            Ok((fold.index, Kept::First(checkpoint::records(&self.path(fold.index))?)))
        };
        folds.iter().map(kept).collect()
    }

    /// Takes up the fold's checkpoint, if it has one.
    ///
    /// # Errors
    ///
    /// Those of [`checkpoint::read`].
    pub(crate) fn read(
        &self,
        fold: usize,
        network: &mut Vgg16,
        plans: &[StagePlan<'_>],
    ) -> Result<Option<FoldState>, Error> {
        checkpoint::read(&self.path(fold), self.run, network, plans)
    }

    /// Whether the last checkpoint is too old to wait for the end of the epoch.
    pub(crate) fn is_due(&self) -> bool {
        self.every <= self.last.elapsed()
    }

    /// Whether the end of an epoch is worth a checkpoint: most are, but where writing takes long
    /// and epochs are short, training would wait for the disk.
    pub(crate) fn is_worth_it(&self) -> bool {
        self.is_due() || self.cost.as_secs_f64() <= SHARE * self.last.elapsed().as_secs_f64()
    }

    /// Writes the state as it is, or warns that it could not be written: training is worth more than
    /// its checkpoints.
    pub(crate) fn try_write(&mut self, network: &Vgg16, state: &FoldState, log: &RecordLog) {
        if let Err(error) = self.write(network, state, log) {
            self.last = Instant::now();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            tracing::warn!(cause, "{error} failed; going on without this checkpoint");
        }
    }

    /// Writes the state as it is; the disk is waited for in a thread of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if it could not be written; that the disk failed afterwards is said by
    /// [`wait`](Self::wait), or when the next one is written.
    pub(crate) fn write(
        &mut self,
        network: &Vgg16,
        state: &FoldState,
        log: &RecordLog,
    ) -> Result<(), Error> {
        let start = Instant::now();
        if let Err(error) = self.wait() {
            // This one has all that the last one had.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(cause, "{error} failed; writing the next checkpoint");
        }
        let fold = state.progress.fold;
        let path = self.path(fold);
        let file = checkpoint::write(&path, self.run, network, &self.changed, state)?;
        let log = log.handle()?;
        let target = path.clone();
        let writing = std::thread::spawn(move || {
            // The checkpoint counts on the records: they reach the disk before it has its name.
            log.sync_data()?;
            give_name(file, &target)
        });
        self.pending = Some(Pending { path, writing });
        if let Some(superseded) = self.superseded.filter(|&superseded| superseded != fold) {
            self.wait()?;
            self.remove_file(superseded)?;
            self.superseded = None;
        }
        self.cost = start.elapsed();
        self.last = Instant::now();
        Ok(())
    }

    /// Removes the checkpoint of a fold that is done.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails.
    pub(crate) fn remove(&mut self, fold: usize) -> Result<(), Error> {
        if let Err(error) = self.wait() {
            tracing::debug!("the last checkpoint, not needed any more: {error}");
        }
        self.remove_file(fold)
    }

    /// Has the fold's checkpoint removed when a later one has its own.
    pub(crate) fn supersede(&mut self, fold: usize) {
        self.superseded = Some(fold);
    }

    fn path(&self, fold: usize) -> PathBuf {
        checkpoint_path(self.out, fold)
    }

    fn remove_file(&self, fold: usize) -> Result<(), Error> {
        let path = self.path(fold);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::Write { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Waits until the last checkpoint is on the disk under its name.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if it could not be written.
    ///
    /// # Panics
    ///
    /// If the thread that writes it has.
    pub(crate) fn wait(&mut self) -> Result<(), Error> {
        let Some(Pending { path, writing }) = self.pending.take() else { return Ok(()) };
        let result = writing.join().expect("writing a file does not panic");
        result.map_err(|source| Error::Write { path, source })
    }
}
