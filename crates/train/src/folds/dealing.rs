//! What every way to deal images to folds needs: an order, counts, and folds made of the deal.

use std::collections::BTreeMap;

use super::{Fold, FoldsError, Order};
use crate::numpy_random::NumpyRandom;

/// An [`Order`] at work: where images are shuffled, the stream that goes on from repeat to repeat.
#[derive(Debug)]
pub(super) enum Shuffling {
    AsGiven,
    By(Box<NumpyRandom>),
}

impl Shuffling {
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        match self {
            Self::AsGiven => {}
            Self::By(random) => random.shuffle(items),
        }
    }
}

impl From<Order> for Shuffling {
    fn from(order: Order) -> Self {
        match order {
            Order::AsGiven => Self::AsGiven,
            Order::Shuffled { seed } => Self::By(Box::new(NumpyRandom::new(seed))),
        }
    }
}

pub(super) fn check_num_folds(num_folds: usize, images: usize) -> Result<(), FoldsError> {
    if num_folds < 2 {
        return Err(FoldsError::TooFew { found: num_folds });
    }
    if images < num_folds {
        return Err(FoldsError::MoreFoldsThanImages { num_folds, images });
    }
    Ok(())
}

/// Refuses labels none of which has an image for each fold.
pub(super) fn check_identities(labels: &[u32], num_folds: usize) -> Result<(), FoldsError> {
    let largest = images_per_label(labels).into_values().max().unwrap_or(0);
    if largest < num_folds {
        return Err(FoldsError::IdentitiesTooSmall { num_folds, largest });
    }
    Ok(())
}

pub(super) fn images_per_label(labels: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for &label in labels {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

/// The folds of one deal; the first has the number `first_index`.
pub(super) fn gather(fold_of_image: &[usize], num_folds: usize, first_index: usize) -> Vec<Fold> {
    (0..num_folds)
        .map(|fold| {
            let (validation, train) =
                (0..fold_of_image.len()).partition(|&image| fold_of_image[image] == fold);
            Fold { index: first_index + fold, train, validation }
        })
        .collect()
}
