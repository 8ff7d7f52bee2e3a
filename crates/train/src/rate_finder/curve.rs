//! The losses of a range test as they come: smoothed, and ended where they leave the valley.

use std::ops::ControlFlow;

use serde::Serialize;

/// What the running mean of losses keeps at each step, as fastai's recorder.
const BETA: f64 = 0.98;

/// How often the best smoothed loss is left behind before the test ends.
const DIVERGED: f64 = 4.0;

/// Steps at the end that are not judged: there the loss has begun to explode.
const LAST: usize = 5;

/// One step of a range test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// The rate that it was taken at.
    pub learning_rate: f64,
    /// Before the step, of its photographs.
    pub loss: f64,
    /// The mean of all losses up to here, of which each counts 0.98 of the one after it.
    pub smoothed: f64,
}

/// How a range test ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum End {
    /// With its last rate.
    Completed,
    /// With a smoothed loss of more than four times the best.
    Diverged {
        /// The rate at which it was.
        learning_rate: f64,
    },
    /// With a loss that is no number.
    NotANumber {
        /// The rate at which it was.
        learning_rate: f64,
    },
}

/// The losses of a range test.
///
/// # Source
///
/// fastai 2.8.12, `learner.py` (`AvgSmoothLoss`) and `callback/schedule.py` (`LRFinder`).
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    points: Vec<Point>,
    end: End,
    /// Of the losses, before its bias to zero is corrected.
    average: f64,
    /// The weight that a zero still has in it.
    bias: f64,
    best: f64,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            end: End::Completed,
            average: 0.0,
            bias: 1.0,
            best: f64::INFINITY,
        }
    }
}

impl Curve {
    /// Adds a step's loss, and says whether that was the last.
    pub fn push(&mut self, learning_rate: f64, loss: f64) -> ControlFlow<()> {
        if !loss.is_finite() {
            self.end = End::NotANumber { learning_rate };
            return ControlFlow::Break(());
        }
        self.average = BETA * self.average + (1.0 - BETA) * loss;
        self.bias *= BETA;
        let smoothed = self.average / (1.0 - self.bias);
        self.points.push(Point { learning_rate, loss, smoothed });
        self.best = self.best.min(smoothed);
        if DIVERGED * self.best < smoothed {
            self.end = End::Diverged { learning_rate };
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// The steps whose loss is a number.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// How the test ended.
    pub fn end(&self) -> End {
        self.end
    }

    /// The steps from which a rate is suggested, of a test of so many steps: not the first tenth,
    /// nor the last five. fastai goes on where a loss is no number, so there the last five are those
    /// that would have come.
    pub fn judged(&self, steps: usize) -> &[Point] {
        let end = match self.end {
            End::Completed | End::Diverged { .. } => self.points.len().saturating_sub(LAST),
            End::NotANumber { .. } => self.points.len().min(steps.saturating_sub(LAST)),
        };
        self.points.get(steps / 10..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(losses: &[f64]) -> Curve {
        let mut curve = Curve::default();
        for (step, &loss) in losses.iter().enumerate() {
            if curve.push(step as f64, loss).is_break() {
                break;
            }
        }
        curve
    }

    #[test]
    fn the_mean_of_equal_losses_is_that_loss_from_the_first_step_on() {
        let curve = curve(&[3.0; 20]);
        // The correction divides by numbers near 0, which costs some last places.
        assert!(curve.points().iter().all(|point| (point.smoothed - 3.0).abs() < 1e-12));
        assert_eq!((curve.end(), curve.judged(20).len()), (End::Completed, 13));
    }

    #[test]
    fn the_test_ends_at_four_times_the_best_and_at_what_is_no_number() {
        let diverged = curve(&[1.0, 1.0, 9.9, 9.9, 9.9]);
        assert_eq!(diverged.end(), End::Diverged { learning_rate: 2.0 });
        assert_eq!(diverged.points().len(), 3);
        let no_number = curve(&[1.0, f64::NAN, 1.0]);
        assert_eq!(no_number.end(), End::NotANumber { learning_rate: 1.0 });
        assert_eq!(no_number.points().len(), 1);
    }

    #[test]
    fn a_test_that_ends_at_once_leaves_nothing_to_judge() {
        assert!(curve(&[f64::INFINITY]).judged(10).is_empty());
        assert!(curve(&[1.0; 3]).judged(10).is_empty());
    }
}
