//! The products of matrices, with as many sums in registers as the CPU has.

use std::ops::Range;

use crate::lanes::{LANES, Lanes, prefetch, prefetch_to_second};
use crate::matrix::{even_parts, with_rows};

use super::PAIR;

/// Terms that are summed in registers before they go to memory: sums of sums lose less to rounding.
const DEPTH: usize = 64;

/// Blocks of channels read whose filters stay in the first cache while all tiles pass; their channels are a multiple of
/// [`DEPTH`].
const CACHED_BLOCKS: usize = 16;

/// Sums over channels: `sums[b][t][lane] = sum over k of inputs[k / 16][t][k % 16] * filters[k][16 b + lane]`.
///
/// Meanwhile the filters at `next`, as many, are brought into the second cache.
///
/// # Safety
///
/// That of [`Lanes`]; `inputs` holds `blocks_read` blocks of `tiles` tiles, `filters` 32 floats for each channel read, and
/// `sums` `blocks_written` (1 or 2) blocks of `tiles` tiles. `next` may point anywhere.
#[inline(always)]
pub(super) unsafe fn over_channels<L: Lanes>(
    inputs: *const f32,
    blocks_read: usize,
    tiles: usize,
    filters: *const f32,
    next: *const f32,
    sums: *mut f32,
    blocks_written: usize,
) {
    let stride = tiles * LANES;
    let parts = tiles.div_ceil(L::TILES);
    // Lines of the next filters for each block of channels read in each part.
    let lines = PAIR.div_ceil(parts);
    for depth in (0..blocks_read).step_by(CACHED_BLOCKS) {
        let blocks = depth..blocks_read.min(depth + CACHED_BLOCKS);
        for (part, (first, rows)) in even_parts(tiles, L::TILES).enumerate() {
            // SAFETY: the part lies in what the caller vouches for.
            unsafe {
                let inputs = inputs.add(first * LANES);
                let sums = sums.add(first * LANES);
                let next = next.wrapping_add(part * blocks_read * lines * LANES);
                let blocks = blocks.clone();
                if L::BLOCKS == 2 && blocks_written == 2 {
                    with_rows!(
                        rows,
                        channels::<L, 2>(inputs, stride, blocks, filters, next, lines, sums)
                    );
                } else {
                    for block in 0..blocks_written {
                        let (filters, sums) =
                            (filters.add(block * LANES), sums.add(block * stride));
                        let blocks = blocks.clone();
                        with_rows!(
                            rows,
                            channels::<L, 1>(inputs, stride, blocks, filters, next, lines, sums)
                        );
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn channels<L: Lanes, const ROWS: usize, const COLUMNS: usize>(
    inputs: *const f32,
    stride: usize,
    blocks: Range<usize>,
    filters: *const f32,
    next: *const f32,
    lines: usize,
    sums: *mut f32,
) {
    for first in blocks.clone().step_by(DEPTH / LANES) {
        // SAFETY: the caller's.
        unsafe {
            let mut partial = [[L::splat(0.0); COLUMNS]; ROWS];
            for block in first..blocks.end.min(first + DEPTH / LANES) {
                let inputs = inputs.add(block * stride);
                let filters = filters.add(block * LANES * PAIR);
                for line in 0..lines {
                    prefetch_to_second(next.wrapping_add((block * lines + line) * LANES));
                }
                for k in 0..LANES {
                    let mut factors = [L::splat(0.0); COLUMNS];
                    for (column, factor) in factors.iter_mut().enumerate() {
                        *factor = L::load(filters.add(k * PAIR + column * LANES));
                    }
                    for row in 0..ROWS {
                        let input = L::splat(*inputs.add(row * LANES + k));
                        for column in 0..COLUMNS {
                            partial[row][column] =
                                input.mul_add(factors[column], partial[row][column]);
                        }
                    }
                }
            }
            for row in 0..ROWS {
                for column in 0..COLUMNS {
                    let to = sums.add(column * stride + row * LANES);
                    let partial = partial[row][column];
                    let sum = if first == 0 { partial } else { L::load(to).add(partial) };
                    sum.store(to);
                }
            }
        }
    }
}

/// Sums over tiles: `sums[b][row][lane] = sum over t of grads[t][row] * inputs[b][t][lane]`, for all 16 rows, or adds them
/// to what is there.
///
/// # Safety
///
/// That of [`Lanes`]; `grads` holds `tiles` tiles, `inputs` `blocks` (1 or 2) blocks of `tiles` tiles, and `sums` `blocks`
/// blocks of 16 rows of 16.
#[inline(always)]
pub(super) unsafe fn over_tiles<L: Lanes>(
    grads: *const f32,
    inputs: *const f32,
    blocks: usize,
    tiles: usize,
    sums: *mut f32,
    is_first: bool,
) {
    for (first, rows) in even_parts(LANES, L::TILES) {
        // SAFETY: the rows lie in what the caller vouches for.
        unsafe {
            let (grads, sums) = (grads.add(first), sums.add(first * LANES));
            if L::BLOCKS == 2 && blocks == 2 {
                with_rows!(rows, rows_over_tiles::<L, 2>(grads, inputs, tiles, sums, is_first));
            } else {
                for block in 0..blocks {
                    let (inputs, sums) =
                        (inputs.add(block * tiles * LANES), sums.add(block * LANES * LANES));
                    with_rows!(rows, rows_over_tiles::<L, 1>(grads, inputs, tiles, sums, is_first));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn rows_over_tiles<L: Lanes, const ROWS: usize, const COLUMNS: usize>(
    grads: *const f32,
    inputs: *const f32,
    tiles: usize,
    sums: *mut f32,
    is_first: bool,
) {
    for first in (0..tiles).step_by(DEPTH) {
        // SAFETY: the caller's.
        unsafe {
            let mut partial = [[L::splat(0.0); COLUMNS]; ROWS];
            // What is added to at the end has left the caches since the last time.
            for row in 0..ROWS {
                for column in 0..COLUMNS {
                    prefetch(sums.add((column * LANES + row) * LANES));
                }
            }
            for tile in first..tiles.min(first + DEPTH) {
                let mut factors = [L::splat(0.0); COLUMNS];
                for (column, factor) in factors.iter_mut().enumerate() {
                    *factor = L::load(inputs.add((column * tiles + tile) * LANES));
                }
                for row in 0..ROWS {
                    let grad = L::splat(*grads.add(tile * LANES + row));
                    for column in 0..COLUMNS {
                        partial[row][column] = grad.mul_add(factors[column], partial[row][column]);
                    }
                }
            }
            for row in 0..ROWS {
                for column in 0..COLUMNS {
                    let to = sums.add((column * LANES + row) * LANES);
                    let partial = partial[row][column];
                    let is_start = is_first && first == 0;
                    let sum = if is_start { partial } else { L::load(to).add(partial) };
                    sum.store(to);
                }
            }
        }
    }
}
