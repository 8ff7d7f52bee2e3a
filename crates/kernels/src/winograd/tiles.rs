//! Between blocked images and transformed tiles. Tiles are numbered row by row, image by image.

use std::ops::Range;

use super::transforms::{each, input, output, output_adjoint};
use crate::blocked::{BlockedShape, TILE};
use crate::lanes::{LANES, Lanes, for_each_cpu, prefetch};

/// How far ahead of the transform a tile's lines are fetched. Large images come from memory, six rows at a time, faster than
/// the CPU foresees.
const TILES_AHEAD: usize = 4;

/// The tiles of a batch of images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// The images.
    pub shape: BlockedShape,
}

/// A tile's place.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    row: usize,
    column: usize,
}

impl Grid {
    fn rows(self) -> usize {
        self.shape.height.div_ceil(TILE)
    }

    fn columns(self) -> usize {
        self.shape.width.div_ceil(TILE)
    }

    /// Tiles of an image.
    pub(super) fn of_image(self) -> usize {
        self.rows() * self.columns()
    }

    /// Tiles of the batch.
    pub(super) fn tiles(self) -> usize {
        self.shape.batch * self.of_image()
    }

    /// The tiles in chunks of at most so many, as even as they can be.
    pub(super) fn chunks(self, most: usize) -> Vec<Range<usize>> {
        crate::matrix::even_parts(self.tiles(), most)
            .map(|(first, count)| first..first + count)
            .collect()
    }

    #[inline(always)]
    fn place(self, tile: usize) -> Place {
        let (image, rest) = (tile / self.of_image(), tile % self.of_image());
        Place { image, row: rest / self.columns(), column: rest % self.columns() }
    }

    #[inline(always)]
    fn next(self, place: Place) -> Place {
        let Place { image, row, column } = place;
        if column + 1 < self.columns() {
            Place { image, row, column: column + 1 }
        } else if row + 1 < self.rows() {
            Place { image, row: row + 1, column: 0 }
        } else {
            Place { image: image + 1, row: 0, column: 0 }
        }
    }
}

/// Elements between two points of transformed tiles: a cache line more than need be, else the points of a tile would
/// share cache sets.
pub(super) fn point_stride(blocks: usize, tiles: usize) -> usize {
    blocks * tiles * LANES + LANES
}

/// What is transformed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tiles {
    /// 6x6 tiles of input, each overlapping its neighbors by two.
    Input,
    /// 4x4 tiles of the output's gradient.
    Grad,
}

/// Transforms the tiles `range` of one block of images.
///
/// `transformed` is where the block's first tile of the first point goes; tiles follow each other, points are `stride`
/// apart.
///
/// # Safety
///
/// `transformed` must have room for `range.len()` tiles at each point, which no other task may write.
pub(super) unsafe fn transform(
    kind: Tiles,
    grid: Grid,
    images: &[f32],
    block: usize,
    range: Range<usize>,
    transformed: *mut f32,
    stride: usize,
) {
    assert_eq!(images.len(), grid.shape.len(), "images");
    assert!(range.end <= grid.tiles() && block < grid.shape.blocks(), "tiles");
    // SAFETY: the tiles lie in the images; the rest is the caller's.
    unsafe { transform_tiles(kind, grid, images, block, range, transformed, stride) }
}

for_each_cpu! {
    unsafe fn transform_tiles<L: Lanes>(
        kind: Tiles,
        grid: Grid,
        images: &[f32],
        block: usize,
        range: Range<usize>,
        transformed: *mut f32,
        stride: usize,
    ) {
        let row_stride = grid.shape.row_stride();
        let mut place = grid.place(range.start);
        for tile in 0..range.len() {
            let start = grid.shape.input_tile(place.image, block, place.row, place.column);
            debug_assert!(start + 5 * row_stride + 6 * LANES <= images.len());
            // SAFETY: rows and columns are rounded up to whole tiles, with a border of one on each side; what lies
            // beyond the image is zero. Tiles of gradients begin inside the border.
            unsafe {
                let from = images.as_ptr().add(start);
                let to = transformed.add(tile * LANES);
                let ahead = from.wrapping_add((TILES_AHEAD * TILE + 2) * LANES);
                each!(6, y => each!(4, x => prefetch(ahead.wrapping_add(y * row_stride + x * LANES))));
                let store = |y, x, value: L| value.store(to.add((6 * y + x) * stride));
                match kind {
                    Tiles::Input => {
                        input(|y, x| L::load(from.add(y * row_stride + x * LANES)), store);
                    }
                    Tiles::Grad => {
                        let from = from.add(row_stride + LANES);
                        output_adjoint(|y, x| L::load(from.add(y * row_stride + x * LANES)), store);
                    }
                }
            }
            place = grid.next(place);
        }
    }
}

/// Where the sums of some tiles of one block come from, and what they become at first.
#[derive(Clone, Copy)]
pub(super) struct BlockSums {
    /// The first tile's, at the first point.
    pub start: *const f32,
    /// Between points.
    pub stride: usize,
    /// Of the channels of the block.
    pub bias: [f32; LANES],
    /// 1 for a channel, 0 for what fills the last block up: no product of infinities stays there.
    pub is_channel: [f32; LANES],
}

/// Transforms the sums of one tile back and adds the bias.
#[inline(always)]
unsafe fn sums_to_output<L: Lanes>(sums: &BlockSums, tile: usize) -> [[L; 4]; 4] {
    // SAFETY: the caller's.
    unsafe {
        let start = sums.start.add(tile * LANES);
        let mut tile = [[L::splat(0.0); TILE]; TILE];
        output(
            |y, x| {
                let from = start.add((6 * y + x) * sums.stride);
                // The next tile's: so many streams are more than the CPU foresees.
                prefetch(from.wrapping_add(LANES));
                L::load(from)
            },
            |y, x, value| tile[y][x] = value,
        );
        let bias = L::load(sums.bias.as_ptr());
        each!(4, y => each!(4, x => tile[y][x] = tile[y][x].add(bias)));
        if sums.is_channel[LANES - 1] == 0.0 {
            let is_channel = L::load(sums.is_channel.as_ptr());
            each!(4, y => each!(4, x => tile[y][x] = tile[y][x].passed(is_channel)));
        }
        tile
    }
}

/// What follows the transform back, pixel by pixel.
#[derive(Clone, Copy)]
pub(super) enum ToPixels<'a> {
    /// Nothing.
    Sums,
    /// The activation.
    Rectified,
    /// The gradient passes the activation that gave these images.
    Passed(&'a [f32]),
}

/// Writes one pixel's values at `at`.
#[inline(always)]
unsafe fn write_pixel<L: Lanes>(value: L, finish: ToPixels<'_>, at: usize, output: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let value = match finish {
            ToPixels::Sums => value,
            ToPixels::Rectified => value.rectified(),
            ToPixels::Passed(images) => {
                debug_assert!(at + LANES <= images.len());
                value.passed(L::load(images.as_ptr().add(at)))
            }
        };
        value.store(output.add(at));
    }
}

for_each_cpu! {
    /// Turns the sums of some tiles of one block into output.
    ///
    /// # Safety
    ///
    /// `sums` holds the tiles of `range` at each point; `output` is blocked images of the grid's shape, of which no other
    /// task may write these tiles; so are the images of [`ToPixels::Passed`].
    pub(super) unsafe fn write_pixels<L: Lanes>(
        grid: Grid,
        sums: BlockSums,
        block: usize,
        range: Range<usize>,
        finish: ToPixels<'_>,
        output: *mut f32,
    ) {
        let BlockedShape { height, width, .. } = grid.shape;
        let row_stride = grid.shape.row_stride();
        let mut next = grid.place(range.start);
        for tile in 0..range.len() {
            let place = next;
            next = grid.next(place);
            // SAFETY: the caller's; pixels beyond the image are not written.
            unsafe {
                let values = sums_to_output::<L>(&sums, tile);
                let first = grid.shape.row(place.image, block, place.row * TILE)
                    + place.column * TILE * LANES;
                let rows = TILE.min(height - place.row * TILE);
                let columns = TILE.min(width - place.column * TILE);
                if rows == TILE && columns == TILE {
                    each!(4, y => each!(4, x => {
                        write_pixel(values[y][x], finish, first + y * row_stride + x * LANES, output);
                    }));
                    continue;
                }
                for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                    write_pixel(values[y][x], finish, first + y * row_stride + x * LANES, output);
                }
            }
        }
    }
}

for_each_cpu! {
    /// Turns the sums of some tiles of one block into rectified, pooled output.
    ///
    /// # Safety
    ///
    /// `sums` holds the tiles of `range` at each point; `output` and `winners` are of the pooled shape, and no other task may
    /// write these tiles' part of them.
    pub(super) unsafe fn write_pooled<L: Lanes>(
        grid: Grid,
        sums: BlockSums,
        block: usize,
        range: Range<usize>,
        output: *mut f32,
        winners: *mut u8,
    ) {
        let pooled = grid.shape.pooled();
        let mut place = grid.place(range.start);
        for tile in 0..range.len() {
            // SAFETY: the caller's; windows beyond the image are not written.
            unsafe {
                let tile = sums_to_output::<L>(&sums, tile);
                for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let (row, column) = (place.row * 2 + y, place.column * 2 + x);
                    if pooled.height <= row || pooled.width <= column {
                        continue;
                    }
                    let [top, bottom] = [tile[2 * y], tile[2 * y + 1]];
                    let corners = [top[2 * x], top[2 * x + 1], bottom[2 * x], bottom[2 * x + 1]];
                    let (largest, winner) = L::largest(corners);
                    let at = pooled.row(place.image, block, row) + column * LANES;
                    largest.store(output.add(at));
                    let at = pooled.winner(place.image, block, row, column);
                    winners.add(at).cast::<[u8; LANES]>().write(winner);
                }
            }
            place = grid.next(place);
        }
    }
}

for_each_cpu! {
    /// Turns the sums of some tiles of one block into the gradient before a pool: each value goes to its window's winner.
    ///
    /// # Safety
    ///
    /// `sums` holds the tiles of `range` at each point; `winners` is of the grid's shape and `output` of `before`, of which
    /// no other task may write these tiles' windows.
    pub(super) unsafe fn write_unpooled<L: Lanes>(
        grid: Grid,
        sums: BlockSums,
        block: usize,
        range: Range<usize>,
        winners: &[u8],
        before: BlockedShape,
        output: *mut f32,
    ) {
        let BlockedShape { height, width, .. } = grid.shape;
        let row_stride = before.row_stride();
        let mut place = grid.place(range.start);
        for tile in 0..range.len() {
            // SAFETY: the caller's; windows beyond the image are not written.
            unsafe {
                let values = sums_to_output::<L>(&sums, tile);
                let rows = TILE.min(height - place.row * TILE);
                let columns = TILE.min(width - place.column * TILE);
                for (y, values) in values.iter().enumerate().take(rows) {
                    let row = place.row * TILE + y;
                    let line = output.add(before.row(place.image, block, 2 * row));
                    for (x, value) in values.iter().enumerate().take(columns) {
                        let column = place.column * TILE + x;
                        let at = grid.shape.winner(place.image, block, row, column);
                        debug_assert!(at + LANES <= winners.len());
                        let winners = winners.as_ptr().add(at);
                        let to = line.add(2 * column * LANES);
                        value.won(winners, 0).store(to);
                        value.won(winners, 1).store(to.add(LANES));
                        value.won(winners, 2).store(to.add(row_stride));
                        value.won(winners, 3).store(to.add(row_stride + LANES));
                    }
                }
            }
            place = grid.next(place);
        }
    }
}
