//! Every check by name: its place among causes, and what it explains.

use serde::{Deserialize, Serialize};

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
    /// Units that are zero for every image.
    DeadUnits,
    /// The size of gradients, measured while training.
    GradientNorm,
    /// The loss before the first step, and whether it stays a number.
    InitialLoss,
    /// Whether a few images can be learned by heart.
    OverfitBatch,
    /// Predictions that are all of one person.
    Collapse,
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
    /// Faces that fill little of the images.
    LooseFrames,
    /// People with fewer photographs than folds.
    SmallIdentities,
    /// One person has much of the photographs.
    Imbalance,
    /// New parameters for each training image.
    HeadSize,
    /// Photographs without color.
    GrayImages,
}

impl Check {
    /// All of them, by rank.
    pub const ALL: [Self; 35] = {
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
            C::DeadUnits,
            C::GradientNorm,
            C::InitialLoss,
            C::OverfitBatch,
            C::Collapse,
            C::FeatureDrift,
            C::FlatLoss,
            C::BaselineBeaten,
            C::Overfitting,
            C::FoldTrend,
            C::Duplicates,
            C::NearDuplicates,
            C::ValidationReuse,
            C::Monitors,
            C::LooseFrames,
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
            C::FeatureSpread | C::Presentation | C::FrozenBaseline | C::LooseFrames => {
                "it needs the network to look at photographs, as `diagnose` does"
            }
            C::NearDuplicates => {
                "it needs the base's features of all photographs, and `diagnose` looks at it where a \
                 run has kept them"
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
                C::LooseFrames,
            ],
            C::MeanSubtraction => {
                &[C::Presentation, C::ChannelOrder, C::FrozenBaseline, C::LooseFrames]
            }
            C::ConstantImages => &[
                C::FeatureSpread,
                C::Presentation,
                C::FrozenBaseline,
                C::FlatLoss,
                C::Collapse,
                C::OverfitBatch,
            ],
            C::FeatureSpread => {
                &[C::Presentation, C::FrozenBaseline, C::FlatLoss, C::Collapse, C::LooseFrames]
            }
            C::Presentation => &[C::FrozenBaseline, C::LooseFrames],
            C::RandomBase => &[C::FrozenBaseline, C::OverfitBatch, C::Collapse, C::FlatLoss],
            C::FromFile | C::InitializerLike => &[C::FrozenBaseline, C::FlatLoss, C::LooseFrames],
            C::ClippedSaturation => &[
                C::ClippedLoss,
                C::GradientNorm,
                C::Collapse,
                C::DeadUnits,
                C::FlatLoss,
                C::OverfitBatch,
            ],
            C::UpdateRatio => &[
                C::DeadUnits,
                C::GradientNorm,
                C::OverfitBatch,
                C::Collapse,
                C::FeatureDrift,
                C::FlatLoss,
            ],
            C::DeadUnits => {
                &[C::GradientNorm, C::OverfitBatch, C::Collapse, C::FlatLoss, C::BaselineBeaten]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_check_by_rank() {
        let rows = include_str!("README.md").lines().filter_map(|line| line.strip_prefix("| `"));
        let found: Vec<&str> = rows.filter_map(|row| Some(row.split_once('`')?.0)).collect();
        assert_eq!(found, Check::ALL.map(Check::name));
    }

    #[test]
    fn what_explains_ranks_before_what_it_explains() {
        for (rank, cause) in Check::ALL.into_iter().enumerate() {
            assert_eq!(cause.rank(), rank);
            assert!(cause.explains().iter().all(|symptom| cause.rank() < symptom.rank()));
        }
    }
}
