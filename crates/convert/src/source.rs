//! The file to convert: its format, its SHA-256, and any stretch of its bytes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::format::told;
use crate::{Error, Format, SourceFormat};

/// How much of a file is looked at to tell its format: enough for an HDF5 signature behind the
/// largest user block in use (MATLAB's 512 bytes) and for the first names in a zip archive.
const HEAD_BYTES: u64 = 64 * 1024;

/// Bytes that are digested at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// The largest file that is read: seven times VGGFace's, and twice that in f64 with an optimizer.
pub(crate) const MAX_BYTES: u64 = 4 << 30;

/// How many bytes a compressed stretch may inflate to: weights hardly shrink, and what shrinks by
/// more than this is made to fill the memory.
pub(crate) fn inflation_limit(compressed_bytes: u64) -> u64 {
    compressed_bytes.saturating_mul(8).clamp(64 << 20, MAX_BYTES)
}

/// A file that is read piece by piece.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) format: Format,
    file: File,
    size: u64,
    modified: Option<SystemTime>,
}

impl Source {
    /// Opens a file whose content agrees with the format asked for.
    pub(crate) fn open(path: &Path, from: SourceFormat) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::NotFound { path: path.to_owned() },
            _ => failed(source),
        })?;
        let metadata = file.metadata().map_err(failed)?;
        let size = metadata.len();
        if MAX_BYTES < size {
            return Err(Error::TooLarge { path: path.to_owned(), found: size, limit: MAX_BYTES });
        }
        let mut head = Vec::new();
        (&mut file).take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
        let format = told(path, &head, from)?;
        let modified = metadata.modified().ok();
        Ok(Self { path: path.to_owned(), format, file, size, modified })
    }

    /// SHA-256 of the file, in hexadecimal. It is read by a handle of its own, so that others may
    /// read in it meanwhile.
    pub(crate) fn sha256(&self) -> Result<String, Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(failed)?;
        self.check_unchanged(&file)?;
        let mut hasher = Sha256::new();
        let mut bytes = vec![0; BLOCK_BYTES];
        loop {
            match file.read(&mut bytes).map_err(failed)? {
                0 => break,
                count => hasher.update(&bytes[..count]),
            }
        }
        self.check_unchanged(&file)?;
        Ok(hexadecimal(&hasher.finalize()))
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes from `offset` on, as many as asked for; [`Error::Damaged`] if the file ends
    /// before, which is found out before anything is allocated.
    pub(crate) fn bytes(&self, offset: u64, count: u64) -> Result<Vec<u8>, Error> {
        let end = offset.checked_add(count).filter(|&end| end <= self.size);
        let (Some(_), Ok(count)) = (end, usize::try_from(count)) else {
            return Err(self.damaged(format!(
                "it has {} bytes, {count} are expected from {offset} on",
                self.size
            )));
        };
        let mut bytes = vec![0; count];
        let mut read = || {
            (&self.file).seek(SeekFrom::Start(offset))?;
            (&self.file).read_exact(&mut bytes)
        };
        read().map_err(|source| Error::Read { path: self.path.clone(), source })?;
        Ok(bytes)
    }

    /// All of the file.
    pub(crate) fn all(&self) -> Result<Vec<u8>, Error> {
        self.bytes(0, self.size)
    }

    /// The file itself, for a reader that seeks in it.
    pub(crate) fn file(&self) -> Result<File, Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        self.file.try_clone().map_err(failed)
    }

    /// That the file's own structure does not hold.
    pub(crate) fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::Damaged { path: self.path.clone(), format: self.format, reason: reason.into() }
    }

    /// Refuses a file that somebody has written to since it was opened.
    fn check_unchanged(&self, file: &File) -> Result<(), Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let metadata = file.metadata().map_err(failed)?;
        if (metadata.len(), metadata.modified().ok()) == (self.size, self.modified) {
            return Ok(());
        }
        Err(Error::Changed { path: self.path.clone() })
    }
}

/// A digest in lower-case hexadecimal.
pub(crate) fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}
