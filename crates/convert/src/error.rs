//! Everything that can be wrong with a file of weights, by what the caller can do about it.

use std::io;
use std::path::PathBuf;

use preprocess::Normalization;

use crate::export::Target;
use crate::{Format, SourceFormat};

/// What every file must hold, for [`Error::NotVgg16`].
pub(crate) const VGG16: &str = "13 convolutions of 3x3 with biases, in blocks of 2, 2, 3, 3 and \
                                3, then at most three dense layers";

/// Why a file was not converted or exported. Whatever it is, the output is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused: see the source.
    #[error("cannot read {path}")]
    Read {
        /// The file to convert.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// There is no such file: fetch it.
    #[error("{path} not found; weights/README.md says where published weights are")]
    NotFound {
        /// The file to convert.
        path: PathBuf,
    },

    /// No file of VGG16's weights is as large.
    #[error("{path} has {found} bytes, expected a file of weights of at most {limit}")]
    TooLarge {
        /// The file to convert.
        path: PathBuf,
        /// Its length, or that of the numbers in it.
        found: u64,
        /// The most that is read.
        limit: u64,
    },

    /// There is nothing in the file: download it again.
    #[error("{path} is empty; download it again")]
    Empty {
        /// The file to convert.
        path: PathBuf,
    },

    /// The file stands for one that Git LFS keeps: fetch that.
    #[error(
        "{path} is a Git LFS pointer and not the weights; run `git lfs pull` in its repository"
    )]
    LfsPointer {
        /// The file to convert.
        path: PathBuf,
    },

    /// A browser's page was saved in place of the file: download the file itself.
    #[error("{path} is a web page and not weights; open it in a browser to see what went wrong")]
    WebPage {
        /// The file to convert.
        path: PathBuf,
    },

    /// No known format begins like this: convert another file.
    #[error(
        "{path} is in no known format: it begins with {found}, expected Keras, Caffe, MatConvNet, \
         PyTorch, Torch7, ONNX or safetensors"
    )]
    UnknownFormat {
        /// The file to convert.
        path: PathBuf,
        /// Its first bytes, escaped.
        found: String,
    },

    /// A zip archive of something else: unpack it and convert what is in it.
    #[error(
        "{path} is a zip archive, but neither PyTorch's nor Keras's; unpack it and convert the \
         file of weights in it"
    )]
    OtherArchive {
        /// The file to convert.
        path: PathBuf,
    },

    /// A pickle that PyTorch did not write: save the weights with `torch.save`.
    #[error(
        "{path} is a pickle that `torch.save` did not write; load it where you trust it and save \
         its weights with `torch.save`"
    )]
    OtherPickle {
        /// The file to convert.
        path: PathBuf,
    },

    /// Somebody wrote to the file while it was read: convert it again.
    #[error("{path} was changed while it was read; convert it again when it is complete")]
    Changed {
        /// The file to convert.
        path: PathBuf,
    },

    /// A pickle asks for something that no file of weights needs: do not trust it.
    #[error(
        "{path} asks for `{name}`, which no file of weights needs; nothing of it was executed, \
         and it should not be loaded with other programs either"
    )]
    Forbidden {
        /// The file to convert.
        path: PathBuf,
        /// The function or class.
        name: String,
    },

    /// The content is not of the format that was asked for: do not ask for one.
    #[error("{path} is {found}, not what `--from {expected}` asks for; leave that option out")]
    FormatMismatch {
        /// The file to convert.
        path: PathBuf,
        /// The format asked for.
        expected: SourceFormat,
        /// The format by content.
        found: String,
    },

    /// The format's own structure does not hold: download the file again.
    #[error("{path} is {format} but damaged or cut short: {reason}; download it again")]
    Damaged {
        /// The file to convert.
        path: PathBuf,
        /// What it is.
        format: Format,
        /// What the reader stumbled over.
        reason: String,
    },

    /// HDF5 that is not Keras's: convert another file.
    #[error(
        "{path} is HDF5 but not Keras's: found {found}, expected an attribute `layer_names` or a \
         group `layers`"
    )]
    NotKeras {
        /// The file to convert.
        path: PathBuf,
        /// The names at the top, the first of them.
        found: String,
    },

    /// The order of Keras's weights contradicts itself or what was asked for: see what is expected.
    #[error("{path} has {found}, expected {expected}")]
    KerasOrder {
        /// The file to convert.
        path: PathBuf,
        /// What can be converted, and how to come by it.
        expected: &'static str,
        /// What is there.
        found: String,
    },

    /// The file does not say whether its kernels are mirrored: say which backend saved them.
    #[error(
        "{path} has kernels of Keras 0 or 1 and does not say which backend saved them: Theano \
         mirrors kernels, TensorFlow does not; say `--keras-backend theano` or \
         `--keras-backend tensorflow`"
    )]
    KerasBackend {
        /// The file to convert.
        path: PathBuf,
    },

    /// Nothing in the file says which pixels its network takes.
    #[error(
        "{path} is {format} whose layers have no names of a published network, so that nothing \
         says which pixels it takes; say `--pixels bgr`, `--pixels rgb` or `--pixels torchvision`"
    )]
    UnknownPixels {
        /// The file to convert.
        path: PathBuf,
        /// What it is.
        format: Format,
    },

    /// The source subtracts channel means that are none of those known here.
    #[error(
        "{path} subtracts the means {found:?} (blue, green, red), which are none of those known \
         here; say which come nearest with `--normalization`"
    )]
    UnknownMeans {
        /// The file to convert.
        path: PathBuf,
        /// Means of blue, green and red, 0 to 255.
        found: [f32; 3],
    },

    /// An array does not hold numbers that weights are stored in: save them as f32.
    #[error("`{name}` in {path} holds {found}, expected f16, bf16, f32 or f64; save it as f32")]
    ElementType {
        /// The file to convert.
        path: PathBuf,
        /// The array.
        name: String,
        /// Its element type.
        found: String,
    },

    /// The file holds the weights of some other network: convert another file.
    #[error("{path} is not VGG16: {misfit}; found {found}, expected {VGG16}")]
    NotVgg16 {
        /// The file to convert.
        path: PathBuf,
        /// The first thing that does not fit.
        misfit: String,
        /// What there is: how many layers of which kind, and the first of them.
        found: String,
    },

    /// A weight is NaN or infinite: the network it comes from is broken.
    #[error("`{name}` in {path} holds {found} at index {index}, expected finite numbers")]
    NotFinite {
        /// The file to convert.
        path: PathBuf,
        /// The array.
        name: String,
        /// Place in the array as stored, in row-major order.
        index: usize,
        /// The value.
        found: f32,
    },

    /// The source names another normalization than was asked for: do not ask for one.
    #[error(
        "{path} says that it expects normalization {found}, not {expected}; leave \
         `--normalization` out"
    )]
    NormalizationConflict {
        /// The file to convert.
        path: PathBuf,
        /// The normalization asked for.
        expected: Normalization,
        /// The source's own.
        found: Normalization,
    },

    /// The source's metadata hold what this version does not understand.
    #[error("{path} has {found} for `{key}`, expected {expected}")]
    Metadata {
        /// The file to convert.
        path: PathBuf,
        /// Which entry.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },

    /// The output would replace the source: name another.
    #[error("{path} is both source and output; choose another `--out`")]
    SameFile {
        /// The file.
        path: PathBuf,
    },

    /// The caller stopped the conversion.
    #[error("interrupted; nothing was written")]
    Interrupted,

    /// The output is the name of a folder: name a file.
    #[error("{path} is a folder; name the file to write with `--out`")]
    OutputFolder {
        /// The folder.
        path: PathBuf,
    },

    /// The file is what it should be, and still cannot be converted.
    #[error("{path} cannot be converted: {reason}")]
    Unconvertible {
        /// The file to convert.
        path: PathBuf,
        /// What stands in the way, and what to do.
        reason: String,
    },

    /// A file of names cannot be read as such: write one name a line.
    #[error(
        "{path} holds no names: {reason}; expected text of one name a line, or an .npy of strings"
    )]
    Labels {
        /// The file of names.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The result does not see in the photograph what it should; it has not been written.
    #[error(
        "{path} does not pass: `{name}` has probability {found:.4}, expected {expected:.4} within \
         {tolerance}; nothing was written"
    )]
    Verification {
        /// The file to convert.
        path: PathBuf,
        /// Whom the photograph shows.
        name: String,
        /// The probability that was asked for.
        expected: f64,
        /// The probability that was found.
        found: f64,
        /// How far apart the two may be.
        tolerance: f64,
    },

    /// The result cannot be tried on a photograph: convert without `--verify`.
    #[error("{path} cannot be verified: {reason}")]
    Unverifiable {
        /// The file to convert.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },

    /// There is no such run or weights file to export: train one.
    #[error("{path} not found; expected a run that `cargo xtask train` made, or a weights file")]
    RunNotFound {
        /// The run to export from.
        path: PathBuf,
    },

    /// The run has no weights of this fold: name another, or train it.
    #[error("{path} has no fold {fold} to export: {found}")]
    FoldNotFound {
        /// The run to export from.
        path: PathBuf,
        /// The fold asked for.
        fold: usize,
        /// Which folds there are, in words.
        found: String,
    },

    /// A run has several networks: name one.
    #[error("{path} is a run; say which fold to export with `--fold`: {found}")]
    WhichFold {
        /// The run to export from.
        path: PathBuf,
        /// Which folds there are, in words.
        found: String,
    },

    /// A weights file is one network: do not name a fold.
    #[error("{path} is a weights file and not a run; leave `--fold` out")]
    FoldOfFile {
        /// The file to export.
        path: PathBuf,
    },

    /// Only ONNX holds more than weights: do not ask for it.
    #[error(
        "`{option}` is for `--to onnx` alone, since {target} files hold weights and no \
         computation; leave it out"
    )]
    OnnxOnly {
        /// The option.
        option: &'static str,
        /// The form that was asked for.
        target: Target,
    },

    /// A base gives no scores: do not ask for probabilities.
    #[error("{path} has no fc8 whose scores could become probabilities; leave `--softmax` out")]
    NoScores {
        /// The file to export.
        path: PathBuf,
    },

    /// Keras would take the file for another form: name it otherwise.
    #[error("{path} would not be read by Keras; end `--out` in .h5, but not in .weights.h5")]
    KerasName {
        /// The file to write.
        path: PathBuf,
    },

    /// Protocol buffers cannot be as long: export to another form.
    #[error(
        "{path} would have {found} bytes, more than the {limit} that an ONNX file can have; \
         export with `--to keras` or `--to pytorch`"
    )]
    OnnxTooLarge {
        /// The file to write.
        path: PathBuf,
        /// How long it would be.
        found: usize,
        /// How long it may be.
        limit: usize,
    },

    /// The photograph cannot be read: name another.
    #[error(transparent)]
    Photograph(#[from] preprocess::Error),

    /// The result could not be written, or a file of this project's not read.
    #[error(transparent)]
    Write(#[from] model::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Write(error.into())
    }
}
