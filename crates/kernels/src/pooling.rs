//! Maximum over windows of 2x2, stride 2.

use rayon::prelude::*;

use crate::vectorized::vectorized;

/// The images that a pool reads: `(batch, channels, height, width)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolingShape {
    /// Number of images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Rows of a channel; an odd last one is dropped.
    pub height: usize,
    /// Columns of a channel; an odd last one is dropped.
    pub width: usize,
}

impl PoolingShape {
    /// Elements of the input.
    pub fn images_len(self) -> usize {
        self.batch * self.channels * self.height * self.width
    }

    /// Elements of the output, `(batch, channels, height / 2, width / 2)`.
    pub fn output_len(self) -> usize {
        self.batch * self.channels * (self.height / 2) * (self.width / 2)
    }

    fn plane_len(self) -> usize {
        self.height * self.width
    }

    fn output_plane_len(self) -> usize {
        (self.height / 2) * (self.width / 2)
    }
}

/// Takes the largest of each window and notes which it was; of equal values the first in row-major order, and NaN
/// before any number.
///
/// # Shapes
///
/// - `images`: `(batch, channels, height, width)`
/// - `output`: `(batch, channels, height / 2, width / 2)`
/// - `argmax`: as `output`; 0..=3, the place in the window in row-major order
///
/// # Panics
///
/// If a slice has another length.
pub fn forward(shape: PoolingShape, images: &[f32], output: &mut [f32], argmax: &mut [u8]) {
    assert_eq!(images.len(), shape.images_len(), "images");
    assert_eq!(output.len(), shape.output_len(), "output");
    assert_eq!(argmax.len(), shape.output_len(), "argmax");
    if output.is_empty() {
        return;
    }
    output
        .par_chunks_mut(shape.output_plane_len())
        .zip(argmax.par_chunks_mut(shape.output_plane_len()))
        .zip(images.par_chunks(shape.plane_len()))
        .for_each(|((output, argmax), plane)| pool_plane(shape.width, plane, output, argmax));
}

/// Sends each window's gradient to the element that was its largest; all others get zero.
///
/// # Shapes
///
/// - `grad_output`, `argmax`: `(batch, channels, height / 2, width / 2)`, the latter as [`forward`] wrote it
/// - `grad_images`: `(batch, channels, height, width)`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward(shape: PoolingShape, grad_output: &[f32], argmax: &[u8], grad_images: &mut [f32]) {
    assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
    assert_eq!(argmax.len(), shape.output_len(), "argmax");
    assert_eq!(grad_images.len(), shape.images_len(), "grad_images");
    if grad_output.is_empty() {
        grad_images.fill(0.0);
        return;
    }
    grad_images
        .par_chunks_mut(shape.plane_len())
        .zip(grad_output.par_chunks(shape.output_plane_len()))
        .zip(argmax.par_chunks(shape.output_plane_len()))
        .for_each(|((plane, grad), argmax)| unpool_plane(shape.width, grad, argmax, plane));
}

vectorized! {
    fn pool_plane(width: usize, plane: &[f32], output: &mut [f32], argmax: &mut [u8]) {
        let rows = plane.chunks_exact(2 * width);
        let outputs = output.chunks_exact_mut(width / 2).zip(argmax.chunks_exact_mut(width / 2));
        for (pair, (output, argmax)) in rows.zip(outputs) {
            let (upper, lower) = pair.split_at(width);
            let windows = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            for ((output, argmax), (upper, lower)) in output.iter_mut().zip(argmax).zip(windows) {
                let (mut largest, mut place) = (upper[0], 0);
                for (candidate, at) in [(upper[1], 1), (lower[0], 2), (lower[1], 3)] {
                    let wins = candidate > largest || (candidate.is_nan() && !largest.is_nan());
                    largest = if wins { candidate } else { largest };
                    place = if wins { at } else { place };
                }
                *output = largest;
                *argmax = place;
            }
        }
    }

    fn unpool_plane(width: usize, grad: &[f32], argmax: &[u8], plane: &mut [f32]) {
        let grads = grad.chunks_exact(width / 2).zip(argmax.chunks_exact(width / 2));
        let mut rows = plane.chunks_exact_mut(2 * width);
        for (pair, (grad, argmax)) in rows.by_ref().zip(grads) {
            let (upper, lower) = pair.split_at_mut(width);
            let windows = upper.chunks_exact_mut(2).zip(lower.chunks_exact_mut(2));
            for ((&grad, &place), (upper, lower)) in grad.iter().zip(argmax).zip(windows) {
                upper[0] = if place == 0 { grad } else { 0.0 };
                upper[1] = if place == 1 { grad } else { 0.0 };
                lower[0] = if place == 2 { grad } else { 0.0 };
                lower[1] = if place == 3 { grad } else { 0.0 };
            }
            upper[width / 2 * 2..].fill(0.0);
            lower[width / 2 * 2..].fill(0.0);
        }
        rows.into_remainder().fill(0.0);
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "zeros and copies are exact")]
mod tests {
    use super::*;

    const WINDOW: PoolingShape = PoolingShape { batch: 1, channels: 1, height: 2, width: 2 };

    fn pool(window: [f32; 4]) -> (f32, u8) {
        let (mut output, mut argmax) = ([0.0], [9]);
        forward(WINDOW, &window, &mut output, &mut argmax);
        (output[0], argmax[0])
    }

    #[test]
    fn first_of_ties_wins() {
        assert_eq!(pool([1.0, 1.0, 1.0, 1.0]), (1.0, 0));
        assert_eq!(pool([0.0, 1.0, 1.0, 1.0]), (1.0, 1));
        assert_eq!(pool([0.0, -1.0, 2.0, 2.0]), (2.0, 2));
        assert_eq!(pool([0.0, -0.0, 0.0, 3.0]), (3.0, 3));
    }

    #[test]
    fn first_nan_wins() {
        for (window, place) in
            [([f32::NAN, 9.0, f32::NAN, 1.0], 0), ([1.0, 2.0, f32::NAN, f32::INFINITY], 2)]
        {
            let (value, at) = pool(window);
            assert!(value.is_nan());
            assert_eq!(at, place);
        }
    }

    #[test]
    fn odd_last_row_and_column_are_dropped_and_get_no_gradient() {
        let shape = PoolingShape { batch: 1, channels: 1, height: 3, width: 5 };
        let images = [
            1., 2., 5., 4., 99., //
            3., 0., 6., 7., 99., //
            99., 99., 99., 99., 99.,
        ];
        let (mut output, mut argmax) = ([0.0; 2], [0; 2]);
        forward(shape, &images, &mut output, &mut argmax);
        assert_eq!((output, argmax), ([3.0, 7.0], [2, 3]));
        let mut grad_images = [f32::NAN; 15];
        backward(shape, &[10.0, 20.0], &argmax, &mut grad_images);
        assert_eq!(grad_images, [0., 0., 0., 0., 0., 10., 0., 0., 20., 0., 0., 0., 0., 0., 0.]);
    }

    #[test]
    fn an_image_of_one_pixel_pools_to_nothing() {
        let shape = PoolingShape { batch: 2, channels: 1, height: 1, width: 1 };
        forward(shape, &[1.0, 2.0], &mut [], &mut []);
        let mut grad_images = [f32::NAN; 2];
        backward(shape, &[], &[], &mut grad_images);
        assert_eq!(grad_images, [0.0, 0.0]);
    }
}
