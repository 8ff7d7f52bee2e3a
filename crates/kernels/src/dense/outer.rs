//! Sums of outer products: `sum over d of left[d][r] * right[d][c]`, and what is done with them.

use crate::lanes::{LANES, Lanes, for_each_cpu, prefetch};
use crate::matrix::{Rows, even_parts, with_rows};

/// Columns whose rows of `right` stay in the second cache while all rows of `left` pass.
const CACHED_COLUMNS: usize = 1024;

/// Lines that a row of `right` is fetched ahead: of weights, each row comes from memory by itself.
const AHEAD: usize = 4;

/// What is done with sixteen sums of a row, or with the first `count` of them.
pub(crate) trait Consume: Copy {
    /// # Safety
    ///
    /// That of [`Lanes`]; the place at this row and column must have room for `count` values.
    unsafe fn consume<L: Lanes>(self, sums: L, row: usize, column: usize, count: usize);
}

/// Stores the sums in rows of this stride.
#[derive(Clone, Copy)]
pub(super) struct Store {
    pub to: *mut f32,
    pub stride: usize,
}

/// Adds the sums to rows of this stride.
#[derive(Clone, Copy)]
pub(super) struct Add {
    pub to: *mut f32,
    pub stride: usize,
}

impl Consume for Store {
    #[inline(always)]
    unsafe fn consume<L: Lanes>(self, sums: L, row: usize, column: usize, count: usize) {
        // SAFETY: the caller's.
        unsafe { sums.store_part(self.to.add(row * self.stride + column), count) }
    }
}

impl Consume for Add {
    #[inline(always)]
    unsafe fn consume<L: Lanes>(self, sums: L, row: usize, column: usize, count: usize) {
        // SAFETY: the caller's.
        unsafe {
            let to = self.to.add(row * self.stride + column);
            L::load_part(to, count).add(sums).store_part(to, count);
        }
    }
}

for_each_cpu! {
    /// Sums for `rows` rows of `left`, which holds them side by side for each `d`, and all columns of `right`.
    ///
    /// # Safety
    ///
    /// That of [`Lanes`] and of `consume` at all rows and columns; rows of `right` must have `columns` values.
    pub(crate) unsafe fn outer<L: Lanes, C: Consume>(
        left: &[f32],
        rows: usize,
        right: Rows<'_>,
        columns: usize,
        consume: C,
    ) {
        assert_eq!(left.len(), rows * right.count, "left");
        right.assert_reach(columns);
        for first_column in (0..columns).step_by(CACHED_COLUMNS) {
            let end = columns.min(first_column + CACHED_COLUMNS);
            for (first, count) in even_parts(rows, L::TILES) {
                let mut column = first_column;
                while column < end {
                    // SAFETY: the caller's; the block lies in the rows and columns.
                    unsafe {
                        let left = left.as_ptr().wrapping_add(first);
                        let from = right.values.as_ptr().wrapping_add(column);
                        let lanes = LANES.min(end - column);
                        if L::BLOCKS == 2 && column + 2 * LANES <= end {
                            with_rows!(
                                count,
                                block::<L, 2>(left, rows, from, right, LANES, first, column, consume)
                            );
                            column += 2 * LANES;
                        } else {
                            with_rows!(
                                count,
                                block::<L, 1>(left, rows, from, right, lanes, first, column, consume)
                            );
                            column += LANES;
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn block<L: Lanes, const ROWS: usize, const COLUMNS: usize>(
    left: *const f32,
    left_stride: usize,
    from: *const f32,
    right: Rows<'_>,
    lanes: usize,
    first_row: usize,
    first_column: usize,
    consume: impl Consume,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[L::splat(0.0); COLUMNS]; ROWS];
        for d in 0..right.count {
            let from = from.add(d * right.stride);
            let mut factors = [L::splat(0.0); COLUMNS];
            for (column, factor) in factors.iter_mut().enumerate() {
                *factor = L::load_part(from.add(column * LANES), lanes);
                prefetch(from.wrapping_add((column + AHEAD) * LANES));
            }
            for row in 0..ROWS {
                let value = L::splat(*left.add(d * left_stride + row));
                for column in 0..COLUMNS {
                    sums[row][column] = value.mul_add(factors[column], sums[row][column]);
                }
            }
        }
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let at = first_column + column * LANES;
                consume.consume(sums[row][column], first_row + row, at, lanes);
            }
        }
    }
}
