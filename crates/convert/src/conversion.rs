//! From a published file to this project's: read, recognised, reordered, tried and written.

mod plan;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use indicatif::ProgressBar;
use preprocess::Normalization;

use self::plan::{Plan, Written};
use crate::reader::open;
use crate::recognition::recognize;
use crate::source::Source;
use crate::verification::{Sighting, Verification, verify};
use crate::{
    Error, Format, KerasBackend, Naming, NormalizationReason, Pixels, PixelsReason, SourceFormat,
    labels,
};

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
/// arrays is in memory at a time, besides what its reader needs. `progress` counts parameters;
/// to finish it from outside is to stop the conversion.
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
    if request.out.is_dir() {
        return Err(Error::OutputFolder { path: request.out.clone() });
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
        findings: plan.findings(&converted),
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

/// Whether both paths lead to one file.
pub(crate) fn is_same_file(file: &Path, out: &Path) -> bool {
    match (fs::canonicalize(file), fs::canonicalize(out)) {
        (Ok(file), Ok(out)) => file == out,
        // One of them is not there.
        _ => false,
    }
}
