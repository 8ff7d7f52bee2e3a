//! Why images cannot be dealt to folds, and what makes folds less even than they look.

use std::{fmt, num::NonZeroUsize};

use thiserror::Error;

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
         {}",
        match largest {
            0 | 1 => "give `--split shuffled`, or prepare with `--min-faces 2`".to_owned(),
            largest => format!("give `--folds {largest}` or fewer, or `--split shuffled`"),
        }
    )]
    IdentitiesTooSmall {
        /// Folds asked for.
        num_folds: usize,
        /// Images of the largest identity.
        largest: usize,
    },
    /// Some fold would have no group to validate.
    #[error(
        "{num_folds} folds asked for but only {groups} groups of images found; ask for fewer folds"
    )]
    MoreFoldsThanGroups {
        /// Folds asked for.
        num_folds: usize,
        /// Groups found.
        groups: usize,
    },
    /// The groups are too few or too unlike to reach every fold.
    #[error(
        "fold {fold} of {num_folds} gets none of the {groups} groups of images; \
         ask for fewer folds"
    )]
    EmptyFold {
        /// The fold, from 0 within its repeat.
        fold: usize,
        /// Folds asked for.
        num_folds: usize,
        /// Groups found.
        groups: usize,
    },
    /// Not every image has a group.
    #[error("{groups} groups given for {images} images, expected one for each image")]
    GroupsOfOtherImages {
        /// Images, by their labels.
        images: usize,
        /// Group numbers given.
        groups: usize,
    },
    /// Nothing random tells the repeats apart.
    #[error(
        "{repeats} repeats of the split `contiguous` asked for, which would deal the same folds \
         each time; ask for one, or for the split `stratified`, `shuffled` or `grouped`"
    )]
    ContiguousRepeats {
        /// Repeats asked for.
        repeats: NonZeroUsize,
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

impl fmt::Display for FoldsWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FoldsWarning::SmallIdentity { images, num_folds } = self;
        write!(
            formatter,
            "the smallest identity has {images} images for {num_folds} folds, \
             so some folds do not validate it"
        )?;
        match images {
            0 | 1 => formatter.write_str("; `prepare --min-faces 2` leaves such identities out"),
            images => write!(formatter, "; with `--folds {images}` every fold does"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_take_a_single_fold() {
        for images in [0, 1] {
            let error = FoldsError::IdentitiesTooSmall { num_folds: 3, largest: images };
            assert!(error.to_string().contains("--min-faces 2"), "{error}");
            let warning = FoldsWarning::SmallIdentity { images, num_folds: 3 };
            assert!(warning.to_string().contains("--min-faces 2"), "{warning}");
        }
        let error = FoldsError::IdentitiesTooSmall { num_folds: 9, largest: 7 };
        assert!(error.to_string().contains("`--folds 7` or fewer"), "{error}");
        let warning = FoldsWarning::SmallIdentity { images: 7, num_folds: 9 };
        assert!(warning.to_string().contains("with `--folds 7` every fold does"), "{warning}");
    }
}
