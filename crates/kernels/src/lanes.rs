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
    /// The first `count` of sixteen floats, which is all that `from` need be valid for; the others are zero.
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            if count == LANES {
                return Self::load(from);
            }
            let mut values = [0.0; LANES];
            std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), count);
            Self::load(values.as_ptr())
        }
    }
    /// Stores the first `count`, which is all that `to` need be valid for.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        // SAFETY: the caller's.
        unsafe {
            if count == LANES {
                return self.store(to);
            }
            let mut values = [0.0; LANES];
            self.store(values.as_mut_ptr());
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, count);
        }
    }
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    unsafe fn sqrt(self) -> Self;
    /// `self * factor + term`
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    /// Zero where negative; NaN stays.
    unsafe fn rectified(self) -> Self;
    /// Not further from zero than `limit`, which is positive; NaN stays.
    unsafe fn clamped(self, limit: Self) -> Self;
    /// What passes of a gradient where `output` came out of a `ReLU`: all where it is positive or NaN, else zero.
    unsafe fn passed(self, output: Self) -> Self;
    /// The values whose winner is `code`, else zero; `winners` is valid for sixteen bytes.
    unsafe fn won(self, winners: *const u8, code: u8) -> Self;
    /// The largest of four, clipped at zero, and which it was; of equals the first wins, and NaN over all numbers.
    unsafe fn largest(corners: [Self; 4]) -> (Self, [u8; LANES]);
    /// Rows to columns.
    unsafe fn transposed(rows: [Self; LANES]) -> [Self; LANES];
}

/// Has a cache line fetched into the first cache, as far as the CPU likes; any address will do.
#[inline(always)]
pub(crate) fn prefetch(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, and it reads nothing that the program could notice.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Has it fetched into the second cache.
#[inline(always)]
pub(crate) fn prefetch_to_second(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
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

    /// All that this CPU can stand for.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        all.extend([Self::Avx2, Self::Avx512].into_iter().filter(|cpu| *cpu <= Self::detected()));
        all
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
    ($($(#[$attribute:meta])* $visibility:vis unsafe fn $name:ident<$lanes:ident: Lanes $(, $other:ident: $bound:path)*>(
        $($argument:ident: $type:ty),* $(,)?
    ) $body:block)+) => {$(
        $(#[$attribute])*
        $visibility unsafe fn $name<$($other: $bound),*>($($argument: $type),*) {
            #[inline(always)]
            unsafe fn generic<$lanes: $crate::lanes::Lanes, $($other: $bound),*>($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn avx512<$($other: $bound),*>($($argument: $type),*) {
                // SAFETY: the caller's, and the feature is there.
                unsafe { generic::<$crate::lanes::Avx512, $($other),*>($($argument),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<$($other: $bound),*>($($argument: $type),*) {
                // SAFETY: the caller's, and the features are there.
                unsafe { generic::<$crate::lanes::Avx2, $($other),*>($($argument),*) }
            }

            // SAFETY: the caller's; the CPU has what was detected.
            unsafe {
                match $crate::lanes::Cpu::detected() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::lanes::Cpu::Avx512 => avx512::<$($other),*>($($argument),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::lanes::Cpu::Avx2 => avx2::<$($other),*>($($argument),*),
                    $crate::lanes::Cpu::Portable => {
                        generic::<$crate::lanes::Portable, $($other),*>($($argument),*)
                    }
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
    use crate::convolution::{self, Before};

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
    }

    /// What `write` writes over.
    fn written(length: usize, write: impl FnOnce(&mut [f32])) -> Vec<f32> {
        let mut values = vec![f32::NAN; length];
        write(&mut values);
        values
    }

    /// Everything that a convolution's training step computes.
    fn step(shape: BlockedShape) -> Vec<Vec<f32>> {
        let convolved = BlockedShape { channels: 40, ..shape };
        let plain = numbers(shape.plain_len());
        let images = written(shape.len(), |images| blocked::block(shape, &plain, images));
        let (weights, bias) = (numbers(40 * shape.channels * 9), numbers(40));
        let mut winners = vec![9; convolved.pooled().winners_len()];
        let pooled = written(convolved.pooled().len(), |pooled| {
            convolution::forward_pooled(shape, &images, &weights, &bias, pooled, &mut winners);
        });
        let grad = written(convolved.len(), |grad| {
            blocked::unpool_gradient(convolved, &winners, &pooled, grad);
        });
        let grad_of = |before, length| {
            written(length, |to| {
                convolution::backward_images(shape, 40, &weights, &grad, before, to);
            })
        };
        let unpooled =
            BlockedShape { height: 2 * shape.height, width: 2 * shape.width + 1, ..shape };
        let codes: Vec<u8> = (0..5).cycle().take(shape.winners_len()).collect();
        let [mut grad_bias, mut direct_bias] = [[0.0; 40]; 2];
        let mut grad_weights = vec![0.0; weights.len()];
        let mut direct = grad_weights.clone();
        convolution::backward_weights(shape, 40, &images, &grad, &mut grad_weights, &mut grad_bias);
        convolution::image_backward_weights(
            shape,
            40,
            &plain,
            &grad,
            &mut direct,
            &mut direct_bias,
        );
        vec![
            written(convolved.len(), |to| {
                convolution::image_forward(shape, &plain, &weights, &bias, to);
            }),
            written(convolved.len(), |to| {
                convolution::forward(shape, &images, &weights, &bias, to);
            }),
            pooled,
            grad_of(Before::Nothing, shape.len()),
            grad_of(Before::Activation(&images), shape.len()),
            grad_of(Before::Pool { winners: &codes, shape: unpooled }, unpooled.len()),
            grad_weights,
            grad_bias.to_vec(),
            direct,
            direct_bias.to_vec(),
        ]
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
        for cpu in Cpu::all() {
            assert_eq!(as_on(cpu, transposed), expected, "{cpu:?}");
        }
    }

    #[test]
    fn all_cpus_compute_the_same() {
        for (channels, side) in [(3, 21), (18, 14), (150, 9)] {
            let shape = BlockedShape { batch: 2, channels, height: side, width: side + 1 };
            let best = step(shape);
            let portable = as_on(Cpu::Portable, || step(shape));
            for (number, (portable, best)) in portable.iter().zip(&best).enumerate() {
                let squares: f32 = best.iter().map(|value| value * value).sum();
                let rms = (squares / best.len() as f32).sqrt();
                for (found, expected) in portable.iter().zip(best) {
                    // Winners of near ties may differ, and with them few gradients; none of these numbers is near.
                    let is_near = (found - expected).abs() < 4e-5 * rms;
                    assert!(is_near, "{number}: {found} {expected} {shape:?}");
                }
            }
            #[cfg(target_arch = "x86_64")]
            if Cpu::detected() == Cpu::Avx512 {
                let bits = |step: Vec<Vec<f32>>| -> Vec<u32> {
                    step.iter().flatten().map(|value| value.to_bits()).collect()
                };
                assert_eq!(bits(as_on(Cpu::Avx2, || step(shape))), bits(best));
            }
        }
    }
}
