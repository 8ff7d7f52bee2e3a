//! Adam's step for the weights of a dense layer, in one pass with the product that is their gradient.

use rayon::prelude::*;

use super::{Adam, AdamScalars};
use crate::dense::{Consume, DenseShape, OUT_BLOCK, outer, with_packed_rows};
use crate::lanes::{Lanes, for_each_cpu};
use crate::matrix::Rows;
use crate::scratch::SharedSlice;

/// Takes [`adam`](super::adam)'s step for weights whose gradient is `grad_output^T inputs`, which is never stored: for the
/// 103 million weights of VGG16's `fc6` it alone would weigh 0.4 GB.
///
/// # Shapes
///
/// - `inputs`: `(batch, in_features)`; `grad_output`: `(batch, out_features)`
/// - `weights`, `first_moment`, `second_moment`: `(out_features, in_features)`, the moments zero before step 1
///
/// # Panics
///
/// If a slice has another length or `step` is 0.
pub fn adam_dense(
    settings: Adam,
    step: u32,
    shape: DenseShape,
    inputs: &[f32],
    grad_output: &[f32],
    weights: &mut [f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) {
    assert_eq!(inputs.len(), shape.inputs_len(), "inputs");
    assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
    assert_eq!(weights.len(), shape.weights_len(), "weights");
    assert_eq!(first_moment.len(), shape.weights_len(), "first_moment");
    assert_eq!(second_moment.len(), shape.weights_len(), "second_moment");
    let scalars = AdamScalars::new(settings, step);
    let DenseShape { batch, in_features, out_features } = shape;
    if weights.is_empty() {
        return;
    }
    let inputs = Rows { values: inputs, count: batch, stride: in_features };
    let [weights, first_moment, second_moment] =
        [weights, first_moment, second_moment].map(SharedSlice::new);
    (0..out_features.div_ceil(OUT_BLOCK)).into_par_iter().for_each(|block| {
        let first = block * OUT_BLOCK;
        let rows = OUT_BLOCK.min(out_features - first);
        with_packed_rows(shape, grad_output, first, rows, |packed| {
            // SAFETY: each task has rows of its own, which lie in all three slices; `inputs` was measured.
            unsafe {
                let [weights, first_moment, second_moment] =
                    [&weights, &first_moment, &second_moment]
                        .map(|values| values.start().add(first * in_features));
                let stride = in_features;
                let step = AdamStep { scalars, weights, first_moment, second_moment, stride };
                adam_outer(packed, rows, inputs, in_features, step);
            }
        });
    });
}

/// Floats that each row is fetched ahead: as many rows at a time as there are here are more streams than the CPU foresees.
const AHEAD: usize = 128;

/// Where the rows of a task lie.
#[derive(Clone, Copy)]
struct AdamStep {
    scalars: AdamScalars,
    weights: *mut f32,
    first_moment: *mut f32,
    second_moment: *mut f32,
    stride: usize,
}

impl<L: Lanes> Consume<L> for AdamStep {
    /// The operations of the step on slices, in their order, so that both give the same bits.
    #[inline(always)]
    unsafe fn consume(self, gradient: L, row: usize, column: usize, count: usize) {
        let AdamScalars { alpha, gain_1, gain_2, epsilon } = self.scalars;
        let at = row * self.stride + column;
        // SAFETY: the caller's.
        unsafe {
            let [weights, first, second] =
                [self.weights, self.first_moment, self.second_moment].map(|values| values.add(at));
            for values in [weights, first, second] {
                L::prefetch(values.wrapping_add(AHEAD));
            }
            let m = L::load_part(first, count);
            let m = m.add(gradient.sub(m).mul(L::splat(gain_1)));
            m.store_part(first, count);
            let v = L::load_part(second, count);
            let v = v.add(gradient.mul(gradient).sub(v).mul(L::splat(gain_2)));
            v.store_part(second, count);
            let change = m.mul(L::splat(alpha)).div(v.sqrt().add(L::splat(epsilon)));
            L::load_part(weights, count).sub(change).store_part(weights, count);
        }
    }
}

for_each_cpu! {
    unsafe fn adam_outer<L: Lanes>(
        left: &[f32],
        rows: usize,
        right: Rows<'_>,
        columns: usize,
        step: AdamStep,
    ) {
        // SAFETY: the caller's.
        unsafe { outer::<L, AdamStep>(left, rows, right, columns, step) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{Cpu, as_on};
    use crate::{dense, optimizer};

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| (((at + seed) * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
    }

    #[test]
    fn is_the_step_with_the_gradient_to_the_bit() {
        let settings = Adam { learning_rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
        for (batch, in_features, out_features) in [(32, 1100, 70), (3, 5, 2), (0, 4, 3), (7, 33, 1)]
        {
            let shape = DenseShape { batch, in_features, out_features };
            let inputs = numbers(shape.inputs_len(), 1);
            let grad_output = numbers(shape.output_len(), 2);
            let start = numbers(shape.weights_len(), 3);
            let of = |is_fused: bool| {
                let mut weights = start.clone();
                let (mut first, mut second) = (vec![0.0; start.len()], vec![0.0; start.len()]);
                for step in 1..4 {
                    let (first, second) = (&mut first, &mut second);
                    if is_fused {
                        adam_dense(
                            settings,
                            step,
                            shape,
                            &inputs,
                            &grad_output,
                            &mut weights,
                            first,
                            second,
                        );
                    } else {
                        let mut gradient = vec![0.0; start.len()];
                        dense::backward_weights(shape, &inputs, &grad_output, &mut gradient);
                        optimizer::adam(settings, step, &mut weights, &gradient, first, second);
                    }
                }
                [weights, first, second]
            };
            for cpu in [Cpu::Portable, Cpu::detected()] {
                assert_eq!(as_on(cpu, || of(true)), as_on(cpu, || of(false)), "{shape:?} {cpu:?}");
            }
        }
    }
}
