//! Whether the people that a fold validates are among those that it trains.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    diagnosis::check::Check,
    diagnosis::finding::{Level, Measurement, Outcome, Remedy, percent},
    folds::{Fold, SplitKind},
};

/// A share of unseen images above this, in the mean over folds, is an error. Shuffled and
/// stratified folds of LFW's 311 people have none; contiguous ones have 0.819.
const MOST_UNSEEN: f64 = 0.05;

/// How well the folds' training images cover the people of their validation images.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// Of each fold, the share of validation images whose person has no training image.
    pub unseen: Vec<f64>,
    /// Of each fold, how many people have validation images and no training image.
    pub identities_unseen: Vec<usize>,
    /// The longest run of equal labels in the order of the data set.
    pub longest_run: usize,
    /// The longest run to be expected if the order were random: that of the commonest label.
    pub expected_run: f64,
}

impl Coverage {
    /// Measures folds.
    ///
    /// # Shapes
    ///
    /// - `labels`: one for each image that the folds speak of
    pub fn of(labels: &[u32], folds: &[Fold]) -> Self {
        let mut unseen = Vec::new();
        let mut identities_unseen = Vec::new();
        for fold in folds {
            let trained: BTreeSet<u32> = fold.train.iter().map(|&image| labels[image]).collect();
            let missing: Vec<u32> = fold
                .validation
                .iter()
                .map(|&image| labels[image])
                .filter(|label| !trained.contains(label))
                .collect();
            unseen.push(missing.len() as f64 / fold.validation.len().max(1) as f64);
            identities_unseen.push(missing.into_iter().collect::<BTreeSet<_>>().len());
        }
        Self {
            unseen,
            identities_unseen,
            longest_run: labels.chunk_by(PartialEq::eq).map(<[u32]>::len).max().unwrap_or(0),
            expected_run: expected_run(labels),
        }
    }

    /// The mean share over folds; none of no folds.
    pub fn mean(&self) -> f64 {
        self.unseen.iter().sum::<f64>() / self.unseen.len().max(1) as f64
    }

    /// The share of the worst fold.
    pub fn worst(&self) -> f64 {
        self.unseen.iter().copied().fold(0.0, f64::max)
    }

    /// The highest accuracy, in the mean over folds, that any model can reach: an unseen person is
    /// never right.
    pub fn accuracy_ceiling(&self) -> f64 {
        1.0 - self.mean()
    }

    /// Whether images stand in the order of people: the longest run is twice what chance gives.
    pub fn is_sorted(&self) -> bool {
        self.longest_run as f64 > 2.0 * self.expected_run
    }
}

/// The longest run of the commonest label in random order: with share p among n images, the root
/// of n p (1 - p) p^r = 1.
///
/// # Source
///
/// Schilling, The Longest Run of Heads (College Mathematics Journal 21, 1990).
fn expected_run(labels: &[u32]) -> f64 {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let most = sorted.chunk_by(PartialEq::eq).map(<[u32]>::len).max().unwrap_or(0);
    let share = most as f64 / labels.len().max(1) as f64;
    if share <= 0.0 || 1.0 <= share {
        return most as f64;
    }
    let runs = labels.len() as f64 * share * (1.0 - share);
    (runs.max(1.0).ln() / -share.ln() + 1.0).min(most as f64)
}

/// Finds folds that validate people they have not trained.
///
/// # Shapes
///
/// - `labels`, `groups`: one for each image that the folds speak of
pub fn coverage(labels: &[u32], groups: &[u32], folds: &[Fold], split: SplitKind) -> Outcome {
    if folds.is_empty() {
        return Outcome::skipped(Check::Coverage, "there are no folds");
    }
    let measured = Coverage::of(labels, folds);
    let measurement = Measurement::at_most(
        "share of validation photographs of people without a training photograph, mean over folds",
        measured.mean(),
        MOST_UNSEEN,
    );
    Outcome::judge(Check::Coverage, measurement, || {
        let affected = measured.identities_unseen.iter().filter(|&&unseen| 0 < unseen).count();
        let people = measured.identities_unseen.iter().max().copied().unwrap_or(0);
        // Who has one photograph, or one and its copies, cannot be on both sides.
        let singles = singles(labels, groups, split);
        let order = if split == SplitKind::Contiguous && measured.is_sorted() {
            format!(
                "The photographs are sorted by person (up to {} of the same in a row, chance gives \
                 about {:.0}) and the folds are cut from them unshuffled: ",
                measured.longest_run, measured.expected_run
            )
        } else if 0 < singles {
            format!("{singles} people have one photograph, or one and its copies: ")
        } else {
            String::new()
        };
        let remedy = match split {
            SplitKind::Contiguous | SplitKind::Shuffled => {
                Remedy::recipe("split", "\"stratified\"")
            }
            SplitKind::Stratified | SplitKind::Grouped => Remedy::advice(
                "Prepare the photographs anew with --min-faces 2 or more, or gather more of these \
                     people.",
            ),
        };
        (
            Level::Error,
            format!(
                "{order}{affected} of {} folds validate people who have no training photograph, up \
                 to {people} in a fold: no model can be right on more than {} of validation \
                 photographs in the mean, and in the worst fold on {}.",
                folds.len(),
                percent(measured.accuracy_ceiling()),
                percent(1.0 - measured.worst())
            ),
            remedy,
        )
    })
}

/// People all of whose photographs stay together in this split.
fn singles(labels: &[u32], groups: &[u32], split: SplitKind) -> usize {
    let mut of_label: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (image, &label) in (0_u32..).zip(labels) {
        let part = if split == SplitKind::Grouped { groups[image as usize] } else { image };
        of_label.entry(label).or_default().insert(part);
    }
    of_label.values().filter(|parts| parts.len() == 1).count()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::folds::{Split, SplitKind};

    fn dealt(kind: SplitKind, labels: &[u32], num_folds: usize) -> Vec<Fold> {
        let groups: Vec<u32> = (0..).zip(labels).map(|(image, _)| image).collect();
        let split = Split { kind, num_folds, repeats: NonZeroUsize::MIN, seed: 42 };
        split.folds(labels, &groups).unwrap()
    }

    /// What is found where no image is a copy.
    fn judged(kind: SplitKind, labels: &[u32], folds: &[Fold]) -> Outcome {
        let groups: Vec<u32> = (0..).zip(labels).map(|(image, _)| image).collect();
        coverage(labels, &groups, folds, kind)
    }

    /// 40 people with 10 images each, sorted.
    fn sorted() -> Vec<u32> {
        (0..400).map(|image| image / 10).collect()
    }

    #[test]
    fn contiguous_folds_of_sorted_people_are_found() {
        let labels = sorted();
        let folds = dealt(SplitKind::Contiguous, &labels, 8);
        let outcome = judged(SplitKind::Contiguous, &labels, &folds);
        let finding = outcome.finding().unwrap();
        assert_eq!(finding.level, Level::Error);
        assert!((finding.measurement.value - 1.0).abs() < 1e-12);
        assert!(finding.verdict.contains("sorted by person (up to 10"), "{}", finding.verdict);
        assert!(finding.verdict.contains("8 of 8 folds"), "{}", finding.verdict);
        assert_eq!(finding.remedy, Remedy::recipe("split", "\"stratified\""));
    }

    #[test]
    fn shuffled_and_stratified_folds_are_silent() {
        let labels = sorted();
        for kind in [SplitKind::Shuffled, SplitKind::Stratified] {
            let folds = dealt(kind, &labels, 8);
            assert!(matches!(judged(kind, &labels, &folds), Outcome::Silent { .. }), "{kind}");
        }
    }

    #[test]
    fn people_with_one_photograph_are_not_blamed_on_the_folds() {
        let labels: Vec<u32> = (0..50).map(|image| image / 5).chain(10..20).collect();
        let folds = dealt(SplitKind::Stratified, &labels, 5);
        let outcome = judged(SplitKind::Stratified, &labels, &folds);
        let finding = outcome.finding().unwrap();
        assert!(finding.verdict.starts_with("10 people have one"), "{}", finding.verdict);
        assert!(
            matches!(&finding.remedy, Remedy::Advice { text } if text.contains("--min-faces 2"))
        );
    }

    #[test]
    fn contiguous_folds_of_shuffled_people_are_silent() {
        let labels: Vec<u32> = (0..400).map(|image| image % 40).collect();
        let folds = dealt(SplitKind::Contiguous, &labels, 8);
        assert!(judged(SplitKind::Contiguous, &labels, &folds).finding().is_none());
        assert!(!Coverage::of(&labels, &folds).is_sorted());
    }

    #[test]
    fn a_person_cut_by_a_fold_counts_on_neither_side() {
        // The second person lies half in the first fold, half in the second.
        let labels = [0, 0, 1, 1, 2, 2];
        let folds = dealt(SplitKind::Contiguous, &labels, 2);
        let measured = Coverage::of(&labels, &folds);
        assert_eq!(measured.identities_unseen, [1, 1]);
        assert!((measured.mean() - 2.0 / 3.0).abs() < 1e-12);
        assert!((measured.accuracy_ceiling() - 1.0 / 3.0).abs() < 1e-12);
    }

    #[derive(serde::Deserialize)]
    struct Lfw {
        counts: Vec<usize>,
        unseen: Vec<f64>,
        prior_entropy: f64,
    }

    #[test]
    fn the_questions_folds_are_what_numpy_makes_of_lfw() {
        let lfw: Lfw =
            serde_json::from_str(include_str!("../../tests/golden/lfw_counts.json")).unwrap();
        let people = (0_u32..).zip(&lfw.counts);
        let labels: Vec<u32> =
            people.flat_map(|(label, &count)| std::iter::repeat_n(label, count)).collect();
        assert_eq!((lfw.counts.len(), labels.len()), (311, 5425));
        let folds = dealt(SplitKind::Contiguous, &labels, 15);
        let measured = Coverage::of(&labels, &folds);
        // Both divide the same whole numbers.
        let apart = measured.unseen.iter().zip(&lfw.unseen).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-12);
        assert!((measured.mean() - 0.819).abs() < 5e-4, "{}", measured.mean());
        assert!((measured.worst() - 0.989).abs() < 5e-4, "{}", measured.worst());
        assert_eq!(
            (measured.longest_run, measured.identities_unseen.iter().max()),
            (530, Some(&30))
        );
        let counts = crate::diagnosis::Counts::of(&labels, 311);
        assert!((counts.prior_entropy() - lfw.prior_entropy).abs() < 1e-12);
        assert!((counts.prior_entropy() - 5.1441).abs() < 5e-5);
    }

    #[test]
    fn no_folds_are_skipped() {
        assert!(matches!(judged(SplitKind::Contiguous, &[0, 1], &[]), Outcome::Skipped { .. }));
    }
}
