//! How much of a head's hidden layers is dropped in training.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The share of units that dropout sets to zero: at least 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct DropoutRate(f64);

// A rate is a number, which equals itself.
impl Eq for DropoutRate {}

impl DropoutRate {
    /// Nothing is dropped.
    pub(crate) const NONE: Self = Self(0.0);
    /// The Keras blog's.
    pub(crate) const HALF: Self = Self(0.5);

    /// Checks the rate.
    ///
    /// # Errors
    ///
    /// [`Error::DropoutRate`] if it is out of range, would round to 1 in f32, or is not a number.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is the rounded rate that must be below 1"
    )]
    pub fn new(rate: f64) -> Result<Self, Error> {
        if 0.0 <= rate && (rate as f32) < 1.0 {
            return Ok(Self(rate));
        }
        Err(Error::DropoutRate { found: rate })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The number as a layer takes it.
    #[expect(clippy::cast_possible_truncation, reason = "layers compute in f32")]
    pub(crate) fn as_f32(self) -> f32 {
        self.0 as f32
    }

    /// Whether nothing is dropped.
    pub fn is_zero(self) -> bool {
        self.0 == 0.0
    }
}

impl TryFrom<f64> for DropoutRate {
    type Error = Error;

    fn try_from(rate: f64) -> Result<Self, Error> {
        Self::new(rate)
    }
}

impl From<DropoutRate> for f64 {
    fn from(rate: DropoutRate) -> f64 {
        rate.get()
    }
}

/// What is dropped behind each hidden layer of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeadDropout {
    /// What the head is known by: a half for [`Head::Bottleneck`](crate::Head::Bottleneck), nothing for the others.
    #[default]
    Usual,
    /// This share, whichever head it is.
    Rate(DropoutRate),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lies_from_0_to_below_1() {
        for rate in [0.0, 0.5, 0.999] {
            assert!((DropoutRate::new(rate).unwrap().get() - rate).abs() < f64::EPSILON);
        }
        // The last is below 1 and rounds to 1 in f32, where what is kept would be scaled by infinity.
        for rate in [-0.1, 1.0, f64::NAN, f64::INFINITY, 1.0 - 1e-12] {
            assert!(matches!(DropoutRate::new(rate), Err(Error::DropoutRate { .. })), "{rate}");
        }
    }

    #[test]
    fn a_rate_reads_back_as_it_was_written() {
        let rate: DropoutRate = serde_json::from_str("0.3").unwrap();
        assert_eq!(serde_json::to_string(&rate).unwrap(), "0.3");
        let refused = serde_json::from_str::<DropoutRate>("1.0").unwrap_err();
        assert!(refused.to_string().contains("at least 0 and below 1"), "{refused}");
    }
}
