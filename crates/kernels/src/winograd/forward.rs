//! The convolution, and the gradient of its images, which is a convolution with turned filters.

use std::ops::Range;

use rayon::prelude::*;

use super::filters::Filters;
use super::product::over_channels;
use super::tiles::{Finish, Grid, Tiles, point_stride, transform, write_full, write_pooled};
use super::{PAIR, POINTS};
use crate::blocked::{BlockedShape, winners_len};
use crate::lanes::{LANES, for_each_cpu};
use crate::scratch::{SharedSlice, with_buffers};

/// Up to so many channels read, tiles are transformed where they are multiplied; above, the filters weigh more and
/// threads share the transformed tiles.
const LOCAL_CHANNELS: usize = 128;

/// Elements of transformed tiles that stay in a thread's second cache, with what is made of them.
const LOCAL_ELEMENTS: usize = 130_000;

/// Elements of transformed tiles that stay in the cache that threads share.
const SHARED_ELEMENTS: usize = 2_500_000;

/// Tiles whose sums are in a thread's second cache at a time.
const SUM_TILES: usize = 64;

/// What the convolution gives.
pub(crate) enum Output<'a> {
    /// The sums, for gradients.
    Sums(&'a mut [f32]),
    /// The sums rectified.
    Rectified(&'a mut [f32]),
    /// The sums rectified and pooled, and each window's winner.
    Pooled(&'a mut [f32], &'a mut [u8]),
}

/// `output` must be zero where nothing is written: on the border.
pub(crate) fn forward(
    images_shape: BlockedShape,
    out_channels: usize,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    output: Output<'_>,
) {
    let filters = Filters::forward(weights, out_channels, images_shape.channels);
    convolve(images_shape, images, filters, bias, output);
}

pub(crate) fn backward_images(
    grad_shape: BlockedShape,
    in_channels: usize,
    grad_output: &[f32],
    weights: &[f32],
    grad_images: &mut [f32],
) {
    let filters = Filters::backward(weights, grad_shape.channels, in_channels);
    let bias = vec![0.0; in_channels];
    convolve(grad_shape, grad_output, filters, &bias, Output::Sums(grad_images));
}

/// What all tasks of a convolution share.
struct Convolution<'a> {
    read: Grid,
    written: Grid,
    /// By channel written, in whole blocks.
    bias: Vec<f32>,
    target: Target<'a>,
}

enum Target<'a> {
    Full(SharedSlice<'a, f32>, Finish),
    Pooled(SharedSlice<'a, f32>, SharedSlice<'a, u8>),
}

fn convolve(
    shape: BlockedShape,
    images: &[f32],
    filters: Filters<'_>,
    bias: &[f32],
    output: Output<'_>,
) {
    let written = BlockedShape { channels: filters.written(), ..shape };
    assert_eq!(images.len(), shape.len(), "images");
    assert_eq!(bias.len(), written.channels, "bias");
    match &output {
        Output::Sums(values) | Output::Rectified(values) => {
            assert_eq!(values.len(), written.len(), "output");
        }
        Output::Pooled(values, winners) => {
            assert_eq!(values.len(), written.pooled().len(), "output");
            assert_eq!(winners.len(), winners_len(written.pooled()), "winners");
        }
    }
    if images.is_empty() {
        return;
    }
    let mut padded = bias.to_vec();
    padded.resize(written.blocks() * LANES, 0.0);
    let convolution = Convolution {
        read: Grid { shape },
        written: Grid { shape: written },
        bias: padded,
        target: match output {
            Output::Sums(values) => Target::Full(SharedSlice::new(values), Finish::Sums),
            Output::Rectified(values) => Target::Full(SharedSlice::new(values), Finish::Rectified),
            Output::Pooled(values, winners) => {
                Target::Pooled(SharedSlice::new(values), SharedSlice::new(winners))
            }
        },
    };
    if filters.read() <= LOCAL_CHANNELS {
        convolution.by_tiles(images, filters);
    } else {
        convolution.by_channels(images, filters);
    }
}

impl Convolution<'_> {
    /// Each task transforms some tiles and multiplies them by all filters.
    fn by_tiles(&self, images: &[f32], filters: Filters<'_>) {
        let blocks = self.read.shape.blocks();
        let transformed = self.transformed(filters);
        let most = LOCAL_ELEMENTS / (POINTS * blocks * LANES);
        self.read.chunks(most.max(1)).into_par_iter().for_each(|range| {
            let stride = point_stride(blocks, range.len());
            let sum_stride = point_stride(2, range.len());
            with_buffers([POINTS * stride, POINTS * sum_stride], |[inputs, sums]| {
                for block in 0..blocks {
                    let to = inputs[block * range.len() * LANES..].as_mut_ptr();
                    // SAFETY: the buffer is this task's and has room for all blocks at each point.
                    unsafe {
                        transform(
                            Tiles::Input,
                            self.read,
                            images,
                            block,
                            range.clone(),
                            to,
                            stride,
                        );
                    }
                }
                for (pair, filters) in transformed.chunks_exact(filters.pair_len()).enumerate() {
                    self.multiply(pair, filters, inputs, stride, range.len(), 0..range.len(), sums);
                    self.write(pair, sums, range.clone());
                }
            });
        });
    }

    /// The tiles are transformed by all threads; then each task multiplies them by some filters.
    fn by_channels(&self, images: &[f32], filters: Filters<'_>) {
        let (blocks, pairs) = (self.read.shape.blocks(), self.pairs());
        let most = (SHARED_ELEMENTS / (POINTS * blocks * LANES)).max(1);
        let chunks = self.read.chunks(most);
        let longest = chunks.iter().map(Range::len).max().unwrap_or(0);
        // With one chunk, each task transforms its filters where it reads them; with more, all are kept.
        let kept = if chunks.len() > 1 { self.transformed(filters) } else { Vec::new() };
        let mut inputs = vec![0.0; POINTS * point_stride(blocks, longest)];
        for range in chunks {
            let tiles = range.len();
            let stride = point_stride(blocks, tiles);
            let shared = SharedSlice::new(&mut inputs);
            (0..blocks).into_par_iter().for_each(|block| {
                // SAFETY: each task writes another block, and the buffer has room for all at each point.
                unsafe {
                    let to = shared.start().add(block * tiles * LANES);
                    transform(Tiles::Input, self.read, images, block, range.clone(), to, stride);
                }
            });
            let inputs = &inputs;
            (0..pairs).into_par_iter().for_each(|pair| {
                let part = SUM_TILES.min(tiles);
                let own_len = if kept.is_empty() { filters.pair_len() } else { 0 };
                with_buffers([own_len, POINTS * point_stride(2, part)], |[own, sums]| {
                    let mut of_pair = kept.chunks_exact(filters.pair_len()).skip(pair);
                    let transformed = if let Some(kept) = of_pair.next() {
                        kept
                    } else {
                        filters.transform(pair, own);
                        &*own
                    };
                    for (first, count) in super::product::even_parts(tiles, part) {
                        let within = first..first + count;
                        self.multiply(pair, transformed, inputs, stride, tiles, within, sums);
                        self.write(pair, sums, range.start + first..range.start + first + count);
                    }
                });
            });
        }
    }

    /// The filters of all pairs of blocks.
    fn transformed(&self, filters: Filters<'_>) -> Vec<f32> {
        let mut transformed = vec![0.0; self.pairs() * filters.pair_len()];
        transformed
            .par_chunks_exact_mut(filters.pair_len())
            .enumerate()
            .for_each(|(pair, transformed)| filters.transform(pair, transformed));
        transformed
    }

    fn pairs(&self) -> usize {
        self.written.shape.channels.div_ceil(PAIR)
    }

    /// Blocks of a pair: two, but for a last one.
    fn blocks_of(&self, pair: usize) -> usize {
        (self.written.shape.blocks() - 2 * pair).min(2)
    }

    /// Multiplies the tiles `within` transformed `inputs` by the filters of one pair of blocks.
    fn multiply(
        &self,
        pair: usize,
        filters: &[f32],
        inputs: &[f32],
        stride: usize,
        tiles: usize,
        within: Range<usize>,
        sums: &mut [f32],
    ) {
        let blocks = self.read.shape.blocks();
        let sum_stride = point_stride(2, within.len());
        assert!(POINTS * stride <= inputs.len() && POINTS * sum_stride <= sums.len(), "buffers");
        assert!(within.end <= tiles && blocks * tiles * LANES <= stride, "tiles");
        assert_eq!(filters.len(), POINTS * blocks * LANES * PAIR, "filters");
        let blocks_written = self.blocks_of(pair);
        // SAFETY: by the assertions above, all three matrices lie in their slices at each point.
        unsafe {
            products(
                inputs.as_ptr().add(within.start * LANES),
                stride,
                tiles * LANES,
                blocks,
                within.len(),
                filters.as_ptr(),
                sums.as_mut_ptr(),
                sum_stride,
                blocks_written,
            );
        }
    }

    /// Turns the sums of some tiles into the output of one pair of blocks.
    fn write(&self, pair: usize, sums: &[f32], range: Range<usize>) {
        let sum_stride = point_stride(2, range.len());
        for half in 0..self.blocks_of(pair) {
            let block = 2 * pair + half;
            let bias = self.bias[block * LANES..].first_chunk().expect("a bias for each lane");
            let (grid, range) = (self.written, range.clone());
            // SAFETY: tasks differ in tiles or in channels; `sums` has both blocks at each point.
            unsafe {
                let sums = sums.as_ptr().add(half * range.len() * LANES);
                match &self.target {
                    Target::Full(output, finish) => {
                        let (finish, output) = (*finish, output.start());
                        write_full(grid, sums, sum_stride, block, range, bias, finish, output);
                    }
                    Target::Pooled(output, winners) => {
                        let (output, winners) = (output.start(), winners.start());
                        write_pooled(grid, sums, sum_stride, block, range, bias, output, winners);
                    }
                }
            }
        }
    }
}

for_each_cpu! {
    unsafe fn products<L: Lanes>(
        inputs: *const f32,
        stride: usize,
        block_stride: usize,
        blocks: usize,
        tiles: usize,
        filters: *const f32,
        sums: *mut f32,
        sum_stride: usize,
        blocks_written: usize,
    ) {
        for point in 0..POINTS {
            // SAFETY: the caller's.
            unsafe {
                over_channels::<L>(
                    inputs.add(point * stride),
                    block_stride,
                    blocks,
                    tiles,
                    filters.add(point * blocks * LANES * PAIR),
                    sums.add(point * sum_stride),
                    tiles * LANES,
                    blocks_written,
                );
            }
        }
    }
}
