//! The bar of a whole run: fold, stage, epoch, and the time that is left.

use indicatif::{HumanDuration, ProgressBar};
use std::time::Duration;

use super::forecast::{Forecast, Place};

/// The bar's length: parts of the run's time.
const PARTS: f64 = 1000.0;

/// The bar of a whole run.
pub(crate) struct Overview {
    bar: ProgressBar,
    forecast: Forecast,
    /// Folds of this call that are done.
    folds: usize,
}

/// Where an epoch stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochAt {
    /// From 0.
    pub(crate) stage: usize,
    /// From 1.
    pub(crate) epoch: usize,
    /// Share of its images that are done, in this process and before.
    pub(crate) share: f64,
    /// What that took.
    pub(crate) seconds: f64,
}

impl Overview {
    /// A run before its first fold.
    pub(crate) fn new(forecast: Forecast) -> Self {
        let bar = terminal::bar_at_top("whole run", terminal::Unit::Parts);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a thousand")]
        bar.set_length(PARTS as u64);
        Self { bar, forecast, folds: 0 }
    }

    /// An epoch goes on.
    pub(crate) fn goes_on(&mut self, at: EpochAt) {
        // Of the epoch at work nothing is kept, so that it does not count twice.
        let mut forecast = self.forecast.clone();
        forecast.measure(at.stage, at.seconds, at.share);
        self.show(
            &forecast,
            Place { folds: self.folds, stage: at.stage, epochs: (at.epoch - 1) as f64 + at.share },
        );
    }

    /// An epoch has ended.
    pub(crate) fn epoch_ended(&mut self, stage: usize, epoch: usize, seconds: f64) {
        self.forecast.measure(stage, seconds, 1.0);
        self.show(&self.forecast, Place { folds: self.folds, stage, epochs: epoch as f64 });
    }

    /// A fold has ended.
    pub(crate) fn fold_ended(&mut self) {
        self.folds += 1;
        self.show(&self.forecast, Place { folds: self.folds, stage: 0, epochs: 0.0 });
    }

    fn show(&self, forecast: &Forecast, place: Place) {
        let Some(prospect) = forecast.prospect(place) else { return };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        self.bar.set_position((PARTS * prospect.share) as u64);
        let left = HumanDuration(Duration::from_secs_f64(prospect.seconds_left));
        self.bar.set_message(format!("about {left} left"));
    }
}
