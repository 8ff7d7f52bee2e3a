//! From a published file to this project's: read, recognised, reordered, tried and written.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use indicatif::ProgressBar;
use model::weights::{FORMAT_VERSION, Unnamed, WeightsWriter};
use model::{Metadata, ParameterSpec};
use preprocess::Normalization;
use serde_json::json;

use crate::findings::{self, Statistics};
use crate::reader::{Reader, SourceMetadata, open};
use crate::recognition::{Network, Parameter, recognize};
use crate::source::{MAX_BYTES, Source};
use crate::verification::{Sighting, Verification, verify};
use crate::{
    Error, Format, KerasBackend, Naming, NormalizationReason, Pixels, PixelsReason, SourceFormat,
    labels, normalization, pixels,
};

/// Outputs of a layer that are moved and written together: 6 MB of VGG16's `fc6`.
const OUTPUTS_AT_A_TIME: usize = 64;

/// Which layers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// The convolutions and whatever dense layers the source has.
    All,
    /// The convolutions alone.
    Base,
}

/// What to convert, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The file to convert.
    pub file: PathBuf,
    /// The safetensors file to write.
    pub out: PathBuf,
    /// The format that the file must have.
    pub from: SourceFormat,
    /// The normalization that the weights expect; where `None`, it is concluded.
    pub normalization: Option<Normalization>,
    /// The pixels that the source's network takes; where `None`, they are concluded.
    pub pixels: Option<Pixels>,
    /// The backend that Keras saved with, for files that do not say.
    pub keras_backend: Option<KerasBackend>,
    /// Which layers to keep.
    pub layers: Layers,
    /// A file of names behind the rows of `fc8`.
    pub labels: Option<PathBuf>,
    /// A photograph to try the result on before it is written.
    pub verification: Option<Verification>,
}

impl Request {
    /// Converts all layers, and concludes everything from the file.
    pub fn new(file: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            out: out.into(),
            from: SourceFormat::Auto,
            normalization: None,
            pixels: None,
            keras_backend: None,
            layers: Layers::All,
            labels: None,
            verification: None,
        }
    }
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
    /// What was left out, by its names in the source.
    pub left_out: Vec<String>,
    /// The normalization that the weights expect.
    pub normalization: Normalization,
    /// How that is known.
    pub normalization_reason: NormalizationReason,
    /// The pixels that the source's network takes.
    pub pixels: Pixels,
    /// How that is known.
    pub pixels_reason: PixelsReason,
    /// What looks wrong in the numbers, in words.
    pub findings: Vec<String>,
    /// How many names there are for the rows of `fc8`.
    pub identities: usize,
    /// Whom the result sees in the photograph, the most probable first.
    pub sightings: Vec<Sighting>,
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
    /// Mean of its values as stored.
    pub mean: f64,
    /// Standard deviation of its values as stored, from that mean.
    pub standard_deviation: f64,
}

/// Converts a published file of VGG16's weights to this project's safetensors.
///
/// The output appears under its name only when it is complete and has passed its verification;
/// where anything fails, what was there before stays as it was. No more than one of the source's
/// arrays is in memory at a time, besides what its reader needs. `progress` counts parameters.
///
/// # Errors
///
/// Any [`Error`]: the file cannot be read, its format is not what it should be, it is damaged, it
/// holds another network or values that are not numbers, it does not see what it should in the
/// photograph, or the output cannot be written.
pub fn convert(request: &Request, progress: &ProgressBar) -> Result<Conversion, Error> {
    let path = request.file.as_path();
    if is_same_file(path, &request.out) {
        return Err(Error::SameFile { path: path.to_owned() });
    }
    let labels = request.labels.as_deref().map(labels::read).transpose()?;
    progress.set_message("reading");
    let source = Source::open(path, request.from)?;
    let contents = open(&source, request.keras_backend)?;
    let network = recognize(path, &contents.layers)?;
    let plan = Plan::new(request, &source, &contents.metadata, &network, labels)?;
    let reader = contents.reader.as_ref();
    // A digest takes as long as all the rest, so it is taken beside it.
    let Written { unnamed, converted, source_sha256 } = thread::scope(|scope| {
        let digest = scope.spawn(|| source.sha256());
        let joined = || digest.join().unwrap_or_else(|_| Err(source.damaged("it has no digest")));
        plan.write(&request.out, reader, progress, joined)
    })?;
    let sightings = match &request.verification {
        Some(verification) => {
            progress.set_message("trying it on the photograph");
            verify(verification, path, unnamed.path(), plan.normalization)?
        }
        None => Vec::new(),
    };
    let sha256 = unnamed.keep()?;
    progress.finish_and_clear();
    Ok(Conversion {
        format: plan.format,
        naming: plan.naming,
        findings: findings::of(&converted, plan.pixels),
        converted: converted.into_iter().map(|(line, _)| line).collect(),
        left_out: plan.left_out,
        normalization: plan.normalization,
        normalization_reason: plan.normalization_reason,
        pixels: plan.pixels,
        pixels_reason: plan.pixels_reason,
        identities: plan.identities.map_or(0, |names| names.len()),
        sightings,
        source_sha256,
        sha256,
    })
}

/// A conversion that only lacks its name.
struct Written {
    unnamed: Unnamed,
    converted: Vec<(Converted, Statistics)>,
    source_sha256: String,
}

/// All that is decided before a number is read.
struct Plan<'a> {
    source: &'a Source,
    format: Format,
    naming: Naming,
    kept: Vec<&'a Parameter<'a>>,
    left_out: Vec<String>,
    normalization: Normalization,
    normalization_reason: NormalizationReason,
    pixels: Pixels,
    pixels_reason: PixelsReason,
    identities: Option<Vec<String>>,
}

impl<'a> Plan<'a> {
    fn new(
        request: &Request,
        source: &'a Source,
        said: &SourceMetadata,
        network: &'a Network<'a>,
        labels: Option<Vec<String>>,
    ) -> Result<Self, Error> {
        let (path, format) = (source.path.as_path(), source.format);
        let (pixels, pixels_reason) =
            pixels::decide(path, request.pixels, format, said, network.naming)?;
        let (normalization, normalization_reason) =
            normalization::decide(path, request.normalization, said, pixels, network.naming)?;
        let (kept, dropped) = match request.layers {
            Layers::All => (network.backbone.iter().chain(&network.head), [].iter()),
            Layers::Base => (network.backbone.iter().chain(&[]), network.head.iter()),
        };
        let kept: Vec<&Parameter<'_>> = kept.collect();
        refuse_claims_beyond_memory(path, &kept)?;
        said.check(path, kept.len() - network.backbone.len())?;
        if !said.states_flattening && kept.iter().any(|it| it.name == "fc6.weight") {
            tracing::warn!(
                "the file does not say how its network flattens pool5; fc6 is taken to follow \
                 channels-last order, TensorFlow's default"
            );
        }
        let identities = identities(path, labels, said, &kept)?;
        let left_out = dropped.map(|parameter| &parameter.array.name).chain(&said.left_out);
        Ok(Self {
            source,
            format,
            naming: network.naming,
            left_out: left_out.cloned().collect(),
            kept,
            normalization,
            normalization_reason,
            pixels,
            pixels_reason,
            identities,
        })
    }

    /// Writes every parameter, one at a time, and then what is to be said of them.
    fn write(
        &self,
        out: &Path,
        reader: &dyn Reader,
        progress: &ProgressBar,
        source_sha256: impl FnOnce() -> Result<String, Error>,
    ) -> Result<Written, Error> {
        let parameter =
            |it: &&Parameter<'_>| ParameterSpec { name: it.name.clone(), shape: it.shape.clone() };
        let parameters: Vec<ParameterSpec> = self.kept.iter().map(parameter).collect();
        let longest: Vec<Converted> =
            self.kept.iter().map(|it| Converted::new(it, &Statistics::LONGEST)).collect();
        let mut writer =
            WeightsWriter::create(out, parameters, &self.metadata(&longest, &"0".repeat(64)))?;
        progress.set_length(self.kept.len() as u64);
        let mut converted = Vec::new();
        for parameter in &self.kept {
            progress.set_message(parameter.name.clone());
            let statistics = self.write_parameter(&mut writer, reader, parameter)?;
            let line = Converted::new(parameter, &statistics);
            tracing::debug!(from = line.source_name, to = line.name, "parameter converted");
            converted.push((line, statistics));
            progress.inc(1);
        }
        progress.set_message("writing");
        let lines: Vec<Converted> = converted.iter().map(|(line, _)| line.clone()).collect();
        let source_sha256 = source_sha256()?;
        let unnamed = writer.finish(&self.metadata(&lines, &source_sha256))?;
        Ok(Written { unnamed, converted, source_sha256 })
    }

    /// Reads a parameter's values and writes them in this project's order, some outputs at a time.
    fn write_parameter(
        &self,
        writer: &mut WeightsWriter,
        reader: &dyn Reader,
        parameter: &Parameter<'_>,
    ) -> Result<Statistics, Error> {
        let array = parameter.array;
        let values = reader.values(self.source, array)?;
        let expected: usize = array.shape.iter().product();
        if values.len() != expected {
            let found = values.len();
            return Err(self
                .source
                .damaged(format!("`{}` holds {found} numbers, not {expected}", array.name)));
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite {
                path: self.source.path.clone(),
                name: array.name.clone(),
                index,
                found: values[index],
            });
        }
        let mut statistics = Statistics::of(&values);
        let outputs = parameter.order.extents.outputs;
        for first in (0..outputs).step_by(OUTPUTS_AT_A_TIME) {
            let some = first..outputs.min(first + OUTPUTS_AT_A_TIME);
            let mut moved = parameter.order.moved(&values, some);
            if parameter.name == "conv1_1.weight" {
                self.pixels.turn(moved.to_mut());
                statistics.add_channels(&moved);
            }
            writer.append(&moved)?;
        }
        Ok(statistics)
    }

    fn metadata(&self, converted: &[Converted], source_sha256: &str) -> Metadata {
        let layers: Vec<_> = converted
            .iter()
            .map(|it| {
                json!({
                    "source": it.source_name,
                    "name": it.name,
                    "shape": it.shape,
                    "mean": format!("{:.6e}", it.mean),
                    "standard_deviation": format!("{:.6e}", it.standard_deviation),
                })
            })
            .collect();
        let notes = [
            ("source_format", self.format.to_string()),
            ("source_pixels", self.pixels.to_string()),
            ("recognized_by", self.naming.to_string()),
            ("layers", json!(layers).to_string()),
            ("left_out", json!(self.left_out).to_string()),
        ];
        Metadata {
            format_version: FORMAT_VERSION,
            normalization: self.normalization.to_string(),
            source: self.source.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            source_sha256: source_sha256.to_owned(),
            identities: self.identities.clone(),
            notes: notes.map(|(key, note)| (key.to_owned(), note)).into(),
        }
    }
}

impl Converted {
    fn new(parameter: &Parameter<'_>, statistics: &Statistics) -> Self {
        Self {
            source_name: parameter.array.name.clone(),
            name: parameter.name.clone(),
            shape: parameter.shape.clone(),
            mean: statistics.mean,
            standard_deviation: statistics.standard_deviation,
        }
    }
}

/// The names behind the rows of `fc8`: those of a file that was given, or the source's own.
fn identities(
    path: &Path,
    labels: Option<Vec<String>>,
    said: &SourceMetadata,
    kept: &[&Parameter<'_>],
) -> Result<Option<Vec<String>>, Error> {
    let Some(fc8) = kept.iter().find(|parameter| parameter.name == "fc8.weight") else {
        return match labels {
            Some(_) => Err(Error::Metadata {
                path: path.to_owned(),
                key: "identities",
                expected: "an `fc8` whose rows they name",
                found: "labels, but no such layer".to_owned(),
            }),
            None => Ok(None),
        };
    };
    let names = labels.or_else(|| said.identities.clone());
    match &names {
        Some(names) if names.len() != fc8.shape[0] => Err(Error::Metadata {
            path: path.to_owned(),
            key: "identities",
            expected: "one name for each row of `fc8.weight`",
            found: format!("{} names for {} rows", names.len(), fc8.shape[0]),
        }),
        _ => Ok(names),
    }
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

/// Whether both paths lead to one file.
pub(crate) fn is_same_file(file: &Path, out: &Path) -> bool {
    match (fs::canonicalize(file), fs::canonicalize(out)) {
        (Ok(file), Ok(out)) => file == out,
        // One of them is not there.
        _ => false,
    }
}
