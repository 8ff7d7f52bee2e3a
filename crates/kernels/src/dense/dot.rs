//! Dot products of rows with rows: `sums[r][c] = sum over k of left[r][k] * right[c][k]`.

use crate::lanes::{LANES, Lanes, for_each_cpu, prefetch_to_second};
use crate::matrix::{Rows, with_rows};

/// Terms that are summed at a time: eight rows of them stay in the first cache, 64 in the second.
const DEPTH: usize = 1024;

/// Rows of `left` that are multiplied at a time, at most.
const MOST_ROWS: usize = 8;

/// Writes the products of all rows of `left` with all rows of `right`, `sums[r * right.count + c]`.
///
/// Each is summed in the same order, however many rows there are.
pub(super) fn products(left: Rows<'_>, right: Rows<'_>, length: usize, sums: &mut [f32]) {
    left.assert_reach(length);
    right.assert_reach(length);
    assert_eq!(sums.len(), left.count * right.count, "sums");
    sums.fill(0.0);
    // SAFETY: rows of this length lie in both slices, and there is a sum for each pair.
    unsafe { all_products(left, right, length, sums) }
}

for_each_cpu! {
    unsafe fn all_products<L: Lanes>(
        left: Rows<'_>,
        right: Rows<'_>,
        length: usize,
        sums: &mut [f32],
    ) {
        let most_rows = (L::TILES * L::BLOCKS / 2).min(MOST_ROWS);
        for first in (0..length).step_by(DEPTH) {
            let depth = DEPTH.min(length - first);
            for row in (0..left.count).step_by(most_rows) {
                let rows = most_rows.min(left.count - row);
                // The rows that follow are fetched meanwhile: they come from memory.
                let (next_row, next_first) =
                    if row + rows < left.count { (row + rows, first) } else { (0, first + DEPTH) };
                let next = left.values.as_ptr().wrapping_add(next_row * left.stride + next_first);
                let lines = (rows * LINES).div_ceil(right.count.div_ceil(2));
                for column in (0..right.count).step_by(2) {
                    // SAFETY: the caller's; the block lies in the rows.
                    unsafe {
                        let (from, with) = (left.at(row, first), right.at(column, first));
                        let ahead = Ahead { start: next, stride: left.stride, first: column / 2 * lines, lines };
                        let sums = sums.as_mut_ptr().add(row * right.count + column);
                        if column + 1 < right.count {
                            with_rows!(
                                rows,
                                block::<L, 2>(from, left.stride, with, right.stride, depth, ahead, sums, right.count)
                            );
                        } else {
                            with_rows!(
                                rows,
                                block::<L, 1>(from, left.stride, with, right.stride, depth, ahead, sums, right.count)
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Cache lines of a row that are multiplied at a time.
const LINES: usize = DEPTH / LANES;

/// What one block fetches of the rows that come next: some of their lines, each row's [`LINES`] one after the other.
#[derive(Clone, Copy)]
struct Ahead {
    start: *const f32,
    stride: usize,
    first: usize,
    lines: usize,
}

impl Ahead {
    /// Fetches the line that is due at one of [`LINES`] steps.
    #[inline(always)]
    fn prefetch(self, step: usize) {
        let line = self.first + step * self.lines / LINES;
        let at = line / LINES * self.stride + line % LINES * LANES;
        prefetch_to_second(self.start.wrapping_add(at));
    }
}

/// Adds the products of some rows over some terms.
#[inline(always)]
unsafe fn block<L: Lanes, const ROWS: usize, const COLUMNS: usize>(
    left: *const f32,
    left_stride: usize,
    right: *const f32,
    right_stride: usize,
    depth: usize,
    ahead: Ahead,
    sums: *mut f32,
    sums_stride: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut partial = [[L::splat(0.0); COLUMNS]; ROWS];
        let whole = depth / LANES * LANES;
        let mut at = 0;
        while at < whole {
            let mut factors = [L::splat(0.0); COLUMNS];
            for (column, factor) in factors.iter_mut().enumerate() {
                *factor = L::load(right.add(column * right_stride + at));
            }
            for row in 0..ROWS {
                let value = L::load(left.add(row * left_stride + at));
                for column in 0..COLUMNS {
                    partial[row][column] = value.mul_add(factors[column], partial[row][column]);
                }
            }
            ahead.prefetch(at / LANES);
            at += LANES;
        }
        let rest = depth - whole;
        if rest > 0 {
            for column in 0..COLUMNS {
                let factor = L::load_part(right.add(column * right_stride + whole), rest);
                for row in 0..ROWS {
                    let value = L::load_part(left.add(row * left_stride + whole), rest);
                    partial[row][column] = value.mul_add(factor, partial[row][column]);
                }
            }
        }
        // Sixteen sums of sixteen lanes: their columns, added up.
        let mut lanes = [L::splat(0.0); LANES];
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                lanes[row * COLUMNS + column] = partial[row][column];
            }
        }
        let mut columns = L::transposed(lanes);
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                columns[lane] = columns[lane].add(columns[lane + half]);
            }
            half /= 2;
        }
        let mut totals = [0.0_f32; LANES];
        columns[0].store(totals.as_mut_ptr());
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                *sums.add(row * sums_stride + column) += totals[row * COLUMNS + column];
            }
        }
    }
}
