//! What is decided before a number is read, and the writing that follows it.

use std::path::Path;

use indicatif::ProgressBar;
use model::weights::{FORMAT_VERSION, Unnamed, WeightsWriter};
use model::{Metadata, ParameterSpec};
use preprocess::Normalization;
use serde_json::json;

use super::{Converted, Layers, Request};
use crate::findings::{self, Statistics};
use crate::reader::{Reader, SourceMetadata};
use crate::recognition::{Network, Parameter};
use crate::source::{Source, inflation_limit};
use crate::{
    Error, Format, Naming, NormalizationReason, Pixels, PixelsReason, normalization, pixels,
    state_dict,
};

/// Outputs of a layer that are moved and written together: 6 MB of VGG16's `fc6`.
const OUTPUTS_AT_A_TIME: usize = 64;

/// A conversion that only lacks its name.
pub(super) struct Written {
    pub(super) unnamed: Unnamed,
    pub(super) converted: Vec<(Converted, Statistics)>,
    pub(super) source_sha256: String,
}

/// All that is decided before a number is read.
pub(super) struct Plan<'a> {
    source: &'a Source,
    pub(super) format: Format,
    pub(super) naming: Naming,
    kept: Vec<&'a Parameter<'a>>,
    pub(super) left_out: Vec<String>,
    pub(super) normalization: Normalization,
    pub(super) normalization_reason: NormalizationReason,
    pub(super) pixels: Pixels,
    pub(super) pixels_reason: PixelsReason,
    pub(super) identities: Option<Vec<String>>,
}

impl<'a> Plan<'a> {
    /// Decides how a source is converted.
    pub(super) fn new(
        request: &Request,
        source: &'a Source,
        said: &SourceMetadata,
        network: &'a Network<'a>,
        labels: Option<Vec<String>>,
    ) -> Result<Self, Error> {
        let (path, format) = (source.path.as_path(), source.format);
        let mut names = network.backbone.iter().map(|it| it.array.name.as_str());
        if (format, network.naming) == (Format::Safetensors, Naming::Order)
            && !state_dict::tell_an_order(&mut names)
        {
            return Err(Error::Unconvertible {
                path: path.to_owned(),
                reason:
                    "its layers have no names of a published network, and safetensors keeps no \
                         order of layers; rename its arrays `conv1_1.weight` .. `fc8.bias`, or convert the model as PyTorch saves it"
                        .to_owned(),
            });
        }
        let (pixels, pixels_reason) =
            pixels::decide(path, request.pixels, format, said, network.naming)?;
        let (normalization, normalization_reason) =
            normalization::decide(path, request.normalization, said, pixels, network.naming)?;
        let (kept, dropped) = match request.layers {
            Layers::All => (network.backbone.iter().chain(&network.head), [].iter()),
            Layers::Base => (network.backbone.iter().chain(&[]), network.head.iter()),
        };
        let kept: Vec<&Parameter<'_>> = kept.collect();
        refuse_claims_beyond_memory(source, &kept)?;
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
    pub(super) fn write(
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
            let statistics = self.write_parameter(&mut writer, reader, parameter, progress)?;
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
        progress: &ProgressBar,
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
            if progress.is_finished() {
                return Err(Error::Interrupted);
            }
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

    /// What looks wrong in the numbers, and in what goes with them.
    pub(super) fn findings(&self, converted: &[(Converted, Statistics)]) -> Vec<String> {
        let mut findings = findings::of(converted, self.pixels);
        let are_torchvisions = self.pixels == Pixels::Torchvision;
        if are_torchvisions != (self.normalization == Normalization::Torchvision)
            && self.pixels_reason != PixelsReason::Format
        {
            findings.push(format!(
                "the pixels are {} and the normalization is {}: torchvision's go together, and with \
                 others it is another network",
                self.pixels, self.normalization
            ));
        }
        findings
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
            Some(_) => Err(Error::Unconvertible {
                path: path.to_owned(),
                reason: "there is no fc8 whose rows labels could name; leave `--labels` out"
                    .to_owned(),
            }),
            None => Ok(None),
        };
    };
    let names = labels.or_else(|| said.identities.clone());
    match &names {
        Some(names) if names.len() != fc8.shape[0] => Err(Error::Metadata {
            path: path.to_owned(),
            key: "identities",
            expected: "one name for each row of `fc8.weight`, from it or from `--labels`",
            found: format!("{} names for {} rows", names.len(), fc8.shape[0]),
        }),
        _ => Ok(names),
    }
}

/// Refuses arrays that together claim more than any file of weights holds, or far more than this
/// one does.
fn refuse_claims_beyond_memory(source: &Source, kept: &[&Parameter<'_>]) -> Result<(), Error> {
    let limit = inflation_limit(source.size());
    let bytes = |shape: &[usize]| {
        shape.iter().try_fold(4_u64, |bytes, &extent| bytes.checked_mul(extent as u64))
    };
    let claimed = kept.iter().try_fold(0_u64, |sum, parameter| {
        sum.checked_add(bytes(&parameter.shape)?).filter(|&sum| sum <= limit)
    });
    match claimed {
        Some(_) => Ok(()),
        None => Err(source.damaged(format!(
            "its weights would take more than {limit} bytes, the file has {}",
            source.size()
        ))),
    }
}
