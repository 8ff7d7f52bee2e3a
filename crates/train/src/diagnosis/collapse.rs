//! Whether a network gives one answer to all images, and whether its units are dead.

use super::{
    counts::Counts,
    finding::{Check, Level, Measurement, Outcome, Remedy, percent},
};

/// The share of predictions in the commonest predicted person, beyond that person's own share in
/// the truth, above which predictions have collapsed. The question's run has all in one.
const COLLAPSED: f64 = 0.5;

/// The share of dead units that is too many.
///
/// # Source
///
/// Zhang et al., AUTOTRAINER (ICSE 2021): dying `ReLU` from 0.7 on.
const DEAD: f64 = 0.7;

/// Finds predictions that are nearly all of one person.
///
/// # Shapes
///
/// - `predicted`, `labels`: of the same images, below `num_classes`
/// - `mean_probabilities`: `(num_classes,)`, the mean over the images of softmax probabilities
///
/// # Panics
///
/// If a label is not below the number of probabilities.
pub fn collapse(predicted: &[u32], labels: &[u32], mean_probabilities: &[f32]) -> Outcome {
    let check = Check::Collapse;
    let num_classes = mean_probabilities.len();
    if predicted.is_empty() || num_classes < 2 {
        return Outcome::skipped(check, "nothing was predicted");
    }
    let of = |labels: &[u32]| {
        let mut counts = vec![0_usize; num_classes];
        for &label in labels {
            counts[label as usize] += 1;
        }
        counts
    };
    let (counts, truth) = (of(predicted), of(labels));
    let top = (0..num_classes).fold(0, |top, it| if counts[top] < counts[it] { it } else { top });
    let share = |counts: &[usize], of: &[u32]| counts[top] as f64 / of.len().max(1) as f64;
    let excess = share(&counts, predicted) - share(&truth, labels);
    let what = "share of predictions in the commonest one, less its share in the truth";
    Outcome::judge(check, Measurement::at_most(what, excess, COLLAPSED), || {
        let distinct = counts.iter().filter(|&&count| 0 < count).count();
        let entropy: f64 = mean_probabilities
            .iter()
            .map(|&p| f64::from(p))
            .filter(|&p| 0.0 < p)
            .map(|p| -p * p.ln())
            .sum();
        (
            Level::Error,
            format!(
                "The network says one person for {} of photographs, and names {distinct} of \
                 {num_classes} people in all (entropy of its mean prediction {entropy:.2} of \
                 {:.2}): it has collapsed to a constant answer.",
                percent(share(&counts, predicted)),
                (num_classes as f64).ln()
            ),
            Remedy::command("--recipe two-stage"),
        )
    })
}

/// Finds units that are zero for every image.
///
/// # Shapes
///
/// - `layer`: its name
/// - `activations`: `(images, units)`, f32, after a `ReLU`
///
/// # Panics
///
/// If `activations` is not of whole images.
pub fn dead_units(layer: &str, activations: &[f32], units: usize) -> Outcome {
    let check = Check::DeadUnits;
    if units == 0 || activations.is_empty() {
        return Outcome::skipped(check, "there are no activations");
    }
    assert!(activations.len().is_multiple_of(units), "activations of whole images");
    let mut is_alive = vec![false; units];
    for image in activations.chunks_exact(units) {
        is_alive.iter_mut().zip(image).for_each(|(alive, &value)| *alive |= 0.0 < value);
    }
    let dead = is_alive.iter().filter(|&&alive| !alive).count();
    let share = dead as f64 / units as f64;
    let what = format!("share of {layer}'s units that are zero for every photograph");
    Outcome::judge(check, Measurement::at_most(what, share, DEAD), || {
        (
            Level::Error,
            format!(
                "{dead} of {units} units of {layer} are zero for every photograph: no gradient \
                 passes through them, and they do not come back."
            ),
            Remedy::command("--recipe two-stage"),
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
        let labels: Vec<u32> = (0..10).collect();
        let outcome = collapse(&[3; 10], &labels, &uniform);
        let verdict = &outcome.finding().unwrap().verdict;
        assert!(verdict.contains("names 1 of 10") && verdict.contains("2.30 of 2.30"), "{verdict}");
        assert!(collapse(&labels, &labels, &uniform).finding().is_none());
        assert!(collapse(&[3; 10], &[3; 10], &uniform).finding().is_none());
        let six = [3, 3, 3, 3, 3, 3, 0, 1, 2, 4];
        assert!(collapse(&six, &labels, &uniform).finding().is_none(), "0.5 is the threshold");
        let seven = [3, 3, 3, 3, 3, 3, 3, 1, 2, 4];
        assert!(collapse(&seven, &labels, &uniform).finding().is_some());
    }

    #[test]
    fn units_are_dead_that_no_image_wakes() {
        // Of ten units, image 0 wakes the first and image 1 the second and third.
        let mut activations = vec![0.0; 20];
        activations[0] = 1.0;
        (activations[11], activations[12]) = (1.0, 1.0);
        assert!(dead_units("fc6", &activations, 10).finding().is_none());
        activations[12] = 0.0;
        let outcome = dead_units("fc6", &activations, 10);
        assert!(outcome.finding().unwrap().verdict.starts_with("8 of 10 units of fc6"));
        assert!(matches!(dead_units("fc6", &[], 10), Outcome::Skipped { .. }));
    }

    #[test]
    fn an_accuracy_names_whom_a_constant_answer_names() {
        let counts = Counts::of(&[0, 0, 0, 1, 2, 2, 2, 3], 4);
        assert_eq!(counts.labels_with_share(0.375), [0, 2]);
        assert_eq!(counts.labels_with_share(0.3), Vec::<u32>::new());
    }
}
