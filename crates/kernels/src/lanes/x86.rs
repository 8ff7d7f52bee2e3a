//! Sixteen floats in the registers of x86-64: two of AVX2, or one of AVX-512.

use std::arch::x86_64::{
    __m256, __m256i, __m512, _CMP_LE_OQ, _CMP_NLE_UQ, _CMP_ORD_Q, _mm_cmpeq_epi8, _mm_loadu_si128,
    _mm_packus_epi16, _mm_set1_epi8, _mm_srli_si128, _mm_storeu_si128, _mm256_add_ps,
    _mm256_and_ps, _mm256_blendv_ps, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvtepi8_epi32, _mm256_div_ps,
    _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps,
    _mm256_mul_ps, _mm256_packs_epi32, _mm256_permute2f128_ps, _mm256_permute4x64_epi64,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_sqrt_ps,
    _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps, _mm512_add_ps,
    _mm512_cmp_ps_mask, _mm512_cmpeq_epi32_mask, _mm512_cvtepi32_epi8, _mm512_cvtepu8_epi32,
    _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_cmp_ps_mask,
    _mm512_mask_mov_epi32, _mm512_mask_mov_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_shuffle_f32x4, _mm512_shuffle_ps, _mm512_sqrt_ps, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_unpackhi_ps, _mm512_unpacklo_ps,
};

use super::{LANES, Lanes};
use crate::blocked::CLIPPED;

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
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_sqrt_ps(self.0), _mm256_sqrt_ps(self.1)) }
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
    unsafe fn clamped(self, limit: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let lowest = Self::splat(0.0).sub(limit);
            // The second operand, as in `rectified`.
            Self(
                _mm256_max_ps(lowest.0, _mm256_min_ps(limit.0, self.0)),
                _mm256_max_ps(lowest.1, _mm256_min_ps(limit.1, self.1)),
            )
        }
    }

    #[inline(always)]
    unsafe fn passed(self, output: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let zero = _mm256_setzero_ps();
            let passed =
                |grad, output| _mm256_and_ps(grad, _mm256_cmp_ps::<_CMP_NLE_UQ>(output, zero));
            Self(passed(self.0, output.0), passed(self.1, output.1))
        }
    }

    #[inline(always)]
    unsafe fn won(self, winners: *const u8, code: u8) -> Self {
        // SAFETY: as above; sixteen bytes are read.
        unsafe {
            let winners = _mm_loadu_si128(winners.cast());
            let is_won = _mm_cmpeq_epi8(winners, _mm_set1_epi8(code.cast_signed()));
            let mask = |bytes| _mm256_castsi256_ps(_mm256_cvtepi8_epi32(bytes));
            Self(
                _mm256_and_ps(self.0, mask(is_won)),
                _mm256_and_ps(self.1, mask(_mm_srli_si128::<8>(is_won))),
            )
        }
    }

    #[inline(always)]
    unsafe fn largest(corners: [Self; 4]) -> (Self, [u8; LANES]) {
        // SAFETY: as above.
        unsafe {
            let [a, b, c, d] = corners;
            let (left, left_codes) = largest_of_8([a.0, b.0, c.0, d.0]);
            let (right, right_codes) = largest_of_8([a.1, b.1, c.1, d.1]);
            // Packing works within halves of a register: the quarters come out as left, right, left, right.
            let words = _mm256_packs_epi32(left_codes, right_codes);
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let mut winners = [0; LANES];
            _mm_storeu_si128(winners.as_mut_ptr().cast(), _mm_packus_epi16(low, high));
            (Self(left, right), winners)
        }
    }

    #[inline(always)]
    unsafe fn transposed(rows: [Self; LANES]) -> [Self; LANES] {
        // SAFETY: as above.
        unsafe {
            let (top_left, top_right) = (quarter(&rows, 0, false), quarter(&rows, 0, true));
            let (bottom_left, bottom_right) = (quarter(&rows, 8, false), quarter(&rows, 8, true));
            let mut columns = rows;
            for column in 0..8 {
                columns[column] = Self(top_left[column], bottom_left[column]);
                columns[8 + column] = Self(top_right[column], bottom_right[column]);
            }
            columns
        }
    }
}

/// [`Lanes::largest`] for eight lanes, with the codes as numbers of 32 bits.
#[inline(always)]
unsafe fn largest_of_8(corners: [__m256; 4]) -> (__m256, __m256i) {
    // SAFETY: the caller's.
    unsafe {
        let zero = _mm256_setzero_ps();
        let mut largest = corners[0];
        let mut codes = zero;
        for code in 1..4_u8 {
            let corner = corners[usize::from(code)];
            // Larger or NaN, unless NaN was there before.
            let is_larger = _mm256_and_ps(
                _mm256_cmp_ps::<_CMP_NLE_UQ>(corner, largest),
                _mm256_cmp_ps::<_CMP_ORD_Q>(largest, largest),
            );
            largest = _mm256_blendv_ps(largest, corner, is_larger);
            let code = _mm256_castsi256_ps(_mm256_set1_epi32(code.into()));
            codes = _mm256_blendv_ps(codes, code, is_larger);
        }
        let is_clipped = _mm256_cmp_ps::<_CMP_LE_OQ>(largest, zero);
        let clipped = _mm256_castsi256_ps(_mm256_set1_epi32(CLIPPED.into()));
        codes = _mm256_blendv_ps(codes, clipped, is_clipped);
        (_mm256_max_ps(zero, largest), _mm256_castps_si256(codes))
    }
}

/// One register of each of eight rows, transposed.
#[inline(always)]
unsafe fn quarter(rows: &[Avx2; LANES], first: usize, is_right: bool) -> [__m256; 8] {
    let mut picked = [rows[first].0; 8];
    for (row, picked) in picked.iter_mut().enumerate() {
        let Avx2(left, right) = rows[first + row];
        *picked = if is_right { right } else { left };
    }
    // SAFETY: the caller's.
    unsafe { transposed_8x8(picked) }
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
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_div_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_sqrt_ps(self.0)) }
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
    unsafe fn clamped(self, limit: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let lowest = Self::splat(0.0).sub(limit);
            // The second operand, as in `rectified`.
            Self(_mm512_max_ps(lowest.0, _mm512_min_ps(limit.0, self.0)))
        }
    }

    #[inline(always)]
    unsafe fn passed(self, output: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let passes = _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(output.0, _mm512_setzero_ps());
            Self(_mm512_maskz_mov_ps(passes, self.0))
        }
    }

    #[inline(always)]
    unsafe fn won(self, winners: *const u8, code: u8) -> Self {
        // SAFETY: as above; sixteen bytes are read.
        unsafe {
            let winners = _mm512_cvtepu8_epi32(_mm_loadu_si128(winners.cast()));
            let is_won = _mm512_cmpeq_epi32_mask(winners, _mm512_set1_epi32(code.into()));
            Self(_mm512_maskz_mov_ps(is_won, self.0))
        }
    }

    #[inline(always)]
    unsafe fn largest(corners: [Self; 4]) -> (Self, [u8; LANES]) {
        // SAFETY: as above.
        unsafe {
            let zero = _mm512_setzero_ps();
            let mut largest = corners[0].0;
            let mut codes = _mm512_setzero_si512();
            for code in 1..4_u8 {
                let corner = corners[usize::from(code)].0;
                // Larger or NaN, unless NaN was there before.
                let is_number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(largest, largest);
                let is_larger = _mm512_mask_cmp_ps_mask::<_CMP_NLE_UQ>(is_number, corner, largest);
                largest = _mm512_mask_mov_ps(largest, is_larger, corner);
                codes = _mm512_mask_mov_epi32(codes, is_larger, _mm512_set1_epi32(code.into()));
            }
            let is_clipped = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(largest, zero);
            let clipped = _mm512_set1_epi32(CLIPPED.into());
            codes = _mm512_mask_mov_epi32(codes, is_clipped, clipped);
            let mut winners = [0; LANES];
            _mm_storeu_si128(winners.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(codes));
            (Self(_mm512_max_ps(zero, largest)), winners)
        }
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
