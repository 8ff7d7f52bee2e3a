//! Keras 3's archive: a zip of a configuration and an HDF5 file of weights.

use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_reader::storage::{BytesStorage, DynStorage, RangeRequestStorage};
use serde_json::Value;
use zip::{CompressionMethod, ZipArchive};

use super::configuration;
use crate::Error;
use crate::reader::{inflated, printable};
use crate::source::{Source, inflation_limit};

/// The largest configuration that is read.
const MAX_CONFIGURATION_BYTES: u64 = 16 << 20;

/// The bytes of the archive's weights, and its model's configuration.
///
/// # Source
///
/// Keras 3.15.1, `src/saving/saving_lib.py`: `config.json`, `metadata.json`, `model.weights.h5`.
pub(super) fn open(source: &Source) -> Result<(DynStorage, Value), Error> {
    let damaged = |error: zip::result::ZipError| source.damaged(printable(&error.to_string()));
    let mut archive = ZipArchive::new(source.file()?).map_err(damaged)?;
    let text = inflated(
        source,
        archive.by_name("config.json").map_err(damaged)?,
        MAX_CONFIGURATION_BYTES,
    )?;
    let configuration = configuration::parse(&String::from_utf8_lossy(&text))
        .map_err(|error| source.damaged(format!("its config.json: {error}")))?;

    let entry = archive.by_name("model.weights.h5").map_err(damaged)?;
    let size = entry.size();
    if entry.compression() != CompressionMethod::Stored {
        let limit = inflation_limit(entry.compressed_size());
        let bytes = inflated(source, entry, limit)?;
        return Ok((Arc::new(BytesStorage::new(bytes)), configuration));
    }
    let start = entry.data_start().ok_or_else(|| source.damaged("an entry without data"))?;
    drop(entry);
    if start.checked_add(size).is_none_or(|end| source.size() < end) {
        return Err(source.damaged("`model.weights.h5` reaches beyond its end"));
    }
    let file = Mutex::new(source.file()?);
    let read = move |offset: u64, count: usize| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = vec![0; count];
        file.seek(SeekFrom::Start(start + offset))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    Ok((Arc::new(RangeRequestStorage::new(size, read)), configuration))
}
