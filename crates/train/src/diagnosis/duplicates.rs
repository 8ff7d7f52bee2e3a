//! Copies of a photograph on both sides of a fold: an answer that was seen in training.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
    similarity::{Features, products},
};
use crate::{Error, folds::Fold};

/// The cosine of two images' pool5 features, less the mean over all images, below which they count
/// as near copies in no set.
///
/// How near two people come depends on what of them is seen: with VGG16 for ImageNet and LFW's 311
/// people, 14.7 million pairs, the closest two come to 0.723 in whole frames of 224 pixels, and to
/// 0.844 in central squares of 0.6 at 96 pixels. So a near copy is above this *and* above the middle
/// between [`STRANGERS`] and 1: 0.91 in the second set, where the copies have 0.948 and more, and
/// other frames of one moment 0.908 and less. In the first the pairs above 0.85 are 9, all of one
/// person: the same scene twice, cropped or encoded anew.
const NEAR: f32 = 0.85;

/// The share of images that may be part of a pair of two people that is nearer than what is taken for
/// as near as two people come, one such pair at least: some photographs have the wrong name.
const STRANGERS: f64 = 0.001;

/// Pairs for each image, in the mean, from which on the base is blind rather than the images alike.
const MOST_PAIRS: usize = 50;

/// Any copy across a fold is worth a note.
const SHARE: f64 = 0.0;

/// From this share of validation photographs on it is worth a warning: it then moves accuracy by as much
/// as a fold's standard error. Stratified folds of LFW's 311 people have 0.003.
const WARNING_SHARE: f64 = 0.01;

/// Images whose similarities to all others are computed at once.
const CHUNK: usize = 256;

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

/// Finds near copies by the base's features: exact, over all pairs.
///
/// # Shapes
///
/// - `features`: of pool5, of each image that the folds speak of
/// - `labels`: `(images,)`
/// - `groups`: `(images,)`, as a grouped split goes by them
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
    let Some(pairs) = near_pairs(features, labels, groups)? else {
        return Ok(Outcome::skipped(check, "the base sees nearly the same in most photographs"));
    };
    let mut near = vec![Vec::new(); features.images()];
    for (one, other) in pairs {
        near[one].push(other);
        near[other].push(one);
    }
    let mut leaked = 0;
    let mut is_parted_group = false;
    for fold in folds {
        let trained: BTreeSet<usize> = fold.train.iter().copied().collect();
        for &image in &fold.validation {
            let copies: Vec<usize> =
                near[image].iter().copied().filter(|copy| trained.contains(copy)).collect();
            leaked += usize::from(!copies.is_empty());
            is_parted_group |= copies.iter().any(|&copy| groups[copy] == groups[image]);
        }
    }
    // Folds that part no group would part these pairs as before.
    let remedy = if is_parted_group { keep_groups() } else { look_at_them() };
    Ok(judge(check, leaked, folds, "a near copy", "", remedy))
}

/// All pairs of near copies, ascending, the lower image first; none where they are too many.
fn near_pairs(
    features: &Features,
    labels: &[u32],
    groups: &[u32],
) -> Result<Option<Vec<(usize, usize)>>, Error> {
    let images = features.images();
    let matrix = features.centered().normalized().matrix()?;
    let mut pairs = Vec::new();
    let mut nearest_stranger = vec![-1.0_f32; images];
    for start in (0..images).step_by(CHUNK) {
        // Pairs with earlier images have been looked at from there.
        let later = images - start;
        let columns = matrix.narrow(0, start, later)?;
        let rows = columns.narrow(0, 0, CHUNK.min(later))?;
        let cosines = products(&rows, &columns)?;
        for (row, cosines) in cosines.chunks_exact(later).enumerate() {
            let one = start + row;
            for (other, &cosine) in (start..).zip(cosines).skip(row + 1) {
                if NEAR <= cosine {
                    pairs.push((one, other, cosine));
                }
                // A photograph under two names says nothing of two people.
                if labels[one] != labels[other] && groups[one] != groups[other] {
                    for image in [one, other] {
                        nearest_stranger[image] = nearest_stranger[image].max(cosine);
                    }
                }
            }
        }
        if MOST_PAIRS * images < pairs.len() {
            return Ok(None);
        }
    }
    let near = f32::midpoint(strangers(nearest_stranger), 1.0);
    Ok(Some(
        pairs
            .into_iter()
            .filter(|pair| near <= pair.2)
            .map(|(one, other, _)| (one, other))
            .collect(),
    ))
}

/// How near two people come, of how near each image comes to another person's; see [`STRANGERS`].
fn strangers(mut nearest: Vec<f32>) -> f32 {
    nearest.sort_by(|one, other| other.total_cmp(one));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a length"
    )]
    let pairs = (STRANGERS * nearest.len() as f64 / 2.0) as usize;
    // Both images of a pair are among them.
    nearest.get(2 * pairs.max(1)).copied().unwrap_or(-1.0)
}

fn keep_groups() -> Remedy {
    Remedy::command("--split grouped")
}

fn look_at_them() -> Remedy {
    Remedy::advice(
        "`--split grouped` keeps together what `prepare` takes for one photograph, and these pairs \
         are alike to the base only: other frames of a scene, or copies cropped by more. Take one \
         of each out of the folder of faces, or read accuracy with that in mind.",
    )
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

    /// Orthogonal images, of which the last is `cosine` near the first.
    fn features(cosine: f32) -> Features {
        let images = 300;
        let mut values = vec![0.0; images * images];
        for image in 0..images - 1 {
            values[image * images + image] = 1.0;
        }
        let last = (images - 1) * images;
        values[last] = cosine;
        values[last + images - 1] = (1.0 - cosine * cosine).sqrt();
        Features::new(values, images)
    }

    /// Of two people in turn, no image a copy of another.
    fn people() -> (Vec<u32>, Vec<u32>) {
        ((0..300).map(|image| image % 2).collect(), (0..300).collect())
    }

    fn found(cosine: f32, labels: &[u32], groups: &[u32]) -> Vec<(usize, usize)> {
        near_pairs(&features(cosine), labels, groups).unwrap().unwrap()
    }

    #[test]
    fn near_copies_are_found_above_the_threshold_only() {
        // The mean over images moves the cosine by less than the root of 1/300, here by 0.003. All
        // are one person's, so that nobody else is near.
        let (_, groups) = people();
        assert_eq!(found(0.86, &[7; 300], &groups), [(0, 299)]);
        assert_eq!(found(0.84, &[7; 300], &groups), []);
    }

    /// Three images of two people each near the first, by this cosine, and 297 far from all.
    fn strangers_at(cosine: f32) -> (Features, Vec<u32>) {
        let images = 300;
        let mut values = vec![0.0; images * images];
        for image in 0..images {
            values[image * images + image] = 1.0;
        }
        for image in 1..3 {
            values[image * images] = cosine;
            values[image * images + image] = (1.0 - cosine * cosine).sqrt();
        }
        (Features::new(values, images), (0..300).collect())
    }

    #[test]
    fn copies_are_nearer_than_two_people_come() {
        // Images 1 and 2 are of two people and come as near to 0, of a third, as 0.9; so 0.95 is the
        // least that makes a copy, and there is none.
        let (features, labels) = strangers_at(0.9);
        let groups = labels.clone();
        assert_eq!(near_pairs(&features, &labels, &groups).unwrap().unwrap(), []);
        // Known to be one photograph under three names, they say nothing of how near people come.
        let copies: Vec<u32> = (0..300).map(|image| if image < 3 { 0 } else { image }).collect();
        let pairs = near_pairs(&features, &labels, &copies).unwrap().unwrap();
        assert_eq!(pairs, [(0, 1), (0, 2)]);
    }

    #[test]
    fn one_photograph_under_two_names_hides_no_copies() {
        // Images 0 and 299 are the pair.
        let (labels, groups) = people();
        assert_eq!(found(0.9, &labels, &groups), [(0, 299)]);
        let mut nearest = vec![0.6; 3000];
        nearest[..2].fill(0.99);
        assert!((strangers(nearest.clone()) - 0.6).abs() < 1e-6);
        nearest[..4].fill(0.98);
        assert!((strangers(nearest) - 0.98).abs() < 1e-6);
        assert!(strangers(Vec::new()) < 0.0);
    }

    #[test]
    fn a_blind_base_sees_no_copies() {
        // Two kinds of image, 100 of each alike.
        let values = (0..200).flat_map(|image| if image < 100 { [1.0, 0.0] } else { [0.0, 1.0] });
        let features = Features::new(values.collect(), 200);
        let groups: Vec<u32> = (0..200).collect();
        assert_eq!(
            near_pairs(&features, &[0; 200], &groups).unwrap().map(|it| it.len()),
            Some(9900)
        );
        let values = vec![[1.0, 0.0]; 199].into_iter().chain([[0.0, 1.0]]).flatten();
        let features = Features::new(values.collect(), 200);
        assert_eq!(near_pairs(&features, &[0; 200], &groups).unwrap(), None);
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

    #[test]
    fn a_grouped_split_is_no_remedy_for_copies_of_other_groups() {
        let all: Vec<usize> = (0..299).collect();
        let remedy = |groups: &[u32]| {
            let folds = [fold(0, &all, &[299])];
            let outcome = near_duplicates(&features(0.99), &[7; 300], groups, &folds).unwrap();
            outcome.finding().unwrap().remedy.clone()
        };
        let mut groups: Vec<u32> = (0..300).collect();
        assert!(matches!(remedy(&groups), Remedy::Advice { .. }));
        groups[299] = 0;
        assert_eq!(remedy(&groups), keep_groups());
    }
}
