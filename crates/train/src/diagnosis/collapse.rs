//! Whether a network gives one answer to all images, and whether its units are dead.

use serde::{Deserialize, Serialize};

use super::{
    check::Check,
    counts::Counts,
    finding::{Level, Measurement, Outcome, lower_the_rate, percent},
};

/// Of what the commonest predicted person's own share in the truth leaves, the share that is
/// predicted to be that person too, above which predictions have collapsed. The question's run has
/// all in one.
const COLLAPSED: f64 = 0.5;

/// The share of photographs from which on a person is who a sound network names first: with 59 % of
/// LFW's photographs, four steps of a head have it name that person for 95 %, six no longer.
const COMMON: f64 = 0.25;

/// Fewer images may be of one person by chance.
const ENOUGH_IMAGES: usize = 20;

/// The share of dead units that is too many.
///
/// # Source
///
/// Zhang et al., AUTOTRAINER (ICSE 2021): dying `ReLU` from 0.7 on.
const DEAD: f64 = 0.7;

/// How a network's predictions are spread over people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictionSpread {
    /// The share of predictions in the commonest predicted person.
    pub top_share: f64,
    /// That person's share in the truth.
    pub top_truth_share: f64,
    /// How many people are predicted of some image.
    pub distinct: usize,
    /// How many there are.
    pub num_classes: usize,
    /// Entropy of the mean prediction, in nats.
    pub entropy: f64,
    /// How many images were looked at.
    #[serde(default)]
    pub images: usize,
}

impl PredictionSpread {
    /// Counts predictions.
    ///
    /// # Shapes
    ///
    /// - `predicted`, `labels`: of the same images, at least one, below `num_classes`
    /// - `mean_probabilities`: `(num_classes,)`, the mean over the images of softmax probabilities
    ///
    /// # Panics
    ///
    /// If a label is not below the number of probabilities, or there are no images.
    pub fn of(predicted: &[u32], labels: &[u32], mean_probabilities: &[f32]) -> Self {
        assert!(!predicted.is_empty(), "predictions of images");
        let num_classes = mean_probabilities.len();
        let of = |labels: &[u32]| {
            let mut counts = vec![0_usize; num_classes];
            for &label in labels {
                counts[label as usize] += 1;
            }
            counts
        };
        let (counts, truth) = (of(predicted), of(labels));
        let top =
            (0..num_classes).fold(0, |top, it| if counts[top] < counts[it] { it } else { top });
        let share = |counts: &[usize], of: &[u32]| counts[top] as f64 / of.len().max(1) as f64;
        Self {
            top_share: share(&counts, predicted),
            top_truth_share: share(&truth, labels),
            distinct: counts.iter().filter(|&&count| 0 < count).count(),
            num_classes,
            images: predicted.len(),
            entropy: mean_probabilities
                .iter()
                .map(|&p| f64::from(p))
                .filter(|&p| 0.0 < p)
                .map(|p| -p * p.ln())
                .sum(),
        }
    }
}

impl PredictionSpread {
    /// How far the predictions are one person's: 0 where as many are as in the truth, 1 where all are.
    fn excess(&self) -> f64 {
        (self.top_share - self.top_truth_share) / (1.0 - self.top_truth_share)
    }
}

/// Finds predictions that are nearly all of one person.
pub fn collapse(spread: &PredictionSpread) -> Outcome {
    let check = Check::Collapse;
    let PredictionSpread { top_share, top_truth_share, distinct, num_classes, entropy, images } =
        *spread;
    if images < ENOUGH_IMAGES || 1.0 <= top_truth_share {
        let why = format!("{images} photographs, {ENOUGH_IMAGES} of two people are needed");
        return Outcome::skipped(check, why);
    }
    let what = "share of predictions in the commonest one beyond its share in the truth, of what that leaves";
    let measurement = Measurement::at_most(what, spread.excess(), COLLAPSED);
    Outcome::judge(check, measurement, || {
        (
            Level::Error,
            format!(
                "The network says one person for {} of photographs, and names {distinct} of \
                 {num_classes} people in all (entropy of its mean prediction {entropy:.2} of \
                 {:.2}): it has collapsed, or nearly, to a constant answer.",
                percent(top_share),
                (num_classes as f64).ln(),
                entropy = entropy.abs()
            ),
            lower_the_rate(),
        )
    })
}

/// Judges predictions after a few steps; what was so before the first one has not collapsed, nor has
/// what names a person who has a large part of the photographs.
pub fn collapse_since(before: &PredictionSpread, after: &PredictionSpread) -> Outcome {
    if COLLAPSED < before.excess() && after.excess() <= before.excess() {
        let why = "the new head says one person for most before its first step too";
        return Outcome::skipped(Check::Collapse, why);
    }
    if COMMON <= after.top_truth_share {
        let share = percent(after.top_truth_share);
        let why = format!("the person named most has {share} of photographs, and is learned first");
        return Outcome::skipped(Check::Collapse, why);
    }
    collapse(after)
}

/// Finds a hidden layer most of whose units are zero for every image; `share` is theirs.
pub fn dead_units(layer: &str, share: f64) -> Outcome {
    let what = format!("share of {layer}'s units that are zero for every photograph");
    Outcome::judge(Check::DeadUnits, Measurement::at_most(what, share, DEAD), || {
        (
            Level::Error,
            format!(
                "{} of the units of {layer} are zero for every photograph: no gradient passes \
                 through them, and they do not come back.",
                percent(share)
            ),
            lower_the_rate(),
        )
    })
}

/// The accuracies that a constant answer has: each person's share.
impl Counts {
    /// Labels that are as common as an accuracy, to a hundredth of an image: whom a collapsed
    /// network may be naming.
    pub fn labels_with_share(&self, accuracy: f64) -> Vec<u32> {
        let total = self.total() as f64;
        (0_u32..)
            .zip(self.images())
            .filter(|&(_, &images)| (accuracy * total - images as f64).abs() < 0.01)
            .map(|(label, _)| label)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_for_all_is_found_and_a_true_majority_is_not() {
        let uniform = [0.1_f32; 10];
        let twice = |labels: &[u32]| labels.repeat(2);
        let labels: Vec<u32> = (0..10).collect();
        let outcome_of = |predicted: &[u32], labels: &[u32]| {
            collapse(&PredictionSpread::of(&twice(predicted), &twice(labels), &uniform))
        };
        let outcome = outcome_of(&[3; 10], &labels);
        let verdict = &outcome.finding().unwrap().verdict;
        assert!(verdict.contains("names 1 of 10") && verdict.contains("2.30 of 2.30"), "{verdict}");
        assert!(outcome_of(&labels, &labels).finding().is_none());
        assert!(outcome_of(&[3; 10], &[3; 10]).finding().is_none());
        let five = [3, 3, 3, 3, 3, 5, 0, 1, 2, 4];
        assert!(outcome_of(&five, &labels).finding().is_none(), "4 of 9 are beyond the truth's");
        let six = [3, 3, 3, 3, 3, 3, 0, 1, 2, 4];
        assert!(outcome_of(&six, &labels).finding().is_some());
        let two_people: Vec<u32> = (0..10).map(|image| image % 2).collect();
        assert!(outcome_of(&[1; 10], &two_people).finding().is_some());
    }

    #[test]
    fn few_photographs_and_a_head_that_has_learned_nothing_say_nothing() {
        let spread =
            |predicted: &[u32], labels: &[u32]| PredictionSpread::of(predicted, labels, &[0.1; 10]);
        let one = collapse(&spread(&[3], &[4]));
        assert!(matches!(one, Outcome::Skipped { .. }));
        let labels: Vec<u32> = (0..20).map(|image| image % 10).collect();
        let (uniform, constant) = (spread(&labels, &labels), spread(&[3; 20], &labels));
        assert!(matches!(collapse_since(&constant, &constant), Outcome::Skipped { .. }));
        assert!(collapse_since(&uniform, &constant).finding().is_some());
        let common: Vec<u32> = labels.iter().map(|&label| label.min(5)).collect();
        let first = collapse_since(&spread(&labels, &common), &spread(&[5; 20], &common));
        assert!(matches!(first, Outcome::Skipped { .. }), "half are of that person");
    }

    #[test]
    fn a_layer_is_dead_when_most_of_its_units_are() {
        assert!(dead_units("fc6", 0.7).finding().is_none());
        let outcome = dead_units("fc6", 0.8);
        assert!(outcome.finding().unwrap().verdict.starts_with("80"), "{outcome:?}");
    }

    #[test]
    fn an_accuracy_names_whom_a_constant_answer_names() {
        let counts = Counts::of(&[0, 0, 0, 1, 2, 2, 2, 3], 4);
        assert_eq!(counts.labels_with_share(0.375), [0, 2]);
        assert_eq!(counts.labels_with_share(0.3), Vec::<u32>::new());
    }
}
