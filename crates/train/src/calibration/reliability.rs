//! How often a model is right, beside how sure it is.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::CalibrationError;

/// Images of which a model is about as sure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// The bin holds confidences above this; the first also 0.
    pub lower: f64,
    /// The bin holds confidences up to and including this.
    pub upper: f64,
    /// Its images, at least 1.
    pub count: usize,
    /// The share of them that is right.
    pub accuracy: f64,
    /// Their mean confidence.
    pub confidence: f64,
}

/// A reliability diagram: accuracy over confidence, bins ascending and equally wide. Bins without
/// images are left out.
///
/// # Shapes
///
/// - `confidences`: `(images,)`, the probability of each image's predicted label, 0 to 1
/// - `hits`: `(images,)`, whether that label is right
///
/// # Errors
///
/// [`CalibrationError::Hits`] or [`CalibrationError::Confidence`].
///
/// # Source
///
/// Guo et al., On Calibration of Modern Neural Networks (ICML 2017), section 2.
pub fn reliability_bins(
    confidences: &[f64],
    hits: &[bool],
    num_bins: NonZeroUsize,
) -> Result<Vec<Bin>, CalibrationError> {
    if confidences.len() != hits.len() {
        let (confidences, hits) = (confidences.len(), hits.len());
        return Err(CalibrationError::Hits { confidences, hits });
    }
    if let Some(image) = confidences.iter().position(|found| !(0.0..=1.0).contains(found)) {
        return Err(CalibrationError::Confidence { image, found: confidences[image] });
    }
    let edge = |bin: usize| bin as f64 / num_bins.get() as f64;
    let upper_edges: Vec<f64> = (1..=num_bins.get()).map(edge).collect();
    let mut sums = vec![(0_usize, 0_usize, 0.0); num_bins.get()];
    for (&confidence, &is_hit) in confidences.iter().zip(hits) {
        // Held against the edges themselves, so that rounding moves no image that lies on one.
        let (count, right, sum) =
            &mut sums[upper_edges.partition_point(|&upper| upper < confidence)];
        *count += 1;
        *right += usize::from(is_hit);
        *sum += confidence;
    }
    let filled = sums.into_iter().enumerate().filter(|(_, (count, ..))| 0 < *count);
    Ok(filled
        .map(|(bin, (count, right, sum))| Bin {
            lower: edge(bin),
            upper: edge(bin + 1),
            count,
            accuracy: right as f64 / count as f64,
            confidence: sum / count as f64,
        })
        .collect())
}

/// The mean distance of accuracy from confidence over the bins, weighted by their images: 0 to 1.
/// Of no images it is 0.
///
/// # Shapes
///
/// As in [`reliability_bins`].
///
/// # Errors
///
/// As in [`reliability_bins`].
///
/// # Source
///
/// Guo et al., On Calibration of Modern Neural Networks (ICML 2017), equation 3.
pub fn expected_calibration_error(
    confidences: &[f64],
    hits: &[bool],
    num_bins: NonZeroUsize,
) -> Result<f64, CalibrationError> {
    let bins = reliability_bins(confidences, hits, num_bins)?;
    let weighted = |bin: &Bin| {
        bin.count as f64 / confidences.len() as f64 * (bin.accuracy - bin.confidence).abs()
    };
    Ok(bins.iter().map(weighted).sum())
}
