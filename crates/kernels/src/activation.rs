//! What follows a convolution or a dense layer.

use rayon::prelude::*;

use crate::vectorized::vectorized;

/// Elements a task treats: enough to outweigh its start, and within a cache.
const TASK_LEN: usize = 1 << 15;

/// The function that a layer applies to its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The sums as they are.
    Identity,
    /// Negative sums become zero; NaN stays NaN.
    Relu,
}

/// Turns the gradient of a `ReLU`'s output into that of its input: zero wherever `output` is zero or below.
///
/// # Shapes
///
/// - `output`, `grad`: equal lengths, any axes
///
/// # Panics
///
/// If the lengths differ.
pub fn relu_backward(output: &[f32], grad: &mut [f32]) {
    assert_eq!(output.len(), grad.len(), "output and grad differ in length");
    grad.par_chunks_mut(TASK_LEN)
        .zip(output.par_chunks(TASK_LEN))
        .for_each(|(grad, output)| mask(output, grad));
}

vectorized! {
    fn mask(output: &[f32], grad: &mut [f32]) {
        for (grad, &output) in grad.iter_mut().zip(output) {
            *grad = if output <= 0.0 { 0.0 } else { *grad };
        }
    }
}

vectorized! {
    /// Adds `bias` to every sum and applies the activation.
    pub(crate) fn finish(sums: &mut [f32], bias: f32, activation: Activation) {
        match activation {
            Activation::Identity => sums.iter_mut().for_each(|sum| *sum += bias),
            Activation::Relu => sums.iter_mut().for_each(|sum| {
                let value = *sum + bias;
                // Not `max`, which would turn NaN into zero.
                *sum = if value < 0.0 { 0.0 } else { value };
            }),
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "zeros and copies are exact")]
mod tests {
    use super::*;

    #[test]
    fn gradient_passes_where_the_output_is_positive_or_nan() {
        let mut grad = [1.0, 2.0, 3.0, 4.0];
        relu_backward(&[-1.0, 0.0, 0.5, f32::NAN], &mut grad);
        assert_eq!(grad, [0.0, 0.0, 3.0, 4.0]);
    }

    #[test]
    fn relu_adds_bias_first_and_keeps_nan() {
        let mut sums = [-1.0, 0.25, f32::NAN];
        finish(&mut sums, 0.5, Activation::Relu);
        assert_eq!(sums[..2], [0.0, 0.75]);
        assert!(sums[2].is_nan());
    }
}
