//! Numbers of a recipe that are checked when they are read.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number that its setting does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("{setting} is {found}, expected {expected}")]
pub struct SettingError {
    /// The setting's name, or the names that share its range.
    pub setting: &'static str,
    /// What stood there.
    pub found: f64,
    /// The range in words.
    pub expected: &'static str,
}

macro_rules! setting {
    ($(#[$doc:meta])* $name:ident, $setting:literal, $expected:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// Checks the number.
            ///
            /// # Errors
            ///
            /// [`SettingError`] if it is out of range or not a number.
            pub fn new(value: f64) -> Result<Self, SettingError> {
                let holds: fn(f64) -> bool = $holds;
                if holds(value) {
                    return Ok(Self(value));
                }
                Err(SettingError { setting: $setting, found: value, expected: $expected })
            }

            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = SettingError;

            fn try_from(value: f64) -> Result<Self, SettingError> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(setting: $name) -> f64 {
                setting.get()
            }
        }
    };
}

setting!(
    /// An optimizer's step size: finite and above 0.
    LearningRate, "`learning_rate`", "a finite number above 0",
    |value| value.is_finite() && 0.0 < value
);
setting!(
    /// The share of its old value that a running average keeps: at least 0 and below 1.
    DecayRate, "`momentum`, `rho`, `beta_1` or `beta_2`", "at least 0 and below 1",
    |value| (0.0..1.0).contains(&value)
);
setting!(
    /// What keeps a division away from zero: finite and above 0.
    Epsilon, "`epsilon`", "a finite number above 0",
    |value| value.is_finite() && 0.0 < value
);
setting!(
    /// The share of a weight, in learning rates, that a step takes from it: finite and at least 0.
    WeightDecay, "`weight_decay`", "a finite number, at least 0",
    |value| value.is_finite() && 0.0 <= value
);
impl WeightDecay {
    /// Whether nothing is taken.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(crate) fn is_none(&self) -> bool {
        self.0 == 0.0
    }
}

setting!(
    /// What of a weight is added to its gradient: finite and at least 0.
    L2Penalty, "`l2`", "a finite number, at least 0",
    |value| value.is_finite() && 0.0 <= value
);
impl L2Penalty {
    /// Whether nothing is added.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(crate) fn is_none(&self) -> bool {
        self.0 == 0.0
    }
}

setting!(
    /// How large a gradient may be: finite and above 0.
    Threshold, "a threshold of `clip`", "a finite number above 0",
    |value| value.is_finite() && 0.0 < value
);
setting!(
    /// What a learning rate is multiplied by to reduce it: above 0 and below 1.
    Factor, "`factor`", "above 0 and below 1",
    |value| 0.0 < value && value < 1.0
);
setting!(
    /// A part of all images: above 0 and below 1.
    Share, "`share`", "above 0 and below 1",
    |value| 0.0 < value && value < 1.0
);
setting!(
    /// The share of the learning rate with which a stage begins or ends: from 0 to 1.
    RateShare, "`start_factor` or `final`", "from 0 to 1",
    |value| (0.0..=1.0).contains(&value)
);
setting!(
    /// The share of a cycle's steps in which the rate rises: above 0 and below 1.
    RisingShare, "`pct_start`", "above 0 and below 1",
    |value| 0.0 < value && value < 1.0
);
setting!(
    /// How much smaller a rate is than a cycle's highest, or than its first: finite and at least 1.
    RateDivisor, "`div_factor` or `final_div_factor`", "a finite number, at least 1",
    |value| value.is_finite() && 1.0 <= value
);
setting!(
    /// How a block's rate compares with that of the block above it: above 0, at most 1.
    BlockDecay, "`decay_per_block`", "above 0, at most 1",
    |value| 0.0 < value && value <= 1.0
);
setting!(
    /// The lowest learning rate that a schedule may set: finite and at least 0.
    MinLearningRate, "`min_learning_rate`", "a finite number, at least 0",
    |value| value.is_finite() && 0.0 <= value
);
setting!(
    /// How much better than the best a value must be to count: finite and at least 0.
    MinDelta, "`min_delta`", "a finite number, at least 0",
    |value| value.is_finite() && 0.0 <= value
);
setting!(
    /// A value that a metric has to beat: finite.
    Baseline, "`baseline`", "a finite number",
    f64::is_finite
);

setting!(
    /// How much of a label is spread over all identities: at least 0 and below 1.
    LabelSmoothing, "`label_smoothing`", "at least 0 and below 1",
    |value| (0.0..1.0).contains(&value)
);
impl LabelSmoothing {
    /// Labels as they are.
    pub const NONE: Self = Self(0.0);

    /// Whether labels are left as they are.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(crate) fn is_none(&self) -> bool {
        self.0 == 0.0
    }

    /// The number as losses take it.
    #[expect(clippy::cast_possible_truncation, reason = "losses are f32")]
    pub(crate) fn as_f32(self) -> f32 {
        self.0 as f32
    }
}

setting!(
    /// Both parameters of the Beta distribution that mixup draws shares from: finite and above 0.
    MixupAlpha, "`mixup`", "a finite number above 0",
    |value| value.is_finite() && 0.0 < value
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_they_say() {
        assert!(LearningRate::new(f64::MIN_POSITIVE).is_ok());
        assert!(LearningRate::new(0.0).is_err());
        assert!(DecayRate::new(0.0).is_ok());
        assert!(DecayRate::new(1.0).is_err());
        assert!(Epsilon::new(0.0).is_err());
        assert!(Factor::new(0.0).is_err());
        assert!(Factor::new(1.0).is_err());
        assert!(Share::new(0.0).is_err());
        assert!(Share::new(0.1).is_ok());
        assert!(Share::new(1.0).is_err());
        assert!(MinLearningRate::new(0.0).is_ok());
        assert!(MinDelta::new(-1e-9).is_err());
        assert!(Baseline::new(-1.0).is_ok());
        assert!(LabelSmoothing::new(0.0).is_ok());
        assert!(LabelSmoothing::new(-0.1).is_err());
        assert!(LabelSmoothing::new(1.0).is_err());
        assert!(MixupAlpha::new(f64::MIN_POSITIVE).is_ok());
        assert!(MixupAlpha::new(0.0).is_err());
        assert!(L2Penalty::new(0.0).is_ok());
        assert!(L2Penalty::new(-1e-9).is_err());
        assert!(RateShare::new(0.0).is_ok() && RateShare::new(1.0).is_ok());
        assert!(RateShare::new(-1e-9).is_err());
        assert!(RisingShare::new(0.0).is_err() && RisingShare::new(1.0).is_err());
        assert!(RateDivisor::new(1.0).is_ok());
        assert!(RateDivisor::new(0.99).is_err());
        assert!(BlockDecay::new(1.0).is_ok());
        assert!(BlockDecay::new(0.0).is_err());
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for value in [f64::NAN, f64::INFINITY] {
            assert!(LearningRate::new(value).is_err());
            assert!(DecayRate::new(value).is_err());
            assert!(Epsilon::new(value).is_err());
            assert!(Factor::new(value).is_err());
            assert!(Share::new(value).is_err());
            assert!(MinLearningRate::new(value).is_err());
            assert!(MinDelta::new(value).is_err());
            assert!(Baseline::new(value).is_err());
            assert!(LabelSmoothing::new(value).is_err());
            assert!(MixupAlpha::new(value).is_err());
            assert!(L2Penalty::new(value).is_err());
            assert!(RateShare::new(value).is_err());
            assert!(RisingShare::new(value).is_err());
            assert!(RateDivisor::new(value).is_err());
            assert!(BlockDecay::new(value).is_err());
        }
    }

    #[test]
    fn a_refusal_names_setting_found_and_expected() {
        let message = Factor::new(1.5).unwrap_err().to_string();
        assert_eq!(message, "`factor` is 1.5, expected above 0 and below 1");
    }
}
