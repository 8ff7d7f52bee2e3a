//! Copies of a photograph on both sides of a fold: an answer that was seen in training.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
    near_copies::near_copies,
    similarity::Features,
};
use crate::{Error, folds::Fold};

/// Any copy across a fold is worth a note.
const SHARE: f64 = 0.0;

/// From this share of validation photographs on it is worth a warning: it then moves accuracy by as much
/// as a fold's standard error. Stratified folds of LFW's 311 people have 0.003.
const WARNING_SHARE: f64 = 0.01;

/// Finds copies by groups: images of one group are copies of one photograph.
///
/// # Shapes
///
/// - `labels`, `groups`: one for each image that the folds speak of
pub fn duplicates(labels: &[u32], groups: &[u32], folds: &[Fold]) -> Outcome {
    let check = Check::Duplicates;
    if folds.is_empty() {
        return Outcome::skipped(check, "there are no folds");
    }
    let mut names: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (&group, &label) in groups.iter().zip(labels) {
        names.entry(group).or_default().insert(label);
    }
    let misnamed = names.values().filter(|names| 1 < names.len()).count();
    let leaked: usize = folds
        .iter()
        .map(|fold| {
            let trained: BTreeSet<u32> = fold.train.iter().map(|&image| groups[image]).collect();
            fold.validation.iter().filter(|&&image| trained.contains(&groups[image])).count()
        })
        .sum();
    let remedy = if misnamed == 0 {
        keep_groups()
    } else {
        Remedy::advice(format!(
            "Give them one name each, or take them out: manifest.json has `duplicate_of` at {misnamed} \
             that have several. `--split grouped` keeps all copies on one side."
        ))
    };
    let misnamed = match misnamed {
        0 => String::new(),
        names => format!(
            " {names} photographs are there under several people's names, of which all \
                          but one are wrong."
        ),
    };
    judge(check, leaked, folds, "a copy", &misnamed, remedy)
}

/// Finds near copies by the base's features.
///
/// # Shapes
///
/// - `features`: of pool5, of each image that the folds speak of
/// - `labels`: `(images,)`
/// - `groups`: `(images,)`, as `prepare` found them; not those of a grouped split, which has joined
///   what is looked for here
///
/// # Errors
///
/// [`Error::Tensor`] if the arithmetic fails.
pub fn near_duplicates(
    features: &Features,
    labels: &[u32],
    groups: &[u32],
    folds: &[Fold],
) -> Result<Outcome, Error> {
    let check = Check::NearDuplicates;
    if folds.is_empty() {
        return Ok(Outcome::skipped(check, "there are no folds"));
    }
    let Some(copies) = near_copies(features, labels, groups)? else {
        return Ok(Outcome::skipped(check, "the base sees nearly the same in most photographs"));
    };
    let mut near = vec![Vec::new(); features.images()];
    for (one, other) in copies.pairs {
        near[one].push(other);
        near[other].push(one);
    }
    let leaked: usize = folds
        .iter()
        .map(|fold| {
            let trained: BTreeSet<usize> = fold.train.iter().copied().collect();
            let has_copy = |image: &&usize| near[**image].iter().any(|it| trained.contains(it));
            fold.validation.iter().filter(has_copy).count()
        })
        .sum();
    let what = format!("a near copy (cosine {:.2} and more)", copies.cosine);
    Ok(judge(check, leaked, folds, &what, "", keep_groups()))
}

fn keep_groups() -> Remedy {
    Remedy::command("--split grouped")
}

fn judge(
    check: Check,
    leaked: usize,
    folds: &[Fold],
    what: &str,
    more: &str,
    remedy: Remedy,
) -> Outcome {
    let validated: usize = folds.iter().map(|fold| fold.validation.len()).sum();
    let share = leaked as f64 / validated.max(1) as f64;
    let measurement = Measurement::at_most(
        format!("share of validation photographs with {what} among the training photographs"),
        share,
        SHARE,
    );
    Outcome::judge(check, measurement, || {
        (
            if share < WARNING_SHARE { Level::Note } else { Level::Warning },
            format!(
                "{leaked} of {validated} validation photographs ({}) have {what} among their fold's \
                 training photographs: accuracy may be too high by that much.{more}",
                percent(share)
            ),
            remedy,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::near_copies::tests::{features, people};

    fn fold(index: usize, train: &[usize], validation: &[usize]) -> Fold {
        Fold { index, train: train.to_vec(), validation: validation.to_vec() }
    }

    #[test]
    fn a_copy_on_both_sides_is_found_and_one_on_one_side_is_not() {
        let folds = [fold(0, &[2, 3], &[0, 1]), fold(1, &[0, 1], &[2, 3])];
        assert!(duplicates(&[1; 4], &[7, 7, 8, 9], &folds).finding().is_none());
        let outcome = duplicates(&[1; 4], &[7, 5, 7, 9], &folds);
        let finding = outcome.finding().unwrap();
        assert!(finding.verdict.starts_with("2 of 4 validation"), "{}", finding.verdict);
        assert_eq!(finding.level, Level::Warning);
        assert_eq!(finding.remedy, Remedy::command("--split grouped"));
        let outcome = duplicates(&[1, 1, 2, 1], &[7, 5, 7, 9], &folds);
        let finding = outcome.finding().unwrap();
        assert!(finding.verdict.contains("1 photographs are there under"), "{}", finding.verdict);
        assert!(matches!(finding.remedy, Remedy::Advice { .. }));
    }

    #[test]
    fn a_few_copies_are_noted() {
        let (validation, train): (Vec<usize>, Vec<usize>) = ((0..101).collect(), vec![101]);
        let groups: Vec<u32> = (0..101).chain([0]).collect();
        let outcome = duplicates(&[1; 102], &groups, &[fold(0, &train, &validation)]);
        assert_eq!(outcome.finding().unwrap().level, Level::Note);
    }

    #[test]
    fn no_folds_are_skipped() {
        assert!(matches!(duplicates(&[], &[], &[]), Outcome::Skipped { .. }));
    }

    #[test]
    fn near_copies_count_across_a_fold_only() {
        let all: Vec<usize> = (1..299).collect();
        let across = fold(0, &[&all[..], &[0]].concat(), &[299]);
        let (_, groups) = people();
        let found = |fold| near_duplicates(&features(0.99), &[7; 300], &groups, &[fold]).unwrap();
        assert!(found(across).finding().is_some());
        let together = fold(0, &all, &[0, 299]);
        assert!(found(together).finding().is_none());
    }
}
