//! Between blocked images and transformed tiles. Tiles are numbered row by row, image by image.

use std::ops::Range;

use super::transforms::{input, output, output_adjoint};
use super::{POINTS, TILE};
use crate::blocked::{BlockedShape, CLIPPED};
use crate::lanes::{LANES, Lanes, for_each_cpu};

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
        super::product::even_parts(self.tiles(), most)
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
    GradOutput,
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
                let tile_of = match kind {
                    Tiles::Input => input(&load::<L, 6>(from, row_stride)),
                    Tiles::GradOutput => {
                        output_adjoint(&load::<L, 4>(from.add(row_stride + LANES), row_stride))
                    }
                };
                store(&tile_of, transformed.add(tile * LANES), stride);
            }
            place = grid.next(place);
        }
    }
}

/// Reads a tile.
#[inline(always)]
unsafe fn load<L: Lanes, const SIDE: usize>(
    from: *const f32,
    row_stride: usize,
) -> [[L; SIDE]; SIDE] {
    // SAFETY: the caller's.
    unsafe {
        let mut tile = [[L::splat(0.0); SIDE]; SIDE];
        for y in 0..SIDE {
            for x in 0..SIDE {
                tile[y][x] = L::load(from.add(y * row_stride + x * LANES));
            }
        }
        tile
    }
}

/// Writes a transformed tile, one point after the other.
#[inline(always)]
unsafe fn store<L: Lanes>(tile: &[[L; 6]; 6], to: *mut f32, stride: usize) {
    for point in 0..POINTS {
        // SAFETY: the caller's.
        unsafe { tile[point / 6][point % 6].store(to.add(point * stride)) }
    }
}

/// Transforms the sums of one tile back and adds the bias.
#[inline(always)]
unsafe fn sums_to_output<L: Lanes>(
    sums: *const f32,
    stride: usize,
    bias: &[f32; LANES],
) -> [[L; 4]; 4] {
    // SAFETY: the caller's.
    unsafe {
        let mut source = [[L::splat(0.0); 6]; 6];
        for point in 0..POINTS {
            source[point / 6][point % 6] = L::load(sums.add(point * stride));
        }
        let mut tile = output(&source);
        let bias = L::load(bias.as_ptr());
        for row in &mut tile {
            for value in row {
                *value = value.add(bias);
            }
        }
        tile
    }
}

/// What follows the transform back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// Nothing.
    Sums,
    /// The activation.
    Rectified,
}

for_each_cpu! {
    /// Turns the sums of some tiles of one block into output.
    ///
    /// # Safety
    ///
    /// `sums` holds the tiles of `range` at each point; `output` is blocked images of the grid's shape, of which no other
    /// task may write these tiles.
    pub(super) unsafe fn write_full<L: Lanes>(
        grid: Grid,
        sums: *const f32,
        stride: usize,
        block: usize,
        range: Range<usize>,
        bias: &[f32; LANES],
        finish: Finish,
        output: *mut f32,
    ) {
        let BlockedShape { height, width, .. } = grid.shape;
        let row_stride = grid.shape.row_stride();
        let mut place = grid.place(range.start);
        for tile in 0..range.len() {
            // SAFETY: the caller's; pixels beyond the image are not written.
            unsafe {
                let values = sums_to_output::<L>(sums.add(tile * LANES), stride, bias);
                let first = grid.shape.row(place.image, block, place.row * TILE);
                let to = output.add(first + place.column * TILE * LANES);
                let rows = TILE.min(height - place.row * TILE);
                let columns = TILE.min(width - place.column * TILE);
                for (y, values) in values.iter().enumerate().take(rows) {
                    for (x, value) in values.iter().enumerate().take(columns) {
                        let value = match finish {
                            Finish::Sums => *value,
                            Finish::Rectified => value.rectified(),
                        };
                        value.store(to.add(y * row_stride + x * LANES));
                    }
                }
            }
            place = grid.next(place);
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
        sums: *const f32,
        stride: usize,
        block: usize,
        range: Range<usize>,
        bias: &[f32; LANES],
        output: *mut f32,
        winners: *mut u8,
    ) {
        let pooled = grid.shape.pooled();
        let mut values = [[0.0_f32; LANES]; TILE * TILE];
        let mut place = grid.place(range.start);
        for tile in 0..range.len() {
            // SAFETY: the caller's; windows beyond the image are not written.
            unsafe {
                let tile = sums_to_output::<L>(sums.add(tile * LANES), stride, bias);
                for at in 0..TILE * TILE {
                    tile[at / TILE][at % TILE].store(values[at].as_mut_ptr());
                }
                for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let (row, column) = (place.row * 2 + y, place.column * 2 + x);
                    if pooled.height <= row || pooled.width <= column {
                        continue;
                    }
                    let corner = y * 2 * TILE + x * 2;
                    let mut largest = values[corner];
                    let mut winner = [0_u8; LANES];
                    for (code, at) in [(1, corner + 1), (2, corner + TILE), (3, corner + TILE + 1)] {
                        for lane in 0..LANES {
                            let (value, best) = (values[at][lane], largest[lane]);
                            // The first of equals wins; a NaN wins over every number.
                            let is_larger = value > best || (value.is_nan() && !best.is_nan());
                            largest[lane] = if is_larger { value } else { best };
                            winner[lane] = if is_larger { code } else { winner[lane] };
                        }
                    }
                    for lane in 0..LANES {
                        let is_clipped = largest[lane] <= 0.0;
                        winner[lane] = if is_clipped { CLIPPED } else { winner[lane] };
                        largest[lane] = if largest[lane] < 0.0 { 0.0 } else { largest[lane] };
                    }
                    let at = pooled.row(place.image, block, row) + column * LANES;
                    L::load(largest.as_ptr()).store(output.add(at));
                    let line = (place.image * pooled.blocks() + block) * pooled.height + row;
                    let at = (line * pooled.width + column) * LANES;
                    winners.add(at).cast::<[u8; LANES]>().write(winner);
                }
            }
            place = grid.next(place);
        }
    }
}
