//! Everything that can go wrong while a file is fetched, by what the caller can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::Error as SourceError;

/// Why a file was not fetched. Whatever it is, nothing new has the file's name, and what had it
/// before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be one: give another.
    #[error("{url} is no address that can be fetched: {reason}; it must begin with https or http")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The server will not give the file: see the remedy.
    #[error("{url} answers {status}; {remedy}")]
    Refused {
        /// The address.
        url: String,
        /// HTTP's status.
        status: u16,
        /// What to do.
        remedy: &'static str,
    },

    /// The server leads from a safe connection to one that anybody can listen to and change.
    #[error(
        "{url} leads on to {to}, which is not encrypted; if you mean to fetch from there, give \
         that address with `--url`"
    )]
    Insecure {
        /// The address.
        url: String,
        /// Where it leads.
        to: String,
    },

    /// The server answers what HTTP does not allow, or what this program did not ask for.
    #[error(
        "{url} answers what was not asked for: {reason}; download the file with a browser, or \
         give another address with `--url`"
    )]
    Answer {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },

    /// No connection could be made, for a reason that will not pass.
    #[error(
        "{url} cannot be fetched; behind a proxy, set HTTPS_PROXY, or download the file with a \
         browser"
    )]
    Connection {
        /// The address.
        url: String,
        /// What was wrong.
        source: Box<ureq::Error>,
    },

    /// The connection kept breaking: call again, what came is kept where the server lets it be.
    #[error(
        "{url} gave nothing new in {attempts} attempts, after {size_bytes} bytes; the last: \
         {reason}; call again to go on, give another address with `--url`, or download the file otherwise and \
         convert it with `cargo xtask convert-weights`"
    )]
    GaveUp {
        /// The address.
        url: String,
        /// How many in a row brought nothing.
        attempts: u32,
        /// How much had come.
        size_bytes: u64,
        /// What the last one broke on.
        reason: String,
    },

    /// No file of VGG16's weights is as large.
    #[error("{url} has {found} bytes, expected a file of weights of at most {limit}")]
    TooLarge {
        /// The address.
        url: String,
        /// The length that is claimed, or that came.
        found: u64,
        /// The most that is fetched.
        limit: u64,
    },

    /// What came is no file of weights.
    #[error(
        "{url} serves {served} and not the weights; open it in a browser to see why, or give \
         another address with `--url`"
    )]
    NotWeights {
        /// The address.
        url: String,
        /// What came.
        served: Served,
    },

    /// What came is not the file whose digest was published: fetch it elsewhere.
    #[error(
        "{url} serves another file than was published: expected {expected}, found {found}; it was \
         removed; fetch again in case it was damaged on its way, else from another address with \
         `--url`"
    )]
    PinnedDigest {
        /// The address.
        url: String,
        /// The digest that was published, and its kind.
        expected: String,
        /// That of what came.
        found: String,
    },

    /// What came is not the file that came the first time.
    #[error(
        "{url} serves another file than before: fetched.json has SHA-256 {expected} for `{name}`, \
         first seen on {first_seen}, found {found}; it was removed; if the change is wanted, \
         delete the entry `{name}` and fetch again"
    )]
    RecordedDigest {
        /// The address.
        url: String,
        /// The publication.
        name: &'static str,
        /// The digest that was recorded.
        expected: String,
        /// When it was.
        first_seen: String,
        /// The digest of what came.
        found: String,
    },

    /// The file that is there is not the one that is known: move it away.
    #[error(
        "{path} is there, but is not the file that is known: expected {expected}, {known}, found \
         {found}; move it away to fetch the right one"
    )]
    InPlace {
        /// The file.
        path: PathBuf,
        /// The digest that is known.
        expected: String,
        /// That of the file.
        found: String,
        /// How it is known.
        known: String,
    },

    /// The file that is there is no file of weights: move it away.
    #[error("{path} is {served} and not the weights; move it away to fetch them")]
    NotWeightsInPlace {
        /// The file.
        path: PathBuf,
        /// What it is.
        served: Served,
    },

    /// Another process is fetching the file: wait for it.
    #[error("{path} is being written by another process; wait until that is done")]
    Busy {
        /// The unfinished file.
        path: PathBuf,
    },

    /// The record of what was fetched is damaged: repair it or delete it.
    #[error(
        "{path} does not hold the record of what was fetched: {reason}; repair it, or delete it to \
         begin another"
    )]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The file system refused: see the source.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The disk failed or is full: see the source.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What there is in place of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// Nothing at all.
    Nothing,
    /// A web page, or an error report in XML.
    WebPage,
    /// What Git LFS leaves in a file's place.
    LfsPointer,
    /// Something else, in words.
    Other(String),
}

impl Error {
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Write { path: path.to_owned(), source }
    }
}

impl From<SourceError> for Served {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Empty { .. } => Self::Nothing,
            SourceError::WebPage { .. } => Self::WebPage,
            SourceError::LfsPointer { .. } => Self::LfsPointer,
            SourceError::FormatMismatch { expected, found, .. } => {
                Self::Other(format!("a file that is {found}, where {expected}'s is expected,"))
            }
            error => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "an empty file",
            Self::WebPage => "a web page",
            Self::LfsPointer => "a Git LFS pointer",
            Self::Other(words) => words,
        })
    }
}
