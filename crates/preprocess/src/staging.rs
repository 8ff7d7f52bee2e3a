//! A folder that appears whole or not at all: built under another name, then renamed.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::Error;

/// The neighbour of an output folder in which its next content is built.
///
/// For an output `faces` it is `.faces.preparing`, with `lock`, held while a run lives; `set`, the
/// folder under construction; and, for the moment of the exchange, `earlier`, what the output held
/// before. What a killed run leaves behind is put right by the next [`Staging::claim`].
pub(crate) struct Staging {
    root: PathBuf,
    out: PathBuf,
    // The lock goes with the file handle, also when the process is killed.
    _lock: File,
}

impl Staging {
    /// Claims the right to build what will become `out`, an absolute path.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if another process has it, [`Error::OutputName`] if `out` has no name.
    pub(crate) fn claim(out: &Path) -> Result<Self, Error> {
        let (Some(parent), Some(name)) = (out.parent(), out.file_name()) else {
            return Err(Error::OutputName { path: out.to_owned() });
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".preparing");
        let root = parent.join(hidden);
        fs::create_dir_all(&root).map_err(Error::write(&root))?;
        let lock_path = root.join("lock");
        let lock = File::create(&lock_path).map_err(Error::write(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Busy { path: out.to_owned() },
            TryLockError::Error(source) => Error::Write { path: lock_path, source },
        })?;
        let staging = Self { root, out: out.to_owned(), _lock: lock };
        staging.recover()?;
        let set = staging.set();
        fs::create_dir(&set).map_err(Error::write(&set))?;
        Ok(staging)
    }

    /// The folder to build in.
    pub(crate) fn set(&self) -> PathBuf {
        self.root.join("set")
    }

    /// Gives the finished folder its final name, in place of what was there.
    pub(crate) fn publish(self) -> Result<(), Error> {
        let earlier = self.earlier();
        if self.out.exists() {
            fs::rename(&self.out, &earlier).map_err(Error::write(&self.out))?;
        }
        fs::rename(self.set(), &self.out).map_err(Error::write(&self.out))
    }

    fn earlier(&self) -> PathBuf {
        self.root.join("earlier")
    }

    /// Undoes what a killed run left: an exchange half done, a folder half built.
    fn recover(&self) -> Result<(), Error> {
        let earlier = self.earlier();
        if earlier.exists() && !is_filled(&self.out)? {
            if self.out.exists() {
                // Empty: somebody made it since; what was there before goes back into its place.
                fs::remove_dir(&self.out).map_err(Error::write(&self.out))?;
            }
            fs::rename(&earlier, &self.out).map_err(Error::write(&self.out))?;
        }
        for leftover in [self.set(), earlier] {
            if leftover.exists() {
                fs::remove_dir_all(&leftover).map_err(Error::write(&leftover))?;
            }
        }
        Ok(())
    }
}

/// Whether something is there that is not an empty folder.
fn is_filled(path: &Path) -> Result<bool, Error> {
    if !path.is_dir() {
        return Ok(path.exists());
    }
    let mut entries = fs::read_dir(path).map_err(Error::read(path))?;
    Ok(entries.next().is_some())
}

impl Drop for Staging {
    fn drop(&mut self) {
        // If the second rename of the exchange failed, this puts the earlier set back.
        // Where it cannot be put back, it stays here for the next run: nothing is removed.
        let remove = || fs::remove_dir_all(&self.root).map_err(Error::write(&self.root));
        if let Err(error) = self.recover().and_then(|()| remove()) {
            let error = error.to_string();
            tracing::warn!(folder = %self.root.display(), error, "could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_right_what_a_killed_run_left() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let root = folder.path().join(".out.preparing");
        fs::create_dir_all(root.join("set/half")).unwrap();
        fs::create_dir_all(root.join("earlier/whole")).unwrap();

        let staging = Staging::claim(&out).unwrap();
        assert!(out.join("whole").exists(), "killed between the renames: the earlier one is back");
        assert!(!staging.set().join("half").exists());
        drop(staging);
        assert!(!root.exists());
        assert!(out.join("whole").exists());
    }

    #[test]
    fn an_empty_folder_in_the_way_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir_all(folder.path().join(".out.preparing/earlier/whole")).unwrap();
        fs::create_dir(&out).unwrap();
        drop(Staging::claim(&out).unwrap());
        assert!(out.join("whole").exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_put_back_is_kept() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let earlier = folder.path().join(".out.preparing/earlier/whole");
        fs::create_dir_all(&earlier).unwrap();
        // A link that leads nowhere can neither be read as a folder nor renamed over.
        symlink(folder.path().join("nowhere/at/all"), &out).unwrap();
        fs::create_dir_all(folder.path().join("other")).unwrap();
        let claimed = Staging::claim(&out);
        assert!(earlier.exists() || out.join("whole").exists(), "{:?}", claimed.err());
    }

    #[test]
    fn replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir_all(out.join("first")).unwrap();
        let staging = Staging::claim(&out).unwrap();
        fs::create_dir(staging.set().join("second")).unwrap();
        staging.publish().unwrap();
        assert!(out.join("second").exists() && !out.join("first").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let first = Staging::claim(&out).unwrap();
        assert!(matches!(Staging::claim(&out), Err(Error::Busy { .. })));
        drop(first);
        assert!(Staging::claim(&out).is_ok());
    }

    #[test]
    fn an_output_needs_a_name() {
        assert!(matches!(Staging::claim(Path::new("/")), Err(Error::OutputName { .. })));
    }
}
