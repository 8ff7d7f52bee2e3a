//! The file to convert: its format, its SHA-256, and any stretch of its bytes.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::weights::hexadecimal;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::element::{ByteOrder, Element};
use crate::format::told;
use crate::guard::caught;
use crate::{Error, Format, SourceFormat};

/// How much of a file is looked at to tell its format: enough for an HDF5 signature behind the
/// largest user block in use (MATLAB's 512 bytes).
const HEAD_BYTES: u64 = 64 * 1024;

/// Numbers that are read at a time.
const NUMBERS_AT_A_TIME: usize = 1 << 18;

/// Bytes that are digested at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// The largest file that is read: seven times VGGFace's, and twice that in f64 with an optimizer.
pub(crate) const MAX_BYTES: u64 = 4 << 30;

/// The names of the files in a zip archive, if it can be read.
fn archive_names(file: &File) -> Option<Vec<String>> {
    let names = || {
        let archive = ZipArchive::new(file.try_clone().ok()?).ok()?;
        let names = archive.file_names().filter_map(Result::ok).take(MAX_ARCHIVE_NAMES);
        Some(names.map(Cow::into_owned).collect())
    };
    caught(names).flatten()
}

/// How many names of an archive are looked at; PyTorch's with optimizers have some hundred.
const MAX_ARCHIVE_NAMES: usize = 1 << 16;

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
        if path.is_dir() {
            return Err(failed(io::Error::other(
                "it is a folder; name the file of weights in it (of a TensorFlow SavedModel none is \
                 read: save it with `model.save('x.keras')`)",
            )));
        }
        // A pipe would be waited for without end.
        if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
            return Err(failed(io::Error::other("it is no regular file")));
        }
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
        let names = if head.starts_with(b"PK") { archive_names(&file) } else { None };
        let format = told(path, &head, &names.unwrap_or_default(), from)?;
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

    /// Whether it is a zip archive that lists the files in it.
    pub(crate) fn is_readable_archive(&self) -> bool {
        archive_names(&self.file).is_some()
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

    /// So many numbers from `offset` on, read a stretch at a time; [`Error::Damaged`] if the file
    /// ends before.
    pub(crate) fn numbers(
        &self,
        offset: u64,
        count: u64,
        element: Element,
        order: ByteOrder,
    ) -> Result<Vec<f32>, Error> {
        let size = element.size() as u64;
        let end = count.checked_mul(size).and_then(|bytes| offset.checked_add(bytes));
        let (Some(_), Ok(capacity)) = (end.filter(|&end| end <= self.size), usize::try_from(count))
        else {
            return Err(self.damaged(format!(
                "it has {} bytes, {count} numbers are expected from {offset} on",
                self.size
            )));
        };
        let mut numbers = Vec::with_capacity(capacity);
        for first in (0..count).step_by(NUMBERS_AT_A_TIME) {
            let some = (count - first).min(NUMBERS_AT_A_TIME as u64);
            let bytes = self.bytes(offset + first * size, some * size)?;
            numbers.extend(element.to_f32(&bytes, order));
        }
        Ok(numbers)
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
