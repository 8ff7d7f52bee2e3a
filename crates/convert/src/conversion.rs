//! From a published file to this project's: read, recognised, reordered and written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use model::Metadata;
use model::weights::{FORMAT_VERSION, write};

use crate::axes::reordered;
use crate::normalization::decide;
use crate::reader::{Reader, open};
use crate::recognition::{Parameter, recognize};
use crate::source::{MAX_BYTES, Source};
use crate::{Error, Format, Naming, Normalization, NormalizationReason, SourceFormat};

/// Which layers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// The convolutions and whatever dense layers the source has.
    All,
    /// The convolutions alone.
    Base,
}

/// What to convert, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file to convert.
    pub file: PathBuf,
    /// The safetensors file to write.
    pub out: PathBuf,
    /// The format that the file must have.
    pub from: SourceFormat,
    /// The normalization that the weights expect; where `None`, it is concluded.
    pub normalization: Option<Normalization>,
    /// Which layers to keep.
    pub layers: Layers,
}

/// What was converted. Its [`Display`](std::fmt::Display) is a table for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// What the source is.
    pub format: Format,
    /// What the backbone was recognised by.
    pub naming: Naming,
    /// Every parameter, in the order of the network.
    pub converted: Vec<Converted>,
    /// Parameters that were left out, by their names in the source.
    pub left_out: Vec<String>,
    /// The normalization that the weights expect.
    pub normalization: Normalization,
    /// How that is known.
    pub normalization_reason: NormalizationReason,
    /// SHA-256 of the source, in hexadecimal.
    pub source_sha256: String,
    /// SHA-256 of the result, in hexadecimal.
    pub sha256: String,
}

/// A parameter that was converted.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// Its name in the source.
    pub source_name: String,
    /// Its name here.
    pub name: String,
    /// Its shape here.
    pub shape: Vec<usize>,
    /// Mean of its values.
    pub mean: f64,
    /// Standard deviation of its values, from that mean.
    pub standard_deviation: f64,
}

/// Converts a published file of VGG16's weights to this project's safetensors.
///
/// The output appears under its name only when it is complete; where anything fails, what was
/// there before stays as it was. `progress` counts parameters.
///
/// # Errors
///
/// Any [`Error`]: the file cannot be read, its format is not what it should be or has no reader
/// yet, it is damaged, it holds another network or values that are not numbers, or the output
/// cannot be written.
pub fn convert(request: &Request, progress: &ProgressBar) -> Result<Conversion, Error> {
    let path = request.file.as_path();
    if is_same_file(path, &request.out) {
        return Err(Error::SameFile { path: path.to_owned() });
    }
    progress.set_message("reading");
    let source = Source::read(path, request.from)?;
    let (format, source_sha256) = (source.format, source.sha256.clone());
    let reader = open(source)?;
    let network = recognize(path, reader.layers(), reader.axes())?;
    let said = reader.metadata();
    let (normalization, normalization_reason) =
        decide(path, request.normalization, said, network.naming)?;

    let (kept, left_out) = match request.layers {
        Layers::All => (network.backbone.iter().chain(&network.head), [].iter()),
        Layers::Base => (network.backbone.iter().chain(&[]), network.head.iter()),
    };
    let kept: Vec<&Parameter<'_>> = kept.collect();
    refuse_claims_beyond_memory(path, &kept)?;
    if !said.states_flattening && kept.iter().any(|it| it.name == "fc6.weight") {
        tracing::warn!(
            "the file does not say how its network flattens pool5; fc6 is taken to follow \
             channels-last order, TensorFlow's default"
        );
    }
    progress.set_length(kept.len() as u64);
    let mut tensors = BTreeMap::new();
    let mut converted = Vec::new();
    for parameter in kept {
        progress.set_message(parameter.name.clone());
        let (tensor, line) = parameter_tensor(path, reader.as_ref(), parameter)?;
        tracing::debug!(from = line.source_name, to = line.name, "parameter converted");
        tensors.insert(parameter.name.clone(), tensor);
        converted.push(line);
        progress.inc(1);
    }
    progress.set_message("writing");
    refuse_wrong_count(path, said.identities.as_ref(), tensors.get("fc8.weight"))?;
    let metadata = Metadata {
        format_version: FORMAT_VERSION,
        normalization: normalization.to_string(),
        source: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        source_sha256: source_sha256.clone(),
        identities: said.identities.clone().filter(|_| tensors.contains_key("fc8.weight")),
    };
    let sha256 = write(&request.out, &tensors, &metadata)?;
    progress.finish_and_clear();
    Ok(Conversion {
        format,
        naming: network.naming,
        converted,
        left_out: left_out.map(|parameter| parameter.array.name.clone()).collect(),
        normalization,
        normalization_reason,
        source_sha256,
        sha256,
    })
}

/// Refuses arrays that together claim more than any file of weights holds.
fn refuse_claims_beyond_memory(path: &Path, kept: &[&Parameter<'_>]) -> Result<(), Error> {
    let bytes = |shape: &[usize]| {
        shape.iter().try_fold(4_u64, |bytes, &extent| bytes.checked_mul(extent as u64))
    };
    let claimed = kept.iter().try_fold(0_u64, |sum, parameter| {
        sum.checked_add(bytes(&parameter.shape)?).filter(|&sum| sum <= MAX_BYTES)
    });
    match claimed {
        Some(_) => Ok(()),
        None => Err(Error::TooLarge { path: path.to_owned(), found: u64::MAX, limit: MAX_BYTES }),
    }
}

/// Refuses names that are not one for each row of `fc8`.
fn refuse_wrong_count(
    path: &Path,
    identities: Option<&Vec<String>>,
    fc8: Option<&Tensor>,
) -> Result<(), Error> {
    match (identities, fc8) {
        (Some(names), Some(fc8)) if names.len() != fc8.dim(0)? => Err(Error::Metadata {
            path: path.to_owned(),
            key: "identities",
            expected: "one name for each row of `fc8.weight`",
            found: format!("{} names for {} rows", names.len(), fc8.dim(0)?),
        }),
        _ => Ok(()),
    }
}

/// Whether both paths lead to one file.
fn is_same_file(file: &Path, out: &Path) -> bool {
    match (fs::canonicalize(file), fs::canonicalize(out)) {
        (Ok(file), Ok(out)) => file == out,
        // One of them is not there.
        _ => false,
    }
}

/// Reads one parameter, in this project's axes.
fn parameter_tensor(
    path: &Path,
    reader: &dyn Reader,
    parameter: &Parameter<'_>,
) -> Result<(Tensor, Converted), Error> {
    let array = parameter.array;
    let values = reader.values(array)?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite {
            path: path.to_owned(),
            name: array.name.clone(),
            index,
            found: values[index],
        });
    }
    let (mean, standard_deviation) = moments(&values);
    let values = reordered(values, parameter.order);
    let tensor = Tensor::from_vec(values, parameter.shape.as_slice(), &Device::Cpu)?;
    let line = Converted {
        source_name: array.name.clone(),
        name: parameter.name.clone(),
        shape: parameter.shape.clone(),
        mean,
        standard_deviation,
    };
    Ok((tensor, line))
}

/// Mean and standard deviation.
fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
    (mean, (squares / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_population() {
        assert_eq!(moments(&[1.0, 3.0]), (2.0, 1.0));
    }
}
