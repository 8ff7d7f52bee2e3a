//! The gradient of the weights: `G^T [sum over tiles of (B^T d B) (A y A^T)] G`.

use std::ops::Range;

use rayon::prelude::*;

use super::filters::add_gradients;
use super::product::over_tiles;
use super::tiles::{Grid, Tiles, point_stride, transform};
use super::{POINTS, Work};
use crate::blocked::BlockedShape;
use crate::lanes::{LANES, for_each_cpu};
use crate::matrix::even_parts;
use crate::scratch::{SharedSlice, with_buffers, with_shared_buffers};

/// Up to so many blocks, of those read and those written together, all sums stay in a thread's second cache, and tiles are
/// transformed where they are multiplied.
const LOCAL_BLOCKS: usize = 8;

/// Elements of transformed tiles, of images and gradients together, that stay there beside the sums.
const LOCAL_ELEMENTS: usize = 130_000;

/// Parts of the tiles that have sums of their own where they are local; more than most machines have threads.
const LOCAL_PARTS: usize = 32;

/// Tiles of such a part at least: adding the sums of parts up costs as much as some tens of tiles.
const PART_TILES: usize = 512;

/// Elements of transformed tiles, of images and gradients together, that stay in the cache that threads share: eight images
/// of 14 px with 512 channels.
const SHARED_ELEMENTS: usize = 4_800_000;

/// Blocks of channels read to whose filters' gradients a task adds.
const TASK_BLOCKS: usize = 4;

/// Adds to `grad_weights`.
pub(crate) fn backward_weights(
    images_shape: BlockedShape,
    out_channels: usize,
    images: &[f32],
    grad: &[f32],
    grad_weights: &mut [f32],
) {
    let read = Grid { shape: images_shape };
    let written = Grid { shape: BlockedShape { channels: out_channels, ..images_shape } };
    assert_eq!(images.len(), read.shape.len(), "images");
    assert_eq!(grad.len(), written.shape.len(), "grad");
    assert_eq!(grad_weights.len(), out_channels * images_shape.channels * 9, "grad_weights");
    if read.tiles() == 0 || images.is_empty() || grad.is_empty() {
        return;
    }
    Gradient { read, written, images, grad, work: Work::All }.compute(grad_weights);
}

/// The products of [`backward_weights`] alone.
pub(crate) fn backward_weights_products(images_shape: BlockedShape, out_channels: usize) {
    let read = Grid { shape: images_shape };
    let written = Grid { shape: BlockedShape { channels: out_channels, ..images_shape } };
    if images_shape.is_empty() || out_channels == 0 {
        return;
    }
    Gradient { read, written, images: &[], grad: &[], work: Work::Products }.compute(&mut []);
}

/// What all tasks share.
#[derive(Clone, Copy)]
struct Gradient<'a> {
    read: Grid,
    written: Grid,
    images: &'a [f32],
    grad: &'a [f32],
    work: Work,
}

impl Gradient<'_> {
    fn compute(&self, grad_weights: &mut [f32]) {
        if self.blocks_read() + self.blocks_written() <= LOCAL_BLOCKS {
            self.by_tiles(grad_weights);
        } else {
            self.by_points(grad_weights);
        }
    }

    fn blocks_read(&self) -> usize {
        self.read.shape.blocks()
    }

    fn blocks_written(&self) -> usize {
        self.written.shape.blocks()
    }

    /// Tiles of which so many elements hold the transforms, of images and gradients.
    fn tiles_in(&self, elements: usize) -> usize {
        (elements / (POINTS * (self.blocks_read() + self.blocks_written()) * LANES)).max(1)
    }

    /// Elements of the sums of one point, `(blocks written, blocks read, 16, 16)`, and a cache line: else the points of a
    /// filter would share cache sets.
    fn sums_len(&self) -> usize {
        self.blocks_written() * self.blocks_read() * LANES * LANES + LANES
    }

    /// Each task transforms the tiles of one part, and sums over them.
    fn by_tiles(&self, grad_weights: &mut [f32]) {
        let of_part = self.read.tiles().div_ceil(LOCAL_PARTS).max(PART_TILES);
        let parts = self.read.chunks(of_part);
        let most = self.tiles_in(LOCAL_ELEMENTS);
        let sums_len = self.sums_len();
        with_shared_buffers([parts.len() * POINTS * sums_len], |[sums]| {
            let of_parts = sums.par_chunks_exact_mut(POINTS * sums_len).with_max_len(1);
            of_parts.zip(&parts).for_each(|(sums, part)| {
                let lengths = [self.blocks_read(), self.blocks_written()]
                    .map(|blocks| POINTS * point_stride(blocks, most));
                with_buffers(lengths, |[inputs, grads]| {
                    for (first, tiles) in even_parts(part.len(), most) {
                        let range = part.start + first..part.start + first + tiles;
                        let (to_inputs, to_grads) =
                            (SharedSlice::new(inputs), SharedSlice::new(grads));
                        for block in 0..self.blocks_read() + self.blocks_written() {
                            // SAFETY: the buffers are this task's, and have room for so many tiles.
                            unsafe { self.transform(block, &range, &to_inputs, &to_grads) }
                        }
                        for (point, sums) in sums.chunks_exact_mut(sums_len).enumerate() {
                            self.multiply(point, inputs, grads, tiles, first == 0, sums);
                        }
                    }
                });
            });
            self.add(sums, parts.len(), grad_weights);
        });
    }

    /// All threads transform the tiles; then each sums over those of some points, which stay in its second cache.
    fn by_points(&self, grad_weights: &mut [f32]) {
        let chunks = self.read.chunks(self.tiles_in(SHARED_ELEMENTS));
        let longest = chunks.iter().map(Range::len).max().unwrap_or(0);
        let sums_len = self.sums_len();
        let lengths = [
            POINTS * point_stride(self.blocks_read(), longest),
            POINTS * point_stride(self.blocks_written(), longest),
            POINTS * sums_len,
        ];
        with_shared_buffers(lengths, |[inputs, grads, sums]| {
            for (number, range) in chunks.iter().enumerate() {
                let (to_inputs, to_grads) = (SharedSlice::new(inputs), SharedSlice::new(grads));
                (0..self.blocks_read() + self.blocks_written()).into_par_iter().for_each(|block| {
                    // SAFETY: each task writes another block, and the buffers have room for so many tiles.
                    unsafe { self.transform(block, range, &to_inputs, &to_grads) }
                });
                let (inputs, grads, tiles) = (&*inputs, &*grads, range.len());
                let of_points = sums.par_chunks_exact_mut(sums_len).with_max_len(1);
                of_points.enumerate().for_each(|(point, sums)| {
                    self.multiply(point, inputs, grads, tiles, number == 0, sums);
                });
            }
            self.add(sums, 1, grad_weights);
        });
    }

    /// Transforms the tiles of one block of images, or of gradients if it is beyond these.
    ///
    /// # Safety
    ///
    /// No other task may do the same block; the buffers must have room for these tiles of all blocks at each point.
    unsafe fn transform(
        &self,
        block: usize,
        range: &Range<usize>,
        inputs: &SharedSlice<'_>,
        grads: &SharedSlice<'_>,
    ) {
        if self.work == Work::Products {
            return;
        }
        let (tiles, range) = (range.len(), range.clone());
        let (input_stride, grad_stride) =
            (point_stride(self.blocks_read(), tiles), point_stride(self.blocks_written(), tiles));
        // SAFETY: the caller's.
        unsafe {
            if let Some(block) = block.checked_sub(self.blocks_read()) {
                let to = grads.start().add(block * tiles * LANES);
                transform(Tiles::Grad, self.written, self.grad, block, range, to, grad_stride);
            } else {
                let to = inputs.start().add(block * tiles * LANES);
                transform(Tiles::Input, self.read, self.images, block, range, to, input_stride);
            }
        }
    }

    /// Sums over the tiles of one point.
    fn multiply(
        &self,
        point: usize,
        inputs: &[f32],
        grads: &[f32],
        tiles: usize,
        is_first: bool,
        sums: &mut [f32],
    ) {
        let (read, written) = (self.blocks_read(), self.blocks_written());
        let inputs = &inputs[point * point_stride(read, tiles)..][..read * tiles * LANES];
        let grads = &grads[point * point_stride(written, tiles)..][..written * tiles * LANES];
        assert!(written * read * LANES * LANES <= sums.len(), "sums");
        // SAFETY: by the lengths above, all three lie in their slices.
        unsafe {
            let (inputs, grads) = (inputs.as_ptr(), grads.as_ptr());
            products(inputs, read, grads, written, tiles, is_first, sums.as_mut_ptr());
        }
    }

    /// Transforms the sums, added up over the parts of the tiles, and adds them to the gradients of the filters.
    fn add(&self, sums: &[f32], parts: usize, grad_weights: &mut [f32]) {
        if self.work == Work::Products {
            return;
        }
        let (out_channels, in_channels) = (self.written.shape.channels, self.read.shape.channels);
        let shared = SharedSlice::new(grad_weights);
        let of_block: Vec<_> = even_parts(self.blocks_read(), TASK_BLOCKS).collect();
        (0..self.blocks_written() * of_block.len()).into_par_iter().for_each(|task| {
            let (block, blocks_read) = (task / of_block.len(), of_block[task % of_block.len()]);
            // SAFETY: tasks differ in the filters whose gradients they write.
            unsafe {
                let to = shared.start();
                add_gradients(sums, parts, out_channels, in_channels, block, blocks_read, to);
            }
        });
    }
}

for_each_cpu! {
    unsafe fn products<L: Lanes>(
        inputs: *const f32,
        blocks_read: usize,
        grads: *const f32,
        blocks_written: usize,
        tiles: usize,
        is_first: bool,
        sums: *mut f32,
    ) {
        let stride = tiles * LANES;
        // Two blocks of inputs stay in the first cache while those of the gradients pass.
        for read in (0..blocks_read).step_by(2) {
            for written in 0..blocks_written {
                // SAFETY: the caller's.
                unsafe {
                    over_tiles::<L>(
                        grads.add(written * stride),
                        inputs.add(read * stride),
                        (blocks_read - read).min(2),
                        tiles,
                        sums.add((written * blocks_read + read) * LANES * LANES),
                        is_first,
                    );
                }
            }
        }
    }
}
