//! What makes a run the same run.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::{folds::SplitKind, recipe::Recipe};

/// Version of a run's files.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// What runs into one folder must have in common, to complete one another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunIdentity {
    /// Of the run's files.
    pub format_version: u32,
    /// The recipe as resolved.
    pub recipe: String,
    /// Of the prepared set.
    pub data_sha256: String,
    /// Of the groups of near duplicates, where there are any and the recipe's split or its inner
    /// validation goes by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_sha256: Option<String>,
    /// Of the weights file, or `random`.
    pub weights_sha256: String,
    /// How the folds are drawn.
    pub split: SplitKind,
    /// How many there are.
    pub num_folds: usize,
    /// How often the images are dealt.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeats: NonZeroUsize,
    /// Of every random stream.
    pub seed: u32,
    /// Where the run found what it is made from; another run may have found the same elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Places>,
}

/// Where a run found what it is made from, as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// The prepared set.
    pub data: String,
    /// The weights file, or `random`.
    pub weights: String,
    /// Whether its report is to have no faces.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_faces: bool,
}

/// Runs of before folds could be repeated do not say how often.
pub(super) fn once() -> NonZeroUsize {
    NonZeroUsize::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn is_once(repeats: &NonZeroUsize) -> bool {
    repeats.get() == 1
}

impl RunIdentity {
    /// The first thing in which another run differs: what, its value here, its value there.
    pub(crate) fn difference_from(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let groups = |run: &Self| run.groups_sha256.as_deref().unwrap_or("none").to_owned();
        let words = |run: &Self| {
            [
                ("the format version", run.format_version.to_string()),
                ("the data's SHA-256", run.data_sha256.clone()),
                ("the near duplicates' SHA-256", groups(run)),
                ("the weights' SHA-256", run.weights_sha256.clone()),
                ("the split", run.split.to_string()),
                ("the number of folds", run.num_folds.to_string()),
                ("the number of repeats", run.repeats.to_string()),
                ("the seed", run.seed.to_string()),
            ]
        };
        for ((what, here), (_, there)) in words(self).into_iter().zip(words(other)) {
            if here != there {
                return Some((what, here, there));
            }
        }
        self.difference_of_recipe(other)
    }

    /// Recipes are the same if they mean the same: an older version may have left out or written out
    /// other defaults.
    fn difference_of_recipe(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let meaning = |text: &str| {
            let recipe = Recipe::parse("recipe.toml", text).map(|recipe| recipe.to_toml());
            recipe.unwrap_or_else(|_| text.to_owned())
        };
        let (here, there) = (meaning(&self.recipe), meaning(&other.recipe));
        if here == there {
            return None;
        }
        let mut lines = here.lines().zip(there.lines());
        let (here, there) = match lines.find(|(here, there)| here != there) {
            Some((here, there)) => (format!("`{here}`"), format!("`{there}`")),
            None => ("of another length".to_owned(), "longer or shorter".to_owned()),
        };
        Some(("the recipe", here, there))
    }
}
