//! Which images train and which validate, dealt index for index as scikit-learn deals them.

mod dealing;
mod error;
mod grouped;
mod k_fold;
mod stratified;

pub use error::{FoldsError, FoldsWarning};
pub use grouped::grouped_k_fold;
pub use k_fold::k_fold;
pub use stratified::stratified_k_fold;

use std::{fmt, num::NonZeroUsize};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use dealing::{Shuffling, gather, images_per_label};

/// How images are dealt to folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// Each identity spread evenly over the folds: `StratifiedKFold(shuffle=True)`.
    Stratified,
    /// Drawn without regard to identities: `KFold(shuffle=True)`.
    Shuffled,
    /// Cut in the order of the data set: `KFold()`.
    ///
    /// With images in order of identity, whole identities then have no image to train on.
    Contiguous,
    /// No group of near duplicates parted, each identity as even as that allows: `StratifiedGroupKFold(shuffle=True)`.
    ///
    /// Where every group is a single image, nearly as even as
    /// `Stratified`, but of other images: see [`grouped_k_fold`].
    Grouped,
}

/// Which folds to deal: all that decides them but the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// How images are dealt.
    pub kind: SplitKind,
    /// Folds in each repeat, at least 2.
    pub num_folds: usize,
    /// How often all images are dealt, each time to other folds.
    pub repeats: NonZeroUsize,
    /// Of the shuffling; does not matter to a contiguous split.
    pub seed: u32,
}

/// One way to part the images: a model trains on one part and is measured on the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// The fold's number, from 0; fold `f` of `K` in repeat `r` has the number `r * K + f`.
    pub index: usize,
    /// Images that train, ascending.
    pub train: Vec<usize>,
    /// Images that validate, ascending.
    pub validation: Vec<usize>,
}

/// Whether images are dealt in the order of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// In the order of the data set.
    AsGiven,
    /// In the order that `RandomState(seed)` shuffles them into.
    Shuffled {
        /// The seed, `random_state` in scikit-learn.
        seed: u32,
    },
}

impl fmt::Display for SplitKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stratified => "stratified",
            Self::Shuffled => "shuffled",
            Self::Contiguous => "contiguous",
            Self::Grouped => "grouped",
        })
    }
}

impl Split {
    /// Deals the images to folds; one stream of random numbers goes through all repeats.
    ///
    /// # Shapes
    ///
    /// - `labels`: `(images,)`
    /// - `groups`: `(images,)`, the same number for images that must not be parted; only
    ///   [`SplitKind::Grouped`] heeds it
    /// - returns folds: `(repeats * num_folds,)`
    ///
    /// # Errors
    ///
    /// [`FoldsError`] where scikit-learn raises `ValueError`, and also for groups of other images,
    /// for repeats of a contiguous split and for a fold without images.
    ///
    /// # Source
    ///
    /// scikit-learn 1.9.1, `model_selection/_split.py`, `RepeatedStratifiedKFold` and
    /// `RepeatedKFold`. Grouped folds it does not repeat; here they are as its `_RepeatedSplits`
    /// would repeat them.
    ///
    /// # Example
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    /// use train::folds::{Split, SplitKind};
    ///
    /// let repeats = NonZeroUsize::MIN;
    /// let split = Split { kind: SplitKind::Stratified, num_folds: 2, repeats, seed: 42 };
    /// let folds = split.folds(&[0, 0, 1, 1], &[0, 1, 2, 3])?;
    /// assert_eq!(folds[0].validation, [1, 2]);
    /// assert_eq!(folds[0].train, [0, 3]);
    /// # Ok::<(), train::folds::FoldsError>(())
    /// ```
    pub fn folds(&self, labels: &[u32], groups: &[u32]) -> Result<Vec<Fold>, FoldsError> {
        let Split { kind, num_folds, repeats, seed } = *self;
        grouped::check_groups(labels, groups)?;
        let mut shuffling = match kind {
            SplitKind::Contiguous if repeats != NonZeroUsize::MIN => {
                return Err(FoldsError::ContiguousRepeats { repeats });
            }
            SplitKind::Contiguous => Shuffling::AsGiven,
            _ => Shuffling::from(Order::Shuffled { seed }),
        };
        let mut folds = Vec::new();
        for repeat in 0..repeats.get() {
            let fold_of_image = match kind {
                SplitKind::Stratified => stratified::deal(labels, num_folds, &mut shuffling)?,
                SplitKind::Shuffled | SplitKind::Contiguous => {
                    k_fold::deal(labels.len(), num_folds, &mut shuffling)?
                }
                SplitKind::Grouped => grouped::deal(labels, groups, num_folds, &mut shuffling)?,
            };
            folds.extend(gather(&fold_of_image, num_folds, repeat * num_folds));
        }
        Ok(folds)
    }

    /// What to tell the user about the folds of these labels; as in scikit-learn, only of
    /// stratified and grouped ones.
    pub fn warning(&self, labels: &[u32]) -> Option<FoldsWarning> {
        match self.kind {
            SplitKind::Shuffled | SplitKind::Contiguous => None,
            SplitKind::Stratified | SplitKind::Grouped => {
                let images = images_per_label(labels).into_values().min()?;
                let num_folds = self.num_folds;
                (images < num_folds).then_some(FoldsWarning::SmallIdentity { images, num_folds })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SplitKind; 4] =
        [SplitKind::Stratified, SplitKind::Shuffled, SplitKind::Contiguous, SplitKind::Grouped];

    fn split(kind: SplitKind, num_folds: usize, seed: u32) -> Split {
        Split { kind, num_folds, repeats: NonZeroUsize::MIN, seed }
    }

    /// The folds of images that are each a group.
    fn folds(
        kind: SplitKind,
        labels: &[u32],
        num_folds: usize,
        seed: u32,
    ) -> Result<Vec<Fold>, FoldsError> {
        let groups: Vec<u32> = (0..).zip(labels).map(|(image, _)| image).collect();
        split(kind, num_folds, seed).folds(labels, &groups)
    }

    fn warning(kind: SplitKind, labels: &[u32], num_folds: usize) -> Option<FoldsWarning> {
        split(kind, num_folds, 42).warning(labels)
    }

    #[test]
    fn a_split_is_named_alike_everywhere() {
        for kind in ALL {
            assert_eq!(SplitKind::from_str(&kind.to_string(), false), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!(SplitKind::from_str("random", false).is_err());
    }

    #[test]
    fn fewer_than_two_folds_are_refused() {
        for kind in ALL {
            for found in [0, 1] {
                let refusal = folds(kind, &[0, 0, 1, 1], found, 42);
                assert_eq!(refusal, Err(FoldsError::TooFew { found }));
            }
        }
    }

    #[test]
    fn more_folds_than_images_are_refused() {
        for kind in ALL {
            let refusal = folds(kind, &[0, 0, 0], 4, 42);
            assert_eq!(refusal, Err(FoldsError::MoreFoldsThanImages { num_folds: 4, images: 3 }));
        }
    }

    #[test]
    fn stratified_folds_need_one_identity_that_reaches_all() {
        let labels = [0, 0, 1, 1, 1, 2];
        for kind in [SplitKind::Stratified, SplitKind::Grouped] {
            let refusal = folds(kind, &labels, 4, 42);
            assert_eq!(refusal, Err(FoldsError::IdentitiesTooSmall { num_folds: 4, largest: 3 }));
            assert!(folds(kind, &labels, 3, 42).is_ok());
        }
        assert!(folds(SplitKind::Shuffled, &labels, 4, 42).is_ok());
    }

    #[test]
    fn a_small_identity_is_warned_of_where_identities_are_spread() {
        let labels = [0, 0, 0, 1, 1];
        let expected = FoldsWarning::SmallIdentity { images: 2, num_folds: 3 };
        assert_eq!(warning(SplitKind::Stratified, &labels, 3), Some(expected));
        assert_eq!(warning(SplitKind::Grouped, &labels, 3), Some(expected));
        assert_eq!(warning(SplitKind::Stratified, &labels, 2), None);
        assert_eq!(warning(SplitKind::Shuffled, &labels, 3), None);
        assert_eq!(warning(SplitKind::Contiguous, &labels, 3), None);
    }

    #[test]
    fn the_seed_does_not_matter_to_contiguous_folds_and_does_to_the_others() {
        let labels: Vec<u32> = (0..40).map(|image| image / 10).collect();
        for kind in ALL {
            let differ = folds(kind, &labels, 4, 1) != folds(kind, &labels, 4, 2);
            assert_eq!(differ, kind != SplitKind::Contiguous, "{kind}");
        }
    }

    #[test]
    fn repeats_of_contiguous_folds_are_refused() {
        let repeats = NonZeroUsize::new(2).unwrap();
        let split = Split { repeats, ..split(SplitKind::Contiguous, 2, 42) };
        let refusal = split.folds(&[0, 0, 1, 1], &[0, 1, 2, 3]);
        assert_eq!(refusal, Err(FoldsError::ContiguousRepeats { repeats }));
    }

    #[test]
    fn groups_of_other_images_are_refused() {
        for kind in ALL {
            let refusal = split(kind, 2, 42).folds(&[0, 0, 1, 1], &[0, 1, 2]);
            assert_eq!(refusal, Err(FoldsError::GroupsOfOtherImages { images: 4, groups: 3 }));
        }
    }

    #[test]
    fn more_folds_than_groups_are_refused() {
        let refusal = split(SplitKind::Grouped, 3, 42).folds(&[0, 0, 0, 1], &[7, 7, 9, 9]);
        assert_eq!(refusal, Err(FoldsError::MoreFoldsThanGroups { num_folds: 3, groups: 2 }));
    }
}
