//! Published files, fetched: transferred whole or not at all, and held against what is known of
//! them.
//!
//! ```text
//! Publication (name, address, what is known) -> transfer into NAME.part, resumed where it broke
//!       -> is it weights at all? -> pinned or recorded digest -> record -> final name
//! ```
//!
//! Nothing else in this workspace opens a connection, and this module does so only when
//! [`fetch()`] is called. Of most of these files no digest was ever published: the one of the first
//! download is recorded beside them, and what differs from it later is refused.

mod catalog;
mod error;
mod partial;
mod record;
mod response;
mod transfer;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use indicatif::ProgressBar;

pub use catalog::{CATALOG, Licence, Pin, Publication};
pub use error::{Error, Served};
pub use transfer::Patience;

use crate::Error as SourceError;
use crate::source::Source;
use partial::Partial;
use record::{Entry, Record, date};

/// What to fetch, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The published file.
    pub publication: Publication,
    /// Where to fetch it: its own address, or a mirror's.
    pub url: String,
    /// The folder to put it in; made if it is not there.
    pub folder: PathBuf,
    /// What is recorded as the day it was first seen.
    pub now: SystemTime,
}

/// A file that is in place and was held against what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies.
    pub file: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// How it came to be there.
    pub arrival: Arrival,
    /// What its digest was held against.
    pub standing: Standing,
}

/// How a file came to be in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It was fetched.
    Fetched,
    /// It was there before, and nothing was fetched.
    AlreadyThere,
}

/// What a file's digest was held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The digest that was published.
    Pinned,
    /// The digest that was recorded on this day.
    Recorded(String),
    /// Nothing: it is recorded now.
    FirstSight,
}

/// Fetches a published file, unless it is there.
///
/// It appears under its name only when it is complete, is in its format and has the digest that
/// it must have; a file that is there is never replaced. What was broken off is kept in
/// `<file>.part`, from where the next call goes on; what was refused is removed. A file that is in
/// place without a record, since somebody put it there, is recorded as it is. `progress` counts
/// bytes.
///
/// # Errors
///
/// Any [`Error`]: the address does not serve the file, the connection keeps breaking, what came is
/// not weights or not the file it should be, or the disk fails.
pub fn fetch(order: &Order, patience: &Patience, progress: &ProgressBar) -> Result<Fetched, Error> {
    let folder = order.folder.as_path();
    fs::create_dir_all(folder).map_err(Error::write(folder))?;
    let file = folder.join(order.publication.file);
    if file.exists() {
        return in_place(order, file);
    }
    let mut partial = Partial::open(&file)?;
    // Another call may have finished between the two lines above.
    if file.exists() {
        partial.remove()?;
        return in_place(order, file);
    }
    tracing::info!(url = order.url, "fetching");
    if let Err(error) = transfer::transfer(&order.url, &mut partial, patience, progress) {
        partial.leave(&order.url)?;
        return Err(error);
    }
    match check(order, partial.path()) {
        Ok(checked) => {
            if let Some(record) = &checked.new_record {
                record.write(folder)?;
            }
            partial.finish(&file)?;
            Ok(checked.fetched(file, Arrival::Fetched))
        }
        // What the disk or the record refused may be right all the same.
        Err(error @ (Error::Read { .. } | Error::Record { .. })) => Err(error),
        Err(error) => {
            partial.remove()?;
            Err(error)
        }
    }
}

/// Holds a file that is there against what is known of it.
fn in_place(order: &Order, file: PathBuf) -> Result<Fetched, Error> {
    let in_place = |found: String, expected: String, known| Error::InPlace {
        path: file.clone(),
        expected,
        found,
        known,
    };
    let checked = check(order, &file).map_err(|error| match error {
        Error::NotWeights { served, .. } => Error::NotWeightsInPlace { path: file.clone(), served },
        Error::PinnedDigest { expected, found, .. } => {
            in_place(found, expected, "published".to_owned())
        }
        Error::RecordedDigest { expected, found, first_seen, .. } => {
            in_place(found, expected, format!("recorded on {first_seen}"))
        }
        error => error,
    })?;
    if let Some(record) = &checked.new_record {
        record.write(&order.folder)?;
    }
    Ok(checked.fetched(file, Arrival::AlreadyThere))
}

/// A file that is what it should be.
struct Checked {
    size_bytes: u64,
    sha256: String,
    standing: Standing,
    /// The record with this file in it, where it was not.
    new_record: Option<Record>,
}

impl Checked {
    fn fetched(self, file: PathBuf, arrival: Arrival) -> Fetched {
        let Self { size_bytes, sha256, standing, .. } = self;
        Fetched { file, size_bytes, sha256, arrival, standing }
    }
}

/// Holds the content of `path` against the publication's format and digest, and the record.
fn check(order: &Order, path: &Path) -> Result<Checked, Error> {
    let Order { publication, url, folder, now } = order;
    let unfit = |error| match error {
        SourceError::Read { path, source } => Error::Read { path, source },
        SourceError::NotFound { path } => {
            Error::Read { path, source: io::ErrorKind::NotFound.into() }
        }
        error => Error::NotWeights { url: url.clone(), served: Served::from(error) },
    };
    let source = Source::open(path, publication.format).map_err(unfit)?;
    let (size_bytes, sha256) = (source.size(), source.sha256().map_err(unfit)?);
    if let Some(pin) = publication.pin {
        let found = pin.digest_alike(&source, &sha256).map_err(Error::read(path))?;
        if found != pin.hexadecimal() {
            let expected = pin.to_string();
            return Err(Error::PinnedDigest { url: url.clone(), expected, found });
        }
    }
    let mut record = Record::read(folder)?;
    let known = record.files.get(publication.name);
    if let Some(entry) = known.filter(|entry| entry.sha256 != sha256) {
        return Err(Error::RecordedDigest {
            url: url.clone(),
            name: publication.name,
            expected: entry.sha256.clone(),
            first_seen: entry.first_seen.clone(),
            found: sha256,
        });
    }
    let standing = match (publication.pin, known) {
        (Some(_), _) => Standing::Pinned,
        (None, Some(entry)) => Standing::Recorded(entry.first_seen.clone()),
        (None, None) => Standing::FirstSight,
    };
    if known.is_some() {
        return Ok(Checked { size_bytes, sha256, standing, new_record: None });
    }
    let entry = Entry {
        url: url.clone(),
        file: publication.file.to_owned(),
        size_bytes,
        sha256: sha256.clone(),
        first_seen: date(*now),
    };
    record.files.insert(publication.name.to_owned(), entry);
    Ok(Checked { size_bytes, sha256, standing, new_record: Some(record) })
}

impl Fetched {
    /// The same for programs; the digest was `published`, `recorded` on an earlier day, or is `first-seen`.
    pub fn to_json(&self) -> serde_json::Value {
        let standing = match &self.standing {
            Standing::Pinned => "published",
            Standing::Recorded(_) => "recorded",
            Standing::FirstSight => "first-seen",
        };
        serde_json::json!({
            "file": self.file.display().to_string(),
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "fetched": self.arrival == Arrival::Fetched,
            "digest": standing,
        })
    }
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrival = match self.arrival {
            Arrival::Fetched => "fetched",
            Arrival::AlreadyThere => "already there, nothing was fetched",
        };
        writeln!(f, "file           {}, {arrival}", self.file.display())?;
        writeln!(f, "bytes          {}", self.size_bytes)?;
        writeln!(f, "sha256         {}", self.sha256)?;
        match &self.standing {
            Standing::Pinned => write!(f, "held against   the digest that was published"),
            Standing::Recorded(day) => write!(f, "held against   the digest recorded on {day}"),
            Standing::FirstSight => write!(
                f,
                "held against   nothing: no digest was ever published; recorded from now on"
            ),
        }
    }
}
