//! The convolution, and the gradient of its images, which is a convolution with turned filters.

use std::ops::Range;

use rayon::prelude::*;

use super::filters::Filters;
use super::finish::{Finish, SharedFinish};
use super::product::over_channels;
use super::tiles::{
    BlockSums, Grid, Tiles, ToPixels, point_stride, transform, write_pixels, write_pooled,
    write_unpooled,
};
use super::{PAIR, POINTS, Work};
use crate::blocked::{BlockedShape, clear_outside};
use crate::lanes::{LANES, for_each_cpu};
use crate::matrix::even_parts;
use crate::scratch::{SharedSlice, with_buffers, with_shared_buffers};

/// Up to so many channels read, tiles are transformed where they are multiplied; above, the filters weigh more and
/// threads share the transformed tiles.
const LOCAL_CHANNELS: usize = 128;

/// Elements of transformed tiles that stay in a thread's second cache, with what is made of them.
const LOCAL_ELEMENTS: usize = 130_000;

/// Elements of transformed tiles that stay in the cache that threads share.
const SHARED_ELEMENTS: usize = 2_500_000;

/// Elements of transformed filters that do beside them, where they are used once.
const FILTER_ELEMENTS: usize = 2_400_000;

/// Tiles that a task turns into output.
const WRITE_TILES: usize = 64;

/// What was in `output` does not matter.
pub(crate) fn forward(
    images_shape: BlockedShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    finish: Finish<'_>,
    output: &mut [f32],
) {
    let filters = Filters::forward(weights, bias.len(), images_shape.channels);
    convolve(images_shape, images, filters, bias, finish, output);
}

/// What was in `output` does not matter.
pub(crate) fn backward_images(
    grad_shape: BlockedShape,
    in_channels: usize,
    grad: &[f32],
    weights: &[f32],
    finish: Finish<'_>,
    output: &mut [f32],
) {
    let filters = Filters::backward(weights, grad_shape.channels, in_channels);
    convolve(grad_shape, grad, filters, &vec![0.0; in_channels], finish, output);
}

/// The products of [`forward`] alone.
pub(crate) fn forward_products(images_shape: BlockedShape, weights: &[f32], out_channels: usize) {
    if images_shape.is_empty() || out_channels == 0 {
        return;
    }
    let convolution = Convolution {
        read: Grid { shape: images_shape },
        written: Grid { shape: BlockedShape { channels: out_channels, ..images_shape } },
        filters: Filters::forward(weights, out_channels, images_shape.channels),
        bias: Vec::new(),
        finish: SharedFinish::Pixels(ToPixels::Sums),
        output: SharedSlice::new(&mut []),
        work: Work::Products,
    };
    convolution.compute(&[]);
}

/// What all tasks of a convolution share.
struct Convolution<'a> {
    read: Grid,
    written: Grid,
    filters: Filters<'a>,
    /// By channel written, in whole blocks.
    bias: Vec<f32>,
    finish: SharedFinish<'a>,
    output: SharedSlice<'a, f32>,
    work: Work,
}

fn convolve(
    shape: BlockedShape,
    images: &[f32],
    filters: Filters<'_>,
    bias: &[f32],
    finish: Finish<'_>,
    output: &mut [f32],
) {
    let written = BlockedShape { channels: filters.written(), ..shape };
    assert_eq!(images.len(), shape.len(), "images");
    assert_eq!(bias.len(), written.channels, "bias");
    let (finish, output_shape) = finish.shared(written);
    assert_eq!(output.len(), output_shape.len(), "output");
    if images.is_empty() || output.is_empty() {
        // Without channels to read, or to write, there is nothing but zeros.
        output.fill(0.0);
        return;
    }
    clear_outside(output_shape, finish.interior(output_shape), output);
    let mut padded = bias.to_vec();
    padded.resize(written.blocks() * LANES, 0.0);
    let convolution = Convolution {
        read: Grid { shape },
        written: Grid { shape: written },
        filters,
        bias: padded,
        finish,
        output: SharedSlice::new(output),
        work: Work::All,
    };
    convolution.compute(images);
}

impl Convolution<'_> {
    fn compute(&self, images: &[f32]) {
        if self.filters.read() <= LOCAL_CHANNELS {
            self.by_tiles(images);
        } else {
            self.by_points(images);
        }
    }

    /// Each task transforms some tiles and multiplies them by all filters.
    fn by_tiles(&self, images: &[f32]) {
        let (blocks, pair_len) = (self.read.shape.blocks(), self.filters.pair_len());
        let most = LOCAL_ELEMENTS / (POINTS * blocks * LANES);
        let point_len = self.filters.point_stride();
        with_shared_buffers([self.pairs() * pair_len], |[transformed]| {
            self.transform_filters(0, transformed);
            self.read.chunks(most.max(1)).into_par_iter().for_each(|range| {
                let tiles = range.len();
                let stride = point_stride(blocks, tiles);
                let sum_stride = point_stride(2, tiles);
                with_buffers([POINTS * stride, POINTS * sum_stride], |[inputs, sums]| {
                    let transformed_blocks = if self.work == Work::All { blocks } else { 0 };
                    for block in 0..transformed_blocks {
                        let to = inputs[block * tiles * LANES..].as_mut_ptr();
                        let (grid, range) = (self.read, range.clone());
                        // SAFETY: the buffer is this task's and has room for all blocks at each point.
                        unsafe { transform(Tiles::Input, grid, images, block, range, to, stride) }
                    }
                    for (pair, filters) in transformed.chunks_exact(pair_len).enumerate() {
                        for point in 0..POINTS {
                            let inputs = &inputs[point * stride..];
                            let sums = &mut sums[point * sum_stride..];
                            let next = filters.as_ptr().wrapping_add((point + 1) * point_len);
                            let filters = &filters[point * point_len..];
                            self.multiply(pair, filters, next, inputs, tiles, sums);
                        }
                        // SAFETY: tasks differ in their tiles.
                        unsafe { self.write(pair, sums, tiles, range.clone(), 0) }
                    }
                });
            });
        });
    }

    /// All threads transform the tiles; then each multiplies those of some points, which stay in its second cache, by
    /// all filters; then all threads turn the sums into output.
    fn by_points(&self, images: &[f32]) {
        let (blocks, pair_len) = (self.read.shape.blocks(), self.filters.pair_len());
        let most = (SHARED_ELEMENTS / (POINTS * blocks * LANES)).max(1);
        let chunks = self.read.chunks(most);
        let longest = chunks.iter().map(Range::len).max().unwrap_or(0);
        // With more than one chunk the transformed filters are kept, else only as many as a cache holds.
        let group = match chunks.len() {
            1 => (FILTER_ELEMENTS / pair_len).clamp(1, self.pairs()),
            _ => self.pairs(),
        };
        let lengths = [
            POINTS * point_stride(blocks, longest),
            group * pair_len,
            group * POINTS * point_stride(2, longest),
        ];
        with_shared_buffers(lengths, |[inputs, filters, sums]| {
            for (number, range) in chunks.into_iter().enumerate() {
                self.transform_tiles(images, &range, inputs);
                for (first, count) in even_parts(self.pairs(), group) {
                    let filters = &mut filters[..count * pair_len];
                    if number == 0 {
                        self.transform_filters(first, filters);
                    }
                    self.multiply_points(first, inputs, filters, range.len(), sums);
                    self.write_sums(first, count, sums, &range);
                }
            }
        });
    }

    /// Transforms the tiles of all blocks.
    fn transform_tiles(&self, images: &[f32], range: &Range<usize>, inputs: &mut [f32]) {
        if self.work == Work::Products {
            return;
        }
        let (blocks, tiles) = (self.read.shape.blocks(), range.len());
        let stride = point_stride(blocks, tiles);
        assert!(POINTS * stride <= inputs.len(), "inputs");
        let shared = SharedSlice::new(inputs);
        (0..blocks).into_par_iter().for_each(|block| {
            let (grid, range) = (self.read, range.clone());
            // SAFETY: each task writes another block, and the buffer has room for all at each point.
            unsafe {
                let to = shared.start().add(block * tiles * LANES);
                transform(Tiles::Input, grid, images, block, range, to, stride);
            }
        });
    }

    /// Transforms the filters of the pairs of blocks from `first` on.
    fn transform_filters(&self, first: usize, transformed: &mut [f32]) {
        if self.work == Work::Products {
            return;
        }
        let of_pair = transformed.par_chunks_exact_mut(self.filters.pair_len());
        of_pair.enumerate().for_each(|(pair, to)| self.filters.transform(first + pair, to));
    }

    /// Multiplies the transformed tiles by the filters of the pairs from `first` on.
    fn multiply_points(
        &self,
        first: usize,
        inputs: &[f32],
        filters: &[f32],
        tiles: usize,
        sums: &mut [f32],
    ) {
        let stride = point_stride(self.read.shape.blocks(), tiles);
        let sum_stride = point_stride(2, tiles);
        let pair_len = self.filters.pair_len();
        let pairs = filters.len() / pair_len;
        let shared = SharedSlice::new(sums);
        // Neighbors share a point, so its tiles are in the cache of the thread that gets both.
        (0..POINTS * pairs).into_par_iter().for_each(|task| {
            let (point, pair) = (task / pairs, task % pairs);
            let at = (pair * POINTS + point) * sum_stride;
            // SAFETY: each task writes the sums of another pair or point.
            let sums = unsafe { shared.range_mut(at..at + sum_stride) };
            let of_task =
                |task: usize| task % pairs * pair_len + task / pairs * self.filters.point_stride();
            let next = filters.as_ptr().wrapping_add(of_task(task + 1));
            let filters = &filters[of_task(task)..];
            self.multiply(first + pair, filters, next, &inputs[point * stride..], tiles, sums);
        });
    }

    /// Turns the sums of the `count` pairs from `first` on into output.
    fn write_sums(&self, first: usize, count: usize, sums: &[f32], range: &Range<usize>) {
        let tiles = range.len();
        let of_pair = POINTS * point_stride(2, tiles);
        let parts: Vec<_> = even_parts(tiles, WRITE_TILES).collect();
        (0..count * parts.len()).into_par_iter().for_each(|task| {
            let (pair, (skipped, length)) = (task / parts.len(), parts[task % parts.len()]);
            let from = range.start + skipped;
            let sums = &sums[pair * of_pair..][..of_pair];
            // SAFETY: tasks differ in their channels or tiles.
            unsafe { self.write(first + pair, sums, tiles, from..from + length, skipped) }
        });
    }

    fn pairs(&self) -> usize {
        self.written.shape.channels.div_ceil(PAIR)
    }

    /// Blocks of a pair: two, but for a last one.
    fn blocks_of(&self, pair: usize) -> usize {
        (self.written.shape.blocks() - 2 * pair).min(2)
    }

    /// Multiplies the tiles of one point by the filters of one pair of blocks at this point; those at `next` follow.
    fn multiply(
        &self,
        pair: usize,
        filters: &[f32],
        next: *const f32,
        inputs: &[f32],
        tiles: usize,
        sums: &mut [f32],
    ) {
        let blocks = self.read.shape.blocks();
        let filters = &filters[..blocks * LANES * PAIR];
        assert!(blocks * tiles * LANES <= inputs.len() && 2 * tiles * LANES <= sums.len(), "tiles");
        // SAFETY: by the lengths above, all three matrices lie in their slices.
        unsafe {
            product(
                inputs.as_ptr(),
                blocks,
                tiles,
                filters.as_ptr(),
                next,
                sums.as_mut_ptr(),
                self.blocks_of(pair),
            );
        }
    }

    /// Turns the sums of the tiles `range` into the output of one pair of blocks. `sums` holds `tiles` tiles at each point,
    /// of which `skipped` come before.
    ///
    /// # Safety
    ///
    /// No other task may write these tiles of these blocks.
    unsafe fn write(
        &self,
        pair: usize,
        sums: &[f32],
        tiles: usize,
        range: Range<usize>,
        skipped: usize,
    ) {
        if self.work == Work::Products {
            return;
        }
        let stride = point_stride(2, tiles);
        assert!(POINTS * stride <= sums.len() && skipped + range.len() <= tiles, "sums");
        for half in 0..self.blocks_of(pair) {
            let block = 2 * pair + half;
            let start = sums[(half * tiles + skipped) * LANES..].as_ptr();
            let bias = *self.bias[block * LANES..].first_chunk().expect("a bias for each lane");
            let mut is_channel = [1.0; LANES];
            if let Some(beyond) = is_channel.get_mut(self.written.shape.channels - block * LANES..)
            {
                beyond.fill(0.0);
            }
            let sums = BlockSums { start, stride, bias, is_channel };
            let (grid, range, output) = (self.written, range.clone(), self.output.start());
            // SAFETY: the caller's; `sums` has both blocks at each point, and lengths were compared beforehand.
            unsafe {
                match &self.finish {
                    SharedFinish::Pixels(finish) => {
                        write_pixels(grid, sums, block, range, *finish, output);
                    }
                    SharedFinish::Pooled(winners) => {
                        write_pooled(grid, sums, block, range, output, winners.start());
                    }
                    SharedFinish::Unpooled(winners, before) => {
                        write_unpooled(grid, sums, block, range, winners, *before, output);
                    }
                }
            }
        }
    }
}

for_each_cpu! {
    unsafe fn product<L: Lanes>(
        inputs: *const f32,
        blocks: usize,
        tiles: usize,
        filters: *const f32,
        next: *const f32,
        sums: *mut f32,
        blocks_written: usize,
    ) {
        // SAFETY: the caller's.
        unsafe { over_channels::<L>(inputs, blocks, tiles, filters, next, sums, blocks_written) }
    }
}
