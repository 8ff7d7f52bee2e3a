//! How many photographs people have, and how many parameters are to be learned from them.

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
};

/// A person with more than this share of the photographs, and twice an even share, makes accuracy look better than it is.
/// George W Bush has 0.098 of LFW's 311 people, where accuracy and macro F1 already part.
const LARGEST_SHARE: f64 = 0.2;

/// New parameters for each training image, above which a head without dropout and augmentation
/// learns the photographs by heart: between a linear head on pool5 (1,541 on a fold of LFW's 311
/// people) and the question's (20,537), which both reach a training accuracy of 1.
const PARAMETERS_PER_IMAGE: f64 = 10_000.0;

/// Photographs of each label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// By label.
    images: Vec<usize>,
}

impl Counts {
    /// Counts labels, which lie below `num_classes`.
    ///
    /// # Panics
    ///
    /// If one does not.
    pub fn of(labels: &[u32], num_classes: usize) -> Self {
        let mut images = vec![0; num_classes];
        for &label in labels {
            images[label as usize] += 1;
        }
        Self { images }
    }

    /// How many people there are.
    pub fn num_classes(&self) -> usize {
        self.images.len()
    }

    /// Photographs of each person, by label.
    pub fn images(&self) -> &[usize] {
        &self.images
    }

    /// How many photographs there are.
    pub fn total(&self) -> usize {
        self.images.iter().sum()
    }

    /// Photographs of who has the fewest.
    pub fn smallest(&self) -> usize {
        self.images.iter().min().copied().unwrap_or(0)
    }

    /// The share of who has the most: the accuracy of always saying their name.
    pub fn majority(&self) -> f64 {
        self.images.iter().max().map_or(0.0, |&most| most as f64 / self.total().max(1) as f64)
    }

    /// The lowest loss of a model that says the same for every photograph, in nats.
    pub fn prior_entropy(&self) -> f64 {
        let total = self.total().max(1) as f64;
        let shares = self.images.iter().map(|&images| images as f64 / total);
        shares.filter(|&share| 0.0 < share).map(|share| -share * share.ln()).sum()
    }

    /// The loss of a model that finds everyone equally likely, in nats: ln of the number of people.
    pub fn uniform_loss(&self) -> f64 {
        (self.num_classes().max(1) as f64).ln()
    }
}

/// Finds people with fewer photographs than there are folds.
pub fn small_identities(counts: &Counts, num_folds: usize) -> Outcome {
    let small = counts.images.iter().filter(|&&images| images < num_folds).count();
    let measurement = Measurement::at_least(
        "photographs of the smallest person",
        counts.smallest() as f64,
        num_folds as f64,
    );
    Outcome::judge(Check::SmallIdentities, measurement, || {
        (
            Level::Note,
            format!(
                "{small} of {} people have fewer photographs than the {num_folds} folds (the fewest \
                 {}), so some folds do not validate them and figures of a person are coarse.",
                counts.num_classes(),
                counts.smallest()
            ),
            match counts.smallest() {
                0 | 1 => Remedy::advice("Prepare the photographs anew with --min-faces 2 or more."),
                smallest => Remedy::command(format!("--folds {smallest}")),
            },
        )
    })
}

/// Finds a person who has much of the photographs.
pub fn imbalance(counts: &Counts) -> Outcome {
    // Few people have large shares each.
    let even = 1.0 / counts.num_classes().max(1) as f64;
    let most = LARGEST_SHARE.max(2.0 * even).min(1.0);
    let measurement =
        Measurement::at_most("share of the commonest person", counts.majority(), most);
    Outcome::judge(Check::Imbalance, measurement, || {
        (
            Level::Note,
            format!(
                "One person has {} of the photographs: always saying their name is as accurate as \
                 that, and has a loss of {:.3} (all equally likely: {:.3}).",
                percent(counts.majority()),
                counts.prior_entropy(),
                counts.uniform_loss()
            ),
            Remedy::advice("Look at macro F1 beside accuracy."),
        )
    })
}

/// Finds heads that are large for the photographs they learn from.
///
/// `new_parameters` are those that start from random values and learn; `regularized` counts the
/// dropout layers and augmented stages of the run.
pub fn head_size(new_parameters: usize, train_images: usize, regularized: usize) -> Outcome {
    if train_images == 0 {
        return Outcome::skipped(Check::HeadSize, "there is no training photograph");
    }
    let unregularized = if regularized == 0 { new_parameters } else { 0 };
    let measurement = Measurement::at_most(
        "new parameters, with neither dropout nor augmentation, for each training photograph",
        unregularized as f64 / train_images as f64,
        PARAMETERS_PER_IMAGE,
    );
    Outcome::judge(Check::HeadSize, measurement, || {
        (
            Level::Note,
            format!(
                "{new_parameters} new parameters learn from {train_images} photographs without \
                 dropout and without augmentation: they will know the training photographs by \
                 heart and others less well."
            ),
            Remedy::stage("augment", "{ horizontal_flip = true, rotation_degrees = 10.0 }"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropies_are_those_of_the_counts() {
        let counts = Counts::of(&[0, 0, 1, 2], 3);
        assert_eq!((counts.smallest(), counts.total(), counts.num_classes()), (1, 4, 3));
        assert!((counts.majority() - 0.5).abs() < 1e-12);
        assert!((counts.prior_entropy() - 1.5 * 2.0_f64.ln()).abs() < 1e-12);
        assert!((counts.uniform_loss() - 3.0_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn fewer_photographs_than_folds_are_noted() {
        let counts = Counts::of(&[0, 0, 0, 1, 1], 2);
        assert!(small_identities(&counts, 2).finding().is_none());
        let outcome = small_identities(&counts, 3);
        assert!(outcome.finding().unwrap().verdict.starts_with("1 of 2 people"));
    }

    #[test]
    fn a_majority_above_a_fifth_is_noted() {
        let with = |most: usize| {
            let mut labels = vec![0; most];
            labels.extend((1..=80).collect::<Vec<u32>>());
            imbalance(&Counts::of(&labels, 81)).finding().is_some()
        };
        assert!(!with(20));
        assert!(with(21));
    }

    #[test]
    fn the_questions_head_is_noted_unless_something_regularizes_it() {
        // fc6 and fc8 on 14/15 of LFW's 5,425 photographs; a linear head has 7,802,679.
        assert!(head_size(104_038_711, 5063, 0).finding().is_some());
        assert!(head_size(7_802_679, 5063, 0).finding().is_none());
        assert!(head_size(104_038_711, 5063, 1).finding().is_none());
    }
}
