//! Layers as they are found in a file, no more of them than a network may have: links let a small
//! file hold one group or one array under any number of names.

use std::collections::HashSet;

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::{Attribute, Dataset};

use super::super::{SourceArray, SourceLayer};
use crate::axes::Axes;

/// How many layers are listed before a file is taken for damaged.
pub(super) const MAX_LAYERS: usize = 4096;

/// How many arrays.
const MAX_ARRAYS: usize = 2 * MAX_LAYERS;

/// How many pieces a list of names has: pieces of 64 KiB hold the longest list in far fewer.
const MAX_PIECES: usize = 64;

/// How many bytes of layers' attributes are read; Keras writes some hundred for each.
const MAX_ATTRIBUTE_BYTES: usize = 64 << 20;

/// The layers that have been found.
#[derive(Default)]
pub(super) struct Listing {
    /// In the order in which Keras lists them.
    pub(super) layers: Vec<SourceLayer>,
    num_arrays: usize,
    attribute_bytes: usize,
}

impl Listing {
    /// Appends a layer, whose axes are still to be found out.
    pub(super) fn push(&mut self, name: &str) -> Result<(), Hdf5Error> {
        self.layers.push(SourceLayer::new(name, Vec::new(), Axes::KERAS));
        bounded(self.layers.len(), MAX_LAYERS, "layers")
    }

    /// Appends an array to the last layer.
    pub(super) fn push_array(&mut self, dataset: &Dataset, name: String) -> Result<(), Hdf5Error> {
        self.num_arrays += 1;
        bounded(self.num_arrays, MAX_ARRAYS, "arrays")?;
        let shape = dataset.shape().iter().map(|&extent| usize::try_from(extent)).collect();
        let Ok(shape) = shape else {
            return Err(Hdf5Error::Other(format!("`{name}` claims a shape beyond all memory")));
        };
        if let Some(layer) = self.layers.last_mut() {
            layer.arrays.push(SourceArray { name, shape });
        }
        Ok(())
    }

    /// Counts a layer's attributes that have been read.
    pub(super) fn count(&mut self, attributes: &[Attribute]) -> Result<(), Hdf5Error> {
        let bytes =
            attributes.iter().map(|attribute| attribute.name.len() + attribute.raw_data.len());
        self.attribute_bytes += bytes.sum::<usize>();
        bounded(self.attribute_bytes, MAX_ATTRIBUTE_BYTES, "bytes of attributes")
    }
}

fn bounded(count: usize, limit: usize, what: &str) -> Result<(), Hdf5Error> {
    match count {
        _ if count <= limit => Ok(()),
        _ => Err(Hdf5Error::Other(format!("more than {limit} {what}"))),
    }
}

/// A list of different names, which Keras splits over `name0`, `name1`, .. where it exceeds 64 KiB.
pub(super) fn name_list(
    attributes: &[Attribute],
    name: &str,
) -> Result<Option<Vec<String>>, Hdf5Error> {
    let whole = find(attributes, name);
    let pieces = (0..=MAX_PIECES).map_while(|piece| find(attributes, &format!("{name}{piece}")));
    let pieces: Vec<_> =
        if whole.is_some() { whole.into_iter().collect() } else { pieces.collect() };
    bounded(pieces.len(), MAX_PIECES, &format!("pieces of `{name}`"))?;
    if pieces.is_empty() {
        return Ok(None);
    }
    let mut names = Vec::new();
    for piece in pieces {
        let count = usize::try_from(piece.num_elements()?).unwrap_or(usize::MAX);
        bounded(count.saturating_add(names.len()), MAX_LAYERS, &format!("names in `{name}`"))?;
        // An empty list may be of any type.
        if 0 < count {
            names.extend(piece.read_strings()?);
        }
    }
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(Hdf5Error::Other(format!("`{name}` has {twice:?} twice"))),
        None => Ok(Some(names)),
    }
}

/// The attribute of this name.
pub(super) fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name == name)
}
