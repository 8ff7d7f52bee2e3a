//! Sixteen floats side by side, on whatever the CPU has for them.
//!
//! Kernels are generic over [`Lanes`] and compiled once for each implementation by [`for_each_cpu`], which picks one at
//! run time. All implementations but [`Portable`] round alike: each product and sum of [`Lanes::mul_add`] is fused, so
//! that AVX2 and AVX-512 give the same bits.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

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

/// Defines kernels that are generic over [`Lanes`] and run as compiled for the CPU.
macro_rules! for_each_cpu {
    ($($(#[$attribute:meta])* $visibility:vis unsafe fn $name:ident<$lanes:ident: Lanes>(
        $($argument:ident: $type:ty),* $(,)?
    ) $body:block)+) => {$(
        $(#[$attribute])*
        $visibility unsafe fn $name($($argument: $type),*) {
            #[inline(always)]
            unsafe fn generic<$lanes: $crate::lanes::Lanes>($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn avx512($($argument: $type),*) {
                // SAFETY: the caller's, and the feature is there.
                unsafe { generic::<$crate::lanes::Avx512>($($argument),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($argument: $type),*) {
                // SAFETY: the caller's, and the features are there.
                unsafe { generic::<$crate::lanes::Avx2>($($argument),*) }
            }

            // SAFETY: the caller's; the CPU has what was detected.
            unsafe {
                match $crate::lanes::Cpu::detected() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::lanes::Cpu::Avx512 => avx512($($argument),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::lanes::Cpu::Avx2 => avx2($($argument),*),
                    $crate::lanes::Cpu::Portable => generic::<$crate::lanes::Portable>($($argument),*),
                }
            }
        }
    )+};
}

pub(crate) use for_each_cpu;

#[cfg(test)]
mod tests {
    use super::{Cpu, LANES, as_on};
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
        unsafe fn transpose<L: Lanes>(square: &mut [f32]) {
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
