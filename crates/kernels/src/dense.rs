//! Dense layers: `logits = inputs weights^T + bias`, for weights far larger than a cache and small batches.

pub mod plain;

use rayon::prelude::*;

use crate::activation::{Activation, finish};
use crate::matrix::{Layout, Update, multiply};
use crate::scratch::elements;

/// Rows of the weights that a task of [`forward`] or [`backward_weights`] treats.
const OUT_BLOCK: usize = 128;

/// Input features that a task of [`backward_inputs`] treats; VGG16's 25,088 are 14 times as many.
const IN_BLOCK: usize = 1792;

/// Rows of the weights that [`backward_inputs`] adds at a time: the part of the weights that a product reads, 229 KB,
/// stays in the second cache.
const SUM_BLOCK: usize = 32;

/// The sizes of a dense layer and its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseShape {
    /// Number of inputs.
    pub batch: usize,
    /// Length of an input.
    pub in_features: usize,
    /// Length of an output.
    pub out_features: usize,
}

impl DenseShape {
    /// Elements of the inputs, `(batch, in_features)`.
    pub fn inputs_len(self) -> usize {
        elements(&[self.batch, self.in_features])
    }

    /// Elements of the weights, `(out_features, in_features)`.
    pub fn weights_len(self) -> usize {
        elements(&[self.out_features, self.in_features])
    }

    /// Elements of the output, `(batch, out_features)`.
    pub fn output_len(self) -> usize {
        elements(&[self.batch, self.out_features])
    }
}

/// Computes a dense layer and its activation.
///
/// # Shapes
///
/// - `inputs`: `(batch, in_features)`
/// - `weights`: `(out_features, in_features)`
/// - `bias`: `(out_features)`
/// - `output`: `(batch, out_features)`
///
/// # Panics
///
/// If a slice has another length.
pub fn forward(
    shape: DenseShape,
    inputs: &[f32],
    weights: &[f32],
    bias: &[f32],
    activation: Activation,
    output: &mut [f32],
) {
    assert_eq!(inputs.len(), shape.inputs_len(), "inputs");
    assert_eq!(weights.len(), shape.weights_len(), "weights");
    assert_eq!(bias.len(), shape.out_features, "bias");
    assert_eq!(output.len(), shape.output_len(), "output");
    let DenseShape { batch, in_features, .. } = shape;
    if output.is_empty() {
        return;
    }
    // Transposed, `(out_features, batch)`: so a task's part of it is contiguous.
    let mut sums = vec![0.0; output.len()];
    sums.par_chunks_mut(OUT_BLOCK * batch).enumerate().for_each(|(block, sums)| {
        let first = block * OUT_BLOCK;
        let rows = sums.len() / batch;
        multiply(
            (&weights[first * in_features..], Layout::by_rows(rows, in_features, in_features)),
            (inputs, Layout::by_rows(batch, in_features, in_features).transposed()),
            (sums, Layout::by_rows(rows, batch, batch)),
            Update::Overwrite,
        );
        for (sums, &bias) in sums.chunks_exact_mut(batch).zip(&bias[first..]) {
            finish(sums, bias, activation);
        }
    });
    transpose(&sums, batch, output);
}

/// Computes the gradient of the inputs from that of the sums before the activation.
///
/// # Shapes
///
/// - `weights`: `(out_features, in_features)`
/// - `grad_output`: `(batch, out_features)`
/// - `grad_inputs`: `(batch, in_features)`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_inputs(
    shape: DenseShape,
    weights: &[f32],
    grad_output: &[f32],
    grad_inputs: &mut [f32],
) {
    assert_eq!(weights.len(), shape.weights_len(), "weights");
    assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
    assert_eq!(grad_inputs.len(), shape.inputs_len(), "grad_inputs");
    let DenseShape { batch, in_features, out_features } = shape;
    if grad_inputs.is_empty() {
        return;
    }
    // Transposed, `(in_features, batch)`: so a task's part of it is contiguous.
    let mut sums = vec![0.0; grad_inputs.len()];
    sums.par_chunks_mut(IN_BLOCK * batch).enumerate().for_each(|(block, sums)| {
        let columns = sums.len() / batch;
        for first in (0..out_features).step_by(SUM_BLOCK) {
            let rows = SUM_BLOCK.min(out_features - first);
            let weights = &weights[first * in_features + block * IN_BLOCK..];
            multiply(
                (weights, Layout::by_rows(rows, columns, in_features).transposed()),
                (&grad_output[first..], Layout::by_rows(batch, rows, out_features).transposed()),
                (sums, Layout::by_rows(columns, batch, batch)),
                Update::Add,
            );
        }
    });
    transpose(&sums, batch, grad_inputs);
}

/// Computes the gradients of weights and bias from that of the sums before the activation.
///
/// # Shapes
///
/// - `inputs`: `(batch, in_features)`
/// - `grad_output`: `(batch, out_features)`
/// - `grad_weights`: `(out_features, in_features)`
/// - `grad_bias`: `(out_features)`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_weights(
    shape: DenseShape,
    inputs: &[f32],
    grad_output: &[f32],
    grad_weights: &mut [f32],
    grad_bias: &mut [f32],
) {
    assert_eq!(inputs.len(), shape.inputs_len(), "inputs");
    assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
    assert_eq!(grad_weights.len(), shape.weights_len(), "grad_weights");
    assert_eq!(grad_bias.len(), shape.out_features, "grad_bias");
    let DenseShape { batch, in_features, out_features } = shape;
    for (feature, grad) in grad_bias.iter_mut().enumerate() {
        let of_feature = grad_output.iter().skip(feature).step_by(out_features);
        *grad = of_feature.fold(0.0, |sum, grad| sum + grad);
    }
    if grad_weights.is_empty() {
        return;
    }
    if batch == 0 {
        grad_weights.fill(0.0);
        return;
    }
    grad_weights.par_chunks_mut(OUT_BLOCK * in_features).enumerate().for_each(|(block, grad)| {
        let rows = grad.len() / in_features;
        multiply(
            (
                &grad_output[block * OUT_BLOCK..],
                Layout::by_rows(batch, rows, out_features).transposed(),
            ),
            (inputs, Layout::by_rows(batch, in_features, in_features)),
            (grad, Layout::by_rows(rows, in_features, in_features)),
            Update::Overwrite,
        );
    });
}

/// Copies `(features, batch)` to `(batch, features)`.
fn transpose(by_feature: &[f32], batch: usize, by_image: &mut [f32]) {
    let features = by_feature.len() / batch;
    by_image.par_chunks_exact_mut(features).enumerate().for_each(|(image, values)| {
        for (value, of_feature) in values.iter_mut().zip(by_feature.chunks_exact(batch)) {
            *value = of_feature[image];
        }
    });
}
