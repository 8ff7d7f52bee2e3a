//! Everything that can go wrong with a network or its weights, by what the caller can do.

use std::io;
use std::path::PathBuf;

use candle_core::DType;

use crate::Layer;
use crate::weights::LoadReport;

/// Why a network could not be built, run, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no file of weights: make one.
    #[error(
        "{path} not found; `cargo xtask fetch-weights` fetches published weights, `cargo xtask \
         convert-weights` converts a file of them; weights/README.md says where they are"
    )]
    WeightsNotFound {
        /// Where it was looked for.
        path: PathBuf,
    },

    /// The file system refused: see the source.
    #[error("cannot {action} {path}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The file is shorter or longer than its header says: copy or convert it again.
    #[error(
        "{path} has {found} bytes, its header asks for {expected}; copy it or run \
         `cargo xtask convert-weights` again"
    )]
    WeightsSize {
        /// The file.
        path: PathBuf,
        /// Bytes by the header; where that is cut short itself, bytes up to its end.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },

    /// The file is of another format: convert it.
    ///
    /// The reason is text because the safetensors crate's error repeats its own source.
    #[error("{path} is not a safetensors file ({reason}); run `cargo xtask convert-weights`")]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What the reader stumbled over.
        reason: String,
    },

    /// The file's metadata were not written by this project: convert it.
    #[error(
        "{path} has {found} for `{key}` in its metadata, expected {expected}; run \
         `cargo xtask convert-weights`"
    )]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Which entry.
        key: &'static str,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },

    /// The file holds the weights of some other network: choose another file.
    #[error("{path} is not VGG16: found {found}, expected {expected}")]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// What VGG16 has.
        expected: String,
        /// What is there.
        found: String,
    },

    /// Names or shapes differ beyond what was excused: choose another file or head.
    #[error("{path} does not fit the network: {report}")]
    Unaccounted {
        /// The file.
        path: PathBuf,
        /// Every name's fate.
        report: LoadReport,
    },

    /// A network lacks a parameter: pass it.
    #[error("parameter `{name}` is missing")]
    MissingParameter {
        /// Its name.
        name: String,
    },

    /// A parameter belongs to no layer: leave it out.
    #[error("parameter `{name}` belongs to no layer of the network")]
    UnexpectedParameter {
        /// Its name.
        name: String,
    },

    /// A tensor has another shape than the network needs.
    #[error("`{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The parameter, or `inputs of <layer>`.
        name: String,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },

    /// A tensor has another element type than f32: convert it.
    #[error("`{name}` has type {}, expected f32", .found.as_str())]
    DType {
        /// The parameter, or `inputs of <layer>`.
        name: String,
        /// The type it has.
        found: DType,
    },

    /// No layer has this name: choose one of those listed.
    #[error("no layer `{name}`; the network has {known}")]
    UnknownLayer {
        /// The name asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },

    /// The layers asked for are no stretch of the network.
    #[error("cannot run from layer {from} to layer {to} of a network of {layers} layers")]
    Stretch {
        /// Index of the first layer.
        from: usize,
        /// Index past the last layer.
        to: usize,
        /// How many there are.
        layers: usize,
    },

    /// The network ends at `pool5`: build it with a classifier.
    #[error("the network has no classifier, so it gives no logits")]
    NoClassifier,

    /// The share of units to drop makes no sense: choose another.
    #[error("dropout is {found}, expected at least 0 and below 1")]
    DropoutRate {
        /// The share asked for.
        found: f64,
    },

    /// Dropout follows hidden layers, and the head has none: leave it out, or choose another head.
    #[error(
        "the head `linear` has no hidden layer to drop units of; leave dropout out, or take another head"
    )]
    NothingToDrop,

    /// The image is too small for five poolings: use a larger side.
    #[error("side {found} px is too small, expected at least {expected} px")]
    Side {
        /// The smallest side.
        expected: usize,
        /// The side asked for.
        found: usize,
    },

    /// The tensor library failed, for want of memory or of the device, for example.
    ///
    /// Text and not a source, because candle's errors print a whole backtrace.
    #[error("tensor arithmetic failed: {0}")]
    Tensor(String),
}

impl Error {
    /// The refusal of a name that none of the layers has.
    pub(crate) fn unknown_layer(name: &str, layers: &[Layer]) -> Self {
        let known: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        Self::UnknownLayer { name: name.to_owned(), known: known.join(", ") }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        let text = error.to_string();
        Self::Tensor(text.lines().next().unwrap_or("no reason given").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backtraces_of_candle_are_left_out() {
        let candle = candle_core::Error::WithBacktrace {
            inner: Box::new(candle_core::Error::Msg("out of memory".to_owned())),
            backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
        };
        assert!(candle.to_string().lines().count() > 1);
        assert_eq!(Error::from(candle).to_string(), "tensor arithmetic failed: out of memory");
    }
}
