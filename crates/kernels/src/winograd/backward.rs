//! The gradient of the weights: `G^T [sum over tiles of (B^T d B) (A y A^T)] G`.

use std::ops::Range;

use rayon::prelude::*;

use super::POINTS;
use super::filters::add_gradients;
use super::product::{even_parts, over_tiles};
use super::tiles::{Grid, Tiles, point_stride, transform};
use crate::blocked::BlockedShape;
use crate::lanes::{LANES, for_each_cpu};
use crate::scratch::{SharedSlice, with_buffers};

/// Elements of transformed tiles, of images and gradients together, that stay in the cache that threads share.
const SHARED_ELEMENTS: usize = 4_000_000;

/// Blocks of channels read whose sums a task keeps in its second cache.
const TASK_BLOCKS: usize = 16;

/// Adds nothing to what was there: `grad_weights` is written over.
pub(crate) fn backward_weights(
    images_shape: BlockedShape,
    out_channels: usize,
    images: &[f32],
    grad_output: &[f32],
    grad_weights: &mut [f32],
) {
    let read = Grid { shape: images_shape };
    let written = Grid { shape: BlockedShape { channels: out_channels, ..images_shape } };
    assert_eq!(images.len(), read.shape.len(), "images");
    assert_eq!(grad_output.len(), written.shape.len(), "grad_output");
    let in_channels = images_shape.channels;
    assert_eq!(grad_weights.len(), out_channels * in_channels * 9, "grad_weights");
    grad_weights.fill(0.0);
    if images.is_empty() || grad_output.is_empty() {
        return;
    }
    let (blocks_read, blocks_written) = (read.shape.blocks(), written.shape.blocks());
    let most = SHARED_ELEMENTS / (POINTS * (blocks_read + blocks_written) * LANES);
    let chunks = read.chunks(most.max(1));
    let longest = chunks.iter().map(Range::len).max().unwrap_or(0);
    let mut inputs = vec![0.0; POINTS * point_stride(blocks_read, longest)];
    let mut grads = vec![0.0; POINTS * point_stride(blocks_written, longest)];
    let tasks: Vec<_> = (0..blocks_written)
        .flat_map(|block| even_parts(blocks_read, TASK_BLOCKS).map(move |part| (block, part)))
        .collect();
    for range in chunks {
        let tiles = range.len();
        let input_stride = point_stride(blocks_read, tiles);
        let grad_stride = point_stride(blocks_written, tiles);
        let (to_inputs, to_grads) = (SharedSlice::new(&mut inputs), SharedSlice::new(&mut grads));
        (0..blocks_read + blocks_written).into_par_iter().for_each(|block| {
            // SAFETY: each task writes another block, and the buffers have room for all at each point.
            unsafe {
                if let Some(block) = block.checked_sub(blocks_read) {
                    let to = to_grads.start().add(block * tiles * LANES);
                    let range = range.clone();
                    transform(
                        Tiles::GradOutput,
                        written,
                        grad_output,
                        block,
                        range,
                        to,
                        grad_stride,
                    );
                } else {
                    let to = to_inputs.start().add(block * tiles * LANES);
                    transform(Tiles::Input, read, images, block, range.clone(), to, input_stride);
                }
            }
        });
        let (inputs, grads) = (&inputs, &grads);
        let target = SharedSlice::new(grad_weights);
        tasks.par_iter().for_each(|&(written_block, (first_read, blocks))| {
            with_buffers([POINTS * blocks * LANES * LANES], |[sums]| {
                // SAFETY: both factors have `tiles` tiles of these blocks at each point; tasks differ in the filters
                // whose gradients they write.
                unsafe {
                    products(
                        grads.as_ptr().add(written_block * tiles * LANES),
                        grad_stride,
                        inputs.as_ptr().add(first_read * tiles * LANES),
                        input_stride,
                        blocks,
                        tiles,
                        sums.as_mut_ptr(),
                    );
                    let to = target.start();
                    add_gradients(sums, out_channels, in_channels, written_block, first_read, to);
                }
            });
        });
    }
}

for_each_cpu! {
    unsafe fn products<L: Lanes>(
        grads: *const f32,
        grad_stride: usize,
        inputs: *const f32,
        input_stride: usize,
        blocks: usize,
        tiles: usize,
        sums: *mut f32,
    ) {
        for point in 0..POINTS {
            for block in (0..blocks).step_by(2) {
                // SAFETY: the caller's.
                unsafe {
                    over_tiles::<L>(
                        grads.add(point * grad_stride),
                        inputs.add(point * input_stride + block * tiles * LANES),
                        tiles * LANES,
                        (blocks - block).min(2),
                        tiles,
                        sums.add((point * blocks + block) * LANES * LANES),
                    );
                }
            }
        }
    }
}
