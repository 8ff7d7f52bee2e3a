//! Folds over which each label is spread evenly.

use std::collections::BTreeMap;

use super::{
    Fold, FoldsError, Order,
    dealing::{Shuffling, check_identities, check_num_folds, gather},
};

/// Deals the images of each label to folds, so that counts of a label differ by at most one.
///
/// # Errors
///
/// Those of [`k_fold`](super::k_fold), and [`FoldsError::IdentitiesTooSmall`].
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
    let fold_of_image = deal(labels, num_folds, &mut order.into())?;
    Ok(gather(&fold_of_image, num_folds, 0))
}

/// The fold of each image.
pub(super) fn deal(
    labels: &[u32],
    num_folds: usize,
    shuffling: &mut Shuffling,
) -> Result<Vec<usize>, FoldsError> {
    check_num_folds(num_folds, labels.len())?;
    check_identities(labels, num_folds)?;
    // One stream for all labels: the order of the labels matters to the folds of each.
    let mut fold_of_image = vec![0; labels.len()];
    let mut labels_before = 0;
    for images in images_by_first_appearance(labels) {
        // Images sorted by label are dealt in turn; this label's part starts where the last ended.
        let mut dealt: Vec<usize> =
            (labels_before..labels_before + images.len()).map(|place| place % num_folds).collect();
        labels_before += images.len();
        dealt.sort_unstable();
        shuffling.shuffle(&mut dealt);
        for (image, fold) in images.into_iter().zip(dealt) {
            fold_of_image[image] = fold;
        }
    }
    Ok(fold_of_image)
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
