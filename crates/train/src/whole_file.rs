//! Files that appear under their name whole or not at all.

use std::{
    io::{self, Write},
    path::Path,
};

use tempfile::{Builder, NamedTempFile};

use crate::Error;

/// A temporary file in the folder that `path` is in, to be renamed to it when it is complete. It
/// may be read by whom the umask allows, as any other file that a program makes.
pub(crate) fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = Builder::new();
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
