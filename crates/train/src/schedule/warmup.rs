//! The rise of the rate at the start of a stage.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::setting::RateShare;

/// So long into a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duration {
    /// So many updates.
    Steps(NonZeroUsize),
    /// So many passes over the training images.
    Epochs(NonZeroUsize),
}

impl Duration {
    /// The updates that it takes.
    pub fn steps(self, steps_per_epoch: NonZeroUsize) -> NonZeroUsize {
        match self {
            Duration::Steps(steps) => steps,
            Duration::Epochs(epochs) => epochs.saturating_mul(steps_per_epoch),
        }
    }
}

/// A linear rise of the rate, from a share of it, at the start of a stage.
///
/// In a recipe `warmup = { epochs = 1 }` or `{ steps = 500 }`, with `start_factor` if wanted. The
/// first step has `start_factor` of the rate, the first after the warm-up all of it.
///
/// # Source
///
/// `PyTorch` 2.15, `optim/lr_scheduler.py`, `LinearLR`; the start of 0.01 is that of torchvision's
/// `references/classification/train.py`, `--lr-warmup-decay`. Keras 3.15.1's `CosineDecay` starts at 0,
/// whose first step moves nothing.
///
/// # Example
///
/// ```
/// let warmup: train::schedule::Warmup = toml::from_str("steps = 500")?;
/// assert_eq!(warmup.start_factor.get(), 0.01);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawWarmup", into = "RawWarmup")]
pub struct Warmup {
    /// How long the rate rises.
    pub duration: Duration,
    /// The share of the rate that the first step has.
    pub start_factor: RateShare,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { epochs = 1 }")]
struct RawWarmup {
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<NonZeroUsize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<NonZeroUsize>,
    #[serde(default = "start_factor")]
    start_factor: RateShare,
}

fn start_factor() -> RateShare {
    RateShare::new(0.01).expect("0.01 lies between 0 and 1")
}

impl TryFrom<RawWarmup> for Warmup {
    type Error = &'static str;

    fn try_from(raw: RawWarmup) -> Result<Self, &'static str> {
        let duration = match (raw.steps, raw.epochs) {
            (Some(steps), None) => Duration::Steps(steps),
            (None, Some(epochs)) => Duration::Epochs(epochs),
            _ => return Err("`warmup` takes one of `steps` and `epochs`"),
        };
        Ok(Warmup { duration, start_factor: raw.start_factor })
    }
}

impl From<Warmup> for RawWarmup {
    fn from(Warmup { duration, start_factor }: Warmup) -> Self {
        let (steps, epochs) = match duration {
            Duration::Steps(steps) => (Some(steps), None),
            Duration::Epochs(epochs) => (None, Some(epochs)),
        };
        RawWarmup { steps, epochs, start_factor }
    }
}
