//! The gradients of several batches, as those of one batch of all their images.

use std::{collections::BTreeMap, num::NonZeroUsize};

use super::Gradient;
use crate::Error;

/// Gradients of the batches that a step is made of, where memory holds no batch of its size.
///
/// Those of a loss that is the mean over a batch's images, weighted by how many there are, make
/// those of one batch of all images, up to rounding.
#[derive(Debug, Default)]
pub struct Accumulation {
    /// By parameter, in units of the first batch: its gradients enter as they are.
    sums: BTreeMap<String, Gradient>,
    images: usize,
    first_images: usize,
}

impl Accumulation {
    /// Adds those of a batch of so many images.
    ///
    /// A parameter without a gradient took no part in the batch's loss: its gradient is zero.
    /// Those in factors stay in factors, so that nothing as large as a dense layer's weights is made.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if the gradients of a parameter differ in shape, or the device fails.
    pub fn add(
        &mut self,
        gradients: BTreeMap<String, Gradient>,
        images: NonZeroUsize,
    ) -> Result<(), Error> {
        if self.images == 0 {
            self.first_images = images.get();
        }
        let weight = images.get() as f64 / self.first_images as f64;
        for (name, gradient) in gradients {
            let weighted = multiplied(gradient, weight)?;
            let sum = match self.sums.get(&name) {
                Some(sum) => sum.plus(&weighted)?,
                None => weighted,
            };
            self.sums.insert(name, sum);
        }
        self.images += images.get();
        Ok(())
    }

    /// How many images its batches had.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Takes the gradients, by parameter, of the mean loss over all images that were added; none if
    /// there were none. It can be added to anew.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if the device fails.
    pub fn take(&mut self) -> Result<BTreeMap<String, Gradient>, Error> {
        let Self { sums, images, first_images } = std::mem::take(self);
        let share = first_images as f64 / images as f64;
        sums.into_iter().map(|(name, sum)| Ok((name, multiplied(sum, share)?))).collect()
    }
}

/// The gradient times a factor; as it is, to the bit, where that is 1.
fn multiplied(gradient: Gradient, factor: f64) -> candle_core::Result<Gradient> {
    #[expect(clippy::float_cmp, reason = "a ratio of equal counts is exactly 1")]
    if factor == 1.0 { Ok(gradient) } else { gradient.scaled(factor) }
}
