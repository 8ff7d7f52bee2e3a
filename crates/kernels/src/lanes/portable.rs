//! Sixteen plain floats.

use super::{LANES, Lanes};
use crate::blocked::CLIPPED;

/// Plain floats, for any CPU.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, function: impl Fn(f32, f32) -> f32) -> Self {
        let mut lanes = self.0;
        for lane in 0..LANES {
            lanes[lane] = function(lanes[lane], other.0[lane]);
        }
        Self(lanes)
    }
}

impl Lanes for Portable {
    const TILES: usize = 2;
    const BLOCKS: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { from.cast::<[f32; LANES]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[f32; LANES]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        self.zip(self, |a, _| a.sqrt())
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(term, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn rectified(self) -> Self {
        self.zip(self, |a, _| if a < 0.0 { 0.0 } else { a })
    }

    #[inline(always)]
    unsafe fn clamped(self, limit: Self) -> Self {
        self.zip(limit, |a, limit| if a.abs() > limit { limit.copysign(a) } else { a })
    }

    #[inline(always)]
    unsafe fn passed(self, output: Self) -> Self {
        self.zip(output, |grad, output| if output <= 0.0 { 0.0 } else { grad })
    }

    #[inline(always)]
    unsafe fn won(self, winners: *const u8, code: u8) -> Self {
        // SAFETY: the caller's.
        let winners = unsafe { winners.cast::<[u8; LANES]>().read() };
        let mut lanes = self.0;
        for lane in 0..LANES {
            lanes[lane] = if winners[lane] == code { lanes[lane] } else { 0.0 };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn largest(corners: [Self; 4]) -> (Self, [u8; LANES]) {
        let mut largest = corners[0].0;
        let mut winners = [0; LANES];
        for (code, corner) in (0..).zip(&corners).skip(1) {
            for lane in 0..LANES {
                let (value, best) = (corner.0[lane], largest[lane]);
                let is_larger = value > best || (value.is_nan() && !best.is_nan());
                largest[lane] = if is_larger { value } else { best };
                winners[lane] = if is_larger { code } else { winners[lane] };
            }
        }
        for lane in 0..LANES {
            winners[lane] = if largest[lane] <= 0.0 { CLIPPED } else { winners[lane] };
            largest[lane] = if largest[lane] < 0.0 { 0.0 } else { largest[lane] };
        }
        (Self(largest), winners)
    }

    #[inline(always)]
    unsafe fn transposed(rows: [Self; LANES]) -> [Self; LANES] {
        let mut columns = rows;
        for row in 0..LANES {
            for column in 0..LANES {
                columns[column].0[row] = rows[row].0[column];
            }
        }
        columns
    }
}
