//! Whether one run is better than another over the same folds, or only luckier.

use std::{collections::BTreeMap, num::NonZeroUsize};

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use thiserror::Error;

/// The coverage of a [`PairedTest`]'s interval.
const CONFIDENCE: f64 = 0.95;
/// Differences that are no farther apart than this count as equal: accuracies are quotients of
/// image counts near 1, whose differences round at 1e-16, and one image of a million is 1e-6.
const ROUNDING: f64 = 1e-12;

/// How good one run was in one fold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoldScore {
    /// The fold's number, from 0, repeats counted on.
    pub fold: usize,
    /// Share of validation images that are right, 0 to 1.
    pub accuracy: f64,
    /// Images that the fold trains on, any that it holds back itself included.
    pub train_images: usize,
    /// Images that the fold validates.
    pub validation_images: usize,
}

/// Two runs over the folds that both have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The folds compared, ascending.
    pub folds: Vec<usize>,
    /// Folds that only the first run has; they are left out.
    pub only_in_first: usize,
    /// Folds that only the second run has; they are left out.
    pub only_in_second: usize,
    /// The second run's accuracy less the first's, for each of `folds`.
    pub differences: Vec<f64>,
    /// Their mean.
    pub mean_difference: f64,
    /// How sure the mean is.
    pub evidence: Evidence,
}

/// What the folds say of a difference between runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Evidence {
    /// One fold has no spread, so nothing can be said.
    OneFold,
    /// All folds differ by the same amount, none at all included. There is no spread to measure the
    /// mean by: Student's t is infinite or 0 / 0. That says that the folds agree, not how sure it is.
    NoSpread,
    /// The corrected resampled t-test.
    Tested(PairedTest),
}

/// The corrected resampled t-test for the mean difference, 0 if the runs are equally good.
///
/// The naive paired t-test divides the variance of the `n` differences by `n`, as if folds were
/// independent. They share training images, so it finds differences where there are none, and the
/// more so the more repeats. This one takes `1 / n + validation / train` of the variance, and so
/// its t is smaller by the factor `sqrt(1 + n * validation / train)`: about 1.4 for K folds.
///
/// # Source
///
/// Nadeau and Bengio, Inference for the Generalization Error (Machine Learning 52, 2003), section
/// 5; for repeated K-fold, where n counts the folds of all repeats, Bouckaert and Frank, Evaluating
/// the Replicability of Significance Tests (PAKDD 2004), section 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// Student's t.
    pub t: f64,
    /// One less than the folds.
    pub degrees_of_freedom: NonZeroUsize,
    /// How likely two equally good runs are to differ by as much, either way.
    pub p: f64,
    /// The corrected standard error of the mean difference.
    pub standard_error: f64,
    /// The lower end of the 95 % confidence interval of the difference.
    pub lower: f64,
    /// The upper end of it.
    pub upper: f64,
}

/// Why two runs cannot be compared.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ComparisonError {
    /// The runs share no fold.
    #[error("the runs have no fold in common; the first has {first}, the second {second}")]
    NoCommonFold {
        /// Folds of the first run.
        first: usize,
        /// Folds of the second run.
        second: usize,
    },
    /// A fold has two scores in one run.
    #[error("fold {fold} has more than one score in a run, expected one")]
    RepeatedFold {
        /// The fold.
        fold: usize,
    },
    /// The runs parted their images differently.
    #[error(
        "fold {fold} validates {first} images in the first run and {second} in the second; \
         only runs over the same split can be compared"
    )]
    OtherSplit {
        /// The fold.
        fold: usize,
        /// Validation images of the first run.
        first: usize,
        /// Validation images of the second run.
        second: usize,
    },
    /// A fold without images.
    #[error("fold {fold} has {train} training and {validation} validation images, expected some")]
    NoImages {
        /// The fold.
        fold: usize,
        /// Training images.
        train: usize,
        /// Validation images.
        validation: usize,
    },
    /// An accuracy that is none.
    #[error("the accuracy of fold {fold} is {found}, expected 0 to 1")]
    NoAccuracy {
        /// The fold.
        fold: usize,
        /// What stood there.
        found: f64,
    },
}

impl Comparison {
    /// Compares the runs over the folds that both have; above 0 is in favor of the second.
    ///
    /// The correction takes the ratio of all validation to all training images of these folds in
    /// the first run.
    ///
    /// # Errors
    ///
    /// [`ComparisonError`] if the runs share no fold, or cannot be over the same split.
    pub fn of(first: &[FoldScore], second: &[FoldScore]) -> Result<Self, ComparisonError> {
        let (first, second) = (by_fold(first)?, by_fold(second)?);
        let pairs: Vec<(FoldScore, FoldScore)> =
            first.iter().filter_map(|(fold, score)| Some((*score, *second.get(fold)?))).collect();
        if pairs.is_empty() {
            let (first, second) = (first.len(), second.len());
            return Err(ComparisonError::NoCommonFold { first, second });
        }
        for (one, other) in &pairs {
            if one.validation_images != other.validation_images {
                return Err(ComparisonError::OtherSplit {
                    fold: one.fold,
                    first: one.validation_images,
                    second: other.validation_images,
                });
            }
        }
        let differences: Vec<f64> =
            pairs.iter().map(|(one, other)| other.accuracy - one.accuracy).collect();
        let validation: usize = pairs.iter().map(|(one, _)| one.validation_images).sum();
        let train: usize = pairs.iter().map(|(one, _)| one.train_images).sum();
        let mean_difference = mean(&differences);
        Ok(Self {
            folds: pairs.iter().map(|(one, _)| one.fold).collect(),
            only_in_first: first.len() - pairs.len(),
            only_in_second: second.len() - pairs.len(),
            mean_difference,
            evidence: evidence(&differences, validation as f64 / train as f64),
            differences,
        })
    }
}

fn by_fold(scores: &[FoldScore]) -> Result<BTreeMap<usize, FoldScore>, ComparisonError> {
    let mut by_fold = BTreeMap::new();
    for score in scores {
        let FoldScore { fold, accuracy, train_images: train, validation_images: validation } =
            *score;
        if !(0.0..=1.0).contains(&accuracy) {
            return Err(ComparisonError::NoAccuracy { fold, found: accuracy });
        }
        if train == 0 || validation == 0 {
            return Err(ComparisonError::NoImages { fold, train, validation });
        }
        if by_fold.insert(fold, *score).is_some() {
            return Err(ComparisonError::RepeatedFold { fold });
        }
    }
    Ok(by_fold)
}

fn evidence(differences: &[f64], validation_to_train: f64) -> Evidence {
    let Some(degrees_of_freedom) = NonZeroUsize::new(differences.len() - 1) else {
        return Evidence::OneFold;
    };
    let is_like_first = |difference: &f64| (difference - differences[0]).abs() <= ROUNDING;
    if differences.iter().all(is_like_first) {
        return Evidence::NoSpread;
    }
    let mean = mean(differences);
    let freedom = degrees_of_freedom.get() as f64;
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    let variance = squares / freedom;
    let count = differences.len() as f64;
    let standard_error = (variance * (1.0 / count + validation_to_train)).sqrt();
    let t = mean / standard_error;
    let student = StudentsT::new(0.0, 1.0, freedom)
        .expect("the scale is 1, and the degrees of freedom are at least 1");
    let reach = student.inverse_cdf(f64::midpoint(1.0, CONFIDENCE)) * standard_error;
    Evidence::Tested(PairedTest {
        t,
        degrees_of_freedom,
        p: 2.0 * student.sf(t.abs()),
        standard_error,
        lower: mean - reach,
        upper: mean + reach,
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        comparisons: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        first: Vec<f64>,
        second: Vec<f64>,
        train_images: usize,
        validation_images: usize,
        mean_difference: f64,
        t: f64,
        p: f64,
        standard_error: f64,
        lower: f64,
        upper: f64,
        naive_t: f64,
        naive_p: f64,
    }

    fn scores(accuracies: &[f64], train_images: usize, validation_images: usize) -> Vec<FoldScore> {
        let score =
            |(fold, &accuracy)| FoldScore { fold, accuracy, train_images, validation_images };
        accuracies.iter().enumerate().map(score).collect()
    }

    fn compare(first: &[f64], second: &[f64]) -> Comparison {
        Comparison::of(&scores(first, 90, 10), &scores(second, 90, 10)).unwrap()
    }

    #[test]
    fn the_test_is_that_of_scipy() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/golden/comparison.json")).unwrap();
        assert!(!golden.comparisons.is_empty());
        for case in golden.comparisons {
            let (train, validation) = (case.train_images, case.validation_images);
            let found = Comparison::of(
                &scores(&case.first, train, validation),
                &scores(&case.second, train, validation),
            )
            .unwrap();
            let Evidence::Tested(test) = found.evidence else { panic!("{:?}", found.evidence) };
            // Differences of accuracies near 1 lose two digits of sixteen; the distribution's tails
            // and quantiles are series and searches that stop at about 1e-10.
            for (name, found, expected) in [
                ("mean", found.mean_difference, case.mean_difference),
                ("t", test.t, case.t),
                ("standard error", test.standard_error, case.standard_error),
                ("p", test.p, case.p),
                ("lower", test.lower, case.lower),
                ("upper", test.upper, case.upper),
            ] {
                let difference = (found - expected).abs();
                assert!(difference <= 1e-9 * expected.abs(), "{name}: {found}, not {expected}");
            }
            let folds = case.first.len() as f64;
            let factor = (1.0 + folds * validation as f64 / train as f64).sqrt();
            assert!((test.t * factor - case.naive_t).abs() <= 1e-9 * case.naive_t.abs());
            assert!(case.naive_p < test.p, "the naive test is surer");
        }
    }

    #[test]
    fn the_second_run_is_better_above_zero() {
        let found = compare(&[0.5, 0.6, 0.5], &[0.6, 0.8, 0.7]);
        assert!(0.0 < found.mean_difference);
        let reversed = compare(&[0.6, 0.8, 0.7], &[0.5, 0.6, 0.5]);
        let (Evidence::Tested(one), Evidence::Tested(other)) = (found.evidence, reversed.evidence)
        else {
            panic!("both have spread");
        };
        assert_eq!((one.t, one.p), (-other.t, other.p));
        assert_eq!((one.lower, one.upper), (-other.upper, -other.lower));
    }

    #[test]
    fn one_fold_and_equal_differences_have_no_test() {
        assert_eq!(compare(&[0.5], &[0.6]).evidence, Evidence::OneFold);
        assert_eq!(compare(&[0.5, 0.7], &[0.5, 0.7]).evidence, Evidence::NoSpread);
        // 0.8 - 0.7 and 0.9 - 0.8 differ in their last bit.
        assert_eq!(compare(&[0.7, 0.8], &[0.8, 0.9]).evidence, Evidence::NoSpread);
    }

    #[test]
    fn folds_that_one_run_lacks_are_left_out_and_counted() {
        let mut first = scores(&[0.5, 0.6, 0.7, 0.8], 90, 10);
        let mut second = scores(&[0.6, 0.6, 0.9, 0.9], 90, 10);
        first.remove(1);
        second.truncate(3);
        second.reverse();
        let found = Comparison::of(&first, &second).unwrap();
        assert_eq!(found.folds, [0, 2]);
        assert_eq!((found.only_in_first, found.only_in_second), (1, 1));
    }

    #[test]
    fn runs_over_other_folds_are_refused() {
        let first = scores(&[0.5, 0.6], 90, 10);
        let refusal = |second: &[FoldScore]| Comparison::of(&first, second).unwrap_err();
        let none = ComparisonError::NoCommonFold { first: 2, second: 0 };
        assert_eq!(refusal(&[]), none);
        let other = ComparisonError::OtherSplit { fold: 0, first: 10, second: 20 };
        assert_eq!(refusal(&scores(&[0.5, 0.6], 80, 20)), other);
        let twice = ComparisonError::RepeatedFold { fold: 1 };
        assert_eq!(refusal(&[first[1], first[1]]), twice);
        let empty = ComparisonError::NoImages { fold: 0, train: 0, validation: 10 };
        assert_eq!(refusal(&scores(&[0.5], 0, 10)), empty);
        let none = ComparisonError::NoAccuracy { fold: 0, found: 1.5 };
        assert_eq!(refusal(&scores(&[1.5], 90, 10)), none);
        let not_a_number = refusal(&scores(&[f64::NAN], 90, 10));
        assert!(matches!(not_a_number, ComparisonError::NoAccuracy { fold: 0, .. }));
    }
}
