//! Where a stage's inputs come from: pixels, or features behind frozen layers.

use candle_core::{Device, Tensor};
use preprocess::{Augmentation, Normalization, Prepared, View, read_batch};

use crate::{
    Error,
    features::{FeatureFile, batch_tensor},
};

/// A source of batches.
#[derive(Debug, Clone, Copy)]
pub enum Inputs<'a> {
    /// Prepared images, normalized, as they are, augmented, or in one view.
    Pixels(Pixels<'a>),
    /// Features that were computed before.
    Features(&'a FeatureFile),
}

/// Prepared images and what is done to them on reading.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a> {
    prepared: &'a Prepared,
    normalization: Normalization,
    seen: Seen<'a>,
}

/// How images are seen.
#[derive(Debug, Clone, Copy)]
enum Seen<'a> {
    /// The same in every epoch.
    As(View<'a>),
    /// Differently in each, by a stream of this seed.
    Augmented(&'a Augmentation, u64),
}

impl<'a> Inputs<'a> {
    /// Images as they are.
    pub fn plain(prepared: &'a Prepared, normalization: Normalization) -> Self {
        Self::viewed(prepared, normalization, View::Plain)
    }

    /// Images in one view, the same in every epoch: one of a [`preprocess::TestTimeViews`], say.
    pub fn viewed(prepared: &'a Prepared, normalization: Normalization, view: View<'a>) -> Self {
        Self::Pixels(Pixels { prepared, normalization, seen: Seen::As(view) })
    }

    /// Images that differ from epoch to epoch, by a stream of this seed.
    pub fn augmented(
        prepared: &'a Prepared,
        normalization: Normalization,
        augmentation: &'a Augmentation,
        seed: u64,
    ) -> Self {
        Self::Pixels(Pixels { prepared, normalization, seen: Seen::Augmented(augmentation, seed) })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Pixels(pixels) => pixels.prepared.len(),
            Self::Features(file) => file.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads a batch; `epoch` matters only to augmentation.
    ///
    /// # Shapes
    ///
    /// - returns `(indices.len(), 3, side, side)`, f32, BGR, normalized, or
    ///   `(indices.len(), ..)` with the shape of one image's features
    ///
    /// # Errors
    ///
    /// [`Error::Preprocess`] or [`Error::Read`] if the data cannot be read.
    pub fn read(&self, indices: &[usize], epoch: usize, device: &Device) -> Result<Tensor, Error> {
        match self {
            Self::Pixels(Pixels { prepared, normalization, seen }) => {
                let view = match *seen {
                    Seen::Augmented(augmentation, seed) => {
                        View::Augmented { augmentation, seed, epoch: epoch as u64 }
                    }
                    Seen::As(view) => view,
                };
                let images = read_batch(prepared, indices, *normalization, view)?;
                let side = prepared.side_px();
                batch_tensor(images, indices.len(), &[3, side, side], device)
            }
            Self::Features(file) => {
                batch_tensor(file.read(indices)?, indices.len(), file.shape(), device)
            }
        }
    }
}
