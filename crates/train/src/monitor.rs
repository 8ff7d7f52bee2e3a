//! The metric that a schedule watches, and what counts as better.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::setting::MinDelta;

/// A metric of an epoch, by its name in the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Mean loss over the training images, while the weights move.
    TrainLoss,
    /// Share of training images recognized, while the weights move.
    TrainAccuracy,
    /// Mean loss over the validation images.
    ValidationLoss,
    /// Share of validation images recognized.
    ValidationAccuracy,
    /// Share of validation images whose identity is among the five best.
    #[serde(rename = "validation_top5")]
    ValidationTop5,
}

impl Monitor {
    /// Whether `value` is better than `best` by more than `min_delta`.
    ///
    /// Anything but NaN is better than no value at all. NaN is never better, and is reported.
    /// Numbers are compared in f32, as Keras does, so that rounding in their last digits counts
    /// as no change.
    ///
    /// # Source
    ///
    /// keras 3.15.1, `callbacks/monitor_callback.py`. There a NaN in the first epoch becomes the
    /// best value, which nothing improves on; here the next number does.
    pub(crate) fn improves(self, value: f64, min_delta: MinDelta, best: Option<f64>) -> bool {
        if value.is_nan() {
            tracing::warn!(monitor = %self, "metric is NaN, which counts as no improvement");
            return false;
        }
        match (best, self.direction()) {
            (None, _) => true,
            (Some(best), Direction::Falls) => single(value + min_delta.get()) < single(best),
            (Some(best), Direction::Rises) => single(value - min_delta.get()) > single(best),
        }
    }

    fn direction(self) -> Direction {
        match self {
            Monitor::TrainLoss | Monitor::ValidationLoss => Direction::Falls,
            Monitor::TrainAccuracy | Monitor::ValidationAccuracy | Monitor::ValidationTop5 => {
                Direction::Rises
            }
        }
    }
}

impl fmt::Display for Monitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Monitor::TrainLoss => "train_loss",
            Monitor::TrainAccuracy => "train_accuracy",
            Monitor::ValidationLoss => "validation_loss",
            Monitor::ValidationAccuracy => "validation_accuracy",
            Monitor::ValidationTop5 => "validation_top5",
        })
    }
}

/// Where a metric goes as training succeeds.
enum Direction {
    Falls,
    Rises,
}

/// A number as Keras compares it.
#[expect(clippy::cast_possible_truncation, reason = "losing digits is the purpose")]
pub(crate) fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Monitor; 5] = [
        Monitor::TrainLoss,
        Monitor::TrainAccuracy,
        Monitor::ValidationLoss,
        Monitor::ValidationAccuracy,
        Monitor::ValidationTop5,
    ];

    #[test]
    fn is_written_as_in_the_records() {
        for monitor in ALL {
            let json = serde_json::to_string(&monitor).unwrap();
            assert_eq!(json, format!("\"{monitor}\""));
            assert_eq!(serde_json::from_str::<Monitor>(&json).unwrap(), monitor);
        }
    }

    #[test]
    fn a_loss_improves_by_falling_and_an_accuracy_by_rising() {
        let none = MinDelta::new(0.0).unwrap();
        assert!(Monitor::ValidationLoss.improves(0.4, none, Some(0.5)));
        assert!(!Monitor::ValidationLoss.improves(0.5, none, Some(0.5)));
        assert!(Monitor::ValidationTop5.improves(0.6, none, Some(0.5)));
        assert!(!Monitor::ValidationTop5.improves(0.4, none, Some(0.5)));
    }

    #[test]
    fn a_difference_of_exactly_min_delta_is_no_improvement() {
        let min_delta = MinDelta::new(0.1).unwrap();
        assert!(!Monitor::ValidationAccuracy.improves(0.9, min_delta, Some(0.8)));
        assert!(!Monitor::ValidationLoss.improves(0.8, min_delta, Some(0.9)));
    }

    #[test]
    fn nan_never_improves() {
        let none = MinDelta::new(0.0).unwrap();
        for monitor in ALL {
            assert!(!monitor.improves(f64::NAN, none, None));
            assert!(!monitor.improves(f64::NAN, none, Some(0.5)));
        }
    }
}
