//! Which of a fold's training images are held back to steer its training.
//!
//! What stops training early, lowers a rate, chooses an epoch or fits a temperature must not see the
//! fold's validation images, or the fold's score is chosen by what it measures.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::{numpy_random::NumpyRandom, setting::Share};

/// A fold's training images in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerSplit {
    /// Images that train, ascending.
    pub train: Vec<usize>,
    /// Images that steer the training, ascending; none where no identity can spare a group.
    pub validation: Vec<usize>,
}

/// Holds back a share of the images `train`, spread over the identities.
///
/// Groups are put in the order of their labels, and of a seeded shuffle within a label; a group is
/// held back where the images passed so far make one due, as in systematic sampling from a seeded
/// start. So an identity gives about its own share. A group whose images have several labels counts
/// as of the most frequent one, of equally frequent ones the lowest. No group is parted, and each
/// identity of `train` keeps at least one image to train on. What identities could not give for that
/// reason, others give more of, as long as they can: the share held back differs from `share` by no
/// more than the largest group, unless less than that can be spared.
///
/// # Shapes
///
/// - `train`: the fold's training images, each once
/// - `labels`, `groups`: `(images,)` of all images, indexed by `train`
///
/// # Panics
///
/// If an image of `train` has no label or no group.
///
/// # Example
///
/// ```
/// use train::{inner_split::inner_split, setting::Share};
///
/// let labels = [0, 0, 0, 0, 1, 1, 1, 1];
/// let groups = [0, 1, 2, 3, 4, 5, 6, 7];
/// let train = [0, 1, 2, 3, 4, 5, 6, 7];
/// let split = inner_split(&train, &labels, &groups, Share::new(0.25)?, 42);
/// assert_eq!(split.validation.iter().filter(|&&image| labels[image] == 0).count(), 1);
/// assert_eq!(split.validation.iter().filter(|&&image| labels[image] == 1).count(), 1);
/// # Ok::<(), train::setting::SettingError>(())
/// ```
pub fn inner_split(
    train: &[usize],
    labels: &[u32],
    groups: &[u32],
    share: Share,
    seed: u64,
) -> InnerSplit {
    let mut random = NumpyRandom::new(derived(seed));
    let ordered = ordered_groups(train, labels, groups, &mut random);
    let largest = ordered.iter().map(|group| group.images.len()).max().unwrap_or(0) as f64;
    let mut holding = Holding::new(train, labels);
    let wanted = share.get() * train.len() as f64;

    holding.walk(&ordered, share.get(), random.next_share() - 0.5);
    // The walk took less where identities had nothing to spare; the others make up for it.
    while wanted - holding.held_images > largest {
        let missing = wanted - holding.held_images;
        let to_spare: Vec<&Group> =
            ordered.iter().filter(|group| holding.can_spare(group)).collect();
        let images_to_spare: usize = to_spare.iter().map(|group| group.images.len()).sum();
        if to_spare.is_empty() {
            break;
        }
        holding.walk(to_spare, (missing / images_to_spare as f64).min(1.0), 0.0);
    }
    let mut train: Vec<usize> =
        train.iter().copied().filter(|image| !holding.held.contains(image)).collect();
    train.sort_unstable();
    InnerSplit { train, validation: holding.held.into_iter().collect() }
}

/// Images of the training set that stay together.
#[derive(Debug)]
struct Group {
    images: Vec<usize>,
    /// How many images have each label.
    labels: BTreeMap<u32, usize>,
}

impl Group {
    fn label(&self) -> u32 {
        // Of equal counts `max_by_key` takes the last: the lowest label, in reverse.
        self.labels
            .iter()
            .rev()
            .max_by_key(|&(_, &images)| images)
            .map(|(&label, _)| label)
            .expect("a group has at least one image")
    }
}

fn ordered_groups(
    train: &[usize],
    labels: &[u32],
    groups: &[u32],
    random: &mut NumpyRandom,
) -> Vec<Group> {
    let ascending: BTreeSet<usize> = train.iter().copied().collect();
    let mut by_number: BTreeMap<u32, Group> = BTreeMap::new();
    for image in ascending {
        let group = by_number
            .entry(groups[image])
            .or_insert_with(|| Group { images: Vec::new(), labels: BTreeMap::new() });
        group.images.push(image);
        *group.labels.entry(labels[image]).or_default() += 1;
    }
    let mut ordered: Vec<Group> = by_number.into_values().collect();
    random.shuffle(&mut ordered);
    // The sort is stable, so the order within a label is the shuffled one.
    ordered.sort_by_key(Group::label);
    ordered
}

/// What is held back so far.
#[derive(Debug)]
struct Holding {
    held: BTreeSet<usize>,
    held_images: f64,
    /// Images of each label that still train.
    training_images: BTreeMap<u32, usize>,
}

impl Holding {
    fn new(train: &[usize], labels: &[u32]) -> Self {
        let mut training_images = BTreeMap::new();
        for &image in train {
            *training_images.entry(labels[image]).or_default() += 1;
        }
        Self { held: BTreeSet::new(), held_images: 0.0, training_images }
    }

    fn can_spare(&self, group: &Group) -> bool {
        let is_held = group.images.iter().any(|image| self.held.contains(image));
        !is_held && group.labels.iter().all(|(label, images)| self.training_images[label] > *images)
    }

    /// Holds back groups of these at this rate, where they are due and can be spared.
    fn walk<'a>(&mut self, groups: impl IntoIterator<Item = &'a Group>, rate: f64, start: f64) {
        let mut due = start;
        for group in groups {
            let images = group.images.len() as f64;
            due += rate * images;
            // Rounded to whole groups: what is due stays within half of the largest.
            if due < images / 2.0 {
                continue;
            }
            if self.can_spare(group) {
                self.hold(group);
                due -= images;
            } else {
                // What this identity cannot give is not asked of the next one alone.
                due = due.min(images / 2.0);
            }
        }
    }

    fn hold(&mut self, group: &Group) {
        self.held.extend(&group.images);
        self.held_images += group.images.len() as f64;
        for (label, images) in &group.labels {
            if let Some(training) = self.training_images.get_mut(label) {
                *training -= images;
            }
        }
    }
}

/// The first four bytes, little-endian, of the SHA-256 of `inner-split` and the seed.
fn derived(seed: u64) -> u32 {
    let mut hash = Sha256::new();
    hash.update(b"inner-split");
    hash.update(seed.to_le_bytes());
    let digest = hash.finalize();
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

#[cfg(test)]
mod tests {
    use std::iter;

    use proptest::prelude::*;

    use super::*;

    fn share(value: f64) -> Share {
        Share::new(value).unwrap()
    }

    fn alone(images: usize) -> Vec<u32> {
        (0..).take(images).collect()
    }

    /// Images' labels and groups, groups mostly within a label, and a fold's training images.
    fn images() -> impl Strategy<Value = (Vec<usize>, Vec<u32>, Vec<u32>)> {
        prop::collection::vec((0..6_u32, 0..12_u32, 0..9_u32, any::<bool>()), 1..90).prop_map(
            |images| {
                let train = (0..images.len()).filter(|&image| images[image].3).collect();
                let labels = images.iter().map(|image| image.0).collect();
                let group = |image: &(u32, u32, u32, bool)| {
                    if image.2 == 0 { image.1 } else { 100 + image.0 * 12 + image.1 }
                };
                (train, labels, images.iter().map(group).collect())
            },
        )
    }

    fn counts(images: &[usize], labels: &[u32]) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for &image in images {
            *counts.entry(labels[image]).or_default() += 1;
        }
        counts
    }

    #[test]
    fn an_identity_gives_its_share_to_within_one_image() {
        let labels: Vec<u32> =
            (0..40).flat_map(|label: u32| iter::repeat_n(label, 6 + label as usize)).collect();
        let train: Vec<usize> = (0..labels.len()).collect();
        let split = inner_split(&train, &labels, &alone(labels.len()), share(0.1), 42);
        let held = counts(&split.validation, &labels);
        for (label, images) in counts(&train, &labels) {
            let (held, due) =
                (held.get(&label).map_or(0.0, |&held| held as f64), 0.1 * images as f64);
            assert!((held - due).abs() <= 1.0, "label {label}: {held} of {images}");
        }
    }

    #[test]
    fn what_single_images_cannot_give_the_others_do() {
        // Ten identities of one image, and two of ten: a share of 0.3 is nine images.
        let labels: Vec<u32> = (0..10).chain(iter::repeat_n(10, 10)).chain([11; 10]).collect();
        let train: Vec<usize> = (0..30).collect();
        let split = inner_split(&train, &labels, &alone(30), share(0.3), 7);
        assert!((8..=10).contains(&split.validation.len()), "{:?}", split.validation);
        assert!(split.validation.iter().all(|&image| labels[image] >= 10));
        assert!(counts(&split.validation, &labels).values().all(|&held| held >= 3));
    }

    #[test]
    fn one_group_an_identity_leaves_nothing_to_hold_back() {
        let split = inner_split(&[0, 1, 2, 3], &[0, 0, 1, 1], &[5, 5, 6, 6], share(0.5), 1);
        assert_eq!(split, InnerSplit { train: vec![0, 1, 2, 3], validation: vec![] });
        let nothing = inner_split(&[], &[], &[], share(0.5), 1);
        assert_eq!(nothing, InnerSplit { train: vec![], validation: vec![] });
    }

    #[test]
    fn the_seed_changes_what_is_held_back() {
        let (labels, train): (Vec<u32>, Vec<usize>) = (vec![3; 50], (0..50).collect());
        let held = |seed| inner_split(&train, &labels, &alone(50), share(0.2), seed).validation;
        assert_ne!(held(1), held(2));
        assert_ne!(held(1), held(1 << 32 | 1));
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_complete_and_ascending(
            (train, labels, groups) in images(), value in 0.01..0.99_f64, seed: u64,
        ) {
            let split = inner_split(&train, &labels, &groups, share(value), seed);
            for part in [&split.train, &split.validation] {
                prop_assert!(part.windows(2).all(|pair| pair[0] < pair[1]));
            }
            let mut all = [split.train.clone(), split.validation.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(&all, &train);
            prop_assert_eq!(&split, &inner_split(&train, &labels, &groups, share(value), seed));
            let reversed: Vec<usize> = train.iter().rev().copied().collect();
            prop_assert_eq!(split, inner_split(&reversed, &labels, &groups, share(value), seed));
        }

        #[test]
        fn groups_stay_whole_and_identities_keep_an_image(
            (train, labels, groups) in images(), value in 0.01..0.99_f64, seed: u64,
        ) {
            let split = inner_split(&train, &labels, &groups, share(value), seed);
            let numbers = |images: &[usize]| -> BTreeSet<u32> {
                images.iter().map(|&image| groups[image]).collect()
            };
            prop_assert!(numbers(&split.train).is_disjoint(&numbers(&split.validation)));
            let identities = |images: &[usize]| -> BTreeSet<u32> {
                images.iter().map(|&image| labels[image]).collect()
            };
            prop_assert_eq!(identities(&split.train), identities(&train));
        }

        #[test]
        fn the_share_is_met_within_the_largest_group_or_nothing_can_be_spared(
            (train, labels, groups) in images(), value in 0.01..0.99_f64, seed: u64,
        ) {
            let split = inner_split(&train, &labels, &groups, share(value), seed);
            let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
            for &image in &train {
                *sizes.entry(groups[image]).or_default() += 1;
            }
            let largest = sizes.values().max().map_or(0.0, |&size| size as f64);
            let excess = split.validation.len() as f64 - value * train.len() as f64;
            // Sums of shares round.
            prop_assert!(excess <= largest + 1e-9, "{} too many", excess);
            if excess < -largest - 1e-9 {
                let training = counts(&split.train, &labels);
                for &group in sizes.keys() {
                    let of_group: Vec<usize> =
                        split.train.iter().copied().filter(|&image| groups[image] == group).collect();
                    let is_last = counts(&of_group, &labels)
                        .iter()
                        .any(|(label, images)| training[label] == *images);
                    prop_assert!(of_group.is_empty() || is_last, "group {} is left", group);
                }
            }
        }
    }
}
