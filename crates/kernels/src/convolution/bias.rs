//! The gradient of a convolution's bias: the sum of a channel's gradients.

use rayon::prelude::*;

use super::ConvolutionShape;
use crate::vectorized::vectorized;

/// Sums added side by side: as many f64 as two AVX2 registers hold.
const LANES: usize = 8;

pub(super) fn backward(shape: ConvolutionShape, grad_output: &[f32], grad_bias: &mut [f32]) {
    let plane_len = shape.plane_len();
    grad_bias.par_iter_mut().enumerate().for_each(|(channel, grad)| {
        let mut sums = [0.0; LANES];
        for image in 0..shape.batch {
            let first = (image * shape.out_channels + channel) * plane_len;
            add(&grad_output[first..first + plane_len], &mut sums);
        }
        *grad = rounded(sums.iter().sum());
    });
}

#[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
fn rounded(sum: f64) -> f32 {
    sum as f32
}

vectorized! {
    fn add(values: &[f32], sums: &mut [f64; LANES]) {
        let groups = values.chunks_exact(LANES);
        let rest = groups.remainder();
        let mut totals = *sums;
        for group in groups {
            for (total, &value) in totals.iter_mut().zip(group) {
                *total += f64::from(value);
            }
        }
        for (total, &value) in totals.iter_mut().zip(rest) {
            *total += f64::from(value);
        }
        *sums = totals;
    }
}
