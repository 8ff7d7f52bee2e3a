//! How far features have moved: linear CKA and the mean cosine of the same images before and after.

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, lower_the_rate},
    similarity::{Features, products},
};
use crate::Error;

/// A similarity below this means other features.
///
/// On 400 photographs of LFW and pool5 of VGG16 for ImageNet: 0.97 where the means are taken away
/// twice and 0.85 where red and blue are exchanged, which both keep what tells people apart; 0.33 for
/// 0-1 pixels, 0.25 for random weights, 0.21 for the same features of other photographs.
const MOVED: f64 = 0.5;

/// Of fewer images, unrelated features look alike: the measure is biased upward.
pub(super) const ENOUGH_IMAGES: usize = 100;

/// Linear centered kernel alignment of two sets of features of the same images, from 0 to 1; 1 if
/// one is a rotation and scaling of the other. None if one of them is the same for all images.
///
/// # Errors
///
/// [`Error::Tensor`] if the arithmetic fails.
///
/// # Panics
///
/// If the two are of different numbers of images.
///
/// # Source
///
/// Kornblith et al., Similarity of Neural Network Representations Revisited (ICML 2019), equation 4,
/// by the Gram matrices of images, of which there are fewer than features.
pub fn linear_cka(before: &Features, after: &Features) -> Result<Option<f64>, Error> {
    assert_eq!(before.images(), after.images(), "features of the same images");
    let gram = |features: &Features| {
        let centered = features.centered().matrix()?;
        products(&centered, &centered)
    };
    let (before, after) = (gram(before)?, gram(after)?);
    let inner = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(&one, &other)| f64::from(one) * f64::from(other)).sum()
    };
    let norms = (inner(&before, &before) * inner(&after, &after)).sqrt();
    Ok((0.0 < norms).then(|| inner(&before, &after) / norms))
}

/// The cosine between an image's features before and after, in the mean over images; features of
/// length 0 count as 0.
///
/// # Panics
///
/// If the two are of different shapes.
pub fn mean_cosine(before: &Features, after: &Features) -> f64 {
    assert_eq!(before.images(), after.images(), "features of the same images");
    assert_eq!(before.units(), after.units(), "features of the same layer");
    let inner = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(&one, &other)| f64::from(one) * f64::from(other)).sum()
    };
    let cosine = |image| {
        let (one, other): (&[f32], &[f32]) = (before.image(image), after.image(image));
        let norms = (inner(one, one) * inner(other, other)).sqrt();
        if 0.0 < norms { inner(one, other) / norms } else { 0.0 }
    };
    (0..before.images()).map(cosine).sum::<f64>() / before.images() as f64
}

/// Finds a base whose features are no longer those it came with.
///
/// # Errors
///
/// [`Error::Tensor`] if the arithmetic fails.
///
/// # Panics
///
/// If the two are of different numbers of images.
pub fn feature_drift(before: &Features, after: &Features) -> Result<Outcome, Error> {
    let check = Check::FeatureDrift;
    let images = before.images();
    if images < ENOUGH_IMAGES {
        return Ok(Outcome::skipped(check, format!("{images} images, {ENOUGH_IMAGES} are needed")));
    }
    // Features that no longer differ between images have kept nothing.
    Ok(similar_features(Some(linear_cka(before, after)?.unwrap_or(0.0))))
}

/// Judges the similarity of features before and after, none where the base is frozen.
pub(super) fn similar_features(similarity: Option<f64>) -> Outcome {
    let check = Check::FeatureDrift;
    let Some(similarity) = similarity else {
        return Outcome::skipped(check, "the base is frozen");
    };
    let what = "similarity (linear CKA) of the base's features to those it came with";
    Outcome::judge(check, Measurement::at_least(what, similarity, MOVED), || {
        (
            Level::Warning,
            "The base no longer sees what it saw when it came: its features have been rewritten."
                .to_owned(),
            lower_the_rate(),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        images: usize,
        before: Vec<f32>,
        after: Vec<f32>,
        linear_cka: f64,
        mean_cosine: f64,
    }

    #[test]
    fn agrees_with_numpy() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/golden/feature_drift.json")).unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let before = Features::new(case.before, case.images);
            let after = Features::new(case.after, case.images);
            let cka = linear_cka(&before, &after).unwrap().unwrap();
            // Products are summed in f32 here, over at most 24 features, and in f64 there.
            assert!((cka - case.linear_cka).abs() < 1e-5, "{cka} {}", case.linear_cka);
            let cosine = mean_cosine(&before, &after);
            assert!((cosine - case.mean_cosine).abs() < 1e-12, "{cosine} {}", case.mean_cosine);
        }
    }

    #[test]
    fn features_that_lost_their_differences_have_drifted() {
        let features = |value: fn(u16) -> f32, images: u16| {
            let values = (0..images).flat_map(|image| [value(image), 1.0]).collect();
            Features::new(values, images.into())
        };
        let (before, constant) = (features(f32::from, 100), features(|_| 2.0, 100));
        assert_eq!(linear_cka(&before, &constant).unwrap(), None);
        assert!(feature_drift(&before, &constant).unwrap().finding().is_some());
        assert!(feature_drift(&before, &before).unwrap().finding().is_none());
        let few = features(f32::from, 99);
        assert!(matches!(feature_drift(&few, &few).unwrap(), Outcome::Skipped { .. }));
    }
}
