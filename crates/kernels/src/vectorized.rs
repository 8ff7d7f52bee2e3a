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
            if $crate::lanes::Cpu::detected() >= $crate::lanes::Cpu::Avx2 {
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
mod tests {
    use crate::lanes::{Cpu, as_on};
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
        assert_eq!(pooling(), as_on(Cpu::Portable, pooling));
    }
}
