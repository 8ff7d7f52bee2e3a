//! Near copies of a photograph, by what the base sees: exact, over all pairs.

use std::collections::BTreeMap;

use super::similarity::{Features, products};
use crate::Error;

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
/// as near as two people come: some photographs have the wrong name.
const STRANGERS: f64 = 0.001;

/// So many such pairs may there be in sets of fewer than 6,000 images too.
const FEWEST_STRANGERS: usize = 3;

/// Pairs for each image, in the mean, from which on the base is blind rather than the images alike.
const MOST_PAIRS: usize = 50;

/// Images whose similarities to all others are computed at once.
const CHUNK: usize = 256;

/// The near copies of a set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NearCopies {
    /// The cosine from which on two images count as near copies.
    pub(crate) cosine: f32,
    /// All pairs of them, ascending, the lower image first.
    pub(crate) pairs: Vec<(usize, usize)>,
}

/// Looks for near copies; none where there are too many to be copies.
///
/// # Shapes
///
/// - `features`: of pool5, of each image
/// - `labels`, `groups`: `(images,)`; two images of one group are known to be one photograph
///
/// # Errors
///
/// [`Error::Tensor`] if the arithmetic fails.
pub(crate) fn near_copies(
    features: &Features,
    labels: &[u32],
    groups: &[u32],
) -> Result<Option<NearCopies>, Error> {
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
    let cosine = f32::midpoint(strangers(nearest_stranger), 1.0).max(NEAR);
    let pairs = pairs.into_iter().filter(|pair| cosine <= pair.2);
    Ok(Some(NearCopies { cosine, pairs: pairs.map(|(one, other, _)| (one, other)).collect() }))
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
    nearest.get(2 * pairs.max(FEWEST_STRANGERS)).copied().unwrap_or(-1.0)
}

/// Groups in which near copies are together too: of each image the first of its group.
///
/// # Shapes
///
/// - `groups`: `(images,)`
/// - `pairs`: of images
pub(crate) fn joined(groups: &[u32], pairs: &[(usize, usize)]) -> Vec<u32> {
    let mut first_of: BTreeMap<u32, usize> = BTreeMap::new();
    let mut first: Vec<usize> = groups
        .iter()
        .enumerate()
        .map(|(image, &group)| *first_of.entry(group).or_insert(image))
        .collect();
    // Each image points to an earlier one of its group, the first of them to itself.
    let root = |first: &[usize], mut image: usize| {
        while first[image] != image {
            image = first[image];
        }
        image
    };
    for &(one, other) in pairs {
        let (one, other) = (root(&first, one), root(&first, other));
        first[one.max(other)] = one.min(other);
    }
    let images = 0..groups.len();
    images
        .map(|image| u32::try_from(root(&first, image)).expect("fewer than 2^32 images"))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Orthogonal images, of which the last is `cosine` near the first.
    pub(crate) fn features(cosine: f32) -> Features {
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
    pub(crate) fn people() -> (Vec<u32>, Vec<u32>) {
        ((0..300).map(|image| image % 2).collect(), (0..300).collect())
    }

    fn found(cosine: f32, labels: &[u32], groups: &[u32]) -> Vec<(usize, usize)> {
        near_copies(&features(cosine), labels, groups).unwrap().unwrap().pairs
    }

    #[test]
    fn near_copies_are_found_above_the_threshold_only() {
        // The mean over images moves the cosine by less than the root of 1/300, here by 0.003. All
        // are one person's, so that nobody else is near.
        let (_, groups) = people();
        assert_eq!(found(0.86, &[7; 300], &groups), [(0, 299)]);
        assert_eq!(found(0.84, &[7; 300], &groups), []);
    }

    /// Seven images of other people near the first, by this cosine, and 292 far from all.
    fn strangers_at(cosine: f32) -> (Features, Vec<u32>) {
        let images = 300;
        let mut values = vec![0.0; images * images];
        for image in 0..images {
            values[image * images + image] = 1.0;
        }
        for image in 1..8 {
            values[image * images] = cosine;
            values[image * images + image] = (1.0 - cosine * cosine).sqrt();
        }
        (Features::new(values, images), (0..300).collect())
    }

    #[test]
    fn copies_are_nearer_than_two_people_come() {
        // Images 1 to 7 are of other people and come as near to 0 as 0.9; so 0.95 is the least that
        // makes a copy, and there is none.
        let (features, labels) = strangers_at(0.9);
        let groups = labels.clone();
        let found = near_copies(&features, &labels, &groups).unwrap().unwrap();
        assert_eq!(found.pairs, []);
        assert!((found.cosine - 0.95).abs() < 0.005, "{}", found.cosine);
        // Known to be one photograph under eight names, they say nothing of how near people come.
        let copies: Vec<u32> = (0..300).map(|image| if image < 8 { 0 } else { image }).collect();
        let found = near_copies(&features, &labels, &copies).unwrap().unwrap();
        assert_eq!(found.pairs, [1, 2, 3, 4, 5, 6, 7].map(|image| (0, image)));
        assert!((found.cosine - NEAR).abs() < 1e-6, "{}", found.cosine);
    }

    #[test]
    fn three_photographs_under_two_names_hide_no_copies() {
        // Images 0 and 299 are the pair.
        let (labels, groups) = people();
        assert_eq!(found(0.9, &labels, &groups), [(0, 299)]);
        let mut nearest = vec![0.6; 3000];
        nearest[..6].fill(0.99);
        assert!((strangers(nearest.clone()) - 0.6).abs() < 1e-6);
        nearest[..8].fill(0.98);
        assert!((strangers(nearest) - 0.98).abs() < 1e-6);
        // Of more images a thousandth.
        let mut nearest = vec![0.6; 8000];
        nearest[..8].fill(0.99);
        assert!((strangers(nearest) - 0.6).abs() < 1e-6);
        assert!(strangers(Vec::new()) < 0.0);
    }

    #[test]
    fn a_blind_base_sees_no_copies() {
        // Two kinds of image, 100 of each alike.
        let values = (0..200).flat_map(|image| if image < 100 { [1.0, 0.0] } else { [0.0, 1.0] });
        let features = Features::new(values.collect(), 200);
        let groups: Vec<u32> = (0..200).collect();
        assert_eq!(
            near_copies(&features, &[0; 200], &groups).unwrap().map(|found| found.pairs.len()),
            Some(9900)
        );
        let values = vec![[1.0, 0.0]; 199].into_iter().chain([[0.0, 1.0]]).flatten();
        let features = Features::new(values.collect(), 200);
        assert_eq!(near_copies(&features, &[0; 200], &groups).unwrap(), None);
    }

    #[test]
    fn near_copies_join_groups_and_what_was_joined_before() {
        // 0 and 2 are one photograph, 1 and 4 another; 2 is near 4 and 3 near nothing.
        let groups = [9, 4, 9, 7, 4, 5];
        assert_eq!(joined(&groups, &[]), [0, 1, 0, 3, 1, 5]);
        assert_eq!(joined(&groups, &[(2, 4)]), [0, 0, 0, 3, 0, 5]);
        assert_eq!(joined(&groups, &[(2, 4), (4, 5), (0, 1)]), [0, 0, 0, 3, 0, 0]);
    }
}
