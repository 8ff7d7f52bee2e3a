//! Softmax cross-entropy to targets between labels: smoothed, weighted, or mixed of two.

use rayon::prelude::*;

use super::{Exponentials, exponentials, rounded};

/// What an image should be: a weight on each of two labels.
///
/// One label is given by a weight of 0 on the other. The two may be the same label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftTarget {
    /// The two labels, below the number of classes.
    pub labels: [u32; 2],
    /// The weight of each: finite, at least 0. They need not add up to 1: their sum is the image's weight.
    pub weights: [f32; 2],
}

/// The loss of each image: the weighted sum of its two labels' cross-entropies, each to the label smoothed.
///
/// A label smoothed by `s` is `1 - s` times the label and `s / classes` on every class, itself among them. An
/// image of no weight has a loss of 0 if its logits are finite. Accuracy is that of
/// [`forward`](super::forward), and what a weight of 0, or a smoothing of 0, would multiply is not looked at.
///
/// # Shapes
///
/// - `smoothing`: at least 0 and below 1
/// - `logits`: `(batch, classes)`
/// - `targets`, `losses`: `(batch,)`
///
/// # Panics
///
/// If a slice has another length or a label is not below `classes`.
///
/// # Source
///
/// Szegedy et al., Rethinking the Inception Architecture (CVPR 2016), section 7, in the form of Keras 3.15.1,
/// `losses/losses.py`, `categorical_crossentropy`: `y_true * (1 - label_smoothing) + label_smoothing / num_classes`.
pub fn forward(
    classes: usize,
    smoothing: f32,
    logits: &[f32],
    targets: &[SoftTarget],
    losses: &mut [f32],
) {
    assert_eq!(logits.len(), targets.len() * classes, "logits");
    assert_eq!(losses.len(), targets.len(), "losses");
    assert_targets(classes, targets);
    let smoothing = f64::from(smoothing);
    logits.par_chunks(classes.max(1)).zip(targets).zip(losses).for_each(
        |((logits, target), loss)| {
            let Exponentials { largest, sum } = exponentials(logits);
            let weights = target.weights.map(f64::from);
            let mass = weights[0] + weights[1];
            let distance = |label: u32| f64::from(logits[label as usize] - largest);
            // Zero times the distance of a logit that is minus infinity would be NaN.
            let at_labels: f64 = target
                .labels
                .into_iter()
                .zip(weights)
                .filter(|&(_, weight)| weight != 0.0)
                .map(|(label, weight)| weight * distance(label))
                .sum();
            let mut value = mass * sum.ln() - (1.0 - smoothing) * at_labels;
            if 0.0 < smoothing * mass {
                let all: f64 = logits.iter().map(|logit| f64::from(logit - largest)).sum();
                value -= smoothing * mass * all / classes as f64;
            }
            *loss = rounded(value);
        },
    );
}

/// The gradient of the logits: for each image its loss's gradient times its weight times the softmax, less the target.
///
/// # Shapes
///
/// - `smoothing`: at least 0 and below 1
/// - `logits`, `grad_logits`: `(batch, classes)`
/// - `targets`, `grad_losses`: `(batch,)`
///
/// # Panics
///
/// If a slice has another length or a label is not below `classes`.
pub fn backward(
    classes: usize,
    smoothing: f32,
    logits: &[f32],
    targets: &[SoftTarget],
    grad_losses: &[f32],
    grad_logits: &mut [f32],
) {
    assert_eq!(logits.len(), targets.len() * classes, "logits");
    assert_eq!(grad_losses.len(), targets.len(), "grad_losses");
    assert_eq!(grad_logits.len(), logits.len(), "grad_logits");
    assert_targets(classes, targets);
    let smoothing = f64::from(smoothing);
    grad_logits
        .par_chunks_mut(classes.max(1))
        .zip(logits.par_chunks(classes.max(1)))
        .zip(targets.par_iter().zip(grad_losses))
        .for_each(|((grad, logits), (target, &grad_loss))| {
            let Exponentials { largest, sum } = exponentials(logits);
            let weights = target.weights.map(f64::from);
            let mass = weights[0] + weights[1];
            let spread = smoothing / classes as f64;
            for (grad, logit) in grad.iter_mut().zip(logits) {
                let share = f64::from((logit - largest).exp()) / sum;
                *grad = grad_loss * rounded(mass * (share - spread));
            }
            for label in target.labels {
                let at_label: f64 = target
                    .labels
                    .into_iter()
                    .zip(weights)
                    .filter(|&(other, _)| other == label)
                    .map(|(_, weight)| weight)
                    .sum();
                if at_label == 0.0 {
                    continue;
                }
                // From the share of the others, since one less its own is small for an image that is all but right.
                let label = label as usize;
                let others = (sum - f64::from((logits[label] - largest).exp())) / sum;
                let constant = mass * (1.0 - spread) - (1.0 - smoothing) * at_label;
                grad[label] = grad_loss * rounded(constant - mass * others);
            }
        });
}

fn assert_targets(classes: usize, targets: &[SoftTarget]) {
    let is_class = |label: &u32| (*label as usize) < classes;
    assert!(targets.iter().all(|target| target.labels.iter().all(is_class)), "a label is no class");
}
