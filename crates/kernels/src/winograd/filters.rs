//! Between filters, `(out, in, 3, 3)`, and their transforms.

use super::transforms::{filter, filter_adjoint};
use super::{PAIR, POINTS};
use crate::convolution::TAPS;
use crate::lanes::{LANES, Lanes, for_each_cpu};
use crate::scratch::elements;

/// Which filters are read, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters<'a> {
    weights: &'a [f32],
    out_channels: usize,
    in_channels: usize,
    direction: Direction,
}

/// Whose values the products are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// The output's: from input to output channels.
    Forward,
    /// The gradient of the images: from output to input channels, filters turned by half a turn.
    Backward,
}

impl<'a> Filters<'a> {
    /// Those of the convolution itself.
    pub(super) fn forward(weights: &'a [f32], out_channels: usize, in_channels: usize) -> Self {
        assert_eq!(weights.len(), elements(&[out_channels, in_channels, TAPS]), "weights");
        Self { weights, out_channels, in_channels, direction: Direction::Forward }
    }

    /// Those of the gradient of the images.
    pub(super) fn backward(weights: &'a [f32], out_channels: usize, in_channels: usize) -> Self {
        assert_eq!(weights.len(), elements(&[out_channels, in_channels, TAPS]), "weights");
        Self { weights, out_channels, in_channels, direction: Direction::Backward }
    }

    /// Channels that the products write.
    pub(super) fn written(&self) -> usize {
        match self.direction {
            Direction::Forward => self.out_channels,
            Direction::Backward => self.in_channels,
        }
    }

    /// Channels that the products read.
    pub(super) fn read(&self) -> usize {
        match self.direction {
            Direction::Forward => self.in_channels,
            Direction::Backward => self.out_channels,
        }
    }

    /// Channels read, in whole blocks.
    pub(super) fn read_padded(&self) -> usize {
        self.read().next_multiple_of(LANES)
    }

    /// Elements between two points of the transformed filters of one pair of blocks: a cache line more than need be, else
    /// the points of a filter would share cache sets.
    pub(super) fn point_stride(&self) -> usize {
        self.read_padded() * PAIR + LANES
    }

    /// Elements of the transformed filters of one pair of blocks.
    pub(super) fn pair_len(&self) -> usize {
        POINTS * self.point_stride()
    }

    /// Transforms the filters of one pair of blocks written: `(points, channels read, 32)`.
    pub(super) fn transform(&self, pair: usize, transformed: &mut [f32]) {
        assert_eq!(transformed.len(), self.pair_len(), "transformed filters");
        // SAFETY: `transformed` has room for all points and channels.
        unsafe { transform_pair(*self, pair, transformed) }
    }

    /// The nine weights between a channel read and one written, or none beyond the last.
    #[inline(always)]
    fn taps(&self, read: usize, written: usize) -> Option<&'a [f32; TAPS]> {
        let (out, input) = match self.direction {
            Direction::Forward => (written, read),
            Direction::Backward => (read, written),
        };
        if self.out_channels <= out || self.in_channels <= input {
            return None;
        }
        self.weights[(out * self.in_channels + input) * TAPS..].first_chunk()
    }
}

for_each_cpu! {
    unsafe fn transform_pair<L: Lanes>(filters: Filters<'_>, pair: usize, transformed: &mut [f32]) {
        let point_stride = filters.point_stride();
        // The weights of 16 channels read, by tap, for 16 channels written.
        let mut source = [[[0.0_f32; LANES]; TAPS]; LANES];
        for (block, half) in
            (0..filters.read_padded() / LANES).flat_map(|block| [(block, 0), (block, 1)])
        {
            let written = pair * PAIR + half * LANES;
            // SAFETY: the features are there by the caller's word; `transformed` has 32 lanes for each channel and point.
            unsafe {
                gather::<L>(filters, block * LANES, written, &mut source);
                for (lane, source) in source.iter().enumerate() {
                    let first = (block * LANES + lane) * PAIR + half * LANES;
                    debug_assert!(35 * point_stride + first + LANES <= transformed.len());
                    let to = transformed.as_mut_ptr().add(first);
                    filter(
                        |y, x| {
                            let at = 3 * y + x;
                            let tap = match filters.direction {
                                Direction::Forward => at,
                                Direction::Backward => TAPS - 1 - at,
                            };
                            L::load(source[tap].as_ptr())
                        },
                        |y, x, value| value.store(to.add((6 * y + x) * point_stride)),
                    );
                }
            }
        }
    }
}

/// Copies the weights between 16 channels read and 16 written, with those written side by side.
#[inline(always)]
unsafe fn gather<L: Lanes>(
    filters: Filters<'_>,
    first_read: usize,
    first_written: usize,
    source: &mut [[[f32; LANES]; TAPS]; LANES],
) {
    let Filters { weights, out_channels, in_channels, direction } = filters;
    let (first_out, first_in) = match direction {
        Direction::Forward => (first_written, first_read),
        Direction::Backward => (first_read, first_written),
    };
    let is_whole = first_out + LANES <= out_channels && first_in + LANES <= in_channels;
    if !is_whole {
        for (read, source) in source.iter_mut().enumerate() {
            for lane in 0..LANES {
                let taps = filters.taps(first_read + read, first_written + lane);
                for (at, &tap) in taps.unwrap_or(&[0.0; TAPS]).iter().enumerate() {
                    source[at][lane] = tap;
                }
            }
        }
        return;
    }
    let row_len = in_channels * TAPS;
    let first = first_out * row_len + first_in * TAPS;
    assert!(first + (LANES - 1) * row_len + LANES * TAPS <= weights.len(), "filters");
    let source = source.as_flattened_mut();
    // SAFETY: 16 times 144 weights lie within the filters, as asserted; `source` has as many.
    unsafe {
        let weights = weights.as_ptr().add(first);
        match direction {
            // The weights of one channel written are contiguous: 9 squares of 16 by 16.
            Direction::Forward => {
                for square in 0..TAPS {
                    let mut rows = [L::splat(0.0); LANES];
                    for (lane, row) in rows.iter_mut().enumerate() {
                        *row = L::load(weights.add(lane * row_len + square * LANES));
                    }
                    for (column, values) in L::transposed(rows).into_iter().enumerate() {
                        values.store(source[square * LANES + column].as_mut_ptr());
                    }
                }
            }
            // Those of one channel read are: rows of 9, of which a register loads 7 too many.
            Direction::Backward => {
                for read in 0..LANES {
                    let from = weights.add(read * row_len);
                    let mut rows = [L::splat(0.0); LANES];
                    let mut last = [0.0; LANES];
                    for (at, value) in last.iter_mut().enumerate().take(TAPS) {
                        *value = *from.add((LANES - 1) * TAPS + at);
                    }
                    for (lane, row) in rows.iter_mut().enumerate().take(LANES - 1) {
                        *row = L::load(from.add(lane * TAPS));
                    }
                    rows[LANES - 1] = L::load(last.as_ptr());
                    for (tap, values) in L::transposed(rows).into_iter().enumerate().take(TAPS) {
                        values.store(source[read * TAPS + tap].as_mut_ptr());
                    }
                }
            }
        }
    }
}

for_each_cpu! {
    /// Adds the gradients of filters to `grad_weights`, `(out, in, 3, 3)`, from sums over tiles, `(parts, points, blocks
    /// written, blocks read, 16 written, 16 read)` with a cache line behind each point, for one block of channels written
    /// and some blocks of channels read: the first, and how many.
    ///
    /// # Safety
    ///
    /// No other task may write the gradients of these filters.
    pub(super) unsafe fn add_gradients<L: Lanes>(
        sums: &[f32],
        parts: usize,
        out_channels: usize,
        in_channels: usize,
        written: usize,
        read: (usize, usize),
        grad_weights: *mut f32,
    ) {
        let (first_read, blocks) = read;
        let block_len = LANES * LANES;
        let blocks_read = in_channels.div_ceil(LANES);
        let point_stride = out_channels.div_ceil(LANES) * blocks_read * block_len + LANES;
        assert!(parts > 0 && parts * POINTS * point_stride <= sums.len(), "sums");
        let mut taps = [[0.0_f32; LANES]; TAPS];
        let rows = LANES.min(out_channels - written * LANES);
        for (block, row) in (0..blocks).flat_map(|block| (0..rows).map(move |row| (block, row))) {
            let first = (first_read + block) * LANES;
            let lanes = LANES.min(in_channels - first);
            let at = (written * blocks_read + first_read + block) * block_len + row * LANES;
            // SAFETY: the features are there by the caller's word; `sums` has all parts and points, as asserted.
            unsafe {
                filter_adjoint(
                    |y, x| {
                        let of_point = sums.as_ptr().add((6 * y + x) * point_stride + at);
                        let mut sum = L::load(of_point);
                        for part in 1..parts {
                            sum = sum.add(L::load(of_point.add(part * POINTS * point_stride)));
                        }
                        sum
                    },
                    |y, x, value| value.store(taps[3 * y + x].as_mut_ptr()),
                );
                let start = ((written * LANES + row) * in_channels + first) * TAPS;
                let grads = std::slice::from_raw_parts_mut(grad_weights.add(start), lanes * TAPS);
                for (lane, grads) in grads.chunks_exact_mut(TAPS).enumerate() {
                    for at in 0..TAPS {
                        grads[at] += taps[at][lane];
                    }
                }
            }
        }
    }
}
