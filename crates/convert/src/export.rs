//! This project's weights in the forms that ONNX Runtime, Keras and PyTorch read.

mod keras;
mod network;
mod onnx;
mod pytorch;
mod report;
mod whole_file;

use std::fmt;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use network::Network;
use whole_file::WholeFile;

use crate::Error;

/// Which tool's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// The whole network, as ONNX Runtime and others run it.
    Onnx,
    /// Weights for Keras's `load_weights`, in HDF5.
    Keras,
    /// Weights for PyTorch's `load_state_dict`, in safetensors under torchvision's names.
    Pytorch,
}

/// What the exported network is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Input {
    /// Blue, green, red, 0 to 255, less the channel means
    Normalized,
    /// Red, green, blue, 0 to 255; the network subtracts the means itself (ONNX only)
    Rgb,
}

/// What the exported network gives for every identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// What `fc8` gives.
    Logits,
    /// Their softmax.
    Probabilities,
}

/// What to export, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// A run's folder, or a weights file.
    pub source: PathBuf,
    /// Which of a run's folds.
    pub fold: Option<usize>,
    /// For which tool.
    pub target: Target,
    /// The file to write; where `None`, it lies beside the weights.
    pub out: Option<PathBuf>,
    /// What the network is given.
    pub input: Input,
    /// What the network gives.
    pub scores: Scores,
}

/// What was exported. Its [`Display`](std::fmt::Display) is a table for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The file.
    pub file: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// For which tool.
    pub target: Target,
    /// What the network is given.
    pub input: Value,
    /// What the network gives.
    pub output: Value,
    /// Which pixels it is given, in words.
    pub pixels: String,
    /// How many names the file holds for the rows of `fc8`.
    pub identities: usize,
}

/// What enters or leaves an exported network: f32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its name; in files that hold no computation it is there for the table alone.
    pub name: &'static str,
    /// Its shape behind the batch.
    pub shape: Vec<usize>,
}

/// Exports a network.
///
/// The output appears under its name only when it is complete; where anything fails, what was
/// there before stays as it was. Besides the weights themselves, no more is in memory than their
/// file once more. The bar counts bytes; whoever finishes it, as on Ctrl-C, breaks the export off.
///
/// # Errors
///
/// [`Error::Interrupted`] if it was broken off; [`Error::RunNotFound`], [`Error::FoldNotFound`], [`Error::WhichFold`] or [`Error::FoldOfFile`]
/// if the source does not say which network; [`Error::OnnxOnly`], [`Error::NoScores`],
/// [`Error::KerasName`] or [`Error::SameFile`] if what is asked for cannot be;
/// [`Error::OnnxTooLarge`] if the form cannot hold the network; [`Error::Metadata`] or
/// [`Error::Write`] if the weights cannot be read or the output not be written.
pub fn export(request: &Request, progress: &ProgressBar) -> Result<Export, Error> {
    let exported = whole(request, progress);
    if exported.is_err() && progress.is_finished() { Err(Error::Interrupted) } else { exported }
}

fn whole(request: &Request, progress: &ProgressBar) -> Result<Export, Error> {
    refuse_what_only_onnx_has(request)?;
    let weights = network::locate(&request.source, request.fold)?;
    let out = request.out.clone().unwrap_or_else(|| request.target.beside(&weights));
    if request.target == Target::Keras && !keras::is_read_under(&out) {
        return Err(Error::KerasName { path: out });
    }
    if crate::conversion::is_same_file(&weights, &out) {
        return Err(Error::SameFile { path: out });
    }
    let network = Network::read(&weights)?;
    if network.architecture.classifier.is_none() && request.scores == Scores::Probabilities {
        return Err(Error::NoScores { path: weights });
    }
    progress.set_length(network.size_bytes());
    let input = network.input(request.target);
    let output = network.output(request.target, request.scores);
    let pixels = network.pixels(request.input);
    let identities = network.identities.as_ref().map_or(0, Vec::len);
    let (size_bytes, sha256) = match request.target {
        Target::Onnx => {
            let graph = onnx::Model::new(&network, request.input, request.scores);
            graph.check_size(&out)?;
            let mut file = WholeFile::create(&out, progress)?;
            graph.write(&network, &mut file).map_err(|source| failed(&out, source))?;
            file.keep()?
        }
        Target::Keras => {
            let mut file = WholeFile::create(&out, progress)?;
            keras::write(network, &mut file).map_err(|source| failed(&out, source))?;
            file.keep()?
        }
        Target::Pytorch => pytorch::write(&network, &out, progress)?,
    };
    let target = request.target;
    Ok(Export { file: out, size_bytes, sha256, target, input, output, pixels, identities })
}

fn refuse_what_only_onnx_has(request: &Request) -> Result<(), Error> {
    let option = match (request.target, request.input, request.scores) {
        (Target::Onnx, _, _) | (_, Input::Normalized, Scores::Logits) => return Ok(()),
        (_, _, Scores::Probabilities) => "--softmax",
        (_, Input::Rgb, _) => "--input rgb",
    };
    Err(Error::OnnxOnly { option, target: request.target })
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Write(model::Error::Io { action: "write", path: path.to_owned(), source })
}

impl Error {
    /// Whether an export was asked for in a way that no file could satisfy.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::WhichFold { .. }
                | Self::FoldOfFile { .. }
                | Self::OnnxOnly { .. }
                | Self::NoScores { .. }
                | Self::KerasName { .. }
                | Self::SameFile { .. }
        )
    }
}

impl Target {
    /// The file that is written where none is named.
    fn beside(self, weights: &Path) -> PathBuf {
        weights.with_extension(match self {
            Self::Onnx => "onnx",
            Self::Keras => "h5",
            Self::Pytorch => "pytorch.safetensors",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "ONNX",
            Self::Keras => "Keras",
            Self::Pytorch => "PyTorch",
        })
    }
}
