//! Published VGG16 weight files, in whatever form they come, to this project's safetensors; and
//! this project's weights to the forms that other tools read.
//!
//! ```text
//! bytes -> Source (format by content) -> Reader (named layers, as stored)
//!       -> Network (VGG16 recognised, by names or by shapes) -> axes reordered -> safetensors
//! ```
//!
//! [`convert()`] is the whole way. Each format has one reader, behind one trait, that lists named
//! arrays and knows nothing of VGG16; recognition sees names and shapes alone and knows nothing of
//! formats; the axis orders meet in one place. What is not VGG16, whole and as published in all
//! but its widths, is refused with what was found and what was expected: a file that converts is
//! right, and nothing is guessed that could be silently wrong.
//!
//! [`export::export()`] is the way back, for the weights of a run or of this project:
//!
//! ```text
//! safetensors -> Network (every parameter accounted for) -> ONNX, Keras's HDF5 or PyTorch's names
//! ```
//!
//! Source files are untrusted: none can make this crate panic, and no length that a file claims
//! is allocated before it has been checked.

mod axes;
mod conversion;
mod element;
mod error;
pub mod export;
pub mod fetch;
mod findings;
mod format;
mod guard;
mod labels;
mod normalization;
mod onnx;
mod pixels;
mod protobuf;
mod reader;
mod recognition;
mod report;
mod source;
mod state_dict;
mod verification;

pub use conversion::{Conversion, Converted, Layers, Request, convert};
pub use error::Error;
pub use format::{Format, SourceFormat};
pub use normalization::NormalizationReason;
pub use pixels::{Pixels, PixelsReason};
pub use preprocess::Normalization;
pub use reader::KerasBackend;
pub use recognition::Naming;
pub use verification::{Expectation, Sighting, TOLERANCE, Verification};
