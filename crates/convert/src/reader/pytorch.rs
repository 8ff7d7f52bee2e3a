//! PyTorch's files: archives and, before 1.6, plain pickles; state dictionaries, checkpoints, whole
//! modules and TorchScript.
//!
//! # Source
//!
//! PyTorch 2.15, `torch/serialization.py` (`_save`, `_legacy_save`), `torch/_utils.py`
//! (`_rebuild_tensor_v2`), `torch/csrc/jit/serialization/pickler.cpp`.

mod objects;
mod pickle;
mod weights;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

use zip::{CompressionMethod, ZipArchive};

use self::objects::{Refusal, Tensor};
use self::pickle::Pickle;
use super::strided::{extent, gathered};
use super::{Contents, Reader, SourceArray, SourceMetadata, guarded, inflated, printable};
use crate::Error;
use crate::axes::Axes;
use crate::element::ByteOrder;
use crate::source::Source;
use crate::state_dict;

/// The largest pickle that is read: descriptions, without the numbers.
const MAX_PICKLE_BYTES: u64 = 8 << 20;

/// What the first of the pickles before 1.6 holds: 0x1950a86a20f9469cfc6c.
const MAGIC: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";

/// A file that PyTorch has written.
struct PytorchReader {
    tensors: HashMap<String, Tensor>,
    /// Where each storage's numbers lie in the file.
    storages: HashMap<String, Stretch>,
    byte_order: ByteOrder,
}

/// A stretch of a file.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    offset: u64,
    bytes: u64,
}

/// Lists the layers of an archive.
pub(super) fn open_archive(source: &Source) -> Result<Contents, Error> {
    let Archive { pickle, storages, byte_order } = guarded(source, || archive(source))?;
    let pickle = pickle::read(&pickle).map_err(|refusal| refused(source, refusal))?;
    contents(source, &pickle, storages, byte_order)
}

/// Lists the layers of a file from before 1.6: pickles of a magic number, the version, the
/// system, the object and the names of its storages, then the storages.
pub(super) fn open_legacy(source: &Source) -> Result<Contents, Error> {
    let text = source.bytes(0, source.size().min(MAX_PICKLE_BYTES))?;
    if !text.starts_with(MAGIC) {
        return Err(Error::OtherPickle { path: source.path.clone() });
    }
    let mut place = MAGIC.len();
    let mut next = || -> Result<Pickle, Error> {
        let pickle = pickle::read(&text[place..]).map_err(|it| refused(source, it))?;
        place += pickle.length;
        Ok(pickle)
    };
    let (_version, system, object, keys) = (next()?, next()?, next()?, next()?);
    let little = system.objects.get(system.root, "little_endian");
    let byte_order = match little {
        Some(objects::Value::Bool(false)) => ByteOrder::BigEndian,
        _ => ByteOrder::LittleEndian,
    };
    let storages = legacy_storages(source, &object, &keys, place as u64, byte_order)?;
    contents(source, &object, storages, byte_order)
}

fn contents(
    source: &Source,
    pickle: &Pickle,
    storages: HashMap<String, Stretch>,
    byte_order: ByteOrder,
) -> Result<Contents, Error> {
    let weights = weights::weights(pickle)
        .map_err(|reason| Error::Unconvertible { path: source.path.clone(), reason })?;
    let array = |(name, tensor): &(String, Tensor)| SourceArray {
        name: name.clone(),
        shape: tensor.shape.clone(),
    };
    let arrays = weights.tensors.iter().map(array).collect();
    let layers = state_dict::layers(arrays, Axes::CHANNELS_FIRST);
    let metadata = SourceMetadata {
        left_out: weights.left_out,
        states_flattening: true,
        ..SourceMetadata::default()
    };
    let tensors = weights.tensors.into_iter().collect();
    let reader = Box::new(PytorchReader { tensors, storages, byte_order });
    Ok(Contents { layers, metadata, reader })
}

impl Reader for PytorchReader {
    fn values(&self, source: &Source, array: &SourceArray) -> Result<Vec<f32>, Error> {
        let tensor = self.tensors.get(&array.name).expect("arrays are listed from these tensors");
        let Some(element) = tensor.storage.element() else {
            return Err(Error::ElementType {
                path: source.path.clone(),
                name: array.name.clone(),
                found: tensor.storage.kind.clone(),
            });
        };
        let beyond = || source.damaged(format!("`{}` reaches beyond its storage", array.name));
        let stretch = self.storages.get(&tensor.storage.key).ok_or_else(beyond)?;
        let size = element.size() as u64;
        let reach =
            extent(&tensor.shape, &tensor.strides).filter(|&reach| reach <= stretch.bytes / size);
        let (Some(reach), Some(start)) = (reach, tensor.offset.checked_mul(size)) else {
            return Err(beyond());
        };
        if stretch.bytes < start.checked_add(reach * size).ok_or_else(beyond)? {
            return Err(beyond());
        }
        let values = source.numbers(stretch.offset + start, reach, element, self.byte_order)?;
        gathered(values, &tensor.shape, &tensor.strides).ok_or_else(beyond)
    }
}

fn refused(source: &Source, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Damaged(reason) => source.damaged(reason),
        Refusal::Forbidden(name) => {
            Error::Forbidden { path: source.path.clone(), name: printable(&name) }
        }
    }
}

/// An archive's parts.
struct Archive {
    pickle: Vec<u8>,
    storages: HashMap<String, Stretch>,
    byte_order: ByteOrder,
}

/// The pickle of an archive, and where its storages lie.
fn archive(source: &Source) -> Result<Archive, Error> {
    let damaged = |error: zip::result::ZipError| source.damaged(printable(&error.to_string()));
    let mut archive = ZipArchive::new(source.file()?).map_err(damaged)?;
    let pickle = archive
        .file_names()
        .filter_map(Result::ok)
        .find(|name| is_root_pickle(name))
        .map(Cow::into_owned);
    let pickle = pickle.ok_or_else(|| source.damaged("there is no `data.pkl` in it"))?;
    let root = pickle.strip_suffix("data.pkl").unwrap_or_default();
    let entry = archive.by_name(&pickle).map_err(damaged)?;
    let text = inflated(source, entry, MAX_PICKLE_BYTES)?;
    let mut byte_order = ByteOrder::LittleEndian;
    if let Ok(entry) = archive.by_name(&format!("{root}byteorder")) {
        let mut word = String::new();
        if entry.take(16).read_to_string(&mut word).is_ok() && word == "big" {
            byte_order = ByteOrder::BigEndian;
        }
    }
    let folder = format!("{root}data/");
    let mut storages = HashMap::new();
    for place in 0..archive.len() {
        let entry = archive.by_index_raw(place).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?;
        let Some(key) = name.strip_prefix(&folder) else { continue };
        if entry.compression() != CompressionMethod::Stored {
            return Err(source.damaged(format!(
                "`{}` is compressed, which PyTorch never does",
                printable(&name)
            )));
        }
        if let Some(offset) = entry.data_start() {
            storages.insert(key.to_owned(), Stretch { offset, bytes: entry.size() });
        }
    }
    Ok(Archive { pickle: text, storages, byte_order })
}

/// `data.pkl` at the top, or in the one folder there.
fn is_root_pickle(name: &str) -> bool {
    name == "data.pkl" || name.strip_suffix("/data.pkl").is_some_and(|folder| !folder.contains('/'))
}

/// Where the storages of a file from before 1.6 lie: for each key a count, then the numbers.
fn legacy_storages(
    source: &Source,
    object: &Pickle,
    keys: &Pickle,
    start: u64,
    byte_order: ByteOrder,
) -> Result<HashMap<String, Stretch>, Error> {
    let sizes = object.objects.storages().map(|it| (it.key.as_str(), it.element_bytes()));
    let sizes: HashMap<&str, Option<u64>> = sizes.collect();
    let mut storages = HashMap::new();
    let mut place = start;
    for key in keys.objects.texts(keys.root) {
        let Some(size) = sizes.get(key).copied().flatten() else {
            return Err(source.damaged("it has a storage that it never describes"));
        };
        let count = source.bytes(place, 8)?.try_into().expect("eight bytes were asked for");
        let count = match byte_order {
            ByteOrder::LittleEndian => u64::from_le_bytes(count),
            ByteOrder::BigEndian => u64::from_be_bytes(count),
        };
        let bytes = count.checked_mul(size).filter(|&bytes| bytes <= source.size());
        let Some(bytes) = bytes else {
            return Err(source.damaged(format!("a storage claims {count} numbers")));
        };
        storages.insert(key.to_owned(), Stretch { offset: place + 8, bytes });
        place += 8 + bytes;
    }
    if source.size() < place {
        let found = source.size();
        return Err(source.damaged(format!("it has {found} bytes, its storages end at {place}")));
    }
    Ok(storages)
}
