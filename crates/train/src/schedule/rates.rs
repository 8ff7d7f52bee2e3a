//! The rate of each step of a stage, over the base rate.

use std::num::NonZeroUsize;

use super::{Schedule, Warmup};

/// What the base rate is multiplied by at each step of a stage: warm-up and schedule, in steps.
///
/// # Example
///
/// ```
/// use std::num::NonZeroUsize;
/// use train::schedule::Rates;
///
/// let schedule = toml::from_str("kind = \"cosine\"")?;
/// let ten = NonZeroUsize::new(10).expect("10 is not 0");
/// let rates = Rates::new(None, Some(schedule), ten, ten)?;
/// assert_eq!(rates.factor(1), 1.0);
/// assert!((rates.factor(51) - 0.5).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Steps of the warm-up and the share that it starts from; 0 steps without one.
    warmup: (usize, f64),
    schedule: Option<Schedule>,
    steps_per_epoch: NonZeroUsize,
    /// Of the stage.
    steps: usize,
}

/// A warm-up and a schedule that do not fit a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatesError {
    /// The rate would never be reached.
    #[error(
        "`warmup` takes {warmup_steps} steps and the stage has {steps}; make it shorter, or give the stage more epochs"
    )]
    WarmupTooLong {
        /// Steps of the warm-up.
        warmup_steps: usize,
        /// Steps of the stage.
        steps: usize,
    },
    /// Two rises.
    #[error(
        "a schedule of the kind `one-cycle` rises by itself; leave out `warmup`, or set `pct_start` and `div_factor`"
    )]
    TwoRises,
    /// No room to rise and fall.
    #[error("a schedule of the kind `one-cycle` takes at least 2 steps, the stage has {steps}")]
    CycleTooShort {
        /// Steps of the stage.
        steps: usize,
    },
}

impl Rates {
    /// Resolves durations to steps; without warm-up and schedule the factor is always 1.
    ///
    /// # Errors
    ///
    /// [`RatesError`] if the warm-up is as long as the stage, or a one-cycle schedule has a warm-up
    /// beside it or less than two steps.
    pub fn new(
        warmup: Option<Warmup>,
        schedule: Option<Schedule>,
        steps_per_epoch: NonZeroUsize,
        epochs: NonZeroUsize,
    ) -> Result<Self, RatesError> {
        let steps = epochs.saturating_mul(steps_per_epoch).get();
        if let Some(Schedule::OneCycle(_)) = schedule {
            if warmup.is_some() {
                return Err(RatesError::TwoRises);
            }
            if steps < 2 {
                return Err(RatesError::CycleTooShort { steps });
            }
        }
        let warmup = warmup.map_or((0, 1.0), |warmup| {
            (warmup.duration.steps(steps_per_epoch).get(), warmup.start_factor.get())
        });
        if warmup.0 >= steps {
            return Err(RatesError::WarmupTooLong { warmup_steps: warmup.0, steps });
        }
        Ok(Rates { warmup, schedule, steps_per_epoch, steps })
    }

    /// What the base rate is multiplied by at a step: from 0 to 1.
    ///
    /// `step` counts from 1 in the stage, through all its epochs; one outside the stage has the
    /// factor of the stage's first or last.
    pub fn factor(&self, step: usize) -> f64 {
        let done = step.clamp(1, self.steps) - 1;
        let (warmup_steps, start) = self.warmup;
        let warm = if done < warmup_steps {
            start + (1.0 - start) * (done as f64 / warmup_steps as f64)
        } else {
            1.0
        };
        let decayed = match self.schedule {
            None => 1.0,
            // What the warm-up leaves of the stage is the cosine's.
            Some(Schedule::Cosine(cosine)) => {
                cosine.factor(done.saturating_sub(warmup_steps), self.steps - warmup_steps)
            }
            Some(Schedule::OneCycle(cycle)) => cycle.factor(done, self.steps),
            Some(Schedule::Step(decay)) => decay.factor(done / self.steps_per_epoch),
        };
        // The waves may round to a last digit above 1.
        (warm * decayed).min(1.0)
    }
}
