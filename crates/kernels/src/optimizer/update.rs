//! The rules, sixteen parameters at a time.

use super::{Adam, RmsProp, Sgd, Step, rounded};
use crate::dense::Consume;
use crate::lanes::{LANES, Lanes, for_each_cpu, prefetch};

/// Floats that each row is fetched ahead: as many rows at a time as there are here are more streams than the CPU foresees.
const AHEAD: usize = 128;

/// A rule with its scalars.
pub(super) trait Update: Copy + Send + Sync {
    const HAS_MOMENTUM: bool;
    const HAS_VELOCITY: bool;

    /// What is added to the weights; brings the moments up to date, of which those it does not have are zero.
    ///
    /// # Safety
    ///
    /// That of [`Lanes`].
    unsafe fn change<L: Lanes>(self, gradient: L, momentum: &mut L, velocity: &mut L) -> L;
}

#[derive(Clone, Copy)]
pub(super) struct AdamUpdate {
    alpha: f32,
    gain_1: f32,
    gain_2: f32,
    epsilon: f32,
}

impl AdamUpdate {
    pub(super) fn new(adam: Adam, learning_rate: f64, number: u32) -> Self {
        Self {
            alpha: rounded(adam.step_size(learning_rate, number)),
            gain_1: rounded(1.0 - adam.beta_1),
            gain_2: rounded(1.0 - adam.beta_2),
            epsilon: rounded(adam.epsilon),
        }
    }
}

impl Update for AdamUpdate {
    const HAS_MOMENTUM: bool = true;
    const HAS_VELOCITY: bool = true;

    #[inline(always)]
    unsafe fn change<L: Lanes>(self, gradient: L, momentum: &mut L, velocity: &mut L) -> L {
        let Self { alpha, gain_1, gain_2, epsilon } = self;
        // SAFETY: the caller's.
        unsafe {
            *momentum = momentum.add(gradient.sub(*momentum).mul(L::splat(gain_1)));
            let square = gradient.mul(gradient);
            *velocity = velocity.add(square.sub(*velocity).mul(L::splat(gain_2)));
            momentum.mul(L::splat(-alpha)).div(velocity.sqrt().add(L::splat(epsilon)))
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct SgdUpdate<const HAS_MOMENTUM: bool> {
    learning_rate: f32,
    momentum: f32,
    nesterov: bool,
}

impl<const HAS_MOMENTUM: bool> SgdUpdate<HAS_MOMENTUM> {
    pub(super) fn new(sgd: Sgd, learning_rate: f64) -> Self {
        Self {
            learning_rate: rounded(learning_rate),
            momentum: rounded(sgd.momentum),
            nesterov: sgd.nesterov,
        }
    }
}

impl<const HAS_MOMENTUM: bool> Update for SgdUpdate<HAS_MOMENTUM> {
    const HAS_MOMENTUM: bool = HAS_MOMENTUM;
    const HAS_VELOCITY: bool = false;

    #[inline(always)]
    unsafe fn change<L: Lanes>(self, gradient: L, momentum: &mut L, _velocity: &mut L) -> L {
        // SAFETY: the caller's.
        unsafe {
            let downhill = gradient.mul(L::splat(-self.learning_rate));
            if !HAS_MOMENTUM {
                return downhill;
            }
            let kept = L::splat(self.momentum);
            *momentum = momentum.mul(kept).add(downhill);
            if self.nesterov { momentum.mul(kept).add(downhill) } else { *momentum }
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct RmsPropUpdate<const HAS_MOMENTUM: bool> {
    learning_rate: f32,
    rho: f32,
    gain: f32,
    momentum: f32,
    epsilon: f32,
}

impl<const HAS_MOMENTUM: bool> RmsPropUpdate<HAS_MOMENTUM> {
    pub(super) fn new(rmsprop: RmsProp, learning_rate: f64) -> Self {
        Self {
            learning_rate: rounded(learning_rate),
            rho: rounded(rmsprop.rho),
            gain: rounded(1.0 - rmsprop.rho),
            momentum: rounded(rmsprop.momentum),
            epsilon: rounded(rmsprop.epsilon),
        }
    }
}

impl<const HAS_MOMENTUM: bool> Update for RmsPropUpdate<HAS_MOMENTUM> {
    const HAS_MOMENTUM: bool = HAS_MOMENTUM;
    const HAS_VELOCITY: bool = true;

    #[inline(always)]
    unsafe fn change<L: Lanes>(self, gradient: L, momentum: &mut L, velocity: &mut L) -> L {
        let Self { learning_rate, rho, gain, momentum: kept, epsilon } = self;
        // SAFETY: the caller's.
        unsafe {
            let square = gradient.mul(gradient);
            *velocity = L::splat(rho).mul(*velocity).add(L::splat(gain).mul(square));
            let root = velocity.add(L::splat(epsilon)).sqrt();
            let downhill = L::splat(-learning_rate).mul(gradient).div(root);
            if !HAS_MOMENTUM {
                return downhill;
            }
            *momentum = momentum.mul(L::splat(kept)).add(downhill);
            *momentum
        }
    }
}

/// Where rows begin.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub start: *mut f32,
    pub stride: usize,
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

/// Moves parameters by the gradients that it is given.
#[derive(Clone, Copy)]
pub(super) struct InPlace<U> {
    update: U,
    gradient_scale: f32,
    clip_value: f32,
    l2: f32,
    /// The share of a weight that is taken from it.
    decay: f32,
    weights: Place,
    momentum: Place,
    velocity: Place,
}

impl<U: Update> InPlace<U> {
    /// `places` are those of the weights, the momentum and the velocity.
    pub(super) fn new(step: Step, update: U, places: [Place; 3]) -> Self {
        let [weights, momentum, velocity] = places;
        Self {
            update,
            gradient_scale: rounded(step.gradient_scale),
            clip_value: rounded(step.clip_value),
            l2: rounded(step.l2),
            decay: rounded(step.weight_decay * step.learning_rate),
            weights,
            momentum,
            velocity,
        }
    }
}

impl<U: Update> Consume for InPlace<U> {
    #[inline(always)]
    unsafe fn consume<L: Lanes>(self, gradient: L, row: usize, column: usize, count: usize) {
        // SAFETY: the caller's; moments that the rule does not have are not touched.
        unsafe {
            let gradient = gradient.mul(L::splat(self.gradient_scale));
            let gradient = gradient.clamped(L::splat(self.clip_value));
            let (weight, weights) = self.weights.load::<L>(row, column, count);
            let gradient = gradient.add(weight.mul(L::splat(self.l2)));
            let (mut momentum, mut velocity) = (L::splat(0.0), L::splat(0.0));
            let mut to = [std::ptr::null_mut(); 2];
            if U::HAS_MOMENTUM {
                (momentum, to[0]) = self.momentum.load::<L>(row, column, count);
            }
            if U::HAS_VELOCITY {
                (velocity, to[1]) = self.velocity.load::<L>(row, column, count);
            }
            let change = self.update.change(gradient, &mut momentum, &mut velocity);
            if U::HAS_MOMENTUM {
                momentum.store_part(to[0], count);
            }
            if U::HAS_VELOCITY {
                velocity.store_part(to[1], count);
            }
            // Not times one less the decay, which rounds to one where it is small.
            let change = change.sub(weight.mul(L::splat(self.decay)));
            weight.add(change).store_part(weights, count);
        }
    }
}

for_each_cpu! {
    /// Consumes a whole gradient as one row.
    ///
    /// # Safety
    ///
    /// That of `consume` at row 0 and all columns.
    pub(super) unsafe fn along<L: Lanes, C: Consume>(gradient: &[f32], consume: C) {
        for column in (0..gradient.len()).step_by(LANES) {
            let count = LANES.min(gradient.len() - column);
            // SAFETY: the caller's; so many elements are left.
            unsafe {
                let from = gradient.as_ptr().add(column);
                consume.consume(L::load_part(from, count), 0, column, count);
            }
        }
    }
}
