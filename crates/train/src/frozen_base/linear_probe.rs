//! What a linear classifier on the frozen base reaches: ridge regression, solved and not trained.

use candle_core::{Device, Tensor};

use super::cholesky::Cholesky;
use crate::{Error, features::FeatureFile, folds::Fold};

/// Images that are read at once.
const BATCH: usize = 1024;

/// Images up to which it is solved: similarities of so many and a fold's equations take 2 GB.
pub(super) const MOST_IMAGES: usize = 10_000;

/// What is added to the diagonal, as a part of its mean: of 0.03, 0.1, 0.3, 1 and 3 the best for the central
/// 0.6 of LFW's 311 people at 96 px, over three folds; for the central 0.36, where 0.1, 0.3 and 1 were tried,
/// 1 has 0.6 percentage points more, and in neither is 0.1 or 1 worse by more than 2.4.
const PENALTY: f64 = 0.3;

/// The similarities of all images in the frozen base's features, which is all that a linear classifier
/// needs to know of them; computed once for all folds.
pub(super) struct LinearProbe {
    /// `(images, images)`, f32: cosines of features.
    similarities: Tensor,
}

impl LinearProbe {
    /// That of a data set; none of more than ten thousand images. `goes_on` is asked now and then.
    ///
    /// # Shapes
    ///
    /// - `file`: features of all images, `(images, ..)`
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the file fails, [`Error::Tensor`] if there is no room, and those of `goes_on`.
    pub(super) fn of(
        file: &FeatureFile,
        goes_on: impl Fn() -> Result<(), Error>,
    ) -> Result<Option<Self>, Error> {
        let images: Vec<usize> = (0..file.len()).collect();
        if MOST_IMAGES < images.len() {
            tracing::info!(
                "no linear probe: of more than {MOST_IMAGES} photographs it would take too much memory"
            );
            return Ok(None);
        }
        let progress = terminal::bar("linear probe", terminal::Unit::Things("photographs"));
        progress.set_length(images.len() as u64);
        let batches: Vec<&[usize]> = images.chunks(BATCH).collect();
        // Of each batch with itself and those before it; of those behind it they say the same, turned.
        let mut triangle: Vec<Vec<Tensor>> = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let features = directions(file, batch)?;
            let mut row = Vec::new();
            for others in &batches[..=number] {
                goes_on()?;
                row.push(features.matmul(&directions(file, others)?.t()?)?);
            }
            triangle.push(row);
            progress.inc(batch.len() as u64);
        }
        let row = |number: usize| {
            let behind = triangle[number + 1..].iter().map(|row| row[number].t());
            let row = triangle[number].iter().map(|block| Ok(block.clone())).chain(behind);
            Tensor::cat(&row.collect::<Result<Vec<_>, _>>()?, 1)
        };
        let rows: Vec<Tensor> = (0..batches.len()).map(row).collect::<Result<_, _>>()?;
        Ok(Some(Self { similarities: Tensor::cat(&rows, 0)? }))
    }

    /// The share of a fold's validation images that the classifier of its training images names rightly;
    /// none where rounding leaves no classifier.
    ///
    /// Every fine-tune must beat it. Features have length 1; what is fitted is 1 for an image's own person
    /// and 0 for others, with an intercept. A person counts by the square root of how many images they
    /// have: were all images to count the same, those who have most would be named for the others (37 and
    /// not 48 % of LFW's images were right), and were all people, those with few for noise (31 %).
    ///
    /// # Shapes
    ///
    /// - `labels`: of all images, below `num_classes`
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if there is no room.
    ///
    /// # Panics
    ///
    /// Never: images are at most ten thousand.
    ///
    /// # Source
    ///
    /// Hoerl and Kennard, Ridge Regression (Technometrics 12, 1970), in its dual form as in Bishop,
    /// Pattern Recognition and Machine Learning, section 6.1; for classes as scikit-learn's
    /// `RidgeClassifier`. Square roots of counts: Mahajan et al., Exploring the Limits of Weakly Supervised
    /// Pretraining (ECCV 2018), section 2.2.
    pub(super) fn accuracy(
        &self,
        labels: &[u32],
        num_classes: usize,
        fold: &Fold,
    ) -> Result<Option<f64>, Error> {
        let Some(scores) = self.scores(labels, num_classes, fold)? else { return Ok(None) };
        let named = scores.argmax(1)?.to_vec1::<u32>()?;
        let hits =
            fold.validation.iter().zip(named).filter(|&(&image, named)| labels[image] == named);
        Ok(Some(hits.count() as f64 / fold.validation.len() as f64))
    }

    /// Scores of a fold's validation images, `(images, num_classes)`, f64.
    fn scores(
        &self,
        labels: &[u32],
        num_classes: usize,
        fold: &Fold,
    ) -> Result<Option<Tensor>, Error> {
        let images = fold.train.len();
        let weights = weights(labels, num_classes, &fold.train);
        let mut of_train = self.rows(&fold.train, &fold.train)?;
        let mut of_validation = self.rows(&fold.validation, &fold.train)?;
        // Features less their weighted mean have these products.
        let means: Vec<f64> =
            of_train.chunks_exact(images).map(|row| weighted_mean(row, &weights)).collect();
        let of_mean = weighted_mean(&means, &weights);
        for row in of_train.chunks_exact_mut(images).chain(of_validation.chunks_exact_mut(images)) {
            let own = weighted_mean(row, &weights);
            row.iter_mut().zip(&means).for_each(|(product, mean)| *product += of_mean - own - mean);
        }
        let lengths: Vec<f64> = of_train.iter().step_by(images + 1).copied().collect();
        // Where all features are nearly the same, what is left of them is the rounding of similarities.
        let rounding = images as f64 * f64::from(f32::EPSILON);
        let penalty = (PENALTY * weighted_mean(&lengths, &weights)).max(rounding);
        let roots: Vec<f64> = weights.iter().map(|weight| weight.sqrt()).collect();
        for (place, (row, root)) in of_train.chunks_exact_mut(images).zip(&roots).enumerate() {
            row.iter_mut().zip(&roots).for_each(|(product, other)| *product *= root * other);
            row[place] += penalty;
        }
        let matrix = Tensor::from_vec(of_train, (images, images), &Device::Cpu)?;
        let Some(factor) = Cholesky::of(&matrix)? else { return Ok(None) };
        drop(matrix);
        let column = |values: Vec<f64>| Tensor::from_vec(values, (images, 1), &Device::Cpu);
        let (weights, roots) = (column(weights)?, column(roots)?);
        let targets = targets(labels, num_classes, &fold.train)?;
        let intercept = (weights.t()?.matmul(&targets)? / images as f64)?;
        let scaled = targets.broadcast_sub(&intercept)?.broadcast_mul(&roots)?;
        let fitted = factor.solve(&scaled)?.broadcast_mul(&roots)?;
        let shape = (fold.validation.len(), images);
        let of_validation = Tensor::from_vec(of_validation, shape, &Device::Cpu)?;
        Ok(Some(of_validation.matmul(&fitted)?.broadcast_add(&intercept)?))
    }

    /// Similarities of some images to others, `(images, others)` in rows.
    fn rows(&self, images: &[usize], others: &[usize]) -> Result<Vec<f64>, Error> {
        let rows = self.similarities.index_select(&indices(images)?, 0)?;
        let part = rows.index_select(&indices(others)?, 1)?;
        Ok(part.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
    }
}

/// The mean of values whose weights are 1 in the mean.
fn weighted_mean(values: &[f64], weights: &[f64]) -> f64 {
    let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    sum / values.len() as f64
}

/// What each of these images counts, 1 in the mean: a person by the square root of how many they have.
fn weights(labels: &[u32], num_classes: usize, images: &[usize]) -> Vec<f64> {
    let mut counts = vec![0_u32; num_classes];
    for &image in images {
        counts[labels[image] as usize] += 1;
    }
    let weight = |&image: &usize| f64::from(counts[labels[image] as usize]).sqrt().recip();
    let mean = images.iter().map(weight).sum::<f64>() / images.len() as f64;
    images.iter().map(|image| weight(image) / mean).collect()
}

/// Features of these images, each of length 1: `(images, units)`, f32.
fn directions(file: &FeatureFile, images: &[usize]) -> Result<Tensor, Error> {
    let units: usize = file.shape().iter().product();
    let features = Tensor::from_vec(file.read(images)?, (images.len(), units), &Device::Cpu)?;
    let lengths = features.sqr()?.sum_keepdim(1)?.sqrt()?.clamp(f32::MIN_POSITIVE, f32::MAX)?;
    Ok(features.broadcast_div(&lengths)?)
}

/// 1 for each image's own person, `(images, num_classes)`, f64.
fn targets(labels: &[u32], num_classes: usize, images: &[usize]) -> Result<Tensor, Error> {
    let mut targets = vec![0_f64; images.len() * num_classes];
    for (row, &image) in targets.chunks_exact_mut(num_classes).zip(images) {
        row[labels[image] as usize] = 1.0;
    }
    Ok(Tensor::from_vec(targets, (images.len(), num_classes), &Device::Cpu)?)
}

fn indices(images: &[usize]) -> Result<Tensor, Error> {
    let index = |&image: &usize| u32::try_from(image).expect("there are at most MOST_IMAGES");
    let indices: Vec<u32> = images.iter().map(index).collect();
    Ok(Tensor::new(indices, &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::features::small_file;

    #[derive(Deserialize)]
    struct Golden {
        features: Vec<[f32; 6]>,
        labels: Vec<u32>,
        train: Vec<usize>,
        validation: Vec<usize>,
        scores: Vec<[f64; 3]>,
        accuracy: f64,
    }

    fn probe(features: &[f32], units: usize) -> LinearProbe {
        let (_folder, file) = small_file(units, features);
        LinearProbe::of(&file, || Ok(())).unwrap().unwrap()
    }

    #[test]
    fn scores_are_those_of_scikit_learns_ridge() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/golden/linear_probe.json")).unwrap();
        let probe = probe(&golden.features.concat(), 6);
        let fold = Fold { index: 0, train: golden.train, validation: golden.validation };
        let scores =
            probe.scores(&golden.labels, 3, &fold).unwrap().unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(scores.len(), golden.scores.len());
        for (found, expected) in scores.iter().flatten().zip(golden.scores.iter().flatten()) {
            // Similarities are f32, of which six decimals hold, and the penalty keeps equations well-conditioned.
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
        let accuracy = probe.accuracy(&golden.labels, 3, &fold).unwrap().unwrap();
        assert!((accuracy - golden.accuracy).abs() < 1e-12, "{accuracy}");
    }

    #[test]
    fn similarities_of_several_batches_are_cosines() {
        // More than two batches, the last one of three images.
        let images = 2 * BATCH + 3;
        let angle = |image: usize| (image * 7919 % 1000) as f32 * 0.001;
        let features: Vec<f32> =
            (0..images).flat_map(|i| [2.0 * angle(i).cos(), 2.0 * angle(i).sin()]).collect();
        let similarities = probe(&features, 2).similarities;
        assert_eq!(similarities.dims(), [images, images]);
        let rows = similarities.to_vec2::<f32>().unwrap();
        for (one, other) in
            [(0, 0), (5, BATCH + 1), (BATCH + 1, 5), (2, images - 1), (images - 1, BATCH)]
        {
            let expected = (angle(one) - angle(other)).cos();
            assert!((rows[one][other] - expected).abs() < 1e-5, "{one} {other}");
        }
    }

    #[test]
    fn features_that_are_all_the_same_name_somebody() {
        let images = 60;
        let labels: Vec<u32> = (0..images).map(|image| u32::from(image % 7 == 0)).collect();
        let fold = Fold { index: 0, train: (0..40).collect(), validation: (40..60).collect() };
        // Nearly the same, too: what tells them apart is less than the rounding of their similarities.
        for noise in [0.0, 1e-7, 1e-4] {
            let features: Vec<f32> =
                (0..3 * images).map(|place| 1.0 + noise * (place * 7919 % 13) as f32).collect();
            let accuracy = probe(&features, 3).accuracy(&labels, 2, &fold).unwrap().unwrap();
            assert!((0.0..=1.0).contains(&accuracy), "{noise} {accuracy}");
        }
    }
}
