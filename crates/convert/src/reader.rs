//! What every format gives: an ordered list of named layers with named arrays.

mod keras;
mod safetensors;

use crate::axes::Axes;
use crate::source::{Format, Source};
use crate::{Error, Normalization};

/// A layer as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceLayer {
    /// Its name in the source.
    pub(crate) name: String,
    /// Its arrays, in the source's order; none for a layer without parameters.
    pub(crate) arrays: Vec<SourceArray>,
}

/// An array as stored, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceArray {
    /// Its name in the source, unique there.
    pub(crate) name: String,
    /// Its shape, in the source's axis order; as claimed, so not to be allocated unseen.
    pub(crate) shape: Vec<usize>,
}

/// What a source says of its weights beside the numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SourceMetadata {
    /// The normalization they expect.
    pub(crate) normalization: Option<Normalization>,
    /// Names behind the rows of `fc8`.
    pub(crate) identities: Option<Vec<String>>,
    /// Whether the file says in which order its network flattens `pool5`, and does not leave it
    /// to be taken for granted.
    pub(crate) states_flattening: bool,
}

/// A file of one format.
pub(crate) trait Reader {
    /// The order of axes in this format's arrays.
    fn axes(&self) -> Axes;

    /// Every layer, in the order of the network where the source has one.
    fn layers(&self) -> &[SourceLayer];

    /// What the source says of itself.
    fn metadata(&self) -> &SourceMetadata;

    /// The values of one of the arrays, in row-major order of its shape.
    fn values(&self, array: &SourceArray) -> Result<Vec<f32>, Error>;
}

/// The reader for a source's format.
pub(crate) fn open(source: Source) -> Result<Box<dyn Reader>, Error> {
    let (path, format) = (source.path.clone(), source.format);
    let reader: Box<dyn Reader> = match format {
        Format::Hdf5 => Box::new(keras::KerasReader::open(source)?),
        Format::Safetensors => Box::new(safetensors::SafetensorsReader::open(source)?),
        format => return Err(Error::NotReadableYet { path, format }),
    };
    // Names are printed from here on, and a damaged one could write all over a terminal.
    let arrays = reader.layers().iter().flat_map(|layer| &layer.arrays).map(|array| &array.name);
    let mut names = reader.layers().iter().map(|layer| &layer.name).chain(arrays);
    match names.find(|name| name.contains(char::is_control)) {
        Some(name) => {
            Err(Error::Damaged { path, format, reason: format!("{name:?} is no name of a layer") })
        }
        None => Ok(reader),
    }
}

/// Text that may hold parts of an untrusted file, made fit for one line on a terminal.
fn printable(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
