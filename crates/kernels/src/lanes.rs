//! Sixteen floats side by side, on whatever the CPU has for them.
//!
//! Kernels are generic over [`Lanes`] and compiled once for each implementation by [`for_each_cpu`], which picks one at
//! run time. All implementations but [`Portable`] round alike: each product and sum of [`Lanes::mul_add`] is fused, so
//! that AVX2 and AVX-512 give the same bits.

/// How many there are: the channels of a block of activations.
pub(crate) const LANES: usize = 16;

/// Sixteen floats.
///
/// # Safety
///
/// Every function needs the CPU features that its implementation names; pointers must be valid for sixteen floats.
pub(crate) trait Lanes: Copy {
    /// Tiles that a product of matrices treats at once, ...
    const TILES: usize;
    /// ... times so many blocks of channels: together their sums fit into the registers.
    const BLOCKS: usize;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * factor + term`
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    /// Zero where negative; NaN stays.
    unsafe fn rectified(self) -> Self;
    /// Rows to columns.
    unsafe fn transposed(rows: [Self; LANES]) -> [Self; LANES];
}

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
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        self.zip(factor, |a, b| a * b).zip(term, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn rectified(self) -> Self {
        self.zip(self, |a, _| if a < 0.0 { 0.0 } else { a })
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

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps,
        _mm256_mul_ps, _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_setzero_ps,
        _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps, _mm512_mul_ps,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_shuffle_ps,
        _mm512_storeu_ps, _mm512_sub_ps, _mm512_unpackhi_ps, _mm512_unpacklo_ps,
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
                    columns[8 + c] =
                        Self(_mm512_shuffle_f32x4::<0b11_01_11_01>(even_top, even_bottom));
                    columns[4 + c] =
                        Self(_mm512_shuffle_f32x4::<0b10_00_10_00>(odd_top, odd_bottom));
                    columns[12 + c] =
                        Self(_mm512_shuffle_f32x4::<0b11_01_11_01>(odd_top, odd_bottom));
                }
                columns
            }
        }
    }
}

/// What the CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cpu {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Cpu {
    /// The best that this CPU has, or what a test asks for.
    pub(crate) fn detected() -> Self {
        #[cfg(test)]
        if let Some(asked) = ASKED.get() {
            return asked;
        }
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
            {
                return Self::Avx2;
            }
        }
        Self::Portable
    }
}

#[cfg(test)]
thread_local! {
    static ASKED: std::cell::Cell<Option<Cpu>> = const { std::cell::Cell::new(None) };
}

/// Does some work on one thread as on a CPU that has no more than this one.
#[cfg(test)]
pub(crate) fn as_on<T: Send>(cpu: Cpu, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("a pool of one thread").install(|| {
        ASKED.set(Some(cpu));
        work()
    })
}

/// Defines functions that run a generic kernel as compiled for the CPU.
macro_rules! for_each_cpu {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $generic:ident;)+) => {$(
        $(#[$attribute])*
        unsafe fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn avx512($($argument: $type),*) {
                // SAFETY: the caller's, and the feature is there.
                unsafe { $generic::<$crate::lanes::Avx512>($($argument),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($argument: $type),*) {
                // SAFETY: the caller's, and the features are there.
                unsafe { $generic::<$crate::lanes::Avx2>($($argument),*) }
            }

            // SAFETY: the caller's; the CPU has what was detected.
            unsafe {
                match $crate::lanes::Cpu::detected() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::lanes::Cpu::Avx512 => avx512($($argument),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::lanes::Cpu::Avx2 => avx2($($argument),*),
                    $crate::lanes::Cpu::Portable => $generic::<$crate::lanes::Portable>($($argument),*),
                }
            }
        }
    )+};
}

pub(crate) use for_each_cpu;

#[cfg(test)]
mod tests {
    use super::{Cpu, LANES, Lanes, as_on};
    use crate::blocked::{self, BlockedShape};
    use crate::convolution;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
    }

    /// Everything that a convolution's training step computes.
    fn step(shape: BlockedShape) -> Vec<f32> {
        let written = BlockedShape { channels: 40, ..shape };
        let plain = numbers(shape.plain_len());
        let images = blocked::block(shape, &plain);
        let (weights, bias) = (numbers(40 * shape.channels * 9), numbers(40));
        let (pooled, winners) = convolution::forward_pooled(shape, &images, &weights, &bias);
        let grad = blocked::unpool_gradient(written, &winners, &pooled);
        let (grad_weights, grad_bias) = convolution::backward_weights(shape, 40, &images, &grad);
        let direct = convolution::image_backward_weights(shape, 40, &plain, &grad);
        [
            convolution::image_forward(shape, &plain, &weights, &bias),
            convolution::forward(shape, &images, &weights, &bias),
            pooled,
            convolution::backward_images(shape, 40, &weights, &grad),
            grad_weights,
            grad_bias,
            direct.0,
            direct.1,
        ]
        .concat()
    }

    for_each_cpu! {
        fn transpose(square: &mut [f32]) = transpose_on;
    }

    #[inline(always)]
    unsafe fn transpose_on<L: Lanes>(square: &mut [f32]) {
        // SAFETY: the test's square has 16 rows of 16.
        unsafe {
            let mut rows = [L::splat(0.0); LANES];
            for row in 0..LANES {
                rows[row] = L::load(square.as_ptr().add(row * LANES));
            }
            for (column, values) in L::transposed(rows).into_iter().enumerate() {
                values.store(square.as_mut_ptr().add(column * LANES));
            }
        }
    }

    #[test]
    fn all_cpus_transpose() {
        let square: Vec<f32> = (0..256_u16).map(f32::from).collect();
        let expected: Vec<f32> = (0..256_u16).map(|at| f32::from(at % 16 * 16 + at / 16)).collect();
        let transposed = || {
            let mut square = square.clone();
            // SAFETY: the square has 16 rows of 16.
            unsafe { transpose(&mut square) };
            square
        };
        let mut cpus = vec![Cpu::Portable];
        #[cfg(target_arch = "x86_64")]
        cpus.extend([Cpu::Avx2, Cpu::Avx512].into_iter().filter(|cpu| *cpu <= Cpu::detected()));
        for cpu in cpus {
            assert_eq!(as_on(cpu, transposed), expected, "{cpu:?}");
        }
    }

    #[test]
    fn all_cpus_compute_the_same() {
        for (channels, side) in [(3, 21), (18, 14), (150, 9)] {
            let shape = BlockedShape { batch: 2, channels, height: side, width: side + 1 };
            let best = step(shape);
            let portable = as_on(Cpu::Portable, || step(shape));
            let largest = best.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            for (found, expected) in portable.iter().zip(&best) {
                // Winners of near ties may differ, and with them few gradients; none of these numbers is near.
                assert!((found - expected).abs() < 1e-5 * largest, "{found} {expected} {shape:?}");
            }
            #[cfg(target_arch = "x86_64")]
            if Cpu::detected() == Cpu::Avx512 {
                let avx2 = as_on(Cpu::Avx2, || step(shape));
                assert!(avx2.iter().map(|v| v.to_bits()).eq(best.iter().map(|v| v.to_bits())));
            }
        }
    }
}
