//! Optimizer steps in one parallel pass over plain slices, by the formulas of Keras.

mod dense;
mod update;

use rayon::prelude::*;

pub use dense::DenseGradient;

use crate::lanes::LANES;
use crate::scratch::SharedSlice;
use crate::vectorized::vectorized;
use update::{AdamUpdate, InPlace, Place, RmsPropUpdate, SgdUpdate, Update, along};

/// Parameters a task updates: enough to outweigh its start, few enough that all threads have work.
const TASK_LEN: usize = 1 << 16;

/// How gradients move weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// By their mean over the root of their mean square.
    Adam(Adam),
    /// By themselves, or by their velocity.
    Sgd(Sgd),
    /// By themselves over the root of their mean square.
    RmsProp(RmsProp),
}

/// Settings of Adam, without amsgrad.
///
/// `m += (g - m)(1 - beta_1)`, `v += (g^2 - v)(1 - beta_2)`, `w -= alpha m / (sqrt(v) + epsilon)` with
/// `alpha = learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step)`. Keras 3.15, `optimizers/adam.py`. Its epsilon is not
/// that of `PyTorch`, which adds it after the correction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Share of the first moment `m` that is kept.
    pub beta_1: f64,
    /// Share of the second moment `v` that is kept.
    pub beta_2: f64,
    /// Added to the root of the second moment before its correction ("epsilon hat").
    pub epsilon: f64,
}

/// Settings of gradient descent.
///
/// `m = momentum m - learning_rate g`; `w += m`, or with Nesterov's lookahead `w += momentum m - learning_rate g`. Keras
/// 3.15, `optimizers/sgd.py`. The rate enters the velocity, so a later change leaves past gradients as they were scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Share of the velocity `m` that is kept; with 0 there is none.
    pub momentum: f64,
    /// Whether the step is that of the new velocity as the next step would use it, plus this gradient once more.
    pub nesterov: bool,
}

/// Settings of `RMSprop`, not centered.
///
/// `v = rho v + (1 - rho) g^2`, `m = momentum m + learning_rate g / sqrt(v + epsilon)`, `w -= m`. Keras 3.15,
/// `optimizers/rmsprop.py`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Share of the mean square `v` that is kept.
    pub rho: f64,
    /// Share of the sum of steps `m` that is kept; with 0 there is none.
    pub momentum: f64,
    /// Added to the mean square, under the root.
    pub epsilon: f64,
}

/// A step, of all parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// How gradients move weights.
    pub rule: Rule,
    /// Size of the step.
    pub learning_rate: f64,
    /// From 1.
    pub number: u32,
    /// What the gradient is multiplied by: less than 1 where its norm is to be clipped.
    pub gradient_scale: f64,
    /// How far from 0 an element of the gradient may be, after that; infinite where it may be anything.
    pub clip_value: f64,
    /// `g += l2 w` comes after clipping and before the moments: the gradient of half of `l2` times the weights' squares.
    pub l2: f64,
    /// `w -= weight_decay learning_rate w` comes before the step; the gradient knows nothing of it.
    pub weight_decay: f64,
}

/// The gradient of some parameters.
#[derive(Clone, Copy, Debug)]
pub enum Gradient<'a> {
    /// For each parameter.
    Whole(&'a [f32]),
    /// In its factors, of a dense layer's weights.
    Dense(DenseGradient<'a>),
}

/// What is remembered of each parameter, zero before the first step; empty where the rule needs none.
#[derive(Debug)]
pub struct Moments<'a> {
    /// Adam: mean gradient; SGD: velocity; `RMSprop`: sum of steps.
    pub momentum: &'a mut [f32],
    /// Adam and `RMSprop`: mean square of the gradient.
    pub velocity: &'a mut [f32],
}

impl Adam {
    /// The size of step number `number`, from 1, corrected for the moments' start at zero: `alpha` above.
    pub fn step_size(self, learning_rate: f64, number: u32) -> f64 {
        let steps = f64::from(number);
        learning_rate * (1.0 - self.beta_2.powf(steps)).sqrt() / (1.0 - self.beta_1.powf(steps))
    }
}

impl Rule {
    /// Whether it needs [`Moments::momentum`].
    pub fn needs_momentum(self) -> bool {
        match self {
            Self::Adam(_) => true,
            Self::Sgd(sgd) => sgd.momentum > 0.0,
            Self::RmsProp(rmsprop) => rmsprop.momentum > 0.0,
        }
    }

    /// Whether it needs [`Moments::velocity`].
    pub fn needs_velocity(self) -> bool {
        !matches!(self, Self::Sgd(_))
    }
}

impl Step {
    /// A step by the gradient as it is.
    pub fn new(rule: Rule, learning_rate: f64, number: u32) -> Self {
        Self {
            rule,
            learning_rate,
            number,
            gradient_scale: 1.0,
            clip_value: f64::INFINITY,
            l2: 0.0,
            weight_decay: 0.0,
        }
    }

    /// Moves `weights`, all threads together. A gradient in factors gives the same bits as a whole one.
    ///
    /// Scalars are computed in f64 and rounded once; Keras computes them in f32.
    ///
    /// # Shapes
    ///
    /// - `gradient`, and the moments that the rule needs: as many elements as `weights`
    ///
    /// # Panics
    ///
    /// If lengths differ or the step's number is 0.
    ///
    /// # Source
    ///
    /// Keras 3.15, `optimizers/base_optimizer.py`, for what comes before the rule; `PyTorch` 2.15, `optim/sgd.py`,
    /// `weight_decay`, for `l2`.
    pub fn apply(self, gradient: Gradient<'_>, weights: &mut [f32], moments: Moments<'_>) {
        assert!(self.number > 0, "steps count from 1");
        let learning_rate = self.learning_rate;
        let parameters = Parameters { weights, moments };
        match self.rule {
            Rule::Adam(adam) => {
                let update = AdamUpdate::new(adam, learning_rate, self.number);
                parameters.move_by(self, update, gradient);
            }
            Rule::Sgd(sgd) if sgd.momentum > 0.0 => {
                parameters.move_by(self, SgdUpdate::<true>::new(sgd, learning_rate), gradient);
            }
            Rule::Sgd(sgd) => {
                parameters.move_by(self, SgdUpdate::<false>::new(sgd, learning_rate), gradient);
            }
            Rule::RmsProp(rmsprop) if rmsprop.momentum > 0.0 => {
                let update = RmsPropUpdate::<true>::new(rmsprop, learning_rate);
                parameters.move_by(self, update, gradient);
            }
            Rule::RmsProp(rmsprop) => {
                let update = RmsPropUpdate::<false>::new(rmsprop, learning_rate);
                parameters.move_by(self, update, gradient);
            }
        }
    }
}

/// What a step changes.
struct Parameters<'a> {
    weights: &'a mut [f32],
    moments: Moments<'a>,
}

impl Parameters<'_> {
    fn move_by<U: Update>(self, step: Step, update: U, gradient: Gradient<'_>) {
        let Self { weights, moments: Moments { momentum, velocity } } = self;
        let length = weights.len();
        assert!(
            !U::HAS_MOMENTUM || momentum.len() == length,
            "weights and momentum differ in length"
        );
        assert!(
            !U::HAS_VELOCITY || velocity.len() == length,
            "weights and velocity differ in length"
        );
        let shared = [weights, momentum, velocity].map(SharedSlice::new);
        let from = |first: usize, stride: usize| {
            let place = |values: &SharedSlice<'_>| Place {
                start: values.start().wrapping_add(first),
                stride,
            };
            InPlace::new(step, update, shared.each_ref().map(place))
        };
        match gradient {
            Gradient::Whole(gradient) => {
                assert_eq!(gradient.len(), length, "weights and gradient differ in length");
                gradient.par_chunks(TASK_LEN).enumerate().for_each(|(task, gradient)| {
                    // SAFETY: each task moves the parameters of its chunk.
                    unsafe { along(gradient, from(task * TASK_LEN, 0)) }
                });
            }
            Gradient::Dense(gradient) => {
                assert_eq!(
                    gradient.shape.weights_len(),
                    length,
                    "weights and gradient differ in length"
                );
                // SAFETY: each row is moved by one task.
                gradient.for_each_block(|block, first, stride| unsafe {
                    block.consumed_by(from(first, stride));
                });
            }
        }
    }
}

impl Gradient<'_> {
    /// The sum of its elements' squares, for clipping by the norm.
    ///
    /// In factors it is that of the products of the images' Gram matrices, element by element, so that the elements
    /// themselves are never computed.
    pub fn squared_norm(self) -> f64 {
        match self {
            Self::Whole(gradient) => {
                let of_tasks: Vec<f64> =
                    gradient.par_chunks(TASK_LEN).map(sum_of_squares).collect();
                of_tasks.into_iter().sum()
            }
            Self::Dense(gradient) => gradient.squared_norm(),
        }
    }
}

fn sum_of_squares(values: &[f32]) -> f64 {
    sum_of_products(values, values)
}

/// The dot product of two slices of one length, in f64.
fn sum_of_products(left: &[f32], right: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    add_products(left, right, &mut sums);
    sums.into_iter().sum()
}

vectorized! {
    fn add_products(left: &[f32], right: &[f32], sums: &mut [f64; LANES]) {
        let (left, right) = (left.chunks(LANES), right.chunks(LANES));
        for (left, right) in left.zip(right) {
            for ((sum, &a), &b) in sums.iter_mut().zip(left).zip(right) {
                *sum += f64::from(a) * f64::from(b);
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32, so their factors are too")]
fn rounded(scalar: f64) -> f32 {
    scalar as f32
}

#[cfg(test)]
mod tests;
