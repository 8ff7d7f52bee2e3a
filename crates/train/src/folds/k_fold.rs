//! Folds of equal size, without regard to labels.

use super::{
    Fold, FoldsError, Order,
    dealing::{Shuffling, check_num_folds, gather},
};

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
    let fold_of_image = deal(images, num_folds, &mut order.into())?;
    Ok(gather(&fold_of_image, num_folds, 0))
}

/// The fold of each image.
pub(super) fn deal(
    images: usize,
    num_folds: usize,
    shuffling: &mut Shuffling,
) -> Result<Vec<usize>, FoldsError> {
    check_num_folds(num_folds, images)?;
    let mut dealt: Vec<usize> = (0..images).collect();
    shuffling.shuffle(&mut dealt);
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
    Ok(fold_of_image)
}
