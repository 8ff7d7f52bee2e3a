//! Optimizer steps in one parallel pass over plain slices, by the formulas of Keras.

mod dense;

use rayon::prelude::*;

pub use dense::{DenseGradient, adam_dense, rmsprop_dense, sgd_dense};

use crate::vectorized::vectorized;

/// Parameters a task updates: enough to outweigh its start, few enough that all threads have work.
const TASK_LEN: usize = 1 << 16;

/// Settings of [`adam`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Size of a step, before the correction for the moments' start at zero.
    pub learning_rate: f64,
    /// Share of the first moment that is kept.
    pub beta_1: f64,
    /// Share of the second moment that is kept.
    pub beta_2: f64,
    /// Added to the root of the second moment before its correction ("epsilon hat").
    pub epsilon: f64,
}

/// Settings of [`sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Size of a step; it enters the velocity, so a later change leaves past gradients as they were scaled.
    pub learning_rate: f64,
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// Which velocity moves the weights.
    pub lookahead: Lookahead,
}

/// Which velocity moves the weights in [`sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookahead {
    /// The new velocity.
    None,
    /// The new velocity as the next step would use it, plus this step's gradient once more.
    Nesterov,
}

/// Settings of [`rmsprop`], without momentum and not centered, Keras' defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Size of a step.
    pub learning_rate: f64,
    /// Share of the mean square that is kept.
    pub rho: f64,
    /// Added to the mean square, under the root.
    pub epsilon: f64,
}

/// Takes Adam's step number `step`, counted from 1.
///
/// `m += (g - m)(1 - beta_1)`, `v += (g^2 - v)(1 - beta_2)`, `w -= alpha m / (sqrt(v) + epsilon)` with
/// `alpha = learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step)`.
///
/// # Shapes
///
/// - `weights`, `grad`, `first_moment`, `second_moment`: equal lengths, the moments zero before step 1
///
/// # Panics
///
/// If the lengths differ or `step` is 0.
///
/// # Source
///
/// Keras 3.15, `optimizers/adam.py`, without amsgrad. Its epsilon is not that of `PyTorch`, which adds it after the
/// correction. Scalars are computed in f64 and rounded once; Keras computes them in f32.
pub fn adam(
    settings: Adam,
    step: u32,
    weights: &mut [f32],
    grad: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) {
    assert_eq!(weights.len(), grad.len(), "weights and grad differ in length");
    assert_eq!(weights.len(), first_moment.len(), "weights and first_moment differ in length");
    assert_eq!(weights.len(), second_moment.len(), "weights and second_moment differ in length");
    let scalars = AdamScalars::new(settings, step);
    weights
        .par_chunks_mut(TASK_LEN)
        .zip(grad.par_chunks(TASK_LEN))
        .zip(first_moment.par_chunks_mut(TASK_LEN).zip(second_moment.par_chunks_mut(TASK_LEN)))
        .for_each(|((weights, grad), (first, second))| {
            adam_task(scalars, weights, grad, first, second);
        });
}

/// Takes a step of gradient descent with momentum.
///
/// `v = momentum v - learning_rate g`; `w += v`, or with Nesterov's lookahead `w += momentum v - learning_rate g`.
///
/// # Shapes
///
/// - `weights`, `grad`, `velocity`: equal lengths, the velocity zero before the first step
///
/// # Panics
///
/// If the lengths differ.
///
/// # Source
///
/// Keras 3.15, `optimizers/sgd.py`.
pub fn sgd(settings: Sgd, weights: &mut [f32], grad: &[f32], velocity: &mut [f32]) {
    assert_eq!(weights.len(), grad.len(), "weights and grad differ in length");
    assert_eq!(weights.len(), velocity.len(), "weights and velocity differ in length");
    let (learning_rate, momentum) = (rounded(settings.learning_rate), rounded(settings.momentum));
    let task = match settings.lookahead {
        Lookahead::None => sgd_task,
        Lookahead::Nesterov => nesterov_task,
    };
    weights
        .par_chunks_mut(TASK_LEN)
        .zip(grad.par_chunks(TASK_LEN))
        .zip(velocity.par_chunks_mut(TASK_LEN))
        .for_each(|((weights, grad), velocity)| {
            task(learning_rate, momentum, weights, grad, velocity);
        });
}

/// Takes a step scaled by the running mean square of the gradient.
///
/// `v = rho v + (1 - rho) g^2`, `w -= learning_rate g / sqrt(v + epsilon)`.
///
/// # Shapes
///
/// - `weights`, `grad`, `mean_square`: equal lengths, the mean square zero before the first step
///
/// # Panics
///
/// If the lengths differ.
///
/// # Source
///
/// Keras 3.15, `optimizers/rmsprop.py`.
pub fn rmsprop(settings: RmsProp, weights: &mut [f32], grad: &[f32], mean_square: &mut [f32]) {
    assert_eq!(weights.len(), grad.len(), "weights and grad differ in length");
    assert_eq!(weights.len(), mean_square.len(), "weights and mean_square differ in length");
    let scalars = RmsPropScalars::new(settings);
    weights
        .par_chunks_mut(TASK_LEN)
        .zip(grad.par_chunks(TASK_LEN))
        .zip(mean_square.par_chunks_mut(TASK_LEN))
        .for_each(|((weights, grad), mean_square)| {
            rmsprop_task(scalars, weights, grad, mean_square);
        });
}

#[derive(Clone, Copy)]
struct AdamScalars {
    alpha: f32,
    gain_1: f32,
    gain_2: f32,
    epsilon: f32,
}

impl AdamScalars {
    fn new(settings: Adam, step: u32) -> Self {
        assert!(step > 0, "steps count from 1");
        let steps = f64::from(step);
        let alpha = settings.learning_rate * (1.0 - settings.beta_2.powf(steps)).sqrt()
            / (1.0 - settings.beta_1.powf(steps));
        Self {
            alpha: rounded(alpha),
            gain_1: rounded(1.0 - settings.beta_1),
            gain_2: rounded(1.0 - settings.beta_2),
            epsilon: rounded(settings.epsilon),
        }
    }
}

#[derive(Clone, Copy)]
struct RmsPropScalars {
    learning_rate: f32,
    rho: f32,
    gain: f32,
    epsilon: f32,
}

impl RmsPropScalars {
    fn new(settings: RmsProp) -> Self {
        Self {
            learning_rate: rounded(settings.learning_rate),
            rho: rounded(settings.rho),
            gain: rounded(1.0 - settings.rho),
            epsilon: rounded(settings.epsilon),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32, so their factors are too")]
fn rounded(scalar: f64) -> f32 {
    scalar as f32
}

vectorized! {
    fn adam_task(
        scalars: AdamScalars,
        weights: &mut [f32],
        grad: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let AdamScalars { alpha, gain_1, gain_2, epsilon } = scalars;
        for (((weight, &g), m), v) in weights.iter_mut().zip(grad).zip(first).zip(second) {
            *m += (g - *m) * gain_1;
            *v += (g * g - *v) * gain_2;
            *weight -= *m * alpha / (v.sqrt() + epsilon);
        }
    }

    fn sgd_task(
        learning_rate: f32,
        momentum: f32,
        weights: &mut [f32],
        grad: &[f32],
        velocity: &mut [f32],
    ) {
        for ((weight, &g), v) in weights.iter_mut().zip(grad).zip(velocity) {
            *v = *v * momentum - g * learning_rate;
            *weight += *v;
        }
    }

    fn nesterov_task(
        learning_rate: f32,
        momentum: f32,
        weights: &mut [f32],
        grad: &[f32],
        velocity: &mut [f32],
    ) {
        for ((weight, &g), v) in weights.iter_mut().zip(grad).zip(velocity) {
            *v = *v * momentum - g * learning_rate;
            *weight += *v * momentum - g * learning_rate;
        }
    }

    fn rmsprop_task(
        scalars: RmsPropScalars,
        weights: &mut [f32],
        grad: &[f32],
        mean_square: &mut [f32],
    ) {
        let RmsPropScalars { learning_rate, rho, gain, epsilon } = scalars;
        for ((weight, &g), v) in weights.iter_mut().zip(grad).zip(mean_square) {
            *v = rho * *v + gain * (g * g);
            *weight -= learning_rate * g / (*v + epsilon).sqrt();
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "equal inputs give equal bits")]
mod tests {
    use super::*;

    /// A few roundings of values near 1.
    const TOLERANCE: f32 = 3e-7;

    #[track_caller]
    fn assert_near(found: f32, expected: f32) {
        assert!((found - expected).abs() < TOLERANCE, "{found}, expected {expected}");
    }

    #[test]
    fn adam_adds_epsilon_before_the_correction() {
        let settings = Adam { learning_rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
        let mut weights = [0.0, 0.0];
        let (mut first, mut second) = ([0.0; 2], [0.0; 2]);
        adam(settings, 1, &mut weights, &[2.0, 1e-6], &mut first, &mut second);
        assert_near(weights[0], -1e-3);
        // alpha = 3.162278e-4, m = 1e-7, sqrt(v) = 3.162278e-8; added after the correction, epsilon would give 9.1e-4.
        assert_near(weights[1], -2.402_53e-4);
        adam(settings, 2, &mut weights, &[-1.0, 0.0], &mut first, &mut second);
        assert_near(first[0], 0.08);
        assert_near(second[0], 0.004_996);
        // alpha = 1e-3 sqrt(0.001999) / 0.19 = 2.353169e-4.
        assert_near(weights[0], -1e-3 - 2.353_169e-4 * 0.08 / 0.070_682_4);
    }

    #[test]
    fn sgd_keeps_the_learning_rate_in_the_velocity() {
        let mut settings = Sgd { learning_rate: 0.1, momentum: 0.9, lookahead: Lookahead::None };
        let (mut weights, mut velocity) = ([1.0], [0.0]);
        sgd(settings, &mut weights, &[0.5], &mut velocity);
        assert_near(weights[0], 0.95);
        settings.learning_rate = 0.01;
        sgd(settings, &mut weights, &[0.5], &mut velocity);
        assert_near(velocity[0], -0.05);
        assert_near(weights[0], 0.9);
    }

    #[test]
    fn nesterov_looks_one_step_ahead() {
        let settings = Sgd { learning_rate: 0.1, momentum: 0.9, lookahead: Lookahead::Nesterov };
        let (mut weights, mut velocity) = ([1.0], [0.0]);
        sgd(settings, &mut weights, &[0.5], &mut velocity);
        assert_near(weights[0], 0.905);
        sgd(settings, &mut weights, &[0.5], &mut velocity);
        assert_near(weights[0], 0.7695);
    }

    #[test]
    fn rmsprop_adds_epsilon_under_the_root() {
        let settings = RmsProp { learning_rate: 1e-3, rho: 0.9, epsilon: 1e-7 };
        let (mut weights, mut mean_square) = ([1.0, 0.0], [0.0; 2]);
        rmsprop(settings, &mut weights, &[2.0, 1e-4], &mut mean_square);
        assert_near(mean_square[0], 0.4);
        assert_near(weights[0], 0.996_837_7);
        assert_near(weights[1], -3.146_59e-4);
    }

    #[test]
    fn every_element_of_a_long_slice_is_updated_alike() {
        let length = 2 * TASK_LEN + 5;
        let settings = Adam { learning_rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
        let mut weights = vec![1.0; length];
        let (mut first, mut second) = (vec![0.0; length], vec![0.0; length]);
        adam(settings, 1, &mut weights, &vec![1.0; length], &mut first, &mut second);
        assert!(weights.iter().all(|&weight| weight == weights[0]));
        assert_near(weights[0], 0.999);
    }
}
