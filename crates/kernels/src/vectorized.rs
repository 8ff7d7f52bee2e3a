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
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the CPU has AVX2, the only thing that `avx2` asks for.
                unsafe { avx2($($argument),*) };
                return;
            }
            portable($($argument),*);
        }
    )+};
}

pub(crate) use vectorized;
