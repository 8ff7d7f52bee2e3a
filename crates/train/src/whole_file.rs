//! Files that appear under their name whole or not at all.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use tempfile::{Builder, NamedTempFile};

use crate::Error;

/// How the names of files begin that are not complete.
const PARTIAL: &str = ".partial-";

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

/// A temporary file in the folder that `path` is in, to be renamed to it when it is complete. It
/// may be read by whom the umask allows, as any other file that a program makes.
pub(crate) fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = Builder::new();
    builder.prefix(PARTIAL);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Gives a complete temporary file its name.
pub(crate) fn finish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Writes a file whole or not at all.
///
/// # Errors
///
/// [`Error::Write`] if the disk fails or is full; what was there before is then still there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = create_beside(path)?;
        file.write_all(bytes)?;
        finish(file, path)
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
        let held = create_beside(&folder.path().join("next")).unwrap();
        hold(&held).unwrap();
        remove_abandoned(folder.path()).unwrap();
        assert!(!folder.path().join(".partial-killed").exists());
        assert!(folder.path().join("whole").exists() && held.path().exists());
    }
}
