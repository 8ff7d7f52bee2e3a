//! Keras's HDF5, as Keras 0.3 to 3 have laid it out, with weights alone or in a whole model.

mod layout;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use hdf5_reader::{Datatype, Hdf5File, OpenOptions};

use super::{Reader, SourceArray, SourceLayer, SourceMetadata, printable};
use crate::Error;
use crate::axes::Axes;
use crate::source::{Format, Source};

/// The largest array that is read: more than twice VGG16's `fc6.weight`.
const MAX_ARRAY_BYTES: usize = 1 << 30;

/// A file that Keras has written.
pub(super) struct KerasReader {
    path: PathBuf,
    file: Hdf5File,
    layers: Vec<SourceLayer>,
    metadata: SourceMetadata,
}

impl KerasReader {
    /// Lists the layers of a file, reading none of their values.
    pub(super) fn open(source: Source) -> Result<Self, Error> {
        let Source { path, bytes, .. } = source;
        let size = bytes.len();
        guarded(&path, || {
            let options = OpenOptions::default()
                .with_max_chunk_bytes(MAX_ARRAY_BYTES)
                .with_max_read_bytes(MAX_ARRAY_BYTES);
            let file = Hdf5File::from_vec_with_options(bytes, options)
                .map_err(|error| damaged(&path, &error))?;
            let promised = file.superblock().eof_address;
            if usize::try_from(promised).map_or(true, |promised| size < promised) {
                let reason = format!("it has {size} bytes, its superblock promises {promised}");
                return Err(Error::Damaged { path: path.clone(), format: Format::Hdf5, reason });
            }
            let layers = layout::layers(&path, &file)?;
            let states_flattening = layout::has_configuration(&path, &file)?;
            let metadata = SourceMetadata { states_flattening, ..SourceMetadata::default() };
            Ok((file, layers, metadata))
        })
        .map(|(file, layers, metadata)| Self { path, file, layers, metadata })
    }
}

impl Reader for KerasReader {
    fn axes(&self) -> Axes {
        Axes::ChannelsLast
    }

    fn layers(&self) -> &[SourceLayer] {
        &self.layers
    }

    fn metadata(&self) -> &SourceMetadata {
        &self.metadata
    }

    fn values(&self, array: &SourceArray) -> Result<Vec<f32>, Error> {
        guarded(&self.path, || {
            let failed = |error| damaged(&self.path, &error);
            let dataset = self.file.dataset(&array.name).map_err(failed)?;
            if !matches!(dataset.dtype(), Datatype::FloatingPoint { size: 4, .. }) {
                return Err(Error::ElementType {
                    path: self.path.clone(),
                    name: array.name.clone(),
                    found: element_type(dataset.dtype()),
                });
            }
            let claimed = array.shape.iter().try_fold(size_of::<f32>(), |bytes, &extent| {
                bytes.checked_mul(extent).filter(|&bytes| bytes <= MAX_ARRAY_BYTES)
            });
            let Some(bytes) = claimed else {
                let reason = format!(
                    "`{}` claims shape {:?}, more than {MAX_ARRAY_BYTES} bytes",
                    array.name, array.shape
                );
                return Err(Error::Damaged {
                    path: self.path.clone(),
                    format: Format::Hdf5,
                    reason,
                });
            };
            let mut values = vec![0.0; bytes / size_of::<f32>()];
            dataset.read_into(&mut values).map_err(failed)?;
            Ok(values)
        })
    }
}

/// Runs something that parses untrusted bytes; a panic in it means that they are damaged.
fn guarded<T>(path: &Path, parse: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Whatever a panic leaves half done is dropped with the reader, as no caller retries.
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|_| {
        Err(Error::Damaged {
            path: path.to_owned(),
            format: Format::Hdf5,
            reason: "the reader failed on it".to_owned(),
        })
    })
}

fn damaged(path: &Path, error: &hdf5_reader::error::Error) -> Error {
    let reason = printable(&error.to_string());
    Error::Damaged { path: path.to_owned(), format: Format::Hdf5, reason }
}

/// An element type in a word.
fn element_type(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FloatingPoint { size, .. } => format!("f{}", usize::from(*size) * 8),
        Datatype::FixedPoint { size, .. } => format!("integers of {size} bytes"),
        _ => "no numbers".to_owned(),
    }
}
