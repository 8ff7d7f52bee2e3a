//! How good predictions are, and how sure that is over folds.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use serde::{Deserialize, Serialize};

use crate::folds::Fold;

/// What a model says of one image, beside the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The true label.
    pub label: u32,
    /// The label with the highest logit; of equal ones the lowest.
    pub predicted: u32,
    /// The softmax probability of `predicted`.
    pub probability: f32,
    /// 1 if the truth has the highest logit, 2 if one label is ahead of it, and so on; of equal
    /// logits the lower label is ahead.
    pub rank_of_truth: usize,
}

impl Prediction {
    /// Reads the prediction off one image's logits. A logit that is NaN comes last.
    ///
    /// # Shapes
    ///
    /// - `logits`: `(num_classes,)`, f32, before softmax
    /// - `label`: below `num_classes`
    ///
    /// # Panics
    ///
    /// If `label` is not below `num_classes`.
    pub fn new(logits: &[f32], label: u32) -> Self {
        let truth = label as usize;
        let ahead = (0..logits.len()).filter(|&other| is_ahead(logits, other, truth)).count();
        let best = (1..logits.len())
            .fold(0, |best, other| if is_ahead(logits, other, best) { other } else { best });
        let sum: f32 = logits.iter().map(|logit| (logit - logits[best]).exp()).sum();
        Prediction {
            label,
            predicted: u32::try_from(best).expect("labels are u32, and so are their places"),
            probability: 1.0 / sum,
            rank_of_truth: ahead + 1,
        }
    }
}

/// Mean and spread over folds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (one degree of freedom less than folds); none of one fold.
    pub std: Option<f64>,
    /// `std` over the root of the number of folds; none of one fold.
    ///
    /// Folds share most of their training images, so the mean is less certain than this says.
    pub standard_error: Option<f64>,
}

impl Spread {
    /// The mean and spread of `values`, one a fold; none of no folds.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mean = mean(values)?;
        let count = values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        let standard_error = std.map(|std| std / count.sqrt());
        Some(Spread { mean, std, standard_error })
    }
}

/// The share of images whose highest logit is the truth's; none of no images.
pub fn accuracy(predictions: &[Prediction]) -> Option<f64> {
    top_k_accuracy(predictions, 1)
}

/// The share of images whose truth is among the `k` highest logits; none of no images.
pub fn top_k_accuracy(predictions: &[Prediction], k: usize) -> Option<f64> {
    let hits = predictions.iter().filter(|prediction| prediction.rank_of_truth <= k).count();
    (!predictions.is_empty()).then(|| hits as f64 / predictions.len() as f64)
}

/// The mean F1 score of the labels that are true or predicted of some image; none of no images.
///
/// A label that is never predicted right scores 0.
///
/// # Source
///
/// scikit-learn 1.9.1, `f1_score(average="macro", zero_division=0)`.
pub fn macro_f1(predictions: &[Prediction]) -> Option<f64> {
    let labels: BTreeSet<u32> =
        predictions.iter().flat_map(|image| [image.label, image.predicted]).collect();
    let scores: Vec<f64> = labels
        .into_iter()
        .map(|label| {
            let count = |holds: fn(bool, bool) -> bool| {
                let holds =
                    |image: &&Prediction| holds(image.label == label, image.predicted == label);
                predictions.iter().filter(holds).count() as f64
            };
            let hits = count(|is_true, is_predicted| is_true && is_predicted);
            let errors = count(|is_true, is_predicted| is_true != is_predicted);
            2.0 * hits / (2.0 * hits + errors)
        })
        .collect();
    mean(&scores)
}

/// The accuracy of guessing among `num_classes` labels.
pub fn chance(num_classes: NonZeroUsize) -> f64 {
    1.0 / num_classes.get() as f64
}

/// The accuracy of always predicting the most frequent training label of the fold (of equally
/// frequent ones the lowest), averaged over `folds`; none of no folds.
///
/// # Shapes
///
/// - `labels`: of all images, indexed by the folds
pub fn majority(labels: &[u32], folds: &[Fold]) -> Option<f64> {
    let of_folds: Vec<f64> = folds
        .iter()
        .map(|fold| {
            let most_frequent = most_frequent(fold.train.iter().map(|&image| labels[image]));
            let hits =
                fold.validation.iter().filter(|&&image| Some(labels[image]) == most_frequent);
            hits.count() as f64 / fold.validation.len() as f64
        })
        .collect();
    mean(&of_folds)
}

fn most_frequent(labels: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for label in labels {
        *counts.entry(label).or_default() += 1;
    }
    // Of equal counts `max_by_key` takes the last: the lowest label, in reverse.
    counts.into_iter().rev().max_by_key(|&(_, count)| count).map(|(label, _)| label)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Whether label `other` comes before label `label`, best first.
fn is_ahead(logits: &[f32], other: usize, label: usize) -> bool {
    // `max` prefers a number, so NaN becomes the lowest of all.
    let score = |label: usize| logits[label].max(f32::NEG_INFINITY);
    match score(other).partial_cmp(&score(label)) {
        Some(Ordering::Greater) => true,
        Some(Ordering::Equal) => other < label,
        Some(Ordering::Less) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        macro_f1: Vec<MacroF1>,
    }

    #[derive(Deserialize)]
    struct MacroF1 {
        y_true: Vec<u32>,
        y_pred: Vec<u32>,
        score: f64,
    }

    fn prediction((label, predicted): (u32, u32)) -> Prediction {
        let rank_of_truth = if label == predicted { 1 } else { 2 };
        Prediction { label, predicted, probability: 1.0, rank_of_truth }
    }

    #[test]
    fn macro_f1_is_that_of_scikit_learn() {
        let golden: Golden =
            serde_json::from_str(include_str!("../tests/golden/splits_and_scores.json")).unwrap();
        assert!(!golden.macro_f1.is_empty());
        for case in golden.macro_f1 {
            let pairs = case.y_true.iter().copied().zip(case.y_pred.iter().copied());
            let predictions: Vec<Prediction> = pairs.map(prediction).collect();
            let found = macro_f1(&predictions).unwrap();
            // Sums of up to seven f64 scores, perhaps in another order.
            let difference = (found - case.score).abs();
            assert!(difference < 1e-15, "{:?} / {:?}: {difference}", case.y_true, case.y_pred);
        }
    }

    #[test]
    fn a_prediction_is_read_off_the_logits() {
        let found = Prediction::new(&[1.0, 3.0, 2.0], 0);
        assert_eq!((found.label, found.predicted, found.rank_of_truth), (0, 1, 3));
        let expected = 1.0 / (1.0 + (-1_f32).exp() + (-2_f32).exp());
        assert!((found.probability - expected).abs() <= f32::EPSILON);
    }

    #[test]
    fn of_equal_logits_the_lower_label_is_ahead() {
        let ranks = [0, 1, 2].map(|label| Prediction::new(&[1.0, 1.0, 1.0], label).rank_of_truth);
        assert_eq!(ranks, [1, 2, 3]);
        assert_eq!(Prediction::new(&[0.0, 5.0, 5.0], 2).predicted, 1);
    }

    #[test]
    fn nan_comes_last() {
        let logits = [f32::NAN, -1.0, f32::NAN];
        let ranks = [0, 1, 2].map(|label| Prediction::new(&logits, label).rank_of_truth);
        assert_eq!(ranks, [2, 1, 3]);
        assert_eq!(Prediction::new(&logits, 0).predicted, 1);
    }

    #[test]
    fn accuracy_counts_first_ranks_and_top_k_the_first_k() {
        let ranks = [1, 1, 2, 5, 6].map(|rank_of_truth| Prediction {
            label: 0,
            predicted: u32::from(rank_of_truth != 1),
            probability: 0.5,
            rank_of_truth,
        });
        assert_eq!(accuracy(&ranks), Some(0.4));
        assert_eq!(top_k_accuracy(&ranks, 5), Some(0.8));
    }

    #[test]
    fn nothing_has_no_score() {
        assert_eq!(accuracy(&[]), None);
        assert_eq!(top_k_accuracy(&[], 5), None);
        assert_eq!(macro_f1(&[]), None);
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(majority(&[], &[]), None);
    }

    #[test]
    fn the_spread_is_that_of_a_sample() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 6.0]).unwrap();
        let std = (8.0_f64 / 3.0).sqrt();
        assert_eq!(spread, Spread { mean: 4.0, std: Some(std), standard_error: Some(std / 2.0) });
    }

    #[test]
    fn one_fold_has_no_spread() {
        let spread = Spread::of(&[0.25]).unwrap();
        assert_eq!(spread, Spread { mean: 0.25, std: None, standard_error: None });
    }

    #[test]
    fn chance_is_one_in_the_number_of_classes() {
        assert_eq!(chance(NonZeroUsize::new(4).unwrap()).to_bits(), 0.25_f64.to_bits());
    }

    #[test]
    fn majority_is_of_the_training_images_and_ties_go_to_the_lowest_label() {
        let labels = [1, 1, 1, 0, 2, 2];
        let folds = [
            // Label 1 is most frequent in training, half of the validation images have it.
            Fold { index: 0, train: vec![0, 1, 3, 4], validation: vec![2, 5] },
            // Labels 0 and 2 tie, and no validation image has label 0.
            Fold { index: 1, train: vec![3, 4], validation: vec![0, 1, 2, 5] },
        ];
        assert_eq!(majority(&labels, &folds), Some(0.25));
    }

    proptest! {
        #[test]
        fn the_prediction_is_the_truth_exactly_at_rank_one(
            logits in prop::collection::vec(prop_oneof![Just(f32::NAN), -3.0..3.0_f32, Just(1.0)], 1..9),
        ) {
            let mut ranks = Vec::new();
            for (label, _) in (0_u32..).zip(&logits) {
                let found = Prediction::new(&logits, label);
                prop_assert_eq!(found.predicted == label, found.rank_of_truth == 1);
                ranks.push(found.rank_of_truth);
            }
            ranks.sort_unstable();
            prop_assert!(ranks.into_iter().eq(1..=logits.len()));
        }
    }
}
