//! Reading a file of weights, with a plain word for each way in which it can be unfit.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{fs, io};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::{FORMAT_VERSION, Metadata, hexadecimal};
use crate::architecture::{CONVOLUTIONS_PER_BLOCK, MIN_SIDE_PX};
use crate::{Architecture, Classifier, Error, Head, Widths};

/// The keys of [`Metadata`]'s fields; all others are its notes.
const KEYS: [&str; 5] =
    ["format_version", "normalization", "source", "source_sha256", "identities"];

/// A file of weights, whole in memory.
#[derive(Debug, Clone)]
pub struct WeightsFile {
    path: PathBuf,
    sha256: String,
    metadata: Metadata,
    tensors: BTreeMap<String, Tensor>,
}

impl WeightsFile {
    /// Reads a file that `cargo xtask convert-weights` or a run has written.
    ///
    /// Tensors of type f16, bf16 and f64 become f32. Values that are not finite are kept, with a
    /// warning that names the tensor.
    ///
    /// # Errors
    ///
    /// [`Error::WeightsNotFound`], [`Error::Io`], [`Error::WeightsSize`],
    /// [`Error::NotSafetensors`], [`Error::Metadata`] or [`Error::DType`] where the file is none
    /// of ours or damaged, [`Error::OtherNetwork`] where it has no `conv1_1.weight`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let _span = tracing::info_span!("load_weights", path = %path.display()).entered();
        let bytes = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::WeightsNotFound { path: path.to_owned() },
            _ => Error::Io { action: "read", path: path.to_owned(), source },
        })?;
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| unreadable(path, &bytes, &error))?;
        let views =
            SafeTensors::deserialize(&bytes).map_err(|error| unreadable(path, &bytes, &error))?;
        // In the order of names: the map's own order is random and shows in warnings and errors.
        let views: BTreeMap<String, TensorView<'_>> = views.tensors().into_iter().collect();
        if !views.contains_key("conv1_1.weight") {
            let names: Vec<&str> = views.keys().map(String::as_str).take(3).collect();
            return Err(Error::OtherNetwork {
                path: path.to_owned(),
                expected: "`conv1_1.weight`".to_owned(),
                found: format!("{} tensors ({}, ..)", views.len(), names.join(", ")),
            });
        }
        let metadata = parse_metadata(path, header.metadata().as_ref())?;
        let tensors = views
            .into_iter()
            .map(|(name, view)| to_tensor(path, &name, &view).map(|tensor| (name, tensor)))
            .collect::<Result<_, _>>()?;
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        Ok(Self { path: path.to_owned(), sha256, metadata, tensors })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Every tensor, by name: f32, on the CPU.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The widths of the network whose weights these are, from the tensors' shapes.
    ///
    /// Without an `fc6`, [`Widths::fc`] is VGG16's.
    ///
    /// # Errors
    ///
    /// [`Error::OtherNetwork`] if the convolutions are not VGG16's thirteen, in blocks of one
    /// width each.
    pub fn widths(&self) -> Result<Widths, Error> {
        let other = |expected: String, found: String| Error::OtherNetwork {
            path: self.path.clone(),
            expected,
            found,
        };
        let mut names = Vec::new();
        let mut blocks = [0; 5];
        let mut channels = 3;
        for (block, &convolutions) in CONVOLUTIONS_PER_BLOCK.iter().enumerate() {
            for convolution in 1..=convolutions {
                let layer = format!("conv{}_{convolution}", block + 1);
                let name = format!("{layer}.weight");
                let Some(tensor) = self.tensors.get(&name) else {
                    return Err(other(format!("`{name}`"), "no such tensor".to_owned()));
                };
                let out_channels = match tensor.dims() {
                    &[out, inputs, 3, 3]
                        if inputs == channels && (convolution == 1 || out == channels) =>
                    {
                        out
                    }
                    dims => {
                        let out = match convolution {
                            1 => "any".to_owned(),
                            _ => channels.to_string(),
                        };
                        return Err(other(
                            format!("`{name}` of shape [{out}, {channels}, 3, 3]"),
                            format!("shape {dims:?}"),
                        ));
                    }
                };
                blocks[block] = out_channels;
                channels = out_channels;
                names.push(layer);
            }
        }
        let surplus = self.tensors.keys().find(|name| {
            name.starts_with("conv")
                && !names.iter().any(|layer| name.split('.').next() == Some(layer))
        });
        if let Some(name) = surplus {
            return Err(other("no such layer".to_owned(), format!("`{name}`")));
        }
        let fc = match self.tensors.get("fc6.weight").map(Tensor::dims) {
            None => Widths::VGG16.fc,
            Some(&[units, _]) => units,
            Some(dims) => {
                return Err(other(
                    "`fc6.weight` of shape [units, features]".to_owned(),
                    format!("shape {dims:?}"),
                ));
            }
        };
        Ok(Widths { blocks, fc })
    }

    /// The network whose weights these are, for the smallest images that its dense layers take,
    /// or for VGG16's 224 pixels where it has none.
    ///
    /// # Errors
    ///
    /// [`Error::OtherNetwork`] if the convolutions are not VGG16's, or the dense layers are not
    /// those of one of its heads.
    pub fn architecture(&self) -> Result<Architecture, Error> {
        let widths = self.widths()?;
        let shape = |name: &str| match self.tensors.get(name).map(Tensor::dims) {
            Some(&[outputs, inputs]) => Some((outputs, inputs)),
            _ => None,
        };
        let (fc6, fc7, fc8) = (shape("fc6.weight"), shape("fc7.weight"), shape("fc8.weight"));
        let (head, features) = match (fc6, fc7, fc8) {
            (None, None, None) => {
                return Ok(Architecture { widths, side_px: 224, classifier: None });
            }
            (Some((_, features)), Some(_), Some(_)) => (Head::Vggface, features),
            (Some((_, features)), None, Some(_)) => (Head::Seed, features),
            (None, None, Some((_, features))) => (Head::Linear, features),
            _ => {
                return Err(Error::OtherNetwork {
                    path: self.path.clone(),
                    expected: "dense layers that end in `fc8`".to_owned(),
                    found: "`fc6` without it".to_owned(),
                });
            }
        };
        let num_classes = fc8.map_or(0, |(outputs, _)| outputs);
        let places = features / widths.blocks[4];
        let side_px = (places.isqrt() << CONVOLUTIONS_PER_BLOCK.len()).max(MIN_SIDE_PX);
        let classifier = Some(Classifier::new(head, num_classes));
        Ok(Architecture { widths, side_px, classifier })
    }
}

/// Why the safetensors crate refused these bytes.
fn unreadable(path: &Path, bytes: &[u8], error: &SafeTensorError) -> Error {
    match error {
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            match size_by_header(bytes) {
                Some(expected) if expected != bytes.len() => {
                    return Error::WeightsSize {
                        path: path.to_owned(),
                        expected,
                        found: bytes.len(),
                    };
                }
                _ => {}
            }
        }
        _ => {}
    }
    Error::NotSafetensors { path: path.to_owned(), reason: error.to_string() }
}

/// How long a safetensors file should be; up to the header's end where that is incomplete.
///
/// `None` if the bytes do not look like the format at all: eight bytes of header length, then
/// the header, which is a JSON object.
fn size_by_header(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    if !rest.is_empty() && rest[0] != b'{' {
        return None;
    }
    let Some(header) = rest.get(..length) else {
        return length.checked_add(8);
    };
    let header: safetensors::tensor::Metadata = serde_json::from_slice(header).ok()?;
    Some(8 + length + header.data_len())
}

/// Checks and takes apart the strings beside the tensors.
fn parse_metadata(
    path: &Path,
    strings: Option<&HashMap<String, String>>,
) -> Result<Metadata, Error> {
    let get = |key: &str| strings.and_then(|strings| strings.get(key));
    let wrong = |key, expected: String, found: Option<&String>| Error::Metadata {
        path: path.to_owned(),
        key,
        expected,
        found: found.map_or("nothing".to_owned(), |found| format!("`{found}`")),
    };
    let text = |key, expected: &str| {
        get(key).cloned().ok_or_else(|| wrong(key, expected.to_owned(), None))
    };
    let version = get("format_version");
    if version != Some(&FORMAT_VERSION.to_string()) {
        return Err(wrong("format_version", format!("`{FORMAT_VERSION}`"), version));
    }
    let identities = match get("identities") {
        None => None,
        Some(json) => Some(
            serde_json::from_str(json)
                .map_err(|_| wrong("identities", "a JSON array of names".to_owned(), Some(json)))?,
        ),
    };
    let notes = strings
        .into_iter()
        .flatten()
        .filter(|(key, _)| !KEYS.contains(&key.as_str()))
        .map(|(key, note)| (key.clone(), note.clone()))
        .collect();
    Ok(Metadata {
        format_version: FORMAT_VERSION,
        normalization: text("normalization", "the name of a normalization")?,
        source: text("source", "where the weights come from")?,
        source_sha256: text("source_sha256", "a SHA-256")?,
        identities,
        notes,
    })
}

/// One tensor, as f32.
fn to_tensor(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Tensor, Error> {
    let dtype = match view.dtype() {
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        other => {
            return Err(Error::OtherNetwork {
                path: path.to_owned(),
                expected: format!("`{name}` of type F32, F64, F16 or BF16"),
                found: format!("type {other}"),
            });
        }
    };
    let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?
        .to_dtype(DType::F32)?;
    // A sum is not finite as soon as one of its terms is not.
    let sum = tensor.sum_all()?.to_scalar::<f32>()?;
    if !sum.is_finite() {
        tracing::warn!(name, "weights hold values that are not finite");
    }
    Ok(tensor)
}
