//! Between filters and transformed filters.
//!
//! Transformed, filters lie as `(channels written, POINTS, channels read)`, the last rounded up to whole lanes: those of
//! a task's channels are contiguous.

use rayon::prelude::*;

use super::POINTS;
use super::transforms::{LANES, filter, filter_adjoint};
use crate::convolution::ConvolutionShape;
use crate::matrix::Layout;
use crate::vectorized::vectorized;

/// Weights of a filter.
const TAPS: usize = 9;

/// Transformed filters.
pub(super) struct Filters {
    values: Vec<f32>,
    written: usize,
    read: usize,
}

impl Filters {
    /// Those of the convolution itself, from input to output channels.
    pub(super) fn upright(shape: ConvolutionShape, weights: &[f32]) -> Self {
        let ConvolutionShape { in_channels, out_channels, .. } = shape;
        Self::new(out_channels, in_channels, |written, transformed| {
            let row = &weights[written * in_channels * TAPS..][..in_channels * TAPS];
            transform_row(row, transformed);
        })
    }

    /// Those of the gradient of the images, from output to input channels: each turned by half a turn.
    pub(super) fn rotated(shape: ConvolutionShape, weights: &[f32]) -> Self {
        let ConvolutionShape { in_channels, out_channels, .. } = shape;
        Self::new(in_channels, out_channels, |written, transformed| {
            let column = &weights[written * TAPS..];
            transform_column_rotated(column, in_channels * TAPS, out_channels, transformed);
        })
    }

    fn new(written: usize, read: usize, transform: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let mut values = vec![0.0; written * row_len(read)];
        values
            .par_chunks_exact_mut(row_len(read))
            .enumerate()
            .for_each(|(channel, transformed)| transform(channel, transformed));
        Self { values, written, read }
    }

    /// Number of channels written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// The matrix `(count, channels read)` of one point, for `count` written channels from `first` on.
    pub(super) fn matrix(&self, point: usize, first: usize, count: usize) -> (&[f32], Layout) {
        let start = first * row_len(self.read) + point * point_stride(self.read);
        (&self.values[start..], Layout::by_rows(count, self.read, row_len(self.read)))
    }
}

/// Elements between two points of a transformed row of filters.
pub(super) fn point_stride(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// Elements of the transformed filters of one written channel.
pub(super) fn row_len(channels: usize) -> usize {
    POINTS * point_stride(channels)
}

vectorized! {
    /// Transforms filters that lie one after the other.
    fn transform_row(filters: &[f32], transformed: &mut [f32]) {
        let stride = transformed.len() / POINTS;
        let mut source = [0.0; TAPS * LANES];
        for (group, filters) in filters.chunks(TAPS * LANES).enumerate() {
            for (lane, taps) in filters.chunks_exact(TAPS).enumerate() {
                for at in 0..TAPS {
                    source[at * LANES + lane] = taps[at];
                }
            }
            filter(LANES, &source, LANES, &mut transformed[group * LANES..], stride);
        }
    }

    /// Transforms `count` filters that lie `filter_stride` elements apart, turned by half a turn.
    fn transform_column_rotated(
        filters: &[f32],
        filter_stride: usize,
        count: usize,
        transformed: &mut [f32],
    ) {
        let stride = transformed.len() / POINTS;
        let mut source = [0.0; TAPS * LANES];
        for first in (0..count).step_by(LANES) {
            for lane in 0..LANES.min(count - first) {
                let taps = &filters[(first + lane) * filter_stride..][..TAPS];
                for at in 0..TAPS {
                    source[at * LANES + lane] = taps[TAPS - 1 - at];
                }
            }
            filter(LANES, &source, LANES, &mut transformed[first..], stride);
        }
    }

    /// Turns sums of products, laid out as the transformed filters of one output channel, into
    /// the gradients of those filters.
    pub(super) fn adjoint_row(sums: &[f32], grad_filters: &mut [f32]) {
        let stride = sums.len() / POINTS;
        let mut target = [0.0; TAPS * LANES];
        for (group, grads) in grad_filters.chunks_mut(TAPS * LANES).enumerate() {
            filter_adjoint(LANES, &sums[group * LANES..], stride, &mut target, LANES);
            for (lane, taps) in grads.chunks_exact_mut(TAPS).enumerate() {
                for (at, tap) in taps.iter_mut().enumerate() {
                    *tap = target[at * LANES + lane];
                }
            }
        }
    }
}
