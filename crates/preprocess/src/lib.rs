//! Photographs to prepared pixels: everything that happens before a tensor exists.
//!
//! [`prepare`] turns a folder of people into a [`Prepared`] set on disk: u8 RGB pixels, labels and
//! a [`Manifest`] that names all that shaped them, and which of them are of one photograph. Training then asks [`read_batch`] for f32 BGR
//! images, normalized exactly as VGGFace expects and, if wanted, augmented by a pure function of
//! the image, the epoch and the seed. [`synthetic`] draws faces for those who have no photographs.
//!
//! This crate knows no tensors: it hands out plain slices and vectors.

mod affine;
mod augmentation;
mod batch;
mod decode;
mod draws;
mod error;
mod framing;
mod location;
mod manifest;
mod near_duplicates;
mod normalization;
mod outcome;
mod perceptual_hash;
mod photograph;
mod prepare;
mod prepared;
mod scan;
mod settings;
mod shard;
mod staging;
pub mod synthetic;
mod thumbnail;
mod view;

pub use augmentation::{Augmentation, AugmentationRanges, ImageSeed, augment};
pub use batch::{View, read_batch};
pub use error::Error;
pub use framing::{RESIZE_FILTER, resize};
pub use location::lies_in;
pub use manifest::{Counts, FORMAT_VERSION, ImageRecord, Manifest, Skipped};
pub use normalization::{Normalization, normalize};
pub use outcome::Outcome;
pub use photograph::read_photograph;
pub use prepare::prepare;
pub use prepared::Prepared;
pub use settings::{Crop, Settings, Share, Side};
pub use view::{CropPlace, CropView, Mirror, TestTimeViews};
