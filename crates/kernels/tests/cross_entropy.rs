//! Softmax cross-entropy against plain f64, its gradient against finite differences.

use kernels::cross_entropy::soft::{self, SoftTarget};
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

/// The soft loss in f64, by the definition: minus the target times the logarithm of the softmax.
fn plain_soft(logits: &[f64], target: &SoftTarget, smoothing: f64) -> f64 {
    let classes = logits.len() as f64;
    let of_class = |class: usize| -> f64 {
        let smoothed = |label: u32| {
            let is_label = if label as usize == class { 1.0 } else { 0.0 };
            is_label * (1.0 - smoothing) + smoothing / classes
        };
        let weighted = |(label, weight): (u32, f32)| f64::from(weight) * smoothed(label);
        target.labels.into_iter().zip(target.weights).map(weighted).sum()
    };
    (0..logits.len()).map(|class| of_class(class) * plain(logits, class)).sum()
}

fn soft_batches() -> impl Strategy<Value = (usize, f32, Vec<f32>, Vec<SoftTarget>)> {
    (1_u32..40, 0_usize..9, prop_oneof![Just(0.0_f32), 0.0_f32..0.9]).prop_flat_map(
        |(num_classes, batch, smoothing)| {
            let classes = num_classes as usize;
            let logits = prop::collection::vec(-30.0_f32..30.0, classes * batch);
            let weight = || prop_oneof![Just(0.0_f32), 0.0_f32..3.0];
            let target = ([0..num_classes, 0..num_classes], [weight(), weight()])
                .prop_map(|(labels, weights)| SoftTarget { labels, weights });
            let targets = prop::collection::vec(target, batch);
            (Just(classes), Just(smoothing), logits, targets)
        },
    )
}

proptest! {
    #[test]
    fn soft_losses_are_those_in_f64((classes, smoothing, logits, targets) in soft_batches()) {
        let mut losses = vec![f32::NAN; targets.len()];
        soft::forward(classes, smoothing, &logits, &targets, &mut losses);
        for ((logits, target), loss) in logits.chunks(classes).zip(&targets).zip(losses) {
            let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
            let expected = plain_soft(&logits, target, smoothing.into());
            // As without softness, for each of weights of up to 6 in all; the terms have one sign.
            prop_assert!((f64::from(loss) - expected).abs() <= 3e-7 * (6.0 + expected));
        }
    }

    #[test]
    fn soft_gradients_are_finite_differences(
        (classes, smoothing, logits, targets) in soft_batches()
    ) {
        let grad_losses: Vec<f32> = (0..targets.len()).map(|at| at as f32 - 2.5).collect();
        let mut grad = vec![f32::NAN; logits.len()];
        soft::backward(classes, smoothing, &logits, &targets, &grad_losses, &mut grad);
        for (image, target) in targets.iter().enumerate() {
            let logits: Vec<f64> =
                logits[image * classes..][..classes].iter().copied().map(f64::from).collect();
            for class in 0..classes {
                let moved = |by: f64| {
                    let mut logits = logits.clone();
                    logits[class] += by;
                    plain_soft(&logits, target, smoothing.into())
                };
                let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                let expected = f64::from(grad_losses[image]) * slope;
                let found = f64::from(grad[image * classes + class]);
                // As without softness, times weights of up to 6; gradients up to 33 are rounded to f32.
                prop_assert!((found - expected).abs() <= 6e-6, "{found}, expected {expected}");
            }
        }
    }

    #[test]
    fn a_target_of_one_label_is_that_label((classes, logits, labels) in batches()) {
        let targets: Vec<SoftTarget> =
            labels.iter().map(|&label| SoftTarget { labels: [label, 0], weights: [1.0, 0.0] }).collect();
        let (mut hard, mut softly) = (vec![0.0; labels.len()], vec![1.0; labels.len()]);
        forward(classes, &logits, &labels, &mut hard);
        soft::forward(classes, 0.0, &logits, &targets, &mut softly);
        prop_assert_eq!(hard, softly);
        let (mut hard, mut softly) = (vec![0.0; logits.len()], vec![1.0; logits.len()]);
        let grad_losses = vec![0.25; labels.len()];
        backward(classes, &logits, &labels, &grad_losses, &mut hard);
        soft::backward(classes, 0.0, &logits, &targets, &grad_losses, &mut softly);
        prop_assert_eq!(hard, softly);
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "the exponentials are 0 and 1")]
fn what_has_no_weight_is_not_looked_at() {
    let logits = [0.0, f32::NEG_INFINITY];
    let target = SoftTarget { labels: [0, 1], weights: [2.0, 0.0] };
    let mut loss = [1.0];
    soft::forward(2, 0.0, &logits, &[target], &mut loss);
    assert_eq!(loss, [0.0]);
    let nothing = SoftTarget { weights: [0.0; 2], ..target };
    soft::forward(2, 0.1, &logits, &[nothing], &mut loss);
    assert_eq!(loss, [0.0]);
    let mut grad = [1.0; 2];
    soft::backward(2, 0.1, &logits, &[nothing], &[1.0], &mut grad);
    assert_eq!(grad, [0.0, 0.0]);
}

#[test]
fn a_soft_loss_of_what_is_not_a_number_is_none() {
    let targets = [SoftTarget { labels: [1, 0], weights: [1.0, 1.0] }; 2];
    let mut losses = [0.0; 2];
    soft::forward(2, 0.1, &[f32::NAN, 0.0, f32::INFINITY, 0.0], &targets, &mut losses);
    assert!(losses.iter().all(|loss| loss.is_nan()));
}

#[test]
fn the_gradient_of_a_weighted_image_that_is_all_but_right_is_not_rounded_away() {
    let mut grad = [0.0; 2];
    let target = SoftTarget { labels: [0, 0], weights: [2.0, 1.0] };
    soft::backward(2, 0.0, &[20.0, 0.0], &[target], &[1.0], &mut grad);
    let expected = 3.0 / (1.0 + 20.0_f64.exp());
    for (found, expected) in grad.into_iter().zip([-expected, expected]) {
        // The exponential is good to an ulp of f32.
        assert!((f64::from(found) / expected - 1.0).abs() < 3e-7, "{found}, expected {expected}");
    }
}
