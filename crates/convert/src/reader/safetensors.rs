//! This project's own files, such as a run's weights, out of which a backbone can be taken.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use model::weights::FORMAT_VERSION;
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, SafeTensors};

use super::{Reader, SourceArray, SourceLayer, SourceMetadata, printable};
use crate::axes::Axes;
use crate::source::{Format, Source};
use crate::{Error, Normalization};

/// A safetensors file under this project's names.
pub(super) struct SafetensorsReader {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the arrays begin.
    start: usize,
    header: Metadata,
    layers: Vec<SourceLayer>,
    metadata: SourceMetadata,
}

impl SafetensorsReader {
    /// Lists the layers of a file.
    pub(super) fn open(source: Source) -> Result<Self, Error> {
        let Source { path, bytes, .. } = source;
        let damaged = |error: SafeTensorError| Error::Damaged {
            path: path.clone(),
            format: Format::Safetensors,
            reason: printable(&error.to_string()),
        };
        let (length, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let metadata = metadata(&path, header.metadata().as_ref())?;
        let layers = layers(&header);
        if layers.iter().all(|layer| layer.name != "conv1_1") {
            let names: Vec<_> = layers.iter().take(3).map(|layer| &layer.name).collect();
            return Err(Error::NotVgg16 {
                path,
                misfit: "no `conv1_1.weight`, and other names are not known in safetensors".into(),
                found: format!("{} layers {names:?}", layers.len()),
            });
        }
        Ok(Self { path, start: 8 + length, bytes, header, layers, metadata })
    }
}

impl Reader for SafetensorsReader {
    fn axes(&self) -> Axes {
        Axes::ChannelsFirst
    }

    fn layers(&self) -> &[SourceLayer] {
        &self.layers
    }

    fn metadata(&self) -> &SourceMetadata {
        &self.metadata
    }

    fn values(&self, array: &SourceArray) -> Result<Vec<f32>, Error> {
        let info = self.header.info(&array.name).expect("arrays are listed from this header");
        if info.dtype != Dtype::F32 {
            return Err(Error::ElementType {
                path: self.path.clone(),
                name: array.name.clone(),
                found: info.dtype.to_string(),
            });
        }
        let (from, to) = info.data_offsets;
        let bytes = &self.bytes[self.start + from..self.start + to];
        let (values, _) = bytes.as_chunks();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }
}

/// The layers by name; a layer's arrays are `weight`, then `bias`, then any other.
fn layers(header: &Metadata) -> Vec<SourceLayer> {
    let mut layers: BTreeMap<String, Vec<SourceArray>> = BTreeMap::new();
    let tensors: BTreeMap<_, _> = header.tensors().into_iter().collect();
    // Backwards, `weight` comes before `bias`.
    for (name, info) in tensors.into_iter().rev() {
        let layer = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer).to_owned();
        layers.entry(layer).or_default().push(SourceArray { name, shape: info.shape.clone() });
    }
    layers.into_iter().map(|(name, arrays)| SourceLayer { name, arrays }).collect()
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
    if let Some(found) = get("format_version").filter(|found| **found != version) {
        let found = format!("{}, a version that this program does not know", printable(found));
        return Err(wrong("format_version", "1", found));
    }
    let normalization = get("normalization").map(|name| {
        Normalization::from_str(name, false)
            .map_err(|_| wrong("normalization", "the name of a normalization", format!("{name:?}")))
    });
    let identities = get("identities").map(|json| {
        serde_json::from_str(json).map_err(|error| {
            wrong("identities", "a JSON array of names", printable(&error.to_string()))
        })
    });
    let (normalization, identities) = (normalization.transpose()?, identities.transpose()?);
    Ok(SourceMetadata { normalization, identities, states_flattening: true })
}
