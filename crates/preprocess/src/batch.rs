//! Prepared pixels to what a network is fed: read, augmented, normalized, in parallel.

use rayon::prelude::*;

use crate::augmentation::{Augmentation, ImageSeed, augment};
use crate::normalization::{Normalization, normalize};
use crate::view::{CropView, crop, flip};
use crate::{Error, Prepared};

/// How images are seen.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// As prepared.
    Plain,
    /// Mirrored.
    Flipped,
    /// A part of it, enlarged.
    Crop(CropView),
    /// Augmented, differently for each image and epoch, the same for the same seed.
    Augmented {
        /// By how much.
        augmentation: &'a Augmentation,
        /// The run's seed.
        seed: u64,
        /// The epoch, from any start.
        epoch: u64,
    },
}

/// Reads a batch.
///
/// # Shapes
///
/// - `indices`: images of `prepared`, in any order, also more than once
/// - returns `(indices.len(), 3, side, side)`, f32, BGR, pixel minus channel mean
///
/// # Errors
///
/// Those of [`Prepared::read_pixels`].
pub fn read_batch(
    prepared: &Prepared,
    indices: &[usize],
    normalization: Normalization,
    view: View<'_>,
) -> Result<Vec<f32>, Error> {
    let image_len = 3 * prepared.side_px() * prepared.side_px();
    let mut images = vec![0.0; indices.len() * image_len];
    images.par_chunks_exact_mut(image_len).zip(indices).try_for_each_init(
        || vec![0; image_len],
        |rgb, (image, &index)| {
            prepared.read_pixels(index, rgb)?;
            match view {
                View::Plain => normalize(normalization, rgb, image),
                View::Flipped => {
                    flip(prepared.side_px(), rgb);
                    normalize(normalization, rgb, image);
                }
                View::Crop(view) => {
                    let mut cropped = vec![0.0; image_len];
                    crop(view, prepared.side_px(), rgb, &mut cropped);
                    normalize(normalization, &cropped, image);
                }
                View::Augmented { augmentation, seed, epoch } => {
                    let seed = ImageSeed { seed, epoch, image: index as u64 };
                    let mut augmented = vec![0.0; image_len];
                    augment(augmentation, prepared.side_px(), rgb, seed, &mut augmented);
                    normalize(normalization, &augmented, image);
                }
            }
            Ok(())
        },
    )?;
    Ok(images)
}
