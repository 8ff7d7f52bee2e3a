//! What every format gives: an ordered list of named layers with named arrays.

mod caffe;
mod keras;
mod matconvnet;
mod onnx;
mod pytorch;
mod safetensors;
mod strided;
mod torch7;

use std::io::Read;
use std::path::Path;

use crate::axes::Axes;
use crate::guard::caught;
use crate::source::Source;
use crate::{Error, Format, Normalization, Pixels};

/// The backend with which Keras saved a file, which decides whether kernels are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum KerasBackend {
    /// Saved with Keras on Theano: kernels are mirrored.
    Theano,
    /// Saved with Keras on TensorFlow: kernels are not mirrored.
    Tensorflow,
}

/// A layer as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceLayer {
    /// Its name in the source.
    pub(crate) name: String,
    /// Its arrays, in the source's order; none for a layer without parameters.
    pub(crate) arrays: Vec<SourceArray>,
    /// The order of axes in them.
    pub(crate) axes: Axes,
}

impl SourceLayer {
    fn new(name: impl Into<String>, arrays: Vec<SourceArray>, axes: Axes) -> Self {
        Self { name: name.into(), arrays, axes }
    }
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
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SourceMetadata {
    /// The normalization they expect.
    pub(crate) normalization: Option<Normalization>,
    /// The means that its network subtracts, in the order blue, green, red.
    pub(crate) bgr_means: Option<[f32; 3]>,
    /// The pixels that its network takes, where all files of the format agree.
    pub(crate) pixels: Option<Pixels>,
    /// Names behind the rows of `fc8`.
    pub(crate) identities: Option<Vec<String>>,
    /// Parts of the file that belong to no layer, such as an optimizer's state.
    pub(crate) left_out: Vec<String>,
    /// Whether the file says in which order its network flattens `pool5`, and does not leave it
    /// to be taken for granted.
    pub(crate) states_flattening: bool,
    /// What in its network's head, if anything, is not as in VGG16 and changes what dense layers
    /// are given or give.
    pub(crate) head_misfit: Option<String>,
    /// Layers without weights that its network has and VGG16 has not.
    pub(crate) not_converted: Vec<String>,
}

impl SourceMetadata {
    /// Warns of layers that are lost, and refuses a head that is to be kept but is not VGG16's;
    /// `dense_arrays` says how many of its arrays are.
    pub(crate) fn check(&self, path: &Path, dense_arrays: usize) -> Result<(), Error> {
        if !self.not_converted.is_empty() {
            tracing::warn!(
                "{} is not converted; where that changes what conv1_1 is given, set --pixels and \
                 --normalization accordingly",
                self.not_converted.join(", ")
            );
        }
        match &self.head_misfit {
            Some(misfit) if 0 < dense_arrays => Err(Error::NotVgg16 {
                path: path.to_owned(),
                misfit: misfit.clone(),
                found: "a head that cannot be converted, where `--base-only` keeps the \
                        convolutions"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// The longest name of a layer or of anything else that is printed.
const MAX_NAME_BYTES: usize = 512;

/// What a file holds.
pub(crate) struct Contents {
    /// Every layer, in the order of the network where the source has one.
    pub(crate) layers: Vec<SourceLayer>,
    /// What the source says of itself.
    pub(crate) metadata: SourceMetadata,
    /// What reads the layers' arrays.
    pub(crate) reader: Box<dyn Reader>,
}

/// A file of one format, whose arrays are read one at a time.
pub(crate) trait Reader {
    /// The values of one of the arrays, in row-major order of its shape.
    fn values(&self, source: &Source, array: &SourceArray) -> Result<Vec<f32>, Error>;
}

/// Lists what a source holds, by the reader for its format.
pub(crate) fn open(
    source: &Source,
    keras_backend: Option<KerasBackend>,
) -> Result<Contents, Error> {
    let is_keras = matches!(source.format, Format::Hdf5 | Format::KerasArchive);
    if keras_backend.is_some() && !is_keras {
        return Err(Error::Unconvertible {
            path: source.path.clone(),
            reason: format!(
                "`--keras-backend` is for Keras's files, and this is {}",
                source.format
            ),
        });
    }
    let contents = match source.format {
        Format::Hdf5 => keras::open(source, keras_backend)?,
        Format::KerasArchive => keras::open_archive(source, keras_backend)?,
        Format::PytorchArchive => pytorch::open_archive(source)?,
        Format::Pickle => pytorch::open_legacy(source)?,
        Format::Caffe => caffe::open(source)?,
        Format::Onnx => onnx::open(source)?,
        Format::Matlab => matconvnet::open5(source)?,
        Format::Matlab73 => matconvnet::open73(source)?,
        Format::Torch7 => torch7::open(source)?,
        Format::Safetensors => safetensors::open(source)?,
        Format::Zip if source.is_readable_archive() => {
            return Err(Error::OtherArchive { path: source.path.clone() });
        }
        Format::Zip => return Err(source.damaged("it has no list of the files in it")),
    };
    // Names are printed from here on, and a damaged one could write all over a terminal.
    let arrays = contents.layers.iter().flat_map(|layer| &layer.arrays).map(|array| &array.name);
    let names = contents.layers.iter().map(|layer| &layer.name).chain(arrays);
    let is_no_name =
        |name: &&String| MAX_NAME_BYTES < name.len() || name.contains(char::is_control);
    match names.chain(&contents.metadata.left_out).find(is_no_name) {
        Some(name) => {
            let beginning: String = name.chars().take(40).collect();
            Err(source.damaged(format!("{beginning:?} is no name of a layer")))
        }
        None => Ok(contents),
    }
}

/// Runs another crate's code on untrusted bytes; a panic in it means that they are damaged.
fn guarded<T>(source: &Source, parse: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    caught(parse).unwrap_or_else(|| Err(source.damaged("the reader failed on it")))
}

/// The content of an archive's entry, of at most so many bytes, whatever its header claims.
fn inflated(source: &Source, entry: impl Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    entry
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| source.damaged(printable(&error.to_string())))?;
    if limit < bytes.len() as u64 {
        return Err(source.damaged(format!("an entry of more than {limit} bytes")));
    }
    Ok(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceFormat;

    #[test]
    fn panics_become_errors_that_name_the_format() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\x89HDF\r\n\x1a\n").unwrap();
        let source = Source::open(file.path(), SourceFormat::Auto).unwrap();
        let result: Result<(), Error> = guarded(&source, || panic!("as a damaged file may do"));
        assert!(matches!(result, Err(Error::Damaged { format: Format::Hdf5, .. })));
        assert!(guarded(&source, || Ok(1)).is_ok());
    }
}
