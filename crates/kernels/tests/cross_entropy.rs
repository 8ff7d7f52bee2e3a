//! Softmax cross-entropy against plain f64, its gradient against finite differences.

use kernels::cross_entropy::{backward, forward};
use proptest::prelude::*;

/// In f64, by the definition.
fn plain(logits: &[f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    sum.ln() + largest - logits[label]
}

fn batches() -> impl Strategy<Value = (usize, Vec<f32>, Vec<u32>)> {
    (1_u32..40, 0_usize..9).prop_flat_map(|(num_classes, batch)| {
        let classes = num_classes as usize;
        let logits = prop::collection::vec(-30.0_f32..30.0, classes * batch);
        let labels = prop::collection::vec(0..num_classes, batch);
        (Just(classes), logits, labels)
    })
}

proptest! {
    #[test]
    fn losses_are_those_in_f64((classes, logits, labels) in batches()) {
        let mut losses = vec![f32::NAN; labels.len()];
        forward(classes, &logits, &labels, &mut losses);
        for ((logits, &label), loss) in logits.chunks(classes).zip(&labels).zip(losses) {
            let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
            let expected = plain(&logits, label as usize);
            // Exponentials of f32 are good to an ulp, and so is the result.
            prop_assert!((f64::from(loss) - expected).abs() <= 3e-7 * (1.0 + expected));
        }
    }

    #[test]
    fn gradients_are_finite_differences((classes, logits, labels) in batches()) {
        let grad_losses: Vec<f32> = (0..labels.len()).map(|at| at as f32 - 2.5).collect();
        let mut grad = vec![f32::NAN; logits.len()];
        backward(classes, &logits, &labels, &grad_losses, &mut grad);
        for (image, &label) in labels.iter().enumerate() {
            let logits: Vec<f64> =
                logits[image * classes..][..classes].iter().copied().map(f64::from).collect();
            for class in 0..classes {
                let moved = |by: f64| {
                    let mut logits = logits.clone();
                    logits[class] += by;
                    plain(&logits, label as usize)
                };
                let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                let expected = f64::from(grad_losses[image]) * slope;
                let found = f64::from(grad[image * classes + class]);
                // The difference's own error is 1e-8 of a third derivative, and 1e-15 / 2e-4 by rounding.
                prop_assert!((found - expected).abs() <= 1e-6, "{found}, expected {expected}");
            }
        }
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "the exponentials are 0 and 1")]
fn a_loss_is_finite_however_wrong_the_logits_are() {
    let mut losses = [0.0; 2];
    let logits = [2e38, -1e38, 0.0, 1e4];
    forward(2, &logits, &[1, 0], &mut losses);
    assert_eq!(losses, [3e38, 1e4]);
    let mut grad = [0.0; 4];
    backward(2, &logits, &[1, 0], &[1.0, 0.5], &mut grad);
    assert_eq!(grad, [1.0, -1.0, -0.5, 0.5]);
}

#[test]
fn what_is_not_a_number_stays_so() {
    let mut losses = [0.0; 2];
    forward(2, &[f32::NAN, 0.0, f32::INFINITY, 0.0], &[1, 0], &mut losses);
    assert!(losses.iter().all(|loss| loss.is_nan()));
    let mut grad = [0.0; 2];
    backward(2, &[f32::NAN, 0.0], &[1], &[1.0], &mut grad);
    assert!(grad.iter().all(|value| value.is_nan()));
}

#[test]
fn the_gradient_of_an_image_that_is_all_but_right_is_small_not_rounded_away() {
    let mut grad = [0.0; 2];
    backward(2, &[20.0, 0.0], &[0], &[1.0], &mut grad);
    let expected = 1.0 / (1.0 + 20.0_f64.exp());
    for (found, expected) in grad.into_iter().zip([-expected, expected]) {
        // The exponential is good to an ulp of f32; one less the softmax in f32 would be 0.
        assert!((f64::from(found) / expected - 1.0).abs() < 3e-7, "{found}, expected {expected}");
    }
    let mut losses = [0.0];
    forward(2, &[20.0, 0.0], &[0], &mut losses);
    assert!((f64::from(losses[0]) / (-20.0_f64).exp().ln_1p() - 1.0).abs() < 1e-6, "{losses:?}");
}
