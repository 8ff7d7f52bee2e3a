//! Sixteen floats in the registers of x86-64: two of AVX2, or one of AVX-512.

use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_mul_ps,
    _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
    _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps, _mm512_add_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_shuffle_f32x4, _mm512_shuffle_ps, _mm512_storeu_ps, _mm512_sub_ps, _mm512_unpackhi_ps,
    _mm512_unpacklo_ps,
};

use super::{LANES, Lanes};

/// Two registers of AVX2, with FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

/// One register of AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

// SAFETY, of all blocks: the CPU has the features by the contract of the trait, and pointers are valid for sixteen
// floats.
impl Lanes for Avx2 {
    const TILES: usize = 6;
    const BLOCKS: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            Self(
                _mm256_fmadd_ps(self.0, factor.0, term.0),
                _mm256_fmadd_ps(self.1, factor.1, term.1),
            )
        }
    }

    #[inline(always)]
    unsafe fn rectified(self) -> Self {
        // The second operand is what comes of a comparison with NaN.
        // SAFETY: as above.
        unsafe {
            let zero = _mm256_setzero_ps();
            Self(_mm256_max_ps(zero, self.0), _mm256_max_ps(zero, self.1))
        }
    }

    #[inline(always)]
    unsafe fn transposed(rows: [Self; LANES]) -> [Self; LANES] {
        // SAFETY: as above.
        unsafe {
            let quarter = |first: usize, is_right: bool| {
                let pick = |row: usize| {
                    let Self(left, right) = rows[first + row];
                    if is_right { right } else { left }
                };
                transposed_8x8([
                    pick(0),
                    pick(1),
                    pick(2),
                    pick(3),
                    pick(4),
                    pick(5),
                    pick(6),
                    pick(7),
                ])
            };
            let (top_left, top_right) = (quarter(0, false), quarter(0, true));
            let (bottom_left, bottom_right) = (quarter(8, false), quarter(8, true));
            let mut columns = rows;
            for column in 0..8 {
                columns[column] = Self(top_left[column], bottom_left[column]);
                columns[8 + column] = Self(top_right[column], bottom_right[column]);
            }
            columns
        }
    }
}

#[inline(always)]
unsafe fn transposed_8x8(r: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller's.
    unsafe {
        // Pairs of rows, then of pairs, within each half; then the halves.
        let mut pairs = r;
        for row in (0..8).step_by(2) {
            pairs[row] = _mm256_unpacklo_ps(r[row], r[row + 1]);
            pairs[row + 1] = _mm256_unpackhi_ps(r[row], r[row + 1]);
        }
        let mut fours = r;
        for row in (0..8).step_by(4) {
            fours[row] = _mm256_shuffle_ps::<0b01_00_01_00>(pairs[row], pairs[row + 2]);
            fours[row + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(pairs[row], pairs[row + 2]);
            fours[row + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(pairs[row + 1], pairs[row + 3]);
            fours[row + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(pairs[row + 1], pairs[row + 3]);
        }
        let mut columns = r;
        for row in 0..4 {
            columns[row] = _mm256_permute2f128_ps::<0x20>(fours[row], fours[row + 4]);
            columns[row + 4] = _mm256_permute2f128_ps::<0x31>(fours[row], fours[row + 4]);
        }
        columns
    }
}

impl Lanes for Avx512 {
    const TILES: usize = 14;
    const BLOCKS: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, term.0)) }
    }

    #[inline(always)]
    unsafe fn rectified(self) -> Self {
        // The second operand is what comes of a comparison with NaN.
        // SAFETY: as above.
        unsafe { Self(_mm512_max_ps(_mm512_setzero_ps(), self.0)) }
    }

    #[inline(always)]
    unsafe fn transposed(rows: [Self; LANES]) -> [Self; LANES] {
        // SAFETY: as above.
        unsafe {
            // Pairs of rows, then of pairs, within each quarter of a register; then the quarters.
            let mut pairs = rows;
            for row in (0..LANES).step_by(2) {
                pairs[row] = Self(_mm512_unpacklo_ps(rows[row].0, rows[row + 1].0));
                pairs[row + 1] = Self(_mm512_unpackhi_ps(rows[row].0, rows[row + 1].0));
            }
            let mut fours = rows;
            for row in (0..LANES).step_by(4) {
                for odd in 0..2 {
                    let (a, b) = (pairs[row + odd].0, pairs[row + 2 + odd].0);
                    fours[row + 2 * odd] = Self(_mm512_shuffle_ps::<0b01_00_01_00>(a, b));
                    fours[row + 2 * odd + 1] = Self(_mm512_shuffle_ps::<0b11_10_11_10>(a, b));
                }
            }
            // `fours[4 r + c]` holds columns c, 4 + c, 8 + c and 12 + c of rows 4 r to 4 r + 3.
            let mut columns = rows;
            for c in 0..4 {
                let (a, b) = (fours[c].0, fours[4 + c].0);
                let (d, e) = (fours[8 + c].0, fours[12 + c].0);
                let (even_top, odd_top) = (
                    _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b),
                    _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b),
                );
                let (even_bottom, odd_bottom) = (
                    _mm512_shuffle_f32x4::<0b10_00_10_00>(d, e),
                    _mm512_shuffle_f32x4::<0b11_01_11_01>(d, e),
                );
                columns[c] = Self(_mm512_shuffle_f32x4::<0b10_00_10_00>(even_top, even_bottom));
                columns[8 + c] = Self(_mm512_shuffle_f32x4::<0b11_01_11_01>(even_top, even_bottom));
                columns[4 + c] = Self(_mm512_shuffle_f32x4::<0b10_00_10_00>(odd_top, odd_bottom));
                columns[12 + c] = Self(_mm512_shuffle_f32x4::<0b11_01_11_01>(odd_top, odd_bottom));
            }
            columns
        }
    }
}
