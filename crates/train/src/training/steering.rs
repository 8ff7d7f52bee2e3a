//! Which of a fold's training images train, and which steer.

use super::streams::Stream;
use crate::{
    folds::Fold,
    inner_split::{InnerSplit, inner_split},
    recipe::Recipe,
};

/// A fold whose training images are those that train, and those that steer.
pub(crate) struct Steered {
    pub(crate) fold: Fold,
    /// None where the recipe wants none, or there are none to spare: the held-out images steer then.
    pub(crate) steering: Vec<usize>,
}

/// Holds images back to steer by, if the recipe wants it. Near duplicates stay together.
///
/// # Shapes
///
/// - `labels`, `groups`: `(images,)`, of all images
pub(crate) fn steered(
    recipe: &Recipe,
    seed: u32,
    labels: &[u32],
    groups: &[u32],
    fold: &Fold,
) -> Steered {
    let Some(share) = recipe.inner_validation else {
        return Steered { fold: fold.clone(), steering: Vec::new() };
    };
    let seed = Stream::InnerSplit.seed(seed, &[fold.index]);
    let InnerSplit { train, validation } = inner_split(&fold.train, labels, groups, share, seed);
    Steered { fold: Fold { train, ..fold.clone() }, steering: validation }
}
