//! Dense layers: `logits = inputs weights^T + bias`, for weights far larger than a cache and small batches.

mod dot;
mod outer;
pub mod plain;

use rayon::prelude::*;

pub(crate) use outer::{Consume, outer};

use self::dot::products;
use self::outer::{Add, Store};
use crate::activation::{Activation, finish};
use crate::matrix::{Rows, even_parts};
use crate::scratch::{SharedSlice, elements, with_buffers, with_shared_buffers};

/// Rows of the weights that a task of [`forward`] or [`backward_weights`] treats.
pub(crate) const OUT_BLOCK: usize = 64;

/// Input features that a task of [`backward_inputs`] treats; VGG16's 25,088 are 14 times as many.
const IN_BLOCK: usize = 1792;

/// Rows of the weights that [`backward_inputs`] adds at a time.
const SUM_BLOCK: usize = 64;

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
    let inputs = Rows { values: inputs, count: batch, stride: in_features };
    with_shared_buffers([output.len()], |[sums]| {
        sums.par_chunks_mut(OUT_BLOCK * batch).enumerate().for_each(|(block, sums)| {
            let first = block * OUT_BLOCK;
            let count = sums.len() / batch;
            let values = &weights[first * in_features..];
            products(Rows { values, count, stride: in_features }, inputs, in_features, sums);
            for (sums, &bias) in sums.chunks_exact_mut(batch).zip(&bias[first..]) {
                finish(sums, bias, activation);
            }
        });
        transpose(sums, batch, output);
    });
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
    grad_inputs.fill(0.0);
    let tasks: Vec<_> = even_parts(in_features, IN_BLOCK).collect();
    let target = SharedSlice::new(grad_inputs);
    tasks.into_par_iter().for_each(|(first_column, columns)| {
        with_buffers([SUM_BLOCK * batch], |[packed]| {
            for first in (0..out_features).step_by(SUM_BLOCK) {
                let count = SUM_BLOCK.min(out_features - first);
                let packed = &mut packed[..count * batch];
                for (image, grads) in grad_output.chunks_exact(out_features).enumerate() {
                    let of_image = packed.iter_mut().skip(image).step_by(batch);
                    of_image.zip(&grads[first..]).for_each(|(to, &grad)| *to = grad);
                }
                let values = &weights[first * in_features + first_column..];
                let weights = Rows { values, count, stride: in_features };
                weights.assert_reach(columns);
                // SAFETY: tasks differ in the columns that they add to, which lie in `grad_inputs` for each image.
                unsafe {
                    let to = target.start().add(first_column);
                    outer(packed, batch, weights, columns, Add { to, stride: in_features });
                }
            }
        });
    });
}

/// Computes the gradient of the bias from that of the sums before the activation.
///
/// # Shapes
///
/// - `grad_output`: `(batch, out_features)`
/// - `grad_bias`: `(out_features)`
///
/// # Panics
///
/// If a slice has another length.
pub fn bias_gradient(shape: DenseShape, grad_output: &[f32], grad_bias: &mut [f32]) {
    assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
    assert_eq!(grad_bias.len(), shape.out_features, "grad_bias");
    for (feature, grad) in grad_bias.iter_mut().enumerate() {
        let of_feature = grad_output.iter().skip(feature).step_by(shape.out_features);
        *grad = of_feature.fold(0.0, |sum, grad| sum + grad);
    }
}

/// Computes the gradient of the weights, `grad_output^T inputs`, from that of the sums before the activation.
///
/// # Shapes
///
/// - `inputs`: `(batch, in_features)`
/// - `grad_output`: `(batch, out_features)`
/// - `grad_weights`: `(out_features, in_features)`
///
/// # Panics
///
/// If a slice has another length.
pub fn backward_weights(
    shape: DenseShape,
    inputs: &[f32],
    grad_output: &[f32],
    grad_weights: &mut [f32],
) {
    assert_eq!(inputs.len(), shape.inputs_len(), "inputs");
    assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
    assert_eq!(grad_weights.len(), shape.weights_len(), "grad_weights");
    let DenseShape { batch, in_features, .. } = shape;
    if grad_weights.is_empty() {
        return;
    }
    if batch == 0 {
        grad_weights.fill(0.0);
        return;
    }
    let inputs = Rows { values: inputs, count: batch, stride: in_features };
    grad_weights.par_chunks_mut(OUT_BLOCK * in_features).enumerate().for_each(|(block, to)| {
        let rows = to.len() / in_features;
        with_packed_rows(shape, grad_output, block * OUT_BLOCK, rows, |packed| {
            let store = Store { to: to.as_mut_ptr(), stride: in_features };
            // SAFETY: the rows of `inputs` were measured, and those of the gradient are this task's.
            unsafe { outer(packed, rows, inputs, in_features, store) }
        });
    });
}

/// Lends `work` the gradients of some output features, side by side for each image.
pub(crate) fn with_packed_rows(
    shape: DenseShape,
    grad_output: &[f32],
    first: usize,
    rows: usize,
    work: impl FnOnce(&[f32]),
) {
    with_buffers([shape.batch * rows], |[packed]| {
        let of_images = grad_output.chunks_exact(shape.out_features);
        for (to, of_image) in packed.chunks_exact_mut(rows).zip(of_images) {
            to.copy_from_slice(&of_image[first..first + rows]);
        }
        work(packed);
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
