//! Activations in blocks of channels: the layout in which convolutions pass them on.

use rayon::prelude::*;

use crate::lanes::{LANES, for_each_cpu};
use crate::scratch::{SharedSlice, elements};
use crate::vectorized::vectorized;

/// Side of a tile of output; rows and columns are rounded up to whole tiles.
pub(crate) const TILE: usize = 4;

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

    /// Where the winners of a window of these pooled images begin.
    pub(crate) fn winner(self, image: usize, block: usize, row: usize, column: usize) -> usize {
        let line = (image * self.blocks() + block) * self.height + row;
        (line * self.width + column) * LANES
    }

    /// Elements of the winners of these pooled images, `(batch, blocks, height, width, 16)` without a border: which of a
    /// window's four values was the largest, or [`CLIPPED`].
    pub fn winners_len(self) -> usize {
        elements(&[self.batch, self.blocks(), self.height, self.width, LANES])
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
/// - `blocked`: [`BlockedShape::extents`]
///
/// # Panics
///
/// If a slice has another length.
pub fn block(shape: BlockedShape, images: &[f32], blocked: &mut [f32]) {
    assert_eq!(images.len(), shape.plain_len(), "images");
    assert_eq!(blocked.len(), shape.len(), "blocked");
    if images.is_empty() {
        blocked.fill(0.0);
        return;
    }
    clear_outside(shape, [shape.height, shape.width], blocked);
    let (plane, area) = (shape.plane_len(), shape.height * shape.width);
    blocked.par_chunks_exact_mut(plane).enumerate().for_each(|(index, blocked)| {
        let (image, block) = (index / shape.blocks(), index % shape.blocks());
        let channels = LANES.min(shape.channels - block * LANES);
        for lane in channels..LANES {
            blocked.iter_mut().skip(lane).step_by(LANES).for_each(|value| *value = 0.0);
        }
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
}

/// Takes images out of their blocks.
///
/// # Shapes
///
/// - `blocked`: [`BlockedShape::extents`]
/// - `images`: `(batch, channels, height, width)`
///
/// # Panics
///
/// If a slice has another length.
pub fn unblock(shape: BlockedShape, blocked: &[f32], images: &mut [f32]) {
    assert_eq!(blocked.len(), shape.len(), "blocked");
    assert_eq!(images.len(), shape.plain_len(), "images");
    if images.is_empty() {
        return;
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
}

/// Among winners, which say which of a window's four values was the largest, stands for a window whose largest value was clipped at zero: no gradient passes.
pub const CLIPPED: u8 = 4;

/// Zeroes all but the first `rows` and `columns` of each block: the border, and what lies beyond.
pub(crate) fn clear_outside(shape: BlockedShape, [rows, columns]: [usize; 2], images: &mut [f32]) {
    if images.is_empty() {
        return;
    }
    let inside = BORDER * LANES..(BORDER + columns) * LANES;
    images.par_chunks_exact_mut(shape.plane_len()).for_each(|plane| {
        for (y, line) in plane.chunks_exact_mut(shape.row_stride()).enumerate() {
            if (BORDER..BORDER + rows).contains(&y) {
                line[..inside.start].fill(0.0);
                line[inside.end..].fill(0.0);
            } else {
                line.fill(0.0);
            }
        }
    });
}

/// Takes the largest of each 2x2 window of rectified images; of equals the first wins, and NaN over all.
///
/// # Shapes
///
/// - `images`: [`BlockedShape::extents`]
/// - `output`: those of `shape.pooled()`; `winners`: its [`winners_len`](BlockedShape::winners_len)
///
/// # Panics
///
/// If a slice has another length.
pub fn pool(shape: BlockedShape, images: &[f32], output: &mut [f32], winners: &mut [u8]) {
    let pooled = shape.pooled();
    assert_eq!(images.len(), shape.len(), "images");
    assert_eq!(output.len(), pooled.len(), "output");
    assert_eq!(winners.len(), pooled.winners_len(), "winners");
    clear_outside(pooled, [pooled.height, pooled.width], output);
    if winners.is_empty() {
        return;
    }
    let target = SharedSlice::new(output);
    let line_len = pooled.width * LANES;
    winners.par_chunks_exact_mut(line_len).enumerate().for_each(|(line, winners)| {
        let (plane, y) = (line / pooled.height, line % pooled.height);
        let (image, block) = (plane / shape.blocks(), plane % shape.blocks());
        let first = pooled.row(image, block, y);
        // SAFETY: each task writes its own line of windows.
        let output = unsafe { target.range_mut(first..first + line_len) };
        let rows =
            [0, 1].map(|below| &images[shape.row(image, block, 2 * y + below)..][..2 * line_len]);
        // SAFETY: the lines are of equal width.
        unsafe { pool_line(rows[0], rows[1], output, winners) }
    });
}

for_each_cpu! {
    unsafe fn pool_line<L: Lanes>(
        top: &[f32],
        bottom: &[f32],
        output: &mut [f32],
        winners: &mut [u8],
    ) {
        let windows = top.chunks_exact(2 * LANES).zip(bottom.chunks_exact(2 * LANES));
        let written = output.chunks_exact_mut(LANES).zip(winners.chunks_exact_mut(LANES));
        for ((top, bottom), (output, winners)) in windows.zip(written) {
            // SAFETY: the features are there by the caller's word; each part has sixteen values, or twice as many.
            unsafe {
                let (largest, winner) = L::largest([
                    L::load(top.as_ptr()),
                    L::load(top.as_ptr().add(LANES)),
                    L::load(bottom.as_ptr()),
                    L::load(bottom.as_ptr().add(LANES)),
                ]);
                largest.store(output.as_mut_ptr());
                winners.copy_from_slice(&winner);
            }
        }
    }
}

/// The gradient of the sums before the activation: that of the output where this is positive or NaN, else zero.
///
/// # Shapes
///
/// - `output`, `grad_output` and `masked`: [`BlockedShape::extents`]
///
/// # Panics
///
/// If a slice has another length.
pub fn mask_gradient(shape: BlockedShape, output: &[f32], grad_output: &[f32], masked: &mut [f32]) {
    assert_eq!(output.len(), shape.len(), "output");
    assert_eq!(grad_output.len(), shape.len(), "grad_output");
    assert_eq!(masked.len(), shape.len(), "masked");
    if masked.is_empty() {
        return;
    }
    let line_len = shape.row_stride();
    let lines = masked.par_chunks_exact_mut(line_len).zip(output.par_chunks_exact(line_len));
    // SAFETY: the lines are of equal length.
    lines
        .zip(grad_output.par_chunks_exact(line_len))
        .for_each(|((masked, output), grad)| unsafe { mask_line(output, grad, masked) });
    clear_outside(shape, [shape.height, shape.width], masked);
}

for_each_cpu! {
    unsafe fn mask_line<L: Lanes>(output: &[f32], grad: &[f32], masked: &mut [f32]) {
        let pixels = output.chunks_exact(LANES).zip(grad.chunks_exact(LANES));
        for (masked, (output, grad)) in masked.chunks_exact_mut(LANES).zip(pixels) {
            // SAFETY: the features are there by the caller's word; each part has sixteen values.
            unsafe {
                let passed = L::load(grad.as_ptr()).passed(L::load(output.as_ptr()));
                passed.store(masked.as_mut_ptr());
            }
        }
    }
}

/// The gradient of the sums before activation and pooling: each window's goes to its winner.
///
/// # Shapes
///
/// - `grad_pooled`: [`BlockedShape::extents`] of `shape.pooled()`; `winners`: its
///   [`winners_len`](BlockedShape::winners_len)
/// - `grad`: [`BlockedShape::extents`] of `shape`
///
/// # Panics
///
/// If a slice has another length.
pub fn unpool_gradient(shape: BlockedShape, winners: &[u8], grad_pooled: &[f32], grad: &mut [f32]) {
    let pooled = shape.pooled();
    assert_eq!(winners.len(), pooled.winners_len(), "winners");
    assert_eq!(grad_pooled.len(), pooled.len(), "grad_pooled");
    assert_eq!(grad.len(), shape.len(), "grad");
    clear_outside(shape, [2 * pooled.height, 2 * pooled.width], grad);
    if winners.is_empty() {
        return;
    }
    let target = SharedSlice::new(grad);
    let line_len = pooled.width * LANES;
    winners.par_chunks_exact(line_len).enumerate().for_each(|(line, winners)| {
        let (plane, y) = (line / pooled.height, line % pooled.height);
        let (image, block) = (plane / shape.blocks(), plane % shape.blocks());
        let grads = &grad_pooled[pooled.row(image, block, y)..][..line_len];
        for (below, codes) in [(0, [0, 1]), (1, [2, 3])] {
            let first = shape.row(image, block, 2 * y + below);
            // SAFETY: each task writes the two rows under its own line of windows, which are twice as long.
            unsafe {
                let pixels = target.range_mut(first..first + 2 * line_len);
                unpool_line(winners, grads, codes, pixels);
            }
        }
    });
}

for_each_cpu! {
    unsafe fn unpool_line<L: Lanes>(
        winners: &[u8],
        grads: &[f32],
        codes: [u8; 2],
        pixels: &mut [f32],
    ) {
        let windows = winners.chunks_exact(LANES).zip(grads.chunks_exact(LANES));
        for (pair, (winners, grads)) in pixels.chunks_exact_mut(2 * LANES).zip(windows) {
            // SAFETY: the features are there by the caller's word; each part has sixteen values, or twice as many.
            unsafe {
                let grad = L::load(grads.as_ptr());
                grad.won(winners.as_ptr(), codes[0]).store(pair.as_mut_ptr());
                grad.won(winners.as_ptr(), codes[1]).store(pair.as_mut_ptr().add(LANES));
            }
        }
    }
}

/// Adds the gradient of the bias: the sums over all pixels.
///
/// # Shapes
///
/// - `grad`: [`BlockedShape::extents`]
/// - `grad_bias`: `(channels)`
///
/// # Panics
///
/// If a slice has another length.
pub fn bias_gradient(shape: BlockedShape, grad: &[f32], grad_bias: &mut [f32]) {
    assert_eq!(grad.len(), shape.len(), "grad");
    assert_eq!(grad_bias.len(), shape.channels, "grad_bias");
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
    for (grad, sum) in grad_bias.iter_mut().zip(sums) {
        *grad += sum as f32;
    }
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
