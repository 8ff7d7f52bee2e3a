//! Photographs that stand in a folder twice: encoded, scaled, brightened, mirrored or cropped by a
//! little anew.
//!
//! Copies that were cropped by more than a hundredth or two are left to those who have a network's
//! features to compare.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::perceptual_hash::DifferenceHash;
use crate::settings::Side;
use crate::thumbnail::Brightness;

/// Hashes that differ in no more places than this belong to images whose details are compared.
///
/// On LFW's 311 people with six photographs (5425 images, 14.7 million pairs and as many with one
/// mirrored), whole frames, copies are 0 to 4 apart, and 1896 pairs are within 8. The closest two
/// people are 3 apart, so that the hash alone will not do. A copy that lacks 2 % at the left and
/// 1 % at the top is 3 apart in the median, and within 8 in each of 120 photographs; with 4 % cut
/// off on all sides, in half of them.
const MOST_DIFFERENCES: u32 = 8;

/// The correlation of details from which two images are of one photograph.
///
/// On the same LFW, whole frames, ten pairs reach it, in ten groups: nine were seen to be one
/// photograph cropped or encoded anew, from 0.938 on, and the tenth (0.937) two frames of one
/// moment. Below come frames with another smile (0.912), and the closest two people at 0.743. Of
/// central squares of 0.6 ten pairs reach it too, all copies, from 0.971 on; then come the other
/// smile (0.922), and two people at 0.746. Of 120 photographs, nine in ten reach 0.985 when made
/// 30 % brighter, 0.965 when turned by a degree, and half reach 0.927 when 2 % are cut off at the
/// left and 1 % at the top.
const SAME: f32 = 0.93;

/// The side of thumbnails.
const SIDE: usize = 32;

/// How far around a pixel of a thumbnail its surroundings reach, whose mean is taken away.
const SURROUNDINGS: usize = 3;

/// How far one thumbnail may be moved over the other, in pixels: for frames of one size that were
/// laid around a face anew.
const MOST_SHIFT: isize = 2;

/// Thumbnails with less detail than this, as a standard deviation of brightness, show nothing that
/// could be told apart: what is left is rounding.
const LEAST_DETAIL: f32 = 1.0;

/// Images whose hashes are compared with all earlier ones at once.
const CHUNK: usize = 64;

/// What of an image is compared with others, some 1 KiB.
#[derive(Debug, Clone)]
pub(crate) struct Appearance {
    hash: DifferenceHash,
    hash_of_mirrored: DifferenceHash,
    /// `(SIDE, SIDE)`, brightness.
    thumbnail: Vec<u8>,
}

impl Appearance {
    /// # Shapes
    ///
    /// - `rgb`: `(3, side, side)`, u8, RGB planes
    pub(crate) fn of(rgb: &[u8], side: Side) -> Self {
        let brightness = Brightness::of(rgb, side);
        let [hash, hash_of_mirrored] = DifferenceHash::with_mirrored(&brightness);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of bytes, rounded, is a byte"
        )]
        let thumbnail = brightness
            .area_means::<SIDE, SIDE>()
            .as_flattened()
            .iter()
            .map(|mean| mean.round() as u8)
            .collect();
        Self { hash, hash_of_mirrored, thumbnail }
    }

    fn may_be(&self, other: &Self) -> bool {
        self.hash.distance(other.hash) <= MOST_DIFFERENCES
    }

    fn may_be_mirrored(&self, other: &Self) -> bool {
        self.hash.distance(other.hash_of_mirrored) <= MOST_DIFFERENCES
    }

    /// Whether both are of one photograph.
    fn is_near(&self, other: &Self) -> bool {
        let (upright, mirrored) = (self.may_be(other), self.may_be_mirrored(other));
        if !upright && !mirrored {
            return false;
        }
        let (one, mut other) = (detail(&self.thumbnail), detail(&other.thumbnail));
        if upright && SAME <= largest_correlation(&one, &other) {
            return true;
        }
        for row in &mut other {
            row.reverse();
        }
        mirrored && SAME <= largest_correlation(&one, &other)
    }
}

/// Of each image the first that is of the same photograph, by way of others too: its own index,
/// where there is none.
///
/// # Shapes
///
/// - `appearances`, `sha256` of the photographs' files: `(images,)`
pub(crate) fn first_copies(appearances: &[Appearance], sha256: &[&str]) -> Vec<usize> {
    let mut groups = Groups::of_one_each(appearances.len());
    // Copies to the byte need not be looked at, and may show nothing.
    let mut first_with = BTreeMap::new();
    for (image, sha256) in sha256.iter().enumerate() {
        groups.unite(*first_with.entry(sha256).or_insert(image), image);
    }
    for start in (0..appearances.len()).step_by(CHUNK) {
        let end = appearances.len().min(start + CHUNK);
        let candidates: Vec<(usize, usize)> = (start..end)
            .into_par_iter()
            .flat_map_iter(|later| {
                let one = &appearances[later];
                let may_be = move |&earlier: &usize| {
                    let other = &appearances[earlier];
                    one.may_be(other) || one.may_be_mirrored(other)
                };
                (0..later).filter(may_be).map(move |earlier| (earlier, later))
            })
            .collect();
        for (earlier, later) in candidates {
            // What is known to be together is not compared: a thousand copies are as cheap as none.
            if groups.first(earlier) != groups.first(later)
                && appearances[earlier].is_near(&appearances[later])
            {
                groups.unite(earlier, later);
            }
        }
    }
    (0..appearances.len()).map(|image| groups.first(image)).collect()
}

/// Images in groups, each known by the first of it: a union-find structure.
struct Groups {
    /// Towards the first of an image's group, which leads to itself.
    towards: Vec<usize>,
}

impl Groups {
    fn of_one_each(images: usize) -> Self {
        Self { towards: (0..images).collect() }
    }

    fn first(&mut self, mut image: usize) -> usize {
        while self.towards[image] != image {
            self.towards[image] = self.towards[self.towards[image]];
            image = self.towards[image];
        }
        image
    }

    fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.first(one), self.first(other));
        self.towards[one.max(other)] = one.min(other);
    }
}

type Detail = [[f32; SIDE]; SIDE];

/// A thumbnail less the mean around each pixel: what light and exposure do not change.
fn detail(thumbnail: &[u8]) -> Detail {
    let mut detail = [[0.0; SIDE]; SIDE];
    let around = |at: usize| at.saturating_sub(SURROUNDINGS)..SIDE.min(at + SURROUNDINGS + 1);
    let (rows, _) = thumbnail.as_chunks::<SIDE>();
    for (y, row) in detail.iter_mut().enumerate() {
        let mut columns = [0_u32; SIDE];
        for line in &rows[around(y)] {
            for (column, &value) in columns.iter_mut().zip(line) {
                *column += u32::from(value);
            }
        }
        for (x, value) in row.iter_mut().enumerate() {
            let sum: u32 = columns[around(x)].iter().sum();
            let area = around(x).len() * around(y).len();
            *value = f32::from(rows[y][x]) - sum as f32 / area as f32;
        }
    }
    detail
}

/// The largest correlation over all ways of moving `other` by up to [`MOST_SHIFT`].
fn largest_correlation(one: &Detail, other: &Detail) -> f32 {
    let shifts = -MOST_SHIFT..=MOST_SHIFT;
    shifts
        .clone()
        .flat_map(|down| shifts.clone().map(move |right| (down, right)))
        .map(|(down, right)| correlation(one, other, down, right))
        .fold(-1.0, f32::max)
}

/// Pearson's correlation where the two overlap, `other` moved; 0 where one of them has no detail.
fn correlation(one: &Detail, other: &Detail, down: isize, right: isize) -> f32 {
    let (rows, other_rows) = overlap(down);
    let (columns, other_columns) = overlap(right);
    let count = (rows.len() * columns.len()) as f32;
    let [mut sum, mut other_sum, mut square, mut other_square, mut product] = [0.0_f32; 5];
    for (row, other_row) in one[rows].iter().zip(&other[other_rows]) {
        for (&value, &other) in row[columns.clone()].iter().zip(&other_row[other_columns.clone()]) {
            sum += value;
            other_sum += other;
            square += value * value;
            other_square += other * other;
            product += value * other;
        }
    }
    let variance = square / count - (sum / count) * (sum / count);
    let other_variance = other_square / count - (other_sum / count) * (other_sum / count);
    if variance.min(other_variance) < LEAST_DETAIL * LEAST_DETAIL {
        return 0.0;
    }
    let covariance = product / count - (sum / count) * (other_sum / count);
    covariance / (variance * other_variance).sqrt()
}

/// The places on an axis that both have if the other is moved by `shift`.
fn overlap(shift: isize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let by = shift.unsigned_abs();
    if shift < 0 { (0..SIDE - by, by..SIDE) } else { (by..SIDE, 0..SIDE - by) }
}

#[cfg(test)]
mod tests {
    use image::imageops::{FilterType, crop_imm, flip_horizontal, resize};
    use image::{ImageFormat, RgbImage};
    use proptest::prelude::*;

    use super::*;
    use crate::settings::Crop;
    use crate::synthetic::draw_face;

    const SIDE_PX: u32 = 160;

    fn side() -> Side {
        SIDE_PX.to_string().parse().unwrap()
    }

    fn face(identity: u64, photograph: u64) -> RgbImage {
        draw_face(1, identity, photograph, side())
    }

    fn appearance(photograph: &RgbImage) -> Appearance {
        Appearance::of(&crate::resize(photograph, Crop::Whole, side()), side())
    }

    fn encoded_anew(photograph: &RgbImage) -> RgbImage {
        let mut bytes = std::io::Cursor::new(Vec::new());
        photograph.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        image::load_from_memory(bytes.get_ref()).unwrap().into_rgb8()
    }

    fn brightened(photograph: &RgbImage) -> RgbImage {
        let mut brightened = photograph.clone();
        for value in brightened.iter_mut() {
            *value = value.saturating_add(25);
        }
        brightened
    }

    /// What is left if a hundredth is cut off at the left and at the top.
    fn cropped(photograph: &RgbImage) -> RgbImage {
        let cut = SIDE_PX / 100;
        crop_imm(photograph, cut, cut, SIDE_PX - cut, SIDE_PX - cut).to_image()
    }

    fn changes(photograph: &RgbImage) -> [(&'static str, RgbImage); 5] {
        [
            ("encoded anew", encoded_anew(photograph)),
            ("brightened", brightened(photograph)),
            ("cropped", cropped(photograph)),
            ("scaled", resize(photograph, 70, 90, FilterType::Triangle)),
            ("mirrored", encoded_anew(&flip_horizontal(&brightened(photograph)))),
        ]
    }

    #[test]
    fn a_copy_is_near_whatever_was_done_to_it() {
        for identity in 0..6 {
            let photograph = face(identity, 0);
            let original = appearance(&photograph);
            for (change, copy) in changes(&photograph) {
                let copy = appearance(&copy);
                let hashes = [copy.hash, copy.hash_of_mirrored];
                let distance = hashes.map(|hash| original.hash.distance(hash));
                assert!(original.is_near(&copy), "{identity} {change}: {distance:?}");
                assert!(copy.is_near(&original), "{identity} {change}: {distance:?}");
            }
        }
    }

    #[test]
    fn other_photographs_are_not_near() {
        let faces: Vec<(u64, Appearance)> = (0..12)
            .flat_map(|identity| (0..6).map(move |number| (identity, face(identity, number))))
            .map(|(identity, photograph)| (identity, appearance(&photograph)))
            .collect();
        for (index, (identity, one)) in faces.iter().enumerate() {
            for (other_index, (other_identity, other)) in faces[..index].iter().enumerate() {
                let pair = (identity, index, other_identity, other_index);
                assert!(!one.is_near(other), "{pair:?}");
            }
        }
    }

    #[test]
    fn images_without_detail_are_told_apart_by_their_files() {
        let flat = |value| appearance(&RgbImage::from_pixel(50, 50, image::Rgb([value; 3])));
        let images = [flat(0), flat(0), flat(200), flat(0)];
        assert_eq!(first_copies(&images, &["a", "b", "c", "a"]), [0, 1, 2, 0]);
    }

    #[test]
    fn copies_of_copies_are_one_group() {
        let (one, other) = (face(0, 0), face(1, 0));
        let images = [
            appearance(&other),
            appearance(&one),
            appearance(&brightened(&one)),
            appearance(&encoded_anew(&other)),
            appearance(&cropped(&one)),
        ];
        assert_eq!(first_copies(&images, &["0", "1", "2", "3", "4"]), [0, 1, 1, 0, 1]);
    }

    #[test]
    fn a_thumbnail_moved_over_its_border_correlates() {
        let thumbnail = appearance(&face(2, 0)).thumbnail;
        let mut moved = thumbnail.clone();
        moved.rotate_right(SIDE + 2);
        let (one, other) = (detail(&thumbnail), detail(&moved));
        assert!(0.95 < largest_correlation(&one, &other));
        assert!(correlation(&one, &other, 0, 0) < 0.8);
        assert!((correlation(&one, &one, 0, 0) - 1.0).abs() < 1e-4, "f32 sums of 1024 products");
    }

    proptest! {
        #[test]
        fn groups_are_the_parts_that_pairs_connect(
            pairs in prop::collection::vec((0_usize..12, 0_usize..12), 0..20),
        ) {
            let mut groups = Groups::of_one_each(12);
            for &(one, other) in &pairs {
                groups.unite(one, other);
            }
            let first: Vec<usize> = (0..12).map(|image| groups.first(image)).collect();
            // The same by spreading the lowest index along pairs until nothing changes.
            let mut expected: Vec<usize> = (0..12).collect();
            for _ in 0..12 {
                for &(one, other) in &pairs {
                    let lowest = expected[one].min(expected[other]);
                    (expected[one], expected[other]) = (lowest, lowest);
                }
            }
            prop_assert_eq!(&first, &expected);
            for (image, &group) in first.iter().enumerate() {
                prop_assert!(group <= image && first[group] == group);
            }
        }
    }
}
