//! What the frozen base can do without any training: name the person whose mean features are nearest.

use candle_core::{Device, Tensor};

use crate::{Error, features::FeatureFile, folds::Fold};

/// Images that are read at once.
const BATCH: usize = 256;

/// The share of a fold's validation images that lie nearest to the mean of their own person's training
/// images: by the cosine, after the mean of all training images is taken from each.
///
/// Every fine-tune must beat it: it costs one look at the features.
///
/// # Shapes
///
/// - `file`: features of all images, `(images, ..)`
/// - `labels`: of all images, below `num_classes`; a person without a training image is never named
///
/// # Errors
///
/// [`Error::Read`] if the file fails, [`Error::Tensor`] if there is no room.
///
/// # Source
///
/// Mensink et al., Distance-Based Image Classification (PAMI 2013), nearest class mean, with the
/// cosine in place of the Euclidean distance.
pub(super) fn nearest_mean_accuracy(
    file: &FeatureFile,
    labels: &[u32],
    num_classes: usize,
    fold: &Fold,
) -> Result<f64, Error> {
    let units: usize = file.shape().iter().product();
    let mut sums = vec![0_f64; num_classes * units];
    let mut counts = vec![0_u32; num_classes];
    for batch in fold.train.chunks(BATCH) {
        let features = file.read(batch)?;
        for (&image, features) in batch.iter().zip(features.chunks_exact(units)) {
            let label = labels[image] as usize;
            counts[label] += 1;
            for (sum, &feature) in sums[label * units..].iter_mut().zip(features) {
                *sum += f64::from(feature);
            }
        }
    }
    let mut center = vec![0_f64; units];
    for sum in sums.chunks_exact(units) {
        center.iter_mut().zip(sum).for_each(|(center, sum)| *center += sum);
    }
    for value in &mut center {
        *value /= fold.train.len() as f64;
    }
    let (people, means) = means(&sums, &counts, &center);
    let means = Tensor::from_vec(means, (people.len(), units), &Device::Cpu)?.t()?;

    let mut hits = 0;
    for batch in fold.validation.chunks(BATCH) {
        let mut features = file.read(batch)?;
        for features in features.chunks_exact_mut(units) {
            for (feature, center) in features.iter_mut().zip(&center) {
                *feature -= single(*center);
            }
        }
        // An image's own length changes no order.
        let features = Tensor::from_vec(features, (batch.len(), units), &Device::Cpu)?;
        let nearest = features.matmul(&means)?.argmax(1)?.to_vec1::<u32>()?;
        let is_hit =
            |(&image, &place): (&usize, &u32)| labels[image] as usize == people[place as usize];
        hits += batch.iter().zip(&nearest).filter(|&pair| is_hit(pair)).count();
    }
    Ok(hits as f64 / fold.validation.len() as f64)
}

/// The people who have training images, and their means less the center, each of length 1.
fn means(sums: &[f64], counts: &[u32], center: &[f64]) -> (Vec<usize>, Vec<f32>) {
    let mut people = Vec::new();
    let mut means = Vec::new();
    for (label, (sum, &count)) in sums.chunks_exact(center.len()).zip(counts).enumerate() {
        if count == 0 {
            continue;
        }
        let mean = || sum.iter().zip(center).map(|(sum, center)| sum / f64::from(count) - center);
        let length = mean().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        people.push(label);
        means.extend(mean().map(|value| single(value / length)));
    }
    (people, means)
}

#[expect(clippy::cast_possible_truncation, reason = "features are f32")]
fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::small_file;

    #[test]
    fn an_image_goes_to_whose_mean_it_points_at() {
        // The first two people differ in the first feature, beside one that all share; the third has no
        // training image.
        let labels = vec![0, 0, 1, 1, 0, 1, 2];
        let features =
            [[1.0, 9.0], [3.0, 9.0], [-1.0, 9.0], [-3.0, 9.0], [0.1, 9.0], [0.2, 9.0], [5.0, 9.0]];
        let (_folder, file) = small_file(2, &features.concat());
        let fold = Fold { index: 0, train: vec![0, 1, 2, 3], validation: vec![4, 5, 6] };
        // The fifth is right, the sixth lies with the other, the seventh cannot be named.
        let accuracy = nearest_mean_accuracy(&file, &labels, 3, &fold).unwrap();
        assert!((accuracy - 1.0 / 3.0).abs() < 1e-12, "{accuracy}");
    }
}
