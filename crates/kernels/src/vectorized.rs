//! Compiles a loop twice, for any CPU and for AVX2, and picks one at run time.

/// Defines functions whose body the compiler vectorizes for AVX2 where the CPU has it.
///
/// Both copies come from one source and Rust contracts no products into fused multiply-adds, so they give equal bits.
macro_rules! vectorized {
    ($($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)+) => {$(
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) {
            #[inline(always)]
            fn portable($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) {
                portable($($argument),*);
            }

            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") && !$crate::vectorized::is_portable() {
                // SAFETY: the CPU has AVX2, the only thing that `avx2` asks for.
                unsafe { avx2($($argument),*) };
                return;
            }
            portable($($argument),*);
        }
    )+};
}

pub(crate) use vectorized;

#[cfg(test)]
thread_local! {
    /// Whether this thread stands for a CPU without AVX2.
    static PORTABLE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether a test wants the portable copy.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) fn is_portable() -> bool {
    PORTABLE.get()
}

/// Whether a test wants the portable copy: this is no test.
#[cfg(all(not(test), target_arch = "x86_64"))]
pub(crate) const fn is_portable() -> bool {
    false
}

/// Does some work on one thread as on a CPU without AVX2.
#[cfg(test)]
pub(crate) fn portably<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("a pool of one thread").install(|| {
        PORTABLE.set(true);
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::portably;
    use crate::optimizer::{Adam, adam};
    use crate::pooling::{self, PoolingShape};

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
    }

    #[test]
    fn the_portable_copy_gives_the_same_bits() {
        let pooling = || {
            let shape = PoolingShape { batch: 2, channels: 3, height: 21, width: 19 };
            let mut pooled = vec![0.0; shape.output_len()];
            let mut argmax = vec![0; shape.output_len()];
            pooling::forward(shape, &numbers(shape.images_len()), &mut pooled, &mut argmax);
            let mut grad = vec![0.0; shape.images_len()];
            pooling::backward(shape, &pooled, &argmax, &mut grad);
            (pooled, argmax, grad)
        };
        assert_eq!(pooling(), portably(pooling));
        let optimizer = || {
            let settings = Adam { learning_rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
            let (mut weights, moments) = (numbers(1000), vec![0.0; 1000]);
            let (mut first, mut second) = (moments.clone(), moments);
            adam(settings, 1, &mut weights, &numbers(1000), &mut first, &mut second);
            (weights, first, second)
        };
        assert_eq!(optimizer(), portably(optimizer));
    }
}
