//! A features file: safetensors with `features` and `labels`, written and read a part at a time.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use model::weights::{give_name, temporary_beside};
use safetensors::tensor::TensorInfo;
use serde_json::json;
use tempfile::NamedTempFile;

use super::FeatureDtype;
use crate::{Error, tensor_file::TensorFile, whole_file::hold};

/// Version of the file's form.
const FORMAT_VERSION: &str = "1";

/// What a features file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureMetadata {
    /// The layer whose output it holds.
    pub layer: String,
    /// SHA-256 of the weights file, or `random`.
    pub weights_sha256: String,
    /// SHA-256 of the prepared set.
    pub data_sha256: String,
    /// The digest of [`feature_key`](super::feature_key).
    pub key: String,
    /// The type of the features in the file.
    pub dtype: FeatureDtype,
}

/// An open features file.
///
/// # Shapes
///
/// - `features`: `(images, channels, rows, columns)` or `(images, units)`, f32 or f16, little-endian
/// - `labels`: `(images)`, u32
#[derive(Debug)]
pub struct FeatureFile {
    path: PathBuf,
    file: Mutex<File>,
    first_byte: u64,
    images: usize,
    /// For one image.
    shape: Vec<usize>,
    dtype: FeatureDtype,
}

impl FeatureFile {
    /// Opens a file and checks that it is whole and holds what `expected` says.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if it cannot be read, [`Error::Format`] if it is truncated, no features
    /// file, or one of other features.
    pub fn open(path: &Path, expected: &FeatureMetadata) -> Result<Self, Error> {
        let broken = |problem: String| Error::Format { path: path.to_owned(), problem };
        let opened = TensorFile::open(path)?;
        let version = opened.word("format_version");
        if version != Some(FORMAT_VERSION) {
            return Err(broken(format!(
                "has format_version {}, expected {FORMAT_VERSION}; delete it",
                version.unwrap_or("none")
            )));
        }
        if opened.word("key") != Some(expected.key.as_str()) {
            return Err(broken("holds other features than its name says; delete it".to_owned()));
        }
        let Some(TensorInfo { dtype: found, shape, data_offsets }) =
            opened.metadata.info("features")
        else {
            return Err(broken("has no tensor `features`; delete it".to_owned()));
        };
        let dtype = expected.dtype;
        if *found != dtype.in_file() {
            return Err(broken(format!("holds {found:?} features, expected {dtype}; delete it")));
        }
        opened.check_length()?;
        Ok(Self {
            path: path.to_owned(),
            first_byte: opened.first_byte + data_offsets.0 as u64,
            images: shape[0],
            shape: shape[1..].to_vec(),
            file: Mutex::new(opened.file),
            dtype,
        })
    }

    /// Whether a file of features is there, of whatever features.
    pub(super) fn is_at(path: &Path) -> bool {
        TensorFile::open(path).is_ok_and(|opened| {
            opened.metadata.info("features").is_some() && opened.word("layer").is_some()
        })
    }

    /// How many images it covers.
    pub fn len(&self) -> usize {
        self.images
    }

    /// Whether it covers no image.
    pub fn is_empty(&self) -> bool {
        self.images == 0
    }

    /// Shape of one image's features: `[channels, rows, columns]` or `[units]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the features of these images, one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the file fails.
    ///
    /// # Panics
    ///
    /// If an index is not below [`len`](Self::len).
    pub fn read(&self, indices: &[usize]) -> Result<Vec<f32>, Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let floats: usize = self.shape.iter().product();
        let mut features = vec![0_f32; indices.len() * floats];
        if features.is_empty() {
            return Ok(features);
        }
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (&index, of_image) in indices.iter().zip(features.chunks_exact_mut(floats)) {
            assert!(index < self.images, "image {index} of {}", self.images);
            let start = self.first_byte + (index * floats * self.dtype.size_bytes()) as u64;
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
            self.dtype.decode(of_image, |bytes| file.read_exact(bytes)).map_err(failed)?;
        }
        Ok(features)
    }
}

/// A features file that is being written; under its final name only when it is complete.
#[derive(Debug)]
pub struct FeatureWriter {
    path: PathBuf,
    output: BufWriter<NamedTempFile>,
    metadata: FeatureMetadata,
    labels: Vec<u32>,
    missing_floats: usize,
}

impl FeatureWriter {
    /// Begins a file for `labels.len()` images with features of this shape.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the folder cannot be written to.
    pub fn create(
        path: &Path,
        metadata: FeatureMetadata,
        shape: &[usize],
        labels: Vec<u32>,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let images = labels.len();
        let floats = images * shape.iter().product::<usize>();
        let feature_bytes = floats * metadata.dtype.size_bytes();
        let shape: Vec<usize> = std::iter::once(images).chain(shape.iter().copied()).collect();
        let header = json!({
            "__metadata__": {
                "format_version": FORMAT_VERSION,
                "layer": metadata.layer,
                "weights_sha256": metadata.weights_sha256,
                "data_sha256": metadata.data_sha256,
                "key": metadata.key,
            },
            "features": {
                "dtype": metadata.dtype.in_file(),
                "shape": shape,
                "data_offsets": [0, feature_bytes],
            },
            "labels": {
                "dtype": "U32",
                "shape": [images],
                "data_offsets": [feature_bytes, feature_bytes + images * 4],
            },
        });
        let mut header = header.to_string();
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let file = temporary_beside(path).map_err(failed)?;
        hold(&file).map_err(failed)?;
        let mut output = BufWriter::new(file);
        output.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
        output.write_all(header.as_bytes()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), output, metadata, labels, missing_floats: floats })
    }

    /// Adds the features of the next images.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails or is full, [`Error::FeatureTooLarge`] if the file's type
    /// cannot hold a feature.
    ///
    /// # Panics
    ///
    /// If there are more than [`create`](Self::create) was told of.
    pub fn append(&mut self, features: &[f32]) -> Result<(), Error> {
        self.missing_floats =
            self.missing_floats.checked_sub(features.len()).expect("no more features than images");
        let failed = |source| Error::Write { path: self.path.clone(), source };
        let bytes = self.metadata.dtype.encode(features).map_err(|feature| {
            Error::FeatureTooLarge { layer: self.metadata.layer.clone(), feature }
        })?;
        self.output.write_all(&bytes).map_err(failed)
    }

    /// Completes the file, gives it its name, and opens it.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails or is full.
    ///
    /// # Panics
    ///
    /// If features are missing.
    pub fn finish(mut self) -> Result<FeatureFile, Error> {
        assert_eq!(self.missing_floats, 0, "every image has its features");
        self.write_rest().map_err(|source| Error::Write { path: self.path.clone(), source })?;
        let failed = |source| Error::Write { path: self.path.clone(), source };
        let file = self.output.into_inner().map_err(|error| failed(error.into_error()))?;
        give_name(file, &self.path).map_err(failed)?;
        FeatureFile::open(&self.path, &self.metadata)
    }

    fn write_rest(&mut self) -> io::Result<()> {
        for label in &self.labels {
            self.output.write_all(&label.to_le_bytes())?;
        }
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    fn metadata() -> FeatureMetadata {
        FeatureMetadata {
            layer: "pool5".to_owned(),
            weights_sha256: "w".to_owned(),
            data_sha256: "d".to_owned(),
            key: "k".to_owned(),
            dtype: FeatureDtype::F32,
        }
    }

    fn written(path: &Path) -> FeatureFile {
        let mut writer =
            FeatureWriter::create(path, metadata(), &[2, 1, 2], vec![5, 7, 9]).unwrap();
        writer.append(&[0.0, 1.0, 2.0, 3.0]).unwrap();
        writer.append(&[4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, f32::MIN]).unwrap();
        assert!(!path.exists(), "a file has its name only when it is complete");
        writer.finish().unwrap()
    }

    #[test]
    fn features_read_back_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = written(&folder.path().join("f.safetensors"));
        assert_eq!((file.len(), file.shape()), (3, [2, 1, 2].as_slice()));
        let read = file.read(&[2, 0]).unwrap();
        assert_eq!(read, [8.0, 9.0, 10.0, f32::MIN, 0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn the_file_is_plain_safetensors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.safetensors");
        written(&path);
        let bytes = std::fs::read(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("features").unwrap().shape(), [3, 2, 1, 2]);
        assert_eq!(tensors.tensor("labels").unwrap().data(), [5, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0]);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["layer"], "pool5");
    }

    #[test]
    fn a_truncated_file_is_refused_at_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.safetensors");
        written(&path);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let refused = FeatureFile::open(&path, &metadata());
            assert!(matches!(refused, Err(Error::Format { .. })), "{length}");
        }
    }

    #[test]
    fn other_features_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.safetensors");
        written(&path);
        let other = FeatureMetadata { key: "other".to_owned(), ..metadata() };
        assert!(matches!(FeatureFile::open(&path, &other), Err(Error::Format { .. })));
    }
}
