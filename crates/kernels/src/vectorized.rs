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
    use crate::activation::Activation;
    use crate::convolution::{self, ConvolutionShape};
    use crate::optimizer::{Adam, adam};
    use crate::pooling::{self, PoolingShape};

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
    }

    /// Everything that a small network's training step computes, as bits.
    fn step(shape: ConvolutionShape) -> Vec<u32> {
        let (images, weights) = (numbers(shape.images_len()), numbers(shape.weights_len()));
        let bias = numbers(shape.out_channels);
        let mut output = vec![0.0; shape.output_len()];
        convolution::forward(shape, &images, &weights, &bias, Activation::Relu, &mut output);
        let ConvolutionShape { batch, out_channels: channels, height, width, .. } = shape;
        let pooling = PoolingShape { batch, channels, height, width };
        let mut pooled = vec![0.0; pooling.output_len()];
        let mut argmax = vec![0; pooling.output_len()];
        pooling::forward(pooling, &output, &mut pooled, &mut argmax);
        let mut grad_output = vec![0.0; shape.output_len()];
        pooling::backward(pooling, &pooled, &argmax, &mut grad_output);
        let mut grad_images = vec![0.0; shape.images_len()];
        convolution::backward_images(shape, &weights, &grad_output, &mut grad_images);
        let mut grad_weights = vec![0.0; shape.weights_len()];
        let mut grad_bias = vec![0.0; shape.out_channels];
        convolution::backward_weights(
            shape,
            &images,
            &grad_output,
            &mut grad_weights,
            &mut grad_bias,
        );
        let settings = Adam { learning_rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
        let (mut updated, moments) = (weights.clone(), vec![0.0; weights.len()]);
        adam(settings, 1, &mut updated, &grad_weights, &mut moments.clone(), &mut moments.clone());
        [output, pooled, grad_images, grad_weights, grad_bias, updated]
            .concat()
            .into_iter()
            .map(f32::to_bits)
            .collect()
    }

    #[test]
    fn the_portable_copy_gives_the_same_bits() {
        for (in_channels, side) in [(3, 20), (18, 14), (70, 9)] {
            let shape = ConvolutionShape {
                batch: 2,
                in_channels,
                out_channels: 21,
                height: side,
                width: side + 1,
            };
            assert_eq!(step(shape), portably(|| step(shape)), "{shape:?}");
        }
    }
}
