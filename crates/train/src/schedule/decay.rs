//! How the rate goes down over a stage, by the step alone.

use std::{f64::consts::PI, num::NonZeroUsize};

use serde::{Deserialize, Serialize};

use crate::setting::{Factor, RateDivisor, RateShare, RisingShare};

/// The rate as a function of the step.
///
/// # Example
///
/// ```
/// use train::schedule::Schedule;
///
/// let schedule: Schedule = toml::from_str("kind = \"step\"\nevery_epochs = 3\nfactor = 0.1")?;
/// assert!(matches!(schedule, Schedule::Step(_)));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Schedule {
    /// Down half a wave of the cosine.
    Cosine(Cosine),
    /// Up to the rate and far below where it began, in one go.
    OneCycle(OneCycle),
    /// Down by a factor every few epochs.
    Step(StepDecay),
}

/// Half a wave of the cosine, from the rate down to a share of it.
///
/// It takes all steps of the stage, or all that a warm-up leaves. The step after the stage's last
/// would be the first at the end.
///
/// # Source
///
/// Loshchilov and Hutter, SGDR (ICLR 2017), equation 5, without restarts; Keras 3.15.1,
/// `CosineDecay`, whose `alpha` is `final`; `PyTorch` 2.15, `CosineAnnealingLR`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// The share of the rate that is left at the end.
    #[serde(rename = "final", default = "nothing")]
    pub final_share: RateShare,
}

/// One cycle: half a wave up to the rate, and another one down.
///
/// Only the rate changes, not the momentum.
///
/// # Source
///
/// Smith and Topin, Super-Convergence (2017); `PyTorch` 2.15, `OneCycleLR` with its names and
/// defaults, `anneal_strategy = "cos"`, `cycle_momentum = False`. The recipe's rate is its `max_lr`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OneCycle {
    /// The share of the stage's steps in which the rate rises.
    pub pct_start: RisingShare,
    /// The first step has the rate divided by this.
    pub div_factor: RateDivisor,
    /// The last step has the first one's rate divided by this.
    pub final_div_factor: RateDivisor,
}

/// Down by a factor every few epochs of the stage, warm-up included.
///
/// # Source
///
/// `PyTorch` 2.15, `StepLR`, whose `step_size` is `every_epochs` and `gamma` is `factor`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDecay {
    /// Epochs between two reductions.
    pub every_epochs: NonZeroUsize,
    /// What the rate is multiplied by.
    pub factor: Factor,
}

impl Default for OneCycle {
    fn default() -> Self {
        OneCycle {
            pct_start: RisingShare::new(0.3).expect("0.3 lies between 0 and 1"),
            div_factor: RateDivisor::new(25.0).expect("25 is at least 1"),
            final_div_factor: RateDivisor::new(1e4).expect("1e4 is at least 1"),
        }
    }
}

impl Cosine {
    /// The factor after `done` of `steps` steps.
    pub(super) fn factor(self, done: usize, steps: usize) -> f64 {
        annealed(1.0, self.final_share.get(), done as f64 / steps as f64)
    }
}

impl OneCycle {
    /// The factor after `done` of `steps` steps, which are at least 2.
    pub(super) fn factor(self, done: usize, steps: usize) -> f64 {
        let first = 1.0 / self.div_factor.get();
        let last = first / self.final_div_factor.get();
        let (done, end) = (done as f64, steps as f64 - 1.0);
        // Below 0 where the rise is shorter than a step; `PyTorch` then starts on the way down, as this does.
        let top = self.pct_start.get() * steps as f64 - 1.0;
        if done <= top && 0.0 < top {
            annealed(first, 1.0, done / top)
        } else {
            annealed(1.0, last, (done - top) / (end - top))
        }
    }
}

impl StepDecay {
    /// The factor after so many epochs.
    pub(super) fn factor(self, epochs: usize) -> f64 {
        // More reductions than 32 bits count leave nothing of any rate.
        let reductions = i32::try_from(epochs / self.every_epochs).unwrap_or(i32::MAX);
        self.factor.get().powi(reductions)
    }
}

/// From `start` to `end` along half a wave of the cosine, of which `done`, from 0 to 1, is past.
fn annealed(start: f64, end: f64, done: f64) -> f64 {
    end + (start - end) / 2.0 * ((PI * done).cos() + 1.0)
}

fn nothing() -> RateShare {
    RateShare::new(0.0).expect("0 is allowed")
}
