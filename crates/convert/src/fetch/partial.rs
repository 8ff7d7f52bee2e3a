//! A file on its way: what has come of it, and what it takes to go on.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::record::write_whole;

/// What it takes to ask for the rest of a file, and of no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// Where the bytes come from.
    pub(super) url: String,
    /// What `If-Range` takes: a strong `ETag`, or the date of `Last-Modified`.
    pub(super) validator: String,
    /// Length of the whole file, where the server said.
    pub(super) size_bytes: Option<u64>,
}

/// `<file>.part`, held against other processes, with `<file>.part.json` beside it.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    note_path: PathBuf,
    file: File,
    size_bytes: u64,
}

impl Partial {
    /// Opens what has come of `file`, nothing if it is new.
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        let beside = |suffix: &str| {
            let mut path = OsString::from(file);
            path.push(suffix);
            PathBuf::from(path)
        };
        let path = beside(".part");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(Error::write(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path }),
            // Not every file system can; then nothing is kept from two processes at once.
            Err(TryLockError::Error(error)) => tracing::debug!(%error, "no lock"),
        }
        let size_bytes = file.metadata().map_err(Error::write(&path))?.len();
        Ok(Self { note_path: beside(".part.json"), path, file, size_bytes })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What it takes to go on with what has come, if there is anything and it came from `url`.
    pub(super) fn note(&self, url: &str) -> Option<Note> {
        let text = fs::read_to_string(&self.note_path).ok()?;
        // A note that cannot be read is worth no more than none: the transfer begins again.
        let note: Note = serde_json::from_str(&text).ok()?;
        let fits = note.url == url
            && 0 < self.size_bytes
            && note.size_bytes.is_none_or(|whole| self.size_bytes <= whole);
        fits.then_some(note)
    }

    /// Forgets what has come.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.file.set_len(0).map_err(Error::write(&self.path))?;
        self.size_bytes = 0;
        remove(&self.note_path)
    }

    /// Keeps what it takes to go on with what is about to come.
    pub(super) fn keep(&self, note: &Note) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(note).expect("a note has string keys");
        write_whole(&self.note_path, text.as_bytes()).map_err(Error::write(&self.note_path))
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut write = || {
            self.file.seek(SeekFrom::Start(self.size_bytes))?;
            self.file.write_all(bytes)
        };
        write().map_err(Error::write(&self.path))?;
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Gives the complete file its name.
    pub(super) fn finish(self, file: &Path) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::write(&self.path))?;
        fs::rename(&self.path, file).map_err(Error::write(file))?;
        remove(&self.note_path)
    }

    /// Leaves what came where it is, if there is anything that a later transfer can go on with.
    pub(super) fn leave(self, url: &str) -> Result<(), Error> {
        match self.note(url) {
            Some(_) => Ok(()),
            None => self.remove(),
        }
    }

    /// Removes what came.
    pub(super) fn remove(self) -> Result<(), Error> {
        remove(&self.path)?;
        remove(&self.note_path)
    }
}

impl Drop for Partial {
    /// Gives the lock back. Closing the file is not enough where this program is starting another,
    /// which has the file open too until it is there.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "no lock");
        }
    }
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        _ => Ok(()),
    }
}
