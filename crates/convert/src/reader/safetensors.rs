//! Safetensors: this project's own files, such as a run's weights, out of which a backbone can be
//! taken, and those of others under any names that are known.

use std::collections::HashMap;
use std::path::Path;

use model::weights::FORMAT_VERSION;
use safetensors::tensor::{Dtype, Metadata};

use super::{Contents, Reader, SourceArray, SourceMetadata, printable};
use crate::axes::Axes;
use crate::element::{ByteOrder, Element};
use crate::source::Source;
use crate::state_dict;
use crate::{Error, Normalization, Pixels};

/// The longest header that is read; the format itself allows 100 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// A safetensors file.
struct SafetensorsReader {
    /// Where the arrays begin.
    start: u64,
    header: Metadata,
}

/// Lists the layers of a file.
pub(super) fn open(source: &Source) -> Result<Contents, Error> {
    let length = source.bytes(0, 8)?;
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes were asked for"));
    if MAX_HEADER_BYTES < length {
        return Err(source.damaged(format!("its header claims {length} bytes")));
    }
    let start = 8 + length;
    let header: Metadata = serde_json::from_slice(&source.bytes(8, length)?)
        .map_err(|error| source.damaged(printable(&error.to_string())))?;
    let expected = start + header.data_len() as u64;
    if source.size() != expected {
        let found = source.size();
        return Err(
            source.damaged(format!("it has {found} bytes, its header describes {expected}"))
        );
    }
    let metadata = metadata(&source.path, header.metadata().as_ref())?;
    let mut arrays: Vec<SourceArray> = header
        .tensors()
        .into_iter()
        .map(|(name, info)| SourceArray { name, shape: info.shape.clone() })
        .collect();
    // The format keeps no order of layers: `features.2` comes before `features.10`.
    arrays.sort_by_cached_key(|array| state_dict::in_order_of_numbers(&array.name));
    let layers = state_dict::layers(arrays, Axes::CHANNELS_FIRST);
    let reader = Box::new(SafetensorsReader { start, header });
    Ok(Contents { layers, metadata, reader })
}

impl Reader for SafetensorsReader {
    fn values(&self, source: &Source, array: &SourceArray) -> Result<Vec<f32>, Error> {
        let info = self.header.info(&array.name).expect("arrays are listed from this header");
        let element = match info.dtype {
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            other => {
                return Err(Error::ElementType {
                    path: source.path.clone(),
                    name: array.name.clone(),
                    found: other.to_string(),
                });
            }
        };
        let (from, to) = info.data_offsets;
        let count = ((to - from) / element.size()) as u64;
        source.numbers(self.start + from as u64, count, element, ByteOrder::LittleEndian)
    }
}

/// What the strings beside the tensors say, as `model::weights` writes them.
fn metadata(
    path: &Path,
    strings: Option<&HashMap<String, String>>,
) -> Result<SourceMetadata, Error> {
    let get = |key| strings.and_then(|strings| strings.get(key));
    let wrong =
        |key, expected, found| Error::Metadata { path: path.to_owned(), key, expected, found };
    let version = FORMAT_VERSION.to_string();
    let Some(found) = get("format_version") else {
        return Ok(SourceMetadata { states_flattening: true, ..SourceMetadata::default() });
    };
    if *found != version {
        let found = format!("{}, a version that this program does not know", printable(found));
        return Err(wrong("format_version", "1", found));
    }
    let normalization = get("normalization").map(|name| {
        name.parse::<Normalization>()
            .map_err(|_| wrong("normalization", "the name of a normalization", format!("{name:?}")))
    });
    let identities = get("identities").map(|json| {
        serde_json::from_str(json).map_err(|error| {
            wrong("identities", "a JSON array of names", printable(&error.to_string()))
        })
    });
    Ok(SourceMetadata {
        normalization: normalization.transpose()?,
        identities: identities.transpose()?,
        pixels: Some(Pixels::Bgr),
        states_flattening: true,
        ..SourceMetadata::default()
    })
}
