//! A file that appears under its name whole or not at all, digested as it is written.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use model::weights::{give_name, hexadecimal, temporary_beside};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::failed;
use crate::Error;

/// Bytes that are written at once: after each, it is looked whether to go on.
const AT_ONCE: usize = 1 << 20;

/// A file that is being written under another name. Dropped, it is gone.
pub(super) struct WholeFile<'a> {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    progress: &'a ProgressBar,
    hasher: Sha256,
    size_bytes: u64,
}

impl<'a> WholeFile<'a> {
    /// Begins a file in the folder of `path`; what is written counts in a bar, and is refused once that is
    /// finished.
    pub(super) fn create(path: &Path, progress: &'a ProgressBar) -> Result<Self, Error> {
        let file = temporary_beside(path).map_err(|source| failed(path, source))?;
        let file = BufWriter::new(file);
        Ok(Self { path: path.to_owned(), file, progress, hasher: Sha256::new(), size_bytes: 0 })
    }

    /// Gives the file its name and returns its length and SHA-256.
    pub(super) fn keep(self) -> Result<(u64, String), Error> {
        let Self { path, file, hasher, size_bytes, .. } = self;
        let keep = || give_name(file.into_inner().map_err(io::IntoInnerError::into_error)?, &path);
        keep().map_err(|source| failed(&path, source))?;
        Ok((size_bytes, hexadecimal(&hasher.finalize())))
    }
}

impl Write for WholeFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.progress.is_finished() {
            return Err(io::Error::other("interrupted"));
        }
        let count = self.file.write(&bytes[..bytes.len().min(AT_ONCE)])?;
        self.progress.inc(count as u64);
        self.hasher.update(&bytes[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
