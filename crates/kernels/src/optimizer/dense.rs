//! The gradient of a dense layer's weights, `grad_output^T inputs`, multiplied where it is used. It is never stored: for the
//! 103 million weights of VGG16's `fc6` it alone would weigh 0.4 GB.

use rayon::prelude::*;

use super::sum_of_products;
use crate::dense::{Consume, DenseShape, OUT_BLOCK, outer, with_packed_rows};
use crate::matrix::Rows;

/// The gradient of a dense layer's weights, `(out_features, in_features)`, in its factors.
#[derive(Clone, Copy, Debug)]
pub struct DenseGradient<'a> {
    /// The layer's sizes.
    pub shape: DenseShape,
    /// What it read, `(batch, in_features)`.
    pub inputs: &'a [f32],
    /// The gradient of its sums, `(batch, out_features)`.
    pub grad_output: &'a [f32],
}

/// Some rows of it, which one task multiplies.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// Gradients of the rows' sums, side by side for each image.
    packed: &'a [f32],
    rows: usize,
    inputs: Rows<'a>,
    columns: usize,
}

impl Block<'_> {
    /// # Safety
    ///
    /// That of `consume` at all rows and columns.
    pub(super) unsafe fn consumed_by(self, consume: impl Consume) {
        // SAFETY: the caller's; `for_each_block` has measured the inputs.
        unsafe { outer(self.packed, self.rows, self.inputs, self.columns, consume) }
    }
}

impl DenseGradient<'_> {
    fn assert_lengths(&self) {
        assert_eq!(self.inputs.len(), self.shape.inputs_len(), "inputs");
        assert_eq!(self.grad_output.len(), self.shape.output_len(), "grad_output");
    }

    /// Calls `work` for blocks of rows, all together all rows, with the element at which each begins and the length of a row.
    pub(super) fn for_each_block(self, work: impl Fn(Block<'_>, usize, usize) + Sync) {
        self.assert_lengths();
        let Self { shape, inputs, grad_output } = self;
        let DenseShape { batch, in_features, out_features } = shape;
        if shape.weights_len() == 0 {
            return;
        }
        let inputs = Rows { values: inputs, count: batch, stride: in_features };
        (0..out_features.div_ceil(OUT_BLOCK)).into_par_iter().for_each(|block| {
            let first = block * OUT_BLOCK;
            let rows = OUT_BLOCK.min(out_features - first);
            with_packed_rows(shape, grad_output, first, rows, |packed| {
                let block = Block { packed, rows, inputs, columns: in_features };
                work(block, first * in_features, in_features);
            });
        });
    }

    /// The sum over images `i` and `j` of `<grad_output_i, grad_output_j> <inputs_i, inputs_j>`.
    pub(super) fn squared_norm(self) -> f64 {
        self.assert_lengths();
        let Self { shape: DenseShape { batch, in_features, out_features }, inputs, grad_output } =
            self;
        let of_images: Vec<f64> = (0..batch)
            .into_par_iter()
            .map(|i| {
                let product = |values: &[f32], features: usize, j: usize| {
                    let row = |image: usize| &values[image * features..][..features];
                    sum_of_products(row(i), row(j))
                };
                let of_pair =
                    |j| product(grad_output, out_features, j) * product(inputs, in_features, j);
                // The matrices are symmetric.
                of_pair(i) + 2.0 * (0..i).map(of_pair).sum::<f64>()
            })
            .collect();
        let sum: f64 = of_images.into_iter().sum();
        // Rounding may leave it below zero; NaN stays.
        if sum < 0.0 { 0.0 } else { sum }
    }
}
