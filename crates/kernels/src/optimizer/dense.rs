//! Steps for the weights of a dense layer, in one pass with the product that is their gradient, `grad_output^T inputs`. It is
//! never stored: for the 103 million weights of VGG16's `fc6` it alone would weigh 0.4 GB.
//!
//! Each does the operations of the step on slices in their order, so that both give the same bits.

use rayon::prelude::*;

use super::{Adam, AdamScalars, Lookahead, RmsProp, RmsPropScalars, Sgd, rounded};
use crate::dense::{Consume, DenseShape, OUT_BLOCK, outer, with_packed_rows};
use crate::lanes::{Lanes, prefetch};
use crate::matrix::Rows;
use crate::scratch::SharedSlice;

/// Floats that each row is fetched ahead: as many rows at a time as there are here are more streams than the CPU foresees.
const AHEAD: usize = 128;

/// The gradient of a dense layer's weights, in its factors.
#[derive(Clone, Copy, Debug)]
pub struct DenseGradient<'a> {
    /// The layer's sizes.
    pub shape: DenseShape,
    /// What it read, `(batch, in_features)`.
    pub inputs: &'a [f32],
    /// The gradient of its sums, `(batch, out_features)`.
    pub grad_output: &'a [f32],
}

/// Takes [`adam`](super::adam)'s step.
///
/// # Shapes
///
/// - `weights`, `first_moment`, `second_moment`: `(out_features, in_features)`, the moments zero before step 1
///
/// # Panics
///
/// If a slice has another length or `step` is 0.
pub fn adam_dense(
    settings: Adam,
    step: u32,
    gradient: DenseGradient<'_>,
    weights: &mut [f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) {
    let scalars = AdamScalars::new(settings, step);
    let values = [weights, first_moment, second_moment];
    gradient.for_each_block(values, |block, [weights, first_moment, second_moment]| {
        let step = AdamStep { scalars, weights, first_moment, second_moment };
        // SAFETY: the rows of the block are this task's.
        unsafe { block.step(step) }
    });
}

/// Takes [`sgd`](super::sgd)'s step.
///
/// # Shapes
///
/// - `weights`, `velocity`: `(out_features, in_features)`, the velocity zero before the first step
///
/// # Panics
///
/// If a slice has another length.
pub fn sgd_dense(
    settings: Sgd,
    gradient: DenseGradient<'_>,
    weights: &mut [f32],
    velocity: &mut [f32],
) {
    let (learning_rate, momentum) = (rounded(settings.learning_rate), rounded(settings.momentum));
    let lookahead = settings.lookahead;
    gradient.for_each_block([weights, velocity], |block, [weights, velocity]| {
        let step = SgdStep { learning_rate, momentum, lookahead, weights, velocity };
        // SAFETY: the rows of the block are this task's.
        unsafe { block.step(step) }
    });
}

/// Takes [`rmsprop`](super::rmsprop)'s step.
///
/// # Shapes
///
/// - `weights`, `mean_square`: `(out_features, in_features)`, the mean square zero before the first step
///
/// # Panics
///
/// If a slice has another length.
pub fn rmsprop_dense(
    settings: RmsProp,
    gradient: DenseGradient<'_>,
    weights: &mut [f32],
    mean_square: &mut [f32],
) {
    let scalars = RmsPropScalars::new(settings);
    gradient.for_each_block([weights, mean_square], |block, [weights, mean_square]| {
        let step = RmsPropStep { scalars, weights, mean_square };
        // SAFETY: the rows of the block are this task's.
        unsafe { block.step(step) }
    });
}

/// Some rows of the weights, which one task updates.
#[derive(Clone, Copy)]
struct Block<'a> {
    /// Gradients of the rows' sums, side by side for each image.
    packed: &'a [f32],
    rows: usize,
    inputs: Rows<'a>,
    columns: usize,
}

impl Block<'_> {
    /// # Safety
    ///
    /// The rows must be the calling task's alone, in all that `step` moves.
    unsafe fn step(self, step: impl Consume) {
        // SAFETY: the caller's; `for_each_block` has measured the inputs.
        unsafe { outer(self.packed, self.rows, self.inputs, self.columns, step) }
    }
}

impl DenseGradient<'_> {
    /// Calls `update` for blocks of rows, with where these begin in each of `values`, all of the weights' shape.
    fn for_each_block<const COUNT: usize>(
        self,
        values: [&mut [f32]; COUNT],
        update: impl Fn(Block<'_>, [Place; COUNT]) + Sync,
    ) {
        let Self { shape, inputs, grad_output } = self;
        assert_eq!(inputs.len(), shape.inputs_len(), "inputs");
        assert_eq!(grad_output.len(), shape.output_len(), "grad_output");
        for values in &values {
            assert_eq!(values.len(), shape.weights_len(), "weights or moments");
        }
        let DenseShape { batch, in_features, out_features } = shape;
        if shape.weights_len() == 0 {
            return;
        }
        let inputs = Rows { values: inputs, count: batch, stride: in_features };
        let values = values.map(SharedSlice::new);
        (0..out_features.div_ceil(OUT_BLOCK)).into_par_iter().for_each(|block| {
            let first = block * OUT_BLOCK;
            let rows = OUT_BLOCK.min(out_features - first);
            with_packed_rows(shape, grad_output, first, rows, |packed| {
                let block = Block { packed, rows, inputs, columns: in_features };
                let places = std::array::from_fn(|number: usize| {
                    let start = values[number].start().wrapping_add(first * in_features);
                    Place { start, stride: in_features }
                });
                update(block, places);
            });
        });
    }
}

/// Where the rows of a block begin.
#[derive(Clone, Copy)]
struct Place {
    start: *mut f32,
    stride: usize,
}

impl Place {
    /// Sixteen values of a row, or the first `count` of them, and where they are.
    #[inline(always)]
    unsafe fn load<L: Lanes>(self, row: usize, column: usize, count: usize) -> (L, *mut f32) {
        // SAFETY: the caller's; any address may be prefetched.
        unsafe {
            let at = self.start.add(row * self.stride + column);
            prefetch(at.wrapping_add(AHEAD));
            (L::load_part(at, count), at)
        }
    }
}

#[derive(Clone, Copy)]
struct AdamStep {
    scalars: AdamScalars,
    weights: Place,
    first_moment: Place,
    second_moment: Place,
}

impl Consume for AdamStep {
    #[inline(always)]
    unsafe fn consume<L: Lanes>(self, gradient: L, row: usize, column: usize, count: usize) {
        let AdamScalars { alpha, gain_1, gain_2, epsilon } = self.scalars;
        // SAFETY: the caller's.
        unsafe {
            let (m, first) = self.first_moment.load::<L>(row, column, count);
            let m = m.add(gradient.sub(m).mul(L::splat(gain_1)));
            m.store_part(first, count);
            let (v, second) = self.second_moment.load::<L>(row, column, count);
            let v = v.add(gradient.mul(gradient).sub(v).mul(L::splat(gain_2)));
            v.store_part(second, count);
            let change = m.mul(L::splat(alpha)).div(v.sqrt().add(L::splat(epsilon)));
            let (weight, weights) = self.weights.load::<L>(row, column, count);
            weight.sub(change).store_part(weights, count);
        }
    }
}

#[derive(Clone, Copy)]
struct SgdStep {
    learning_rate: f32,
    momentum: f32,
    lookahead: Lookahead,
    weights: Place,
    velocity: Place,
}

impl Consume for SgdStep {
    #[inline(always)]
    unsafe fn consume<L: Lanes>(self, gradient: L, row: usize, column: usize, count: usize) {
        // SAFETY: the caller's.
        unsafe {
            let momentum = L::splat(self.momentum);
            let descent = gradient.mul(L::splat(self.learning_rate));
            let (v, velocity) = self.velocity.load::<L>(row, column, count);
            let v = v.mul(momentum).sub(descent);
            v.store_part(velocity, count);
            let change = match self.lookahead {
                Lookahead::None => v,
                Lookahead::Nesterov => v.mul(momentum).sub(descent),
            };
            let (weight, weights) = self.weights.load::<L>(row, column, count);
            weight.add(change).store_part(weights, count);
        }
    }
}

#[derive(Clone, Copy)]
struct RmsPropStep {
    scalars: RmsPropScalars,
    weights: Place,
    mean_square: Place,
}

impl Consume for RmsPropStep {
    #[inline(always)]
    unsafe fn consume<L: Lanes>(self, gradient: L, row: usize, column: usize, count: usize) {
        let RmsPropScalars { learning_rate, rho, gain, epsilon } = self.scalars;
        // SAFETY: the caller's.
        unsafe {
            let (v, mean_square) = self.mean_square.load::<L>(row, column, count);
            let v = L::splat(rho).mul(v).add(L::splat(gain).mul(gradient.mul(gradient)));
            v.store_part(mean_square, count);
            let root = v.add(L::splat(epsilon)).sqrt();
            let change = L::splat(learning_rate).mul(gradient).div(root);
            let (weight, weights) = self.weights.load::<L>(row, column, count);
            weight.sub(change).store_part(weights, count);
        }
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

    const ADAM: Adam = Adam { learning_rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };

    const RMSPROP: RmsProp = RmsProp { learning_rate: 1e-3, rho: 0.9, epsilon: 1e-7 };

    fn sgd(lookahead: Lookahead) -> Sgd {
        Sgd { learning_rate: 1e-2, momentum: 0.9, lookahead }
    }

    /// Takes one step of a kind by the whole gradient.
    fn step_by_whole(kind: usize, step: u32, gradient: &[f32], [w, a, b]: [&mut Vec<f32>; 3]) {
        match kind {
            0 => optimizer::adam(ADAM, step, w, gradient, a, b),
            1 => optimizer::sgd(sgd(Lookahead::None), w, gradient, a),
            2 => optimizer::sgd(sgd(Lookahead::Nesterov), w, gradient, a),
            _ => optimizer::rmsprop(RMSPROP, w, gradient, a),
        }
    }

    /// The same by its factors.
    fn step_by_factors(
        kind: usize,
        step: u32,
        gradient: DenseGradient<'_>,
        [w, a, b]: [&mut Vec<f32>; 3],
    ) {
        match kind {
            0 => adam_dense(ADAM, step, gradient, w, a, b),
            1 => sgd_dense(sgd(Lookahead::None), gradient, w, a),
            2 => sgd_dense(sgd(Lookahead::Nesterov), gradient, w, a),
            _ => rmsprop_dense(RMSPROP, gradient, w, a),
        }
    }

    #[test]
    fn steps_are_those_with_the_whole_gradient_to_the_bit() {
        for (batch, in_features, out_features) in
            [(32, 1100, 70), (3, 5, 2), (0, 40, 30), (7, 33, 1)]
        {
            let shape = DenseShape { batch, in_features, out_features };
            let inputs = numbers(shape.inputs_len(), 1);
            let grad_output = numbers(shape.output_len(), 2);
            let factors = DenseGradient { shape, inputs: &inputs, grad_output: &grad_output };
            let start = numbers(shape.weights_len(), 3);
            for (kind, cpu) in
                (0..4).flat_map(|kind| [(kind, Cpu::Portable), (kind, Cpu::detected())])
            {
                let of = |is_in_factors: bool| {
                    let mut values =
                        [start.clone(), vec![0.0; start.len()], vec![0.0; start.len()]];
                    for step in 1..4 {
                        let [w, a, b] = &mut values;
                        if is_in_factors {
                            step_by_factors(kind, step, factors, [w, a, b]);
                        } else {
                            let mut whole = vec![0.0; start.len()];
                            dense::backward_weights(shape, &inputs, &grad_output, &mut whole);
                            step_by_whole(kind, step, &whole, [w, a, b]);
                        }
                    }
                    values
                };
                let (found, expected) = (as_on(cpu, || of(true)), as_on(cpu, || of(false)));
                assert_eq!(found, expected, "kind {kind}, {shape:?}, {cpu:?}");
            }
        }
    }
}
