//! VGG16 with VGGFace's layer names, its heads, and strict reading and writing of its weights.
//!
//! [`Architecture`] describes a network as one list of layers; [`Vgg16`] computes it on candle,
//! from any [`Cut`] to any other, with any set of layers trainable. Files of parameters are
//! read by [`WeightsFile`], which accounts for every name, and written by [`weights::write`].
//!
//! The network is deterministic: initial values and dropout masks come from seeded streams of
//! its own, since candle's generator cannot be seeded on a CPU.

pub mod architecture;
pub mod cut;
pub mod dropout;
pub mod error;
pub mod gradient;
pub mod initial;
mod layers;
pub mod network;
mod stream;
pub mod weights;

pub use architecture::{Architecture, Classifier, Head, Layer, LayerKind, ParameterSpec, Widths};
pub use cut::Cut;
pub use dropout::{DropoutRate, HeadDropout};
pub use error::Error;
pub use gradient::{Accumulation, Gradient};
pub use initial::{Initializer, initial};
pub use kernels::cross_entropy::soft::SoftTarget;
pub use layers::{cross_entropy, soft_cross_entropy};
pub use network::{Mode, Vgg16};
pub use weights::{LoadReport, Metadata, WeightsFile};
