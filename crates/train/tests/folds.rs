//! Folds against those that scikit-learn dealt, and what holds of all folds.

use std::{collections::BTreeMap, num::NonZeroUsize};

use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use train::folds::{
    Fold, FoldsError, Order, Split, SplitKind, grouped_k_fold, k_fold, stratified_k_fold,
};

#[derive(Deserialize)]
struct Golden {
    kfold: Vec<KFold>,
    stratified_kfold: Vec<StratifiedKFold>,
    stratified_kfold_digest: StratifiedDigest,
}

#[derive(Deserialize)]
struct KFold {
    n: usize,
    k: usize,
    seed: Option<u32>,
    test: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct StratifiedKFold {
    y: Vec<u32>,
    k: usize,
    seed: Option<u32>,
    test: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct StratifiedDigest {
    counts: Vec<usize>,
    k: usize,
    seed: u32,
    sha256: Vec<u8>,
}

#[derive(Deserialize)]
struct GroupedGolden {
    grouped: Vec<Grouped>,
    grouped_digest: Vec<GroupedDigest>,
    repeated: Vec<Repeated>,
}

#[derive(Deserialize)]
struct Grouped {
    y: Vec<u32>,
    groups: Vec<u32>,
    k: usize,
    seed: Option<u32>,
    test: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct GroupedDigest {
    counts: Vec<usize>,
    images_per_group: u32,
    k: usize,
    seed: u32,
    sha256: Vec<u8>,
}

#[derive(Deserialize)]
struct Repeated {
    kind: SplitKind,
    y: Vec<u32>,
    groups: Vec<u32>,
    k: usize,
    repeats: NonZeroUsize,
    seed: u32,
    test: Vec<Vec<usize>>,
}

fn grouped_golden() -> GroupedGolden {
    serde_json::from_str(include_str!("golden/grouped_and_repeated.json"))
        .expect("its script wrote it in this form")
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/splits_and_scores.json"))
        .expect("its script wrote it in this form")
}

fn order(seed: Option<u32>) -> Order {
    seed.map_or(Order::AsGiven, |seed| Order::Shuffled { seed })
}

fn validation(folds: Vec<Fold>) -> Vec<Vec<usize>> {
    folds.into_iter().map(|fold| fold.validation).collect()
}

/// The folds of images that are each a group.
fn folds(
    kind: SplitKind,
    labels: &[u32],
    num_folds: usize,
    seed: u32,
) -> Result<Vec<Fold>, FoldsError> {
    let groups: Vec<u32> = (0..).zip(labels).map(|(image, _)| image).collect();
    Split { kind, num_folds, repeats: NonZeroUsize::MIN, seed }.folds(labels, &groups)
}

fn labels_of_counts(counts: &[usize]) -> Vec<u32> {
    (0..).zip(counts).flat_map(|(label, &images)| std::iter::repeat_n(label, images)).collect()
}

fn validation_sha256(folds: Vec<Fold>) -> Vec<u8> {
    let mut hash = Sha256::new();
    for image in validation(folds).into_iter().flatten() {
        hash.update(u32::try_from(image).expect("images are fewer than 2^32").to_le_bytes());
    }
    hash.finalize().to_vec()
}

#[test]
fn k_fold_is_that_of_scikit_learn() {
    for case in golden().kfold {
        let found = validation(k_fold(case.n, case.k, order(case.seed)).unwrap());
        assert_eq!(found, case.test, "{} images, {} folds, seed {:?}", case.n, case.k, case.seed);
    }
}

#[test]
fn stratified_k_fold_is_that_of_scikit_learn() {
    for case in golden().stratified_kfold {
        let found = validation(stratified_k_fold(&case.y, case.k, order(case.seed)).unwrap());
        assert_eq!(found, case.test, "labels {:?}, {} folds", case.y, case.k);
    }
}

#[test]
fn stratified_k_fold_of_thousands_is_that_of_scikit_learn() {
    let case = golden().stratified_kfold_digest;
    let labels = labels_of_counts(&case.counts);
    let found = folds(SplitKind::Stratified, &labels, case.k, case.seed).unwrap();
    assert_eq!(validation_sha256(found), case.sha256);
}

#[test]
fn grouped_k_fold_is_that_of_scikit_learn() {
    let cases = grouped_golden().grouped;
    assert!(cases.iter().any(|case| case.test.iter().any(Vec::is_empty)));
    for case in cases {
        let found = grouped_k_fold(&case.y, &case.groups, case.k, order(case.seed));
        match case.test.iter().position(Vec::is_empty) {
            None => assert_eq!(
                validation(found.unwrap()),
                case.test,
                "labels {:?}, groups {:?}, {} folds",
                case.y,
                case.groups,
                case.k
            ),
            // scikit-learn hands out the empty fold.
            Some(fold) => {
                let expected = FoldsError::EmptyFold { fold, num_folds: case.k, groups: 6 };
                assert_eq!(found, Err(expected));
            }
        }
    }
}

#[test]
fn grouped_k_fold_of_thousands_is_that_of_scikit_learn() {
    for case in grouped_golden().grouped_digest {
        let labels = labels_of_counts(&case.counts);
        let groups: Vec<u32> =
            (0..).zip(&labels).map(|(image, _)| image / case.images_per_group).collect();
        let order = Order::Shuffled { seed: case.seed };
        let found = grouped_k_fold(&labels, &groups, case.k, order).unwrap();
        assert_eq!(validation_sha256(found), case.sha256, "{} a group", case.images_per_group);
    }
}

#[test]
fn repeated_folds_are_those_of_scikit_learn() {
    for case in grouped_golden().repeated {
        let Repeated { kind, k: num_folds, repeats, seed, .. } = case;
        let split = Split { kind, num_folds, repeats, seed };
        let found = split.folds(&case.y, &case.groups).unwrap();
        assert!(found.iter().map(|fold| fold.index).eq(0..num_folds * repeats.get()));
        assert_eq!(validation(found), case.test, "{split:?}");
    }
}

fn kinds() -> impl Strategy<Value = SplitKind> {
    prop_oneof![
        Just(SplitKind::Stratified),
        Just(SplitKind::Shuffled),
        Just(SplitKind::Contiguous),
        Just(SplitKind::Grouped),
    ]
}

/// Labels in any order, with one that is large enough for nine stratified folds.
fn labels() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..6_u32, 0..80)
        .prop_map(|labels| labels.into_iter().chain([9; 9]).collect::<Vec<_>>())
        .prop_shuffle()
}

fn is_ascending(images: &[usize]) -> bool {
    images.windows(2).all(|pair| pair[0] < pair[1])
}

proptest! {
    #[test]
    fn folds_are_disjoint_and_complete(
        kind in kinds(), labels in labels(), num_folds in 2..10_usize, seed: u32,
    ) {
        let folds = folds(kind, &labels, num_folds, seed).unwrap();
        prop_assert_eq!(folds.len(), num_folds);
        let mut validated = vec![0; labels.len()];
        for (index, fold) in folds.iter().enumerate() {
            prop_assert_eq!(fold.index, index);
            prop_assert!(is_ascending(&fold.train) && is_ascending(&fold.validation));
            let mut all = [fold.train.clone(), fold.validation.clone()].concat();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..labels.len()));
            for &image in &fold.validation {
                validated[image] += 1;
            }
        }
        prop_assert!(validated.iter().all(|&times| times == 1));
    }

    #[test]
    fn stratified_folds_differ_by_at_most_one_image_of_an_identity(
        labels in labels(), num_folds in 2..10_usize, seed: u32,
    ) {
        let folds = folds(SplitKind::Stratified, &labels, num_folds, seed).unwrap();
        let mut counts: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for fold in &folds {
            for &image in &fold.validation {
                counts.entry(labels[image]).or_insert_with(|| vec![0; num_folds])[fold.index] += 1;
            }
        }
        for (label, counts) in counts {
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(most - least <= 1, "label {} has {:?}", label, counts);
        }
    }

    #[test]
    fn sizes_of_unstratified_folds_differ_by_at_most_one(
        images in 2..200_usize, num_folds in 2..10_usize, seed: u32,
    ) {
        prop_assume!(num_folds <= images);
        let folds = k_fold(images, num_folds, Order::Shuffled { seed }).unwrap();
        let sizes: Vec<usize> = folds.iter().map(|fold| fold.validation.len()).collect();
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
    }

    #[test]
    fn grouped_folds_part_no_group(
        labels in labels(), seed: u32, of_groups in prop::collection::vec(0..40_u32, 89),
    ) {
        let groups = &of_groups[..labels.len()];
        let Ok(folds) = grouped_k_fold(&labels, groups, 3, Order::Shuffled { seed }) else {
            // Few labels may leave fewer groups than folds.
            return Ok(());
        };
        for fold in folds {
            let is_parted = fold.validation.iter().any(|&held_out| {
                fold.train.iter().any(|&image| groups[image] == groups[held_out])
            });
            prop_assert!(!is_parted);
        }
    }
}
