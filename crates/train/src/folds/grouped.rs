//! Folds that part no group of images and spread each label as evenly as the groups allow.

use std::collections::BTreeMap;

use super::{
    Fold, FoldsError, Order,
    dealing::{Shuffling, check_identities, check_num_folds, gather, images_per_label},
};

/// Deals groups of images to folds, those that are least evenly spread over the labels first, each
/// to the fold in which it leaves the labels spread most evenly.
///
/// Where every group is a single image, labels are spread nearly as by
/// [`stratified_k_fold`](super::stratified_k_fold): both hand an image to a fold that has few of
/// its label, but this one also evens the folds' sizes, deals other images with the same seed, and
/// promises no difference of at most one.
///
/// # Shapes
///
/// - `labels`, `groups`: `(images,)`; groups are told apart by their numbers, which need not be
///   consecutive but whose order decides ties
///
/// # Errors
///
/// Those of [`stratified_k_fold`](super::stratified_k_fold),
/// [`FoldsError::GroupsOfOtherImages`], [`FoldsError::MoreFoldsThanGroups`], and
/// [`FoldsError::EmptyFold`], where scikit-learn hands out a fold without test images.
///
/// # Source
///
/// scikit-learn 1.9.1, `model_selection/_split.py`, `StratifiedGroupKFold`. Ties are broken there
/// by the last bits of sums, so these are added in the order of numpy 2.4.6
/// (`loops_utils.h.src`, `pairwise_sum`).
pub fn grouped_k_fold(
    labels: &[u32],
    groups: &[u32],
    num_folds: usize,
    order: Order,
) -> Result<Vec<Fold>, FoldsError> {
    let fold_of_image = deal(labels, groups, num_folds, &mut order.into())?;
    Ok(gather(&fold_of_image, num_folds, 0))
}

/// The fold of each image.
pub(super) fn deal(
    labels: &[u32],
    groups: &[u32],
    num_folds: usize,
    shuffling: &mut Shuffling,
) -> Result<Vec<usize>, FoldsError> {
    check_groups(labels, groups)?;
    check_num_folds(num_folds, labels.len())?;
    check_identities(labels, num_folds)?;
    let group_of_image = places(groups);
    let num_groups = group_of_image.iter().max().map_or(0, |last| last + 1);
    if num_groups < num_folds {
        return Err(FoldsError::MoreFoldsThanGroups { num_folds, groups: num_groups });
    }
    let class_of_image = places(labels);
    let images_of_class: Vec<f64> =
        images_per_label(labels).into_values().map(|images| images as f64).collect();

    let mut class_counts = vec![BTreeMap::new(); num_groups];
    for (&group, &class) in group_of_image.iter().zip(&class_of_image) {
        *class_counts[group].entry(class).or_insert(0.0) += 1.0;
    }
    let class_counts: Vec<ClassCounts> =
        class_counts.into_iter().map(|counts| counts.into_iter().collect()).collect();

    let mut order: Vec<usize> = (0..num_groups).collect();
    shuffling.shuffle(&mut order);
    let spread_of_group: Vec<f64> = class_counts
        .iter()
        .map(|counts| spread_over_classes(counts, images_of_class.len()))
        .collect();
    order.sort_by(|&one, &other| spread_of_group[other].total_cmp(&spread_of_group[one]));

    let mut deal = Deal::new(images_of_class, num_folds);
    let mut fold_of_group = vec![0; num_groups];
    for group in order {
        fold_of_group[group] = deal.hand_out(&class_counts[group]);
    }
    if let Some(fold) = deal.images_of_fold.iter().position(|&images| images == 0.0) {
        return Err(FoldsError::EmptyFold { fold, num_folds, groups: num_groups });
    }
    Ok(group_of_image.into_iter().map(|group| fold_of_group[group]).collect())
}

pub(super) fn check_groups(labels: &[u32], groups: &[u32]) -> Result<(), FoldsError> {
    if labels.len() == groups.len() {
        return Ok(());
    }
    Err(FoldsError::GroupsOfOtherImages { images: labels.len(), groups: groups.len() })
}

/// How many images of a group have each class, classes ascending, none that it lacks.
type ClassCounts = Vec<(usize, f64)>;

/// Groups dealt so far.
#[derive(Debug)]
struct Deal {
    images_of_class: Vec<f64>,
    images_of_fold: Vec<f64>,
    /// `[class][fold]`: which share of a class's images a fold has, as a count.
    counts: Vec<Vec<f64>>,
    /// How unevenly the shares of each class lie over the folds.
    spread_of_class: Vec<f64>,
}

impl Deal {
    fn new(images_of_class: Vec<f64>, num_folds: usize) -> Self {
        Self {
            counts: vec![vec![0.0; num_folds]; images_of_class.len()],
            spread_of_class: vec![0.0; images_of_class.len()],
            images_of_fold: vec![0.0; num_folds],
            images_of_class,
        }
    }

    /// Hands a group to the fold that suits it best, and returns that.
    fn hand_out(&mut self, group: &ClassCounts) -> usize {
        let mut best = Best { fold: 0, unevenness: f64::INFINITY, images: f64::INFINITY };
        for fold in 0..self.images_of_fold.len() {
            // Only the group's own classes change; the others keep their spread to the bit.
            let mut spread_of_class = self.spread_of_class.clone();
            for &(class, images) in group {
                self.counts[class][fold] += images;
                spread_of_class[class] = self.spread_over_folds(class);
                self.counts[class][fold] -= images;
            }
            let unevenness = pairwise_sum(&spread_of_class) / spread_of_class.len() as f64;
            best.consider(Best { fold, unevenness, images: self.images_of_fold[fold] });
        }
        for &(class, images) in group {
            self.counts[class][best.fold] += images;
            self.images_of_fold[best.fold] += images;
            self.spread_of_class[class] = self.spread_over_folds(class);
        }
        best.fold
    }

    fn spread_over_folds(&self, class: usize) -> f64 {
        let images = self.images_of_class[class];
        let shares: Vec<f64> = self.counts[class].iter().map(|count| count / images).collect();
        // numpy adds row to row where there are several classes, and pairwise where there is one.
        match self.images_of_class.len() {
            1 => standard_deviation(&shares, pairwise_sum),
            _ => standard_deviation(&shares, |values| values.iter().sum()),
        }
    }
}

/// The best fold so far for a group.
#[derive(Debug, Clone, Copy)]
struct Best {
    fold: usize,
    unevenness: f64,
    images: f64,
}

impl Best {
    fn consider(&mut self, other: Best) {
        // `numpy.isclose` with its default tolerances, of which the relative one is of the best.
        let is_close =
            (other.unevenness - self.unevenness).abs() <= 1e-8 + 1e-5 * self.unevenness.abs();
        if other.unevenness < self.unevenness || (is_close && other.images < self.images) {
            *self = other;
        }
    }
}

/// The place of each number among the different ones, ascending: `numpy.unique`'s inverse.
fn places(numbers: &[u32]) -> Vec<usize> {
    let mut different = numbers.to_vec();
    different.sort_unstable();
    different.dedup();
    numbers.iter().map(|number| different.partition_point(|other| other < number)).collect()
}

fn spread_over_classes(counts: &ClassCounts, num_classes: usize) -> f64 {
    let mut dense = vec![0.0; num_classes];
    for &(class, images) in counts {
        dense[class] = images;
    }
    standard_deviation(&dense, pairwise_sum)
}

/// `numpy.std`, of the population.
fn standard_deviation(values: &[f64], sum: fn(&[f64]) -> f64) -> f64 {
    let count = values.len() as f64;
    let mean = sum(values) / count;
    let squares: Vec<f64> = values.iter().map(|value| (value - mean) * (value - mean)).collect();
    (sum(&squares) / count).sqrt()
}

/// A sum in numpy's order: in turn below eight values, in eight lanes up to 128, in halves above.
fn pairwise_sum(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() < LANES {
        return values.iter().sum();
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (first, second) = values.split_at(half - half % LANES);
        return pairwise_sum(first) + pairwise_sum(second);
    }
    let (rows, rest) = values.as_chunks::<LANES>();
    let mut lanes = rows[0];
    for row in &rows[1..] {
        for (lane, value) in lanes.iter_mut().zip(row) {
            *lane += value;
        }
    }
    let quarter = |lane: usize| lanes[lane] + lanes[lane + 1];
    let sum_of_lanes = (quarter(0) + quarter(2)) + (quarter(4) + quarter(6));
    rest.iter().fold(sum_of_lanes, |sum, value| sum + value)
}
