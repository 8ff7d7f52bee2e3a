//! One process trains into a run's folder at a time.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::Duration,
};

use crate::Error;

const LOCK: &str = ".lock";

/// A run's folder is this process's own while this value lives.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the folder.
    ///
    /// # Errors
    ///
    /// [`Error::Output`] if another process has it, [`Error::Write`] if the disk fails.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let file = File::create(path.join(LOCK)).map_err(failed)?;
        let taken = match file.try_lock() {
            // Who only asks whether it is taken, as a report does, has it for a moment.
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(50));
                file.try_lock()
            }
            taken => taken,
        };
        match taken {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                let problem = "another process trains into it; wait, or choose another --out";
                Err(Error::Output { path: path.to_owned(), problem: problem.to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Drop for Lock {
    /// Gives the lock back. Closing the file is not enough where this program is starting another,
    /// which has the file open too until it is there.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "no lock");
        }
    }
}

/// Whether a folder has been a run's own, though it may hold nothing else.
pub(super) fn is_there(path: &Path) -> bool {
    path.join(LOCK).exists()
}

/// Whether a process trains into a run's folder now.
pub(crate) fn is_running(path: &Path) -> bool {
    let lock = File::open(path.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
