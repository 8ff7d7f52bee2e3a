//! Whether a model is right as often as it says, and the one number that mends it.

mod logits;
mod reliability;

pub use logits::{CalibrationError, Logits};
pub use reliability::{Bin, expected_calibration_error, reliability_bins};

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

/// The number of bins that Guo et al. use.
pub const DEFAULT_BINS: NonZeroUsize = NonZeroUsize::new(15).expect("15 is not 0");

/// What logits are divided by before softmax; above 1 it makes a model less sure of itself. No
/// prediction changes, only its probability.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Temperature(f64);

/// How far a temperature wanders when a loss has no minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Every image is right, so the surer the better.
    Zero,
    /// The truth's logits are no higher than the others, so the less sure the better.
    Infinity,
}

/// How well probabilities fit what came true.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Mean negative logarithm of the truth's probability.
    pub cross_entropy: f64,
    /// Mean squared distance of the probabilities from the truth, summed over classes: 0 to 2.
    pub brier: f64,
    /// With [`DEFAULT_BINS`] bins; 0 to 1.
    pub expected_calibration_error: f64,
}

impl Temperature {
    /// Leaves logits as they are.
    pub const ONE: Temperature = Temperature(1.0);

    /// Checks the number.
    ///
    /// # Errors
    ///
    /// [`CalibrationError::Temperature`] if it is not finite or not above 0, or so near it that 1 / T
    /// is infinite.
    pub fn new(value: f64) -> Result<Self, CalibrationError> {
        if value.is_normal() && 0.0 < value {
            return Ok(Self(value));
        }
        Err(CalibrationError::Temperature { found: value })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The temperature with the lowest mean cross-entropy, which the images must not have been
    /// chosen by or trained on.
    ///
    /// # Errors
    ///
    /// [`CalibrationError::NoMinimum`] if the loss falls forever towards a [`Limit`], above all
    /// where every image is right; [`Temperature::ONE`] then is as good a choice as any.
    ///
    /// # Source
    ///
    /// Guo et al., On Calibration of Modern Neural Networks (ICML 2017), section 4.2. In 1 / T the
    /// loss is convex, so its one stationary point is bracketed exactly and then found by Newton's
    /// steps in ln T, halving where a step leaves the bracket.
    pub fn fit(logits: &Logits<'_>) -> Result<Self, CalibrationError> {
        // The slope at 1 / T = 0 and in the limit of infinity decide whether there is a minimum.
        if slope_at_infinite_temperature(logits) >= 0.0 {
            return Err(CalibrationError::NoMinimum { towards: Limit::Infinity });
        }
        if logits.rows().all(|row| row.highest() <= row.truth()) {
            return Err(CalibrationError::NoMinimum { towards: Limit::Zero });
        }
        let (mut lower, mut upper) = bracket(logits)?;
        let mut log_inverse = f64::midpoint(lower, upper);
        // Halving alone needs 60 rounds for the widest bracket.
        for _ in 0..100 {
            let Slope { first, second } = slope(logits, log_inverse);
            if first < 0.0 {
                lower = log_inverse;
            } else {
                upper = log_inverse;
            }
            let newton = log_inverse - first / second;
            let next = if lower <= newton && newton <= upper {
                newton
            } else {
                f64::midpoint(lower, upper)
            };
            let step = (next - log_inverse).abs();
            log_inverse = next;
            if step < 1e-14 {
                break;
            }
        }
        Self::new((-log_inverse).exp())
    }

    /// How good the probabilities of these logits are at this temperature.
    #[expect(clippy::missing_panics_doc, reason = "finite logits have probabilities of 0 to 1")]
    pub fn quality(self, logits: &Logits<'_>) -> Quality {
        let count = logits.len() as f64;
        let (mut cross_entropy, mut brier) = (0.0, 0.0);
        let (mut confidences, mut hits) = (Vec::new(), Vec::new());
        for row in logits.rows() {
            let probabilities = row.probabilities(1.0 / self.0);
            let truth = probabilities[row.label];
            // Not the logarithm of a probability, which may have become 0.
            cross_entropy += row.cross_entropy(1.0 / self.0);
            brier += probabilities.iter().map(|probability| probability.powi(2)).sum::<f64>()
                - truth.powi(2)
                + (1.0 - truth).powi(2);
            let predicted = row.predicted();
            confidences.push(probabilities[predicted]);
            hits.push(predicted == row.label);
        }
        let error = expected_calibration_error(&confidences, &hits, DEFAULT_BINS);
        Quality {
            cross_entropy: cross_entropy / count,
            brier: brier / count,
            expected_calibration_error: error.expect("softmax of finite logits lies in 0 to 1"),
        }
    }
}

impl TryFrom<f64> for Temperature {
    type Error = CalibrationError;

    fn try_from(value: f64) -> Result<Self, CalibrationError> {
        Self::new(value)
    }
}

impl From<Temperature> for f64 {
    fn from(temperature: Temperature) -> f64 {
        temperature.0
    }
}

/// The derivatives of the mean cross-entropy's slope in 1 / T.
struct Slope {
    /// By 1 / T, of the loss.
    first: f64,
    /// Of `first` by ln (1 / T).
    second: f64,
}

fn slope(logits: &Logits<'_>, log_inverse: f64) -> Slope {
    let inverse = log_inverse.exp();
    let (mut first, mut second) = (0.0, 0.0);
    for row in logits.rows() {
        let probabilities = row.probabilities(inverse);
        // Distances from the truth, so that a sure and right image adds exactly nothing.
        let distances = || row.values.iter().map(|&value| f64::from(value) - row.truth());
        let mean: f64 = probabilities.iter().zip(distances()).map(|(p, value)| p * value).sum();
        let square = |(p, value): (&f64, f64)| p * (value - mean).powi(2);
        first += mean;
        second += inverse * probabilities.iter().zip(distances()).map(square).sum::<f64>();
    }
    let count = logits.len() as f64;
    Slope { first: first / count, second: second / count }
}

fn slope_at_infinite_temperature(logits: &Logits<'_>) -> f64 {
    let distance = |row: logits::Row<'_>| {
        let sum: f64 = row.values.iter().map(|&value| f64::from(value) - row.truth()).sum();
        sum / row.values.len() as f64
    };
    logits.rows().map(distance).sum::<f64>() / logits.len() as f64
}

/// Logarithms of 1 / T between which the slope changes its sign.
fn bracket(logits: &Logits<'_>) -> Result<(f64, f64), CalibrationError> {
    // exp(700) is near the largest f64; distances of f32 fit into what is left of it.
    const WIDEST: f64 = 600.0;
    let mut reach = 1.0;
    let is_falling = slope(logits, 0.0).first < 0.0;
    let (sign, towards) = if is_falling { (1.0, Limit::Zero) } else { (-1.0, Limit::Infinity) };
    while reach <= WIDEST {
        if (slope(logits, sign * reach).first < 0.0) != is_falling {
            let (near, far) = (sign * reach / 2.0, sign * reach);
            // The first reach is held against 0, not against its half.
            let near = if reach > 1.0 { near } else { 0.0 };
            return Ok((f64::min(near, far), f64::max(near, far)));
        }
        reach *= 2.0;
    }
    Err(CalibrationError::NoMinimum { towards })
}

#[cfg(test)]
mod tests;
