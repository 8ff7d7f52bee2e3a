//! The record of what was fetched: each file's digest, as it was first seen.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::weights::{give_name, temporary_beside};
use serde::{Deserialize, Serialize};

use super::Error;

/// The version of the record's form.
const FORMAT_VERSION: u32 = 1;

/// What lies in `fetched.json` beside the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format_version: u32,
    /// By the name of the publication.
    pub(super) files: BTreeMap<String, Entry>,
}

/// A file as it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Where it was to be fetched, also where it was there already.
    pub(super) url: String,
    /// Its own name.
    pub(super) file: String,
    /// Its length.
    pub(super) size_bytes: u64,
    /// SHA-256 in hexadecimal.
    pub(super) sha256: String,
    /// The day, UTC, as year-month-day.
    pub(super) first_seen: String,
}

impl Record {
    /// Where the record of a folder lies.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("fetched.json")
    }

    /// The record of a folder, empty if it has none.
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        let path = Self::path(folder);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { format_version: FORMAT_VERSION, files: BTreeMap::new() });
            }
            Err(error) => return Err(Error::read(&path)(error)),
        };
        let record: Self = serde_json::from_str(&text)
            .map_err(|error| Error::Record { path: path.clone(), reason: error.to_string() })?;
        match record.format_version {
            FORMAT_VERSION => Ok(record),
            found => Err(Error::Record {
                path,
                reason: format!("format version {found}, expected {FORMAT_VERSION}"),
            }),
        }
    }

    /// Writes the record whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = Self::path(folder);
        let mut text = serde_json::to_string_pretty(self).expect("the record has string keys");
        text.push('\n');
        write_whole(&path, text.as_bytes()).map_err(Error::write(&path))
    }
}

/// Writes a file to a temporary neighbour and renames that.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary_beside(path)?;
    file.write_all(bytes)?;
    give_name(file, path)
}

/// The day of a moment, UTC, as year-month-day.
///
/// # Source
///
/// Hinnant, `chrono`-Compatible Low-Level Date Algorithms, `civil_from_days`, for days from 1970.
pub(super) fn date(now: SystemTime) -> String {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Days from 0000-03-01 on, so that a leap day ends its year.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_from_march + 2) / 5 + 1;
    let month = (months_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_the_calendars() {
        let days = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (seconds, day) in days {
            assert_eq!(date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), day);
        }
    }

    #[test]
    fn another_version_or_form_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["{", "{\"format_version\": 2, \"files\": {}}", "{\"format_version\": 1}"] {
            fs::write(Record::path(folder.path()), text).unwrap();
            assert!(matches!(Record::read(folder.path()), Err(Error::Record { .. })), "{text}");
        }
    }
}
