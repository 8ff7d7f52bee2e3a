//! Between images and transformed tiles.
//!
//! Tiles are numbered row by row, image by image. A chunk of them is some whole rows of tiles, over several images
//! where these are small. Transformed, it is [`POINTS`] matrices `(channels, tiles)`.

use std::ops::Range;

use super::transforms::{LANES, input, output, output_adjoint};
use super::{INPUT_SIDE, OUTPUT_SIDE, POINTS};
use crate::activation::{Activation, finish};
use crate::matrix::Layout;
use crate::scratch::SharedSlice;
use crate::vectorized::vectorized;

/// The tiles of a batch of images.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    height: usize,
    width: usize,
    /// Rows of tiles of an image.
    rows: usize,
    /// Tiles of a row.
    columns: usize,
    batch: usize,
}

impl Grid {
    pub(super) fn new(batch: usize, height: usize, width: usize) -> Self {
        let (rows, columns) = (height.div_ceil(OUTPUT_SIDE), width.div_ceil(OUTPUT_SIDE));
        Self { height, width, rows, columns, batch }
    }

    /// All rows of tiles, in chunks of about `tiles` tiles; the last may be smaller.
    pub(super) fn chunks(self, tiles: usize) -> Vec<Chunk> {
        let (all, rows) = (self.batch * self.rows, (tiles / self.columns).max(1));
        (0..all)
            .step_by(rows)
            .map(|first| Chunk { grid: self, rows: first..all.min(first + rows) })
            .collect()
    }
}

/// Some whole rows of tiles.
#[derive(Clone)]
pub(super) struct Chunk {
    grid: Grid,
    rows: Range<usize>,
}

impl Chunk {
    pub(super) fn tiles(&self) -> usize {
        self.rows.len() * self.grid.columns
    }

    /// Tiles, rounded up so that all lanes of the last block have a place.
    fn tile_stride(&self) -> usize {
        self.tiles().next_multiple_of(LANES)
    }

    /// Elements between the matrices of two points.
    pub(super) fn point_stride(&self, channels: usize) -> usize {
        // A cache line longer than need be: else the matrices' strides are multiples of 4 KiB and share cache sets.
        channels * self.tile_stride() + 16
    }

    /// Elements of the transformed chunk.
    pub(super) fn transformed_len(&self, channels: usize) -> usize {
        POINTS * self.point_stride(channels)
    }

    /// The matrix of one point, `(channels, tiles)`.
    pub(super) fn layout(&self, channels: usize) -> Layout {
        Layout::by_rows(channels, self.tiles(), self.tile_stride())
    }

    /// Elements of scratch that the transforms of a channel need.
    pub(super) fn scratch_len(&self) -> usize {
        POINTS * self.tile_stride() + self.line_len()
    }

    /// A line of an image with what tiles overlap on both sides.
    fn line_len(&self) -> usize {
        self.grid.columns * OUTPUT_SIDE + INPUT_SIDE
    }
}

/// Images or gradients, `(batch, channels, height, width)`.
#[derive(Clone, Copy)]
pub(super) struct Images<'a> {
    pub values: &'a [f32],
    pub channels: usize,
}

vectorized! {
    /// Transforms the tiles of input of one channel, each overlapping its neighbors by two.
    pub(super) fn transform_input(
        images: Images<'_>,
        channel: usize,
        chunk: &Chunk,
        scratch: &mut [f32],
        transformed: &mut [f32],
        point_stride: usize,
    ) {
        let (line, tiles) = scratch.split_at_mut(chunk.line_len());
        gather::<INPUT_SIDE>(images, channel, chunk, 1, line, tiles);
        input(chunk.tiles(), tiles, chunk.tile_stride(), transformed, point_stride);
    }

    /// Transforms the tiles of the output's gradient of one channel.
    pub(super) fn transform_grad_output(
        grads: Images<'_>,
        channel: usize,
        chunk: &Chunk,
        scratch: &mut [f32],
        transformed: &mut [f32],
        point_stride: usize,
    ) {
        let (line, tiles) = scratch.split_at_mut(chunk.line_len());
        gather::<OUTPUT_SIDE>(grads, channel, chunk, 0, line, tiles);
        output_adjoint(chunk.tiles(), tiles, chunk.tile_stride(), transformed, point_stride);
    }
}

vectorized! {
    /// Transforms the sums of one channel to tiles of output, still apart.
    fn transform_sums(sums: &[f32], point_stride: usize, chunk: &Chunk, tiles: &mut [f32]) {
        output(chunk.tiles(), sums, point_stride, tiles, chunk.tile_stride());
    }

    /// Writes four elements of each tile one after the other; a last tile may lie in the image only in part.
    fn interleave(parts: [&[f32]; OUTPUT_SIDE], line: &mut [f32]) {
        let whole = line.len() / OUTPUT_SIDE;
        let [a, b, c, d] = parts.map(|part| &part[..whole]);
        let mut quads = line.chunks_exact_mut(OUTPUT_SIDE);
        for ((((quad, a), b), c), d) in quads.by_ref().zip(a).zip(b).zip(c).zip(d) {
            quad.copy_from_slice(&[*a, *b, *c, *d]);
        }
        for (pixel, part) in quads.into_remainder().iter_mut().zip(parts) {
            *pixel = part[whole];
        }
    }
}

/// Transforms the sums of one channel back and writes its part of the output.
///
/// # Safety
///
/// No other task may write this chunk's part of this channel at the same time.
pub(super) unsafe fn write_output(
    sums: &[f32],
    point_stride: usize,
    chunk: &Chunk,
    (bias, activation): (f32, Activation),
    scratch: &mut [f32],
    (output, channels, channel): (&SharedSlice<'_>, usize, usize),
) {
    let Grid { height, width, rows, columns, .. } = chunk.grid;
    let stride = chunk.tile_stride();
    let tiles = &mut scratch[..OUTPUT_SIDE * OUTPUT_SIDE * stride];
    transform_sums(sums, point_stride, chunk, tiles);
    finish(tiles, bias, activation);
    for (index, row) in chunk.rows.clone().enumerate() {
        let (image, top) = (row / rows, row % rows * OUTPUT_SIDE);
        for y in 0..OUTPUT_SIDE.min(height - top) {
            let first = ((image * channels + channel) * height + top + y) * width;
            // SAFETY: the line belongs to this chunk and channel, which the caller keeps to this task.
            let line = unsafe { output.range_mut(first..first + width) };
            let part = |x| &tiles[(y * OUTPUT_SIDE + x) * stride + index * columns..][..columns];
            interleave([part(0), part(1), part(2), part(3)], line);
        }
    }
}

/// Copies the tiles of one channel apart: element `(y, x)` of all of them lies in row `y * SIDE + x` of `tiles`.
///
/// The first tile begins `margin` above and left of the image; outside the image lie zeros.
#[expect(clippy::inline_always, reason = "it must be compiled for the features of its caller")]
#[inline(always)]
fn gather<const SIDE: usize>(
    images: Images<'_>,
    channel: usize,
    chunk: &Chunk,
    margin: usize,
    line: &mut [f32],
    tiles: &mut [f32],
) {
    let Grid { height, width, rows, columns, .. } = chunk.grid;
    let stride = chunk.tile_stride();
    line.fill(0.0);
    for (index, row) in chunk.rows.clone().enumerate() {
        let (image, top) = (row / rows, row % rows * OUTPUT_SIDE);
        for y in 0..SIDE {
            let parts = &mut tiles[y * SIDE * stride..][..SIDE * stride];
            let Some(inside) = (top + y).checked_sub(margin).filter(|&inside| inside < height)
            else {
                for part in parts.chunks_exact_mut(stride) {
                    part[index * columns..][..columns].fill(0.0);
                }
                continue;
            };
            let first = ((image * images.channels + channel) * height + inside) * width;
            line[margin..][..width].copy_from_slice(&images.values[first..first + width]);
            split::<SIDE>(line, parts, stride, index * columns, columns);
        }
    }
}

/// Copies the tiles of one line apart, four at a time so that it becomes shuffles of registers.
#[expect(clippy::inline_always, reason = "it must be compiled for the features of its caller")]
#[inline(always)]
fn split<const SIDE: usize>(
    line: &[f32],
    parts: &mut [f32],
    stride: usize,
    first: usize,
    columns: usize,
) {
    let step = OUTPUT_SIDE;
    let fours = columns / 4 * 4;
    for tile in (0..fours).step_by(4) {
        let source = &line[tile * step..][..3 * step + SIDE];
        for x in 0..SIDE {
            let elements =
                [source[x], source[step + x], source[2 * step + x], source[3 * step + x]];
            let start = x * stride + first + tile;
            parts[start..start + 4].copy_from_slice(&elements);
        }
    }
    for tile in fours..columns {
        for x in 0..SIDE {
            parts[x * stride + first + tile] = line[tile * step + x];
        }
    }
}
