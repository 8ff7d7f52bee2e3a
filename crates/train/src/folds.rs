//! Which images train and which validate, dealt index for index as scikit-learn deals them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::numpy_random::NumpyRandom;

/// How images are dealt to folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// Each identity spread evenly over the folds: `StratifiedKFold(shuffle=True)`.
    Stratified,
    /// Drawn without regard to identities: `KFold(shuffle=True)`.
    Shuffled,
    /// Cut in the order of the data set: `KFold()`. With images in order of identity, whole
    /// identities then have no image to train on.
    Contiguous,
}

/// One way to part the images: a model trains on one part and is measured on the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// The fold's number, from 0.
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

/// Why images cannot be dealt to folds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FoldsError {
    /// One fold would have nothing to train on.
    #[error("{found} folds asked for, expected at least 2")]
    TooFew {
        /// Folds asked for.
        found: usize,
    },
    /// Some fold would have nothing to validate.
    #[error("{num_folds} folds asked for but only {images} images found; ask for fewer folds")]
    MoreFoldsThanImages {
        /// Folds asked for.
        num_folds: usize,
        /// Images found.
        images: usize,
    },
    /// No identity reaches every fold.
    #[error(
        "{num_folds} stratified folds asked for but the largest identity has {largest} images; \
         ask for at most {largest} folds or for the split `shuffled`"
    )]
    IdentitiesTooSmall {
        /// Folds asked for.
        num_folds: usize,
        /// Images of the largest identity.
        largest: usize,
    },
    /// No split has this name.
    #[error("`{found}` is no split, expected `stratified`, `shuffled` or `contiguous`")]
    UnknownSplit {
        /// The name asked for.
        found: String,
    },
}

/// What makes folds less even than they look; the folds are usable all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldsWarning {
    /// The smallest identity is missing from the validation images of some folds.
    SmallIdentity {
        /// Its images.
        images: usize,
        /// Folds asked for.
        num_folds: usize,
    },
}

impl SplitKind {
    fn name(self) -> &'static str {
        match self {
            SplitKind::Stratified => "stratified",
            SplitKind::Shuffled => "shuffled",
            SplitKind::Contiguous => "contiguous",
        }
    }
}

impl fmt::Display for SplitKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for SplitKind {
    type Err = FoldsError;

    fn from_str(text: &str) -> Result<Self, FoldsError> {
        [SplitKind::Stratified, SplitKind::Shuffled, SplitKind::Contiguous]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| FoldsError::UnknownSplit { found: text.to_owned() })
    }
}

impl fmt::Display for FoldsWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FoldsWarning::SmallIdentity { images, num_folds } = self;
        write!(
            formatter,
            "the smallest identity has {images} images for {num_folds} folds, \
             so some folds do not validate it"
        )
    }
}

/// Deals the images with these `labels` to folds; `seed` does not matter to a contiguous split.
///
/// # Errors
///
/// [`FoldsError`] where scikit-learn raises `ValueError`.
///
/// # Example
///
/// ```
/// use train::folds::{SplitKind, folds};
///
/// let folds = folds(SplitKind::Stratified, &[0, 0, 1, 1], 2, 42)?;
/// assert_eq!(folds[0].validation, [1, 2]);
/// assert_eq!(folds[0].train, [0, 3]);
/// # Ok::<(), train::folds::FoldsError>(())
/// ```
pub fn folds(
    kind: SplitKind,
    labels: &[u32],
    num_folds: usize,
    seed: u32,
) -> Result<Vec<Fold>, FoldsError> {
    match kind {
        SplitKind::Stratified => stratified_k_fold(labels, num_folds, Order::Shuffled { seed }),
        SplitKind::Shuffled => k_fold(labels.len(), num_folds, Order::Shuffled { seed }),
        SplitKind::Contiguous => k_fold(labels.len(), num_folds, Order::AsGiven),
    }
}

/// What to tell the user about folds that [`folds`] deals; as in scikit-learn, only of stratified
/// ones.
pub fn warning(kind: SplitKind, labels: &[u32], num_folds: usize) -> Option<FoldsWarning> {
    if kind != SplitKind::Stratified {
        return None;
    }
    let images = images_per_label(labels).into_values().min()?;
    (images < num_folds).then_some(FoldsWarning::SmallIdentity { images, num_folds })
}

/// Deals `images` images to folds whose sizes differ by at most one, the larger ones first.
///
/// # Errors
///
/// [`FoldsError::TooFew`] or [`FoldsError::MoreFoldsThanImages`].
///
/// # Source
///
/// scikit-learn 1.9.1, `model_selection/_split.py`, `KFold`.
pub fn k_fold(images: usize, num_folds: usize, order: Order) -> Result<Vec<Fold>, FoldsError> {
    check_num_folds(num_folds, images)?;
    let mut dealt: Vec<usize> = (0..images).collect();
    if let Order::Shuffled { seed } = order {
        NumpyRandom::new(seed).shuffle(&mut dealt);
    }
    let larger_folds = images % num_folds;
    let mut fold_of_image = vec![0; images];
    let mut remaining = dealt.as_slice();
    for fold in 0..num_folds {
        let size = images / num_folds + usize::from(fold < larger_folds);
        let (validation, rest) = remaining.split_at(size);
        for &image in validation {
            fold_of_image[image] = fold;
        }
        remaining = rest;
    }
    Ok(gather(&fold_of_image, num_folds))
}

/// Deals the images of each label to folds, so that counts of a label differ by at most one.
///
/// # Errors
///
/// Those of [`k_fold`], and [`FoldsError::IdentitiesTooSmall`].
///
/// # Source
///
/// scikit-learn 1.9.1, `model_selection/_split.py`, `StratifiedKFold`. Until 0.21 it dealt other
/// folds.
pub fn stratified_k_fold(
    labels: &[u32],
    num_folds: usize,
    order: Order,
) -> Result<Vec<Fold>, FoldsError> {
    check_num_folds(num_folds, labels.len())?;
    let largest = images_per_label(labels).into_values().max().unwrap_or(0);
    if largest < num_folds {
        return Err(FoldsError::IdentitiesTooSmall { num_folds, largest });
    }
    // One stream for all labels: the order of the labels matters to the folds of each.
    let mut random = match order {
        Order::AsGiven => None,
        Order::Shuffled { seed } => Some(NumpyRandom::new(seed)),
    };
    let mut fold_of_image = vec![0; labels.len()];
    let mut labels_before = 0;
    for images in images_by_first_appearance(labels) {
        // Images sorted by label are dealt in turn; this label's part starts where the last ended.
        let mut dealt: Vec<usize> =
            (labels_before..labels_before + images.len()).map(|place| place % num_folds).collect();
        labels_before += images.len();
        dealt.sort_unstable();
        if let Some(random) = &mut random {
            random.shuffle(&mut dealt);
        }
        for (image, fold) in images.into_iter().zip(dealt) {
            fold_of_image[image] = fold;
        }
    }
    Ok(gather(&fold_of_image, num_folds))
}

fn check_num_folds(num_folds: usize, images: usize) -> Result<(), FoldsError> {
    if num_folds < 2 {
        return Err(FoldsError::TooFew { found: num_folds });
    }
    if images < num_folds {
        return Err(FoldsError::MoreFoldsThanImages { num_folds, images });
    }
    Ok(())
}

fn images_per_label(labels: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for &label in labels {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

/// The images of each label, labels in the order in which they first appear.
fn images_by_first_appearance(labels: &[u32]) -> Vec<Vec<usize>> {
    let mut place_of_label = BTreeMap::new();
    let mut images_of_label: Vec<Vec<usize>> = Vec::new();
    for (image, &label) in labels.iter().enumerate() {
        let place = *place_of_label.entry(label).or_insert(images_of_label.len());
        if place == images_of_label.len() {
            images_of_label.push(Vec::new());
        }
        images_of_label[place].push(image);
    }
    images_of_label
}

fn gather(fold_of_image: &[usize], num_folds: usize) -> Vec<Fold> {
    (0..num_folds)
        .map(|index| {
            let (validation, train) =
                (0..fold_of_image.len()).partition(|&image| fold_of_image[image] == index);
            Fold { index, train, validation }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SplitKind; 3] = [SplitKind::Stratified, SplitKind::Shuffled, SplitKind::Contiguous];

    #[test]
    fn a_split_is_named_alike_everywhere() {
        for kind in ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert_eq!(
            "random".parse::<SplitKind>(),
            Err(FoldsError::UnknownSplit { found: "random".to_owned() })
        );
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
        let refusal = folds(SplitKind::Stratified, &labels, 4, 42);
        assert_eq!(refusal, Err(FoldsError::IdentitiesTooSmall { num_folds: 4, largest: 3 }));
        assert!(folds(SplitKind::Stratified, &labels, 3, 42).is_ok());
        assert!(folds(SplitKind::Shuffled, &labels, 4, 42).is_ok());
    }

    #[test]
    fn a_small_identity_is_warned_of_in_stratified_folds_only() {
        let labels = [0, 0, 0, 1, 1];
        let expected = FoldsWarning::SmallIdentity { images: 2, num_folds: 3 };
        assert_eq!(warning(SplitKind::Stratified, &labels, 3), Some(expected));
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
}
