//! Files that appear under their name whole or not at all.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use model::weights::{PARTIAL, give_name, temporary_beside};
use tempfile::NamedTempFile;

use crate::Error;

/// Removes what killed processes have left half-written in a folder. Files that a living process
/// [holds](hold) stay.
pub(crate) fn remove_abandoned(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            continue;
        }
        let is_abandoned = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if is_abandoned {
            tracing::info!(
                "removing {}, which a run has left half-written",
                entry.path().display()
            );
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Keeps a temporary file from being taken for abandoned, until it is closed.
pub(crate) fn hold(file: &NamedTempFile) -> io::Result<()> {
    file.as_file().lock()
}

/// Writes a file whole or not at all.
///
/// # Errors
///
/// [`Error::Write`] if the disk fails or is full; what was there before is then still there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = temporary_beside(path)?;
        file.write_all(bytes)?;
        give_name(file, path)
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// The same without waiting for the disk: after a power cut the file may be empty. For what can be made
/// again.
///
/// # Errors
///
/// [`Error::Write`] if the disk fails or is full; what was there before is then still there.
pub(crate) fn write_quickly(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = temporary_beside(path)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_files_go_and_held_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".partial-killed"), "half").unwrap();
        std::fs::write(folder.path().join("whole"), "whole").unwrap();
        let held = temporary_beside(&folder.path().join("next")).unwrap();
        hold(&held).unwrap();
        remove_abandoned(folder.path()).unwrap();
        assert!(!folder.path().join(".partial-killed").exists());
        assert!(folder.path().join("whole").exists() && held.path().exists());
    }
}
