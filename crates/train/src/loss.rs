//! What training minimizes: cross-entropy, as it should be and as Keras 2.2 clipped it.
//!
//! [`loss`] and [`losses`] are plain and are what evaluation reports; an [`Objective`] may smooth labels, weight
//! identities and take [`Targets`] that are mixed.

mod class_weights;
mod objective;
mod targets;

use candle_core::{D, Result, Tensor};
use model::cross_entropy;
use serde::{Deserialize, Serialize};

pub use class_weights::{ClassWeighting, ClassWeights};
pub use objective::Objective;
pub use targets::Targets;

/// How far Keras keeps a probability from 0 and 1; `backend.epsilon()`.
const KERAS_EPSILON: f32 = 1e-7;

/// A loss between logits and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossKind {
    /// Log-softmax of the logits: a gradient however wrong the logits are.
    #[serde(rename = "cross-entropy")]
    CrossEntropy,
    /// Keras 2.2.4's loss on softmax outputs. A logit gap above 16.1 is clipped and then has no
    /// gradient at all: a run can stay at a loss of 16.118 for each image it gets wrong.
    #[serde(rename = "keras-2.2-clipped")]
    Keras22Clipped,
}

/// The mean loss of a batch.
///
/// # Shapes
///
/// - `logits`: `(batch, num_classes)`, f32, before softmax
/// - `labels`: `(batch,)`, u32, below `num_classes`
/// - returns a scalar, f32
///
/// # Errors
///
/// Those of candle, if shapes or types are others.
pub fn loss(kind: LossKind, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    losses(kind, logits, labels)?.mean_all()
}

/// The loss of each image, so that batches of different sizes can be put together.
///
/// # Shapes
///
/// - `logits`: `(batch, num_classes)`, f32, before softmax
/// - `labels`: `(batch,)`, u32, below `num_classes`
/// - returns `(batch,)`, f32
///
/// # Errors
///
/// Those of candle, if shapes or types are others.
///
/// # Source
///
/// Clipped: Keras 2.2.4, `backend/tensorflow_backend.py`, `categorical_crossentropy` with
/// `from_logits=False`.
pub fn losses(kind: LossKind, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    match kind {
        LossKind::CrossEntropy => cross_entropy(logits, labels),
        LossKind::Keras22Clipped => {
            let clipped = clipped_probabilities(logits)?;
            clipped.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?.log()?.neg()
        }
    }
}

/// The softmax as Keras's loss sees it, `(batch, num_classes)`.
fn clipped_probabilities(logits: &Tensor) -> Result<Tensor> {
    let probabilities = candle_nn::ops::softmax(logits, D::Minus1)?;
    let sums = probabilities.sum_keepdim(D::Minus1)?;
    clip(&probabilities.broadcast_div(&sums)?)
}

/// Keeps probabilities within epsilon of 0 and 1; what lies outside gets no gradient.
///
/// candle's own `clamp` would halve the gradient of a value that lies on a bound, and let NaN
/// through as a bound.
fn clip(probabilities: &Tensor) -> Result<Tensor> {
    // In f32, as in Keras, the upper bound is 1 - 2^-23 = 0.99999988.
    let (lowest, highest) = (KERAS_EPSILON, 1.0 - KERAS_EPSILON);
    let bounded = |outside: &Tensor, bound: f32, within: &Tensor| {
        let bound = Tensor::new(bound, within.device())?.broadcast_as(within.shape())?;
        outside.where_cond(&bound, within)
    };
    let above = bounded(&probabilities.lt(lowest)?, lowest, probabilities)?;
    bounded(&probabilities.gt(highest)?, highest, &above)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// Loss and gradient of one image with the label 0.
    fn of_logits(kind: LossKind, logits: &[f32]) -> (f32, Vec<f32>) {
        let logits = Var::from_slice(logits, (1, logits.len()), &Device::Cpu).unwrap();
        let labels = Tensor::new(&[0_u32], &Device::Cpu).unwrap();
        let loss = loss(kind, &logits, &labels).unwrap();
        let gradients = loss.backward().unwrap();
        let gradient = gradients.get(&logits).unwrap().to_vec2().unwrap().remove(0);
        (loss.to_scalar().unwrap(), gradient)
    }

    fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(difference <= tolerance, "{index}: {found} is {difference} off {expected}");
        }
    }

    #[test]
    fn a_loss_is_named_as_in_recipes() {
        for (kind, name) in [
            (LossKind::CrossEntropy, "\"cross-entropy\""),
            (LossKind::Keras22Clipped, "\"keras-2.2-clipped\""),
        ] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), name);
            assert_eq!(serde_json::from_str::<LossKind>(name).unwrap(), kind);
        }
    }

    #[test]
    fn both_losses_agree_within_the_clip() {
        for logits in [[0.5, -1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]] {
            let (plain, plain_gradient) = of_logits(LossKind::CrossEntropy, &logits);
            let (clipped, clipped_gradient) = of_logits(LossKind::Keras22Clipped, &logits);
            // Both are sums of a few terms of order 1 in f32.
            assert_close(&[clipped], &[plain], 1e-6);
            assert_close(&clipped_gradient, &plain_gradient, 1e-6);
        }
    }

    #[test]
    fn the_gradient_is_softmax_less_the_truth() {
        let (loss, gradient) = of_logits(LossKind::CrossEntropy, &[1.0, 2.0, 0.0]);
        let sum = 1_f32.exp() + 2_f32.exp() + 1.0;
        assert_close(&[loss], &[sum.ln() - 1.0], 1e-6);
        let expected = [1_f32.exp() / sum - 1.0, 2_f32.exp() / sum, 1.0 / sum];
        assert_close(&gradient, &expected, 1e-6);
    }

    #[test]
    fn a_gap_of_16_learns_and_a_gap_of_17_is_dead() {
        let (loss, gradient) = of_logits(LossKind::Keras22Clipped, &[0.0, 16.0]);
        // The probability of the truth is 1.1e-7 by way of f32 exponentials, good to 1e-6 or so.
        assert_close(&[loss], &[16.0], 1e-5);
        assert_close(&gradient, &[-1.0, 1.0], 1e-6);

        for gap in [17.0, 40.0, 200.0] {
            let (loss, gradient) = of_logits(LossKind::Keras22Clipped, &[0.0, gap]);
            assert_close(&[loss], &[16.118_095], 1e-5);
            assert_eq!(gradient, [0.0, 0.0], "gap {gap}");
        }
        let (loss, gradient) = of_logits(LossKind::CrossEntropy, &[0.0, 200.0]);
        assert_close(&[loss], &[200.0], 1e-4);
        assert_close(&gradient, &[-1.0, 1.0], 1e-6);
    }

    #[test]
    fn a_certain_and_right_answer_is_clipped_at_the_f32_below_one() {
        let (loss, gradient) = of_logits(LossKind::Keras22Clipped, &[40.0, 0.0]);
        // -ln(1 - 2^-23), where a clip in f64 would leave 1e-7; logarithms are good to 1e-6 of it.
        assert_close(&[loss], &[f32::EPSILON], 1e-13);
        assert_eq!(gradient, [0.0, 0.0]);
    }

    #[test]
    fn nan_is_not_clipped_away() {
        let (loss, _) = of_logits(LossKind::Keras22Clipped, &[f32::NAN, 0.0]);
        assert!(loss.is_nan());
    }

    #[test]
    fn the_mean_is_over_the_batch() {
        let logits = Tensor::new(&[[0_f32, 1.0], [2.0, 0.0], [0.0, 17.0]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[1_u32, 0, 0], &Device::Cpu).unwrap();
        for kind in [LossKind::CrossEntropy, LossKind::Keras22Clipped] {
            let each: Vec<f32> = losses(kind, &logits, &labels).unwrap().to_vec1().unwrap();
            let mean: f32 = loss(kind, &logits, &labels).unwrap().to_scalar().unwrap();
            assert_close(&[mean], &[each.iter().sum::<f32>() / 3.0], 1e-6);
        }
    }
}
