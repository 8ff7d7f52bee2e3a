//! Features of images side by side, and the products between them.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::Error;

/// Features of some images.
///
/// # Shapes
///
/// - `values`: `(images, units)`, f32
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    values: Vec<f32>,
    images: usize,
    units: usize,
}

impl Features {
    /// Takes features of `images` images, one image after the other.
    ///
    /// # Panics
    ///
    /// If there are no images, or the values cannot be dealt evenly to them.
    pub fn new(values: Vec<f32>, images: usize) -> Self {
        assert!(0 < images && values.len().is_multiple_of(images), "features of whole images");
        let units = values.len() / images;
        assert!(0 < units, "an image has features");
        Self { values, images, units }
    }

    /// How many images there are.
    pub fn images(&self) -> usize {
        self.images
    }

    /// How many features an image has.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The features of one image.
    pub fn image(&self, index: usize) -> &[f32] {
        &self.values[index * self.units..][..self.units]
    }

    /// The features of the first images.
    #[must_use]
    pub(crate) fn first(&self, images: usize) -> Self {
        Self::new(self.values[..images * self.units].to_vec(), images)
    }

    /// These features, and behind them those of other images.
    ///
    /// # Panics
    ///
    /// If they are of another layer.
    #[must_use]
    pub(crate) fn followed_by(mut self, others: Self) -> Self {
        assert_eq!(self.units, others.units, "features of the same layer");
        self.values.extend(others.values);
        Self { images: self.images + others.images, ..self }
    }

    /// The features less their mean over the images.
    #[must_use]
    pub fn centered(&self) -> Self {
        let mut sums = vec![0.0_f64; self.units];
        for image in self.values.chunks_exact(self.units) {
            for (sum, &value) in sums.iter_mut().zip(image) {
                *sum += f64::from(value);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "a mean of f32 fits f32")]
        let means: Vec<f32> = sums.iter().map(|sum| (sum / self.images as f64) as f32).collect();
        let mut centered = self.clone();
        centered.values.par_chunks_exact_mut(self.units).for_each(|image| {
            image.iter_mut().zip(&means).for_each(|(value, mean)| *value -= mean);
        });
        centered
    }

    /// The features of each image at length 1; those of length 0 stay.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let mut normalized = self.clone();
        normalized.values.par_chunks_exact_mut(self.units).for_each(|image| {
            let square: f64 = image.iter().map(|&value| f64::from(value).powi(2)).sum();
            if 0.0 < square {
                #[expect(clippy::cast_possible_truncation, reason = "a length of f32 fits f32")]
                let length = square.sqrt() as f32;
                for value in image {
                    *value /= length;
                }
            }
        });
        normalized
    }

    /// The features as a matrix, to be multiplied with.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if there is no room for it.
    pub(crate) fn matrix(&self) -> Result<Tensor, Error> {
        let shape = (self.images, self.units);
        Ok(Tensor::from_slice(&self.values, shape, &Device::Cpu)?)
    }
}

/// Inner products of the rows of two matrices.
///
/// # Shapes
///
/// - `rows`, `columns`: `(images, units)`, f32
/// - returns `(images of rows, images of columns)`, f32
///
/// # Errors
///
/// [`Error::Tensor`] if the two have different numbers of units.
pub(crate) fn products(rows: &Tensor, columns: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(rows.matmul(&columns.t()?)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_images_and_the_others_are_all_of_them() {
        let all = Features::new((0..12).map(|value| value as f32).collect(), 4);
        let (first, rest) = (all.first(3), Features::new(vec![9.0, 10.0, 11.0], 1));
        assert_eq!((first.images(), first.image(2)), (3, [6.0, 7.0, 8.0].as_slice()));
        assert_eq!(first.followed_by(rest), all);
    }

    #[test]
    fn centered_features_have_no_mean_and_normalized_ones_length_one() {
        let features = Features::new(vec![1.0, 2.0, 3.0, 6.0], 2);
        assert_eq!(features.centered().values, [-1.0, -2.0, 1.0, 2.0]);
        let normalized = Features::new(vec![3.0, 4.0, 0.0, 0.0], 2).normalized();
        assert_eq!(normalized.values, [0.6, 0.8, 0.0, 0.0]);
    }

    #[test]
    fn products_are_those_of_rows_with_all() {
        let features = Features::new(vec![1.0, 2.0, 3.0, 6.0, 0.0, 1.0], 3);
        let matrix = features.matrix().unwrap();
        let rows = matrix.narrow(0, 1, 2).unwrap();
        assert_eq!(products(&rows, &matrix).unwrap(), [15.0, 45.0, 6.0, 2.0, 6.0, 1.0]);
    }
}
