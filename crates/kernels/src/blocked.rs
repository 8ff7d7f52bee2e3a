//! Activations in blocks of channels: the layout in which convolutions pass them on.

use rayon::prelude::*;

use crate::lanes::LANES;
use crate::scratch::{SharedSlice, elements};
use crate::vectorized::vectorized;

/// Side of a tile of output; rows and columns are rounded up to whole tiles.
const TILE: usize = 4;

/// Rows and columns of zeros around an image.
const BORDER: usize = 1;

/// Images in blocks of 16 channels, `(batch, blocks, rows, columns, 16)`.
///
/// Around each image lies a border of zeros, so that tiles are read without a look at the edges: rows are the height,
/// rounded up to a multiple of 4, and 2 more; columns likewise. Channels beyond the last are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedShape {
    /// Number of images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Rows of a channel.
    pub height: usize,
    /// Columns of a channel.
    pub width: usize,
}

impl BlockedShape {
    /// Blocks of channels.
    pub fn blocks(self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Rows with their border.
    pub fn rows(self) -> usize {
        bordered(self.height)
    }

    /// Columns with their border.
    pub fn columns(self) -> usize {
        bordered(self.width)
    }

    /// All five extents.
    pub fn extents(self) -> [usize; 5] {
        [self.batch, self.blocks(), self.rows(), self.columns(), LANES]
    }

    /// Elements of the blocked images.
    pub fn len(self) -> usize {
        elements(&self.extents())
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Elements of the same images without blocks, `(batch, channels, height, width)`.
    pub fn plain_len(self) -> usize {
        elements(&[self.batch, self.channels, self.height, self.width])
    }

    /// Elements between two rows.
    pub(crate) fn row_stride(self) -> usize {
        self.columns() * LANES
    }

    /// Elements of one block of one image.
    pub(crate) fn plane_len(self) -> usize {
        self.rows() * self.row_stride()
    }

    /// Where a row of a block begins: its first pixel inside the border.
    pub(crate) fn row(self, image: usize, block: usize, row: usize) -> usize {
        (image * self.blocks() + block) * self.plane_len()
            + (row + BORDER) * self.row_stride()
            + BORDER * LANES
    }

    /// Where the tile of input begins that belongs to the tile of output at this row and column of tiles.
    pub(crate) fn input_tile(self, image: usize, block: usize, row: usize, column: usize) -> usize {
        (image * self.blocks() + block) * self.plane_len()
            + row * TILE * self.row_stride()
            + column * TILE * LANES
    }

    /// The shape after 2x2 pooling; an odd last row or column is dropped.
    #[must_use]
    pub fn pooled(self) -> Self {
        Self { height: self.height / 2, width: self.width / 2, ..self }
    }
}

/// An extent in whole tiles, with its border.
///
/// # Panics
///
/// If no image could be as large: a sum that wrapped would let a small slice pass for it.
fn bordered(extent: usize) -> usize {
    extent
        .checked_next_multiple_of(TILE)
        .and_then(|tiles| tiles.checked_add(2 * BORDER))
        .expect("an image has fewer rows and columns than memory has bytes")
}

/// Puts images into blocks.
///
/// # Shapes
///
/// - `images`: `(batch, channels, height, width)`
/// - returns [`BlockedShape::extents`]
///
/// # Panics
///
/// If the slice has another length.
pub fn block(shape: BlockedShape, images: &[f32]) -> Vec<f32> {
    assert_eq!(images.len(), shape.plain_len(), "images");
    let mut blocked = vec![0.0; shape.len()];
    if images.is_empty() {
        return blocked;
    }
    let (plane, area) = (shape.plane_len(), shape.height * shape.width);
    blocked.par_chunks_exact_mut(plane).enumerate().for_each(|(index, blocked)| {
        let (image, block) = (index / shape.blocks(), index % shape.blocks());
        let channels = LANES.min(shape.channels - block * LANES);
        for lane in 0..channels {
            let first = (image * shape.channels + block * LANES + lane) * area;
            for (y, line) in images[first..first + area].chunks_exact(shape.width).enumerate() {
                let start = shape.row(0, 0, y);
                let pixels = blocked[start..][..shape.width * LANES].chunks_exact_mut(LANES);
                for (pixel, &value) in pixels.zip(line) {
                    pixel[lane] = value;
                }
            }
        }
    });
    blocked
}

/// Takes images out of their blocks.
///
/// # Shapes
///
/// - `blocked`: [`BlockedShape::extents`]
/// - returns `(batch, channels, height, width)`
///
/// # Panics
///
/// If the slice has another length.
pub fn unblock(shape: BlockedShape, blocked: &[f32]) -> Vec<f32> {
    assert_eq!(blocked.len(), shape.len(), "blocked");
    let mut images = vec![0.0; shape.plain_len()];
    if images.is_empty() {
        return images;
    }
    let area = shape.height * shape.width;
    images.par_chunks_exact_mut(area).enumerate().for_each(|(index, channel)| {
        let (image, number) = (index / shape.channels, index % shape.channels);
        for (y, line) in channel.chunks_exact_mut(shape.width).enumerate() {
            let start = shape.row(image, number / LANES, y);
            let pixels = blocked[start..][..shape.width * LANES].chunks_exact(LANES);
            for (value, pixel) in line.iter_mut().zip(pixels) {
                *value = pixel[number % LANES];
            }
        }
    });
    images
}

/// Which of a window's four values was the largest, or [`CLIPPED`].
///
/// # Shapes
///
/// `(batch, blocks, height, width, 16)` of the pooled images, without a border.
pub type Winners = Vec<u8>;

/// Stands for a window whose largest value was clipped at zero: no gradient passes.
pub const CLIPPED: u8 = 4;

/// Elements of [`Winners`] of this pooled shape.
pub(crate) fn winners_len(pooled: BlockedShape) -> usize {
    elements(&[pooled.batch, pooled.blocks(), pooled.height, pooled.width, LANES])
}

/// Takes the largest of each 2x2 window of rectified images; of equals the first wins, and NaN over all.
///
/// # Shapes
///
/// - `images`: [`BlockedShape::extents`]
/// - returns those of `shape.pooled()`
///
/// # Panics
///
/// If the slice has another length.
pub fn pool(shape: BlockedShape, images: &[f32]) -> (Vec<f32>, Winners) {
    let pooled = shape.pooled();
    assert_eq!(images.len(), shape.len(), "images");
    let mut output = vec![0.0; pooled.len()];
    let mut winners = vec![CLIPPED; winners_len(pooled)];
    if winners.is_empty() {
        return (output, winners);
    }
    let target = SharedSlice::new(&mut output);
    let line_len = pooled.width * LANES;
    winners.par_chunks_exact_mut(line_len).enumerate().for_each(|(line, winners)| {
        let (plane, y) = (line / pooled.height, line % pooled.height);
        let (image, block) = (plane / shape.blocks(), plane % shape.blocks());
        let first = pooled.row(image, block, y);
        // SAFETY: each task writes its own line of windows.
        let output = unsafe { target.range_mut(first..first + line_len) };
        let rows = [0, 1].map(|below| &images[shape.row(image, block, 2 * y + below)..]);
        for (index, (output, winner)) in output.iter_mut().zip(winners).enumerate() {
            let (column, lane) = (index / LANES, index % LANES);
            // From zero on: a window without anything positive stays clipped.
            let corners = [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1)];
            for (code, row, right) in corners {
                let value = rows[row][(2 * column + right) * LANES + lane];
                if value > *output || (value.is_nan() && !output.is_nan()) {
                    (*output, *winner) = (value, code);
                }
            }
        }
    });
    (output, winners)
}

/// The gradient of the sums before the activation: that of the output where this is positive or NaN, else zero.
///
/// # Shapes
///
/// - `output`, `grad_output` and what is returned: [`BlockedShape::extents`]
///
/// # Panics
///
/// If a slice has another length.
pub fn mask_gradient(shape: BlockedShape, output: &[f32], grad_output: &[f32]) -> Vec<f32> {
    assert_eq!(output.len(), shape.len(), "output");
    assert_eq!(grad_output.len(), shape.len(), "grad_output");
    let mut masked = vec![0.0; shape.len()];
    if masked.is_empty() {
        return masked;
    }
    masked.par_chunks_exact_mut(shape.row_stride()).enumerate().for_each(|(row, masked)| {
        let y = row % shape.rows();
        if !(BORDER..shape.height + BORDER).contains(&y) {
            return;
        }
        let inside = BORDER * LANES..(BORDER + shape.width) * LANES;
        let first = row * shape.row_stride();
        let output = &output[first..][inside.clone()];
        let grad = &grad_output[first..][inside.clone()];
        for ((masked, &output), &grad) in masked[inside].iter_mut().zip(output).zip(grad) {
            *masked = if output <= 0.0 { 0.0 } else { grad };
        }
    });
    masked
}

/// The gradient of the sums before activation and pooling: each window's goes to its winner.
///
/// # Shapes
///
/// - `grad_pooled`: [`BlockedShape::extents`] of `shape.pooled()`
/// - returns [`BlockedShape::extents`] of `shape`
///
/// # Panics
///
/// If a slice has another length.
pub fn unpool_gradient(shape: BlockedShape, winners: &[u8], grad_pooled: &[f32]) -> Vec<f32> {
    let pooled = shape.pooled();
    assert_eq!(winners.len(), winners_len(pooled), "winners");
    assert_eq!(grad_pooled.len(), pooled.len(), "grad_pooled");
    let mut grad = vec![0.0; shape.len()];
    if winners.is_empty() || grad.is_empty() {
        return grad;
    }
    let target = SharedSlice::new(&mut grad);
    let line_len = pooled.width * LANES;
    winners.par_chunks_exact(line_len).enumerate().for_each(|(line, winners)| {
        let (plane, y) = (line / pooled.height, line % pooled.height);
        let (image, block) = (plane / shape.blocks(), plane % shape.blocks());
        let grads = &grad_pooled[pooled.row(image, block, y)..][..line_len];
        for (below, codes) in [(0, [0, 1]), (1, [2, 3])] {
            let first = shape.row(image, block, 2 * y + below);
            // SAFETY: each task writes the two rows under its own line of windows.
            let pixels = unsafe { target.range_mut(first..first + 2 * line_len) };
            for ((pair, grads), winners) in pixels
                .chunks_exact_mut(2 * LANES)
                .zip(grads.chunks_exact(LANES))
                .zip(winners.chunks_exact(LANES))
            {
                let (left, right) = pair.split_at_mut(LANES);
                for lane in 0..LANES {
                    left[lane] = if winners[lane] == codes[0] { grads[lane] } else { 0.0 };
                    right[lane] = if winners[lane] == codes[1] { grads[lane] } else { 0.0 };
                }
            }
        }
    });
    grad
}

/// The gradient of the bias: sums over all pixels.
///
/// # Shapes
///
/// - `grad`: [`BlockedShape::extents`]
/// - returns `(channels)`
///
/// # Panics
///
/// If the slice has another length.
pub fn bias_gradient(shape: BlockedShape, grad: &[f32]) -> Vec<f32> {
    assert_eq!(grad.len(), shape.len(), "grad");
    let mut sums = vec![0.0_f64; shape.blocks() * LANES];
    sums.par_chunks_exact_mut(LANES).enumerate().for_each(|(block, sums)| {
        for (image, y) in
            (0..shape.batch).flat_map(|image| (0..shape.height).map(move |y| (image, y)))
        {
            let line = &grad[shape.row(image, block, y)..][..shape.width * LANES];
            add_pixels(line, sums);
        }
    });
    #[expect(clippy::cast_possible_truncation, reason = "gradients are f32, their sums were not")]
    sums.into_iter().take(shape.channels).map(|sum| sum as f32).collect()
}

vectorized! {
    /// Adds the pixels of a line to the sums of its channels, in f64: gradients of a bias cancel.
    fn add_pixels(line: &[f32], sums: &mut [f64]) {
        for pixel in line.chunks_exact(LANES) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(value);
            }
        }
    }
}
