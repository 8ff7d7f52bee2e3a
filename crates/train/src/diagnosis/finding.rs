//! What a check says: a finding with its number and its remedy, silence, or why it did not run.

use serde::{Deserialize, Deserializer, Serialize};

/// Every check, in the order of [`Check::rank`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Check {
    /// A rate that moves pretrained weights too far at each step.
    BaseRate,
    /// One model through all folds.
    ModelPerFold,
    /// Validation images of people without a training image.
    Coverage,
    /// Pixels of another range than 0 to 255.
    ValueRange,
    /// Channel means subtracted twice, or not at all.
    MeanSubtraction,
    /// Images that are all but the same.
    ConstantImages,
    /// A base that sees the same in every photograph.
    FeatureSpread,
    /// Another presentation of the pixels under which the base tells people apart far better.
    Presentation,
    /// Red and blue exchanged.
    ChannelOrder,
    /// Parameters that are from the file.
    FromFile,
    /// A random base that stays frozen.
    RandomBase,
    /// Layers from the file that look like initial values.
    InitializerLike,
    /// What the frozen base alone can do.
    FrozenBaseline,
    /// A loss that is clipped and has no gradient any more.
    ClippedSaturation,
    /// The clipped loss, chosen.
    ClippedLoss,
    /// How far a step moves the weights, measured while training.
    UpdateRatio,
    /// The size of gradients, measured while training.
    GradientNorm,
    /// The loss before the first step, and whether it stays a number.
    InitialLoss,
    /// Whether a few images can be learned by heart.
    OverfitBatch,
    /// Predictions that are all of one person.
    Collapse,
    /// Units that are zero for every image.
    DeadUnits,
    /// How far the base's features have moved.
    FeatureDrift,
    /// A loss that stays where a constant prediction is.
    FlatLoss,
    /// The trained network against the frozen base alone.
    BaselineBeaten,
    /// Training improves and validation does not.
    Overfitting,
    /// Validation better in each fold than in the one before.
    FoldTrend,
    /// Copies of a photograph on both sides of a fold.
    Duplicates,
    /// Near copies of a photograph on both sides of a fold.
    NearDuplicates,
    /// The validation fold chooses when to stop.
    ValidationReuse,
    /// A schedule that watches the training images.
    Monitors,
    /// People with fewer photographs than folds.
    SmallIdentities,
    /// One person has much of the photographs.
    Imbalance,
    /// New parameters for each training image.
    HeadSize,
    /// Photographs without color.
    GrayImages,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The run cannot learn, or its figures do not mean what they say.
    Error,
    /// The run will likely be worse than it could be, or its figures are too good.
    Warning,
    /// Worth knowing.
    Note,
}

/// On which side of its threshold a number is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Healthy {
    /// Up to the threshold.
    AtMost,
    /// From the threshold on.
    AtLeast,
}

/// The number that a check looks at, and its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What the number is, with its unit.
    pub what: String,
    /// The number; in JSON null, if it is none.
    #[serde(deserialize_with = "number_or_null")]
    pub value: f64,
    /// The threshold.
    pub threshold: f64,
    /// Which side of it is healthy.
    pub healthy: Healthy,
}

/// JSON has no word for what is no number.
fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Remedy {
    /// A key of the recipe with the value to give it, as TOML.
    Recipe {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A command, or options for one.
    Command {
        /// As it is typed.
        command: String,
    },
    /// What no key and no command does.
    Advice {
        /// One sentence.
        text: String,
    },
}

/// Something that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Who found it.
    pub check: Check,
    /// How bad it is.
    pub level: Level,
    /// One sentence, in words that a user of Keras knows.
    pub verdict: String,
    /// The number behind it.
    pub measurement: Measurement,
    /// What to do.
    pub remedy: Remedy,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It found something.
    Found(Finding),
    /// It ran and found nothing.
    Silent {
        /// Who.
        check: Check,
        /// The number it was silent at.
        measurement: Measurement,
    },
    /// It did not run, and so says nothing of the run's health.
    Skipped {
        /// Who.
        check: Check,
        /// Why, as the end of "skipped: ".
        why: String,
    },
}

impl Check {
    /// All of them, by rank.
    pub const ALL: [Self; 34] = {
        use Check as C;
        [
            C::BaseRate,
            C::ModelPerFold,
            C::Coverage,
            C::ValueRange,
            C::MeanSubtraction,
            C::ConstantImages,
            C::FeatureSpread,
            C::Presentation,
            C::ChannelOrder,
            C::FromFile,
            C::RandomBase,
            C::InitializerLike,
            C::FrozenBaseline,
            C::ClippedSaturation,
            C::ClippedLoss,
            C::UpdateRatio,
            C::GradientNorm,
            C::InitialLoss,
            C::OverfitBatch,
            C::Collapse,
            C::DeadUnits,
            C::FeatureDrift,
            C::FlatLoss,
            C::BaselineBeaten,
            C::Overfitting,
            C::FoldTrend,
            C::Duplicates,
            C::NearDuplicates,
            C::ValidationReuse,
            C::Monitors,
            C::SmallIdentities,
            C::Imbalance,
            C::HeadSize,
            C::GrayImages,
        ]
    };

    /// Its place among causes of not learning, from 0: the lower, the likelier to be the cause
    /// where several are found at the same level.
    ///
    /// First what kills the question's run by itself (a rate that wrecks the base, one model
    /// through all folds, people who are only in the validation fold), then input that the base
    /// cannot read, then a base that is none; then what the three lead to; then what makes figures
    /// too good, and what only makes them worse.
    pub fn rank(self) -> usize {
        self as usize
    }

    /// What it needs, in the words of a reason why it did not run.
    pub(super) fn needs(self) -> &'static str {
        use Check as C;
        match self {
            C::FlatLoss | C::Overfitting | C::FoldTrend | C::BaselineBeaten => {
                "it needs epochs, and `train` looks at it"
            }
            C::FeatureSpread | C::Presentation | C::FrozenBaseline | C::NearDuplicates => {
                "it needs the network to look at photographs, as `diagnose` does"
            }
            C::DeadUnits => "the head has no hidden layer, or no step was taken",
            _ => "it needs first steps, as `diagnose` takes them",
        }
    }

    /// Symptoms that this check, as an error or a warning, explains: they then stand under it.
    pub fn explains(self) -> &'static [Check] {
        use Check as C;
        match self {
            C::BaseRate => &[
                C::BaselineBeaten,
                C::ClippedSaturation,
                C::ClippedLoss,
                C::UpdateRatio,
                C::GradientNorm,
                C::Collapse,
                C::DeadUnits,
                C::FeatureDrift,
                C::FlatLoss,
                C::OverfitBatch,
            ],
            C::ModelPerFold => &[C::BaselineBeaten, C::FoldTrend],
            C::Coverage => &[C::BaselineBeaten, C::Overfitting],
            C::ValueRange => &[
                C::MeanSubtraction,
                C::ConstantImages,
                C::FeatureSpread,
                C::Presentation,
                C::FrozenBaseline,
                C::FlatLoss,
                C::Collapse,
            ],
            C::MeanSubtraction => &[C::Presentation, C::ChannelOrder, C::FrozenBaseline],
            C::ConstantImages => &[
                C::FeatureSpread,
                C::Presentation,
                C::FrozenBaseline,
                C::FlatLoss,
                C::Collapse,
                C::OverfitBatch,
            ],
            C::FeatureSpread => &[C::Presentation, C::FrozenBaseline, C::FlatLoss, C::Collapse],
            C::Presentation => &[C::FrozenBaseline],
            C::RandomBase => &[C::FrozenBaseline, C::OverfitBatch, C::Collapse, C::FlatLoss],
            C::FromFile | C::InitializerLike => &[C::FrozenBaseline, C::FlatLoss],
            C::ClippedSaturation => &[
                C::ClippedLoss,
                C::GradientNorm,
                C::Collapse,
                C::DeadUnits,
                C::FlatLoss,
                C::OverfitBatch,
            ],
            C::UpdateRatio => {
                &[C::Collapse, C::DeadUnits, C::FeatureDrift, C::FlatLoss, C::OverfitBatch]
            }
            C::Collapse => &[C::FlatLoss],
            _ => &[],
        }
    }

    /// Its name, as in JSON.
    ///
    /// # Panics
    ///
    /// Never: a check is written as a string.
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .expect("a check is written as a string")
    }
}

impl Measurement {
    /// A number that is healthy up to `threshold`.
    pub fn at_most(what: impl Into<String>, value: f64, threshold: f64) -> Self {
        Self { what: what.into(), value, threshold, healthy: Healthy::AtMost }
    }

    /// A number that is healthy from `threshold` on.
    pub fn at_least(what: impl Into<String>, value: f64, threshold: f64) -> Self {
        Self { what: what.into(), value, threshold, healthy: Healthy::AtLeast }
    }

    /// Whether the number is on the healthy side; what is no number never is.
    pub fn is_healthy(&self) -> bool {
        match self.healthy {
            Healthy::AtMost => self.value <= self.threshold,
            Healthy::AtLeast => self.threshold <= self.value,
        }
    }
}

impl Remedy {
    /// A key of the recipe and its value.
    pub fn recipe(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Recipe { key: key.into(), value: value.into() }
    }

    /// A command or its options.
    pub fn command(command: impl Into<String>) -> Self {
        Self::Command { command: command.into() }
    }

    /// Something to do by hand.
    pub fn advice(text: impl Into<String>) -> Self {
        Self::Advice { text: text.into() }
    }
}

impl Outcome {
    /// Silence if the number is healthy, else what `found` says of it.
    pub(crate) fn judge(
        check: Check,
        measurement: Measurement,
        found: impl FnOnce() -> (Level, String, Remedy),
    ) -> Self {
        if measurement.is_healthy() {
            return Self::Silent { check, measurement };
        }
        let (level, verdict, remedy) = found();
        Self::Found(Finding { check, level, verdict, measurement, remedy })
    }

    /// A check that could not run.
    pub fn skipped(check: Check, why: impl Into<String>) -> Self {
        Self::Skipped { check, why: why.into() }
    }

    /// Who says it.
    pub fn check(&self) -> Check {
        match self {
            Self::Found(finding) => finding.check,
            Self::Silent { check, .. } | Self::Skipped { check, .. } => *check,
        }
    }

    /// What was found, if anything.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Found(finding) => Some(finding),
            Self::Silent { .. } | Self::Skipped { .. } => None,
        }
    }
}

/// What mends steps that are too large, where it is not known that a frozen base would.
pub(super) fn lower_the_rate() -> Remedy {
    Remedy::advice(
        "Lower the stage's learning_rate tenfold (`cargo xtask find-rate`), or train the head on the \
         frozen base first (`--recipe two-stage`).",
    )
}

/// A share as a percentage with one digit.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_back_from_json_as_itself() {
        let outcome = Outcome::Found(Finding {
            check: Check::NearDuplicates,
            level: Level::Warning,
            verdict: "v".to_owned(),
            measurement: Measurement::at_most("images", 3.0, 0.0),
            remedy: Remedy::recipe("split", "\"stratified\""),
        });
        let text = serde_json::to_string(&outcome).unwrap();
        assert!(text.contains(r#""outcome":"found","check":"near-duplicates""#), "{text}");
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
        let none = Measurement::at_most("x", f64::INFINITY, 1.0);
        let text = serde_json::to_string(&none).unwrap();
        assert!(serde_json::from_str::<Measurement>(&text).unwrap().value.is_nan(), "{text}");
    }

    #[test]
    fn no_number_is_never_healthy() {
        assert!(!Measurement::at_most("x", f64::NAN, 1.0).is_healthy());
        assert!(!Measurement::at_least("x", f64::NAN, 1.0).is_healthy());
        assert!(Measurement::at_most("x", 1.0, 1.0).is_healthy());
        assert!(!Measurement::at_least("x", 0.5, 1.0).is_healthy());
    }

    #[test]
    fn what_explains_ranks_before_what_it_explains() {
        for (rank, cause) in Check::ALL.into_iter().enumerate() {
            assert_eq!(cause.rank(), rank);
            assert!(cause.explains().iter().all(|symptom| cause.rank() < symptom.rank()));
        }
    }
}
