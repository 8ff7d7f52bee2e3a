//! How much an image counts by whose it is.

use serde::{Deserialize, Serialize};

/// How a recipe wants identities weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeighting {
    /// Every image counts the same.
    #[default]
    Uniform,
    /// Every identity counts the same, however many images it has in training.
    Balanced,
}

/// How much an image of each identity counts in the training loss.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// The same.
    Uniform,
    /// By label, one number a class: finite and at least 0.
    Each(Vec<f32>),
}

impl ClassWeighting {
    /// The weights for these training labels.
    ///
    /// Balanced, an identity of `count` images gets `images / (present identities * count)`, so that
    /// the mean over the images is 1. An identity without a training image gets 0.
    ///
    /// # Panics
    ///
    /// If a label is not below `num_classes`.
    ///
    /// # Source
    ///
    /// scikit-learn 1.9.1, `utils/class_weight.py`, `compute_class_weight("balanced")`.
    #[expect(clippy::cast_possible_truncation, reason = "losses are f32")]
    pub fn weights(self, labels: &[u32], num_classes: usize) -> ClassWeights {
        if self == Self::Uniform {
            return ClassWeights::Uniform;
        }
        let mut counts = vec![0_usize; num_classes];
        for &label in labels {
            counts[label as usize] += 1;
        }
        let present = counts.iter().filter(|&&count| 0 < count).count();
        let weight = |count: usize| match count {
            0 => 0.0,
            _ => (labels.len() as f64 / (present as f64 * count as f64)) as f32,
        };
        ClassWeights::Each(counts.into_iter().map(weight).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        labels: Vec<u32>,
        num_classes: usize,
        /// 0 for classes that are absent, which scikit-learn leaves out.
        weights: Vec<f64>,
    }

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/golden/class_weights.json")).unwrap();
        assert!(3 <= cases.len());
        for Case { labels, num_classes, weights } in cases {
            let found = ClassWeighting::Balanced.weights(&labels, num_classes);
            let ClassWeights::Each(found) = found else { panic!("balanced weights differ") };
            assert_eq!(found.len(), weights.len());
            for (index, (&found, expected)) in found.iter().zip(weights).enumerate() {
                // Ours are rounded to f32.
                let difference = (f64::from(found) - expected).abs();
                assert!(difference <= 1e-7 * expected, "{index}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn a_weighting_is_named_as_in_recipes() {
        for (weighting, name) in
            [(ClassWeighting::Uniform, "\"uniform\""), (ClassWeighting::Balanced, "\"balanced\"")]
        {
            assert_eq!(serde_json::to_string(&weighting).unwrap(), name);
            assert_eq!(serde_json::from_str::<ClassWeighting>(name).unwrap(), weighting);
        }
        assert_eq!(ClassWeighting::Uniform.weights(&[0], 1), ClassWeights::Uniform);
    }
}
