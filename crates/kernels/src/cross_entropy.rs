//! Softmax cross-entropy and its gradient.

pub mod soft;

use rayon::prelude::*;

/// The loss of each image: minus the logarithm of the softmax at its label.
///
/// It is computed from the logits' distance to the largest, so that it is finite where that is; sums are in f64.
/// NaN, and an infinite largest logit, give NaN.
///
/// # Shapes
///
/// - `logits`: `(batch, classes)`
/// - `labels`, `losses`: `(batch,)`, labels below `classes`
///
/// # Panics
///
/// If a slice has another length or a label is not below `classes`.
pub fn forward(classes: usize, logits: &[f32], labels: &[u32], losses: &mut [f32]) {
    assert_eq!(logits.len(), labels.len() * classes, "logits");
    assert_eq!(losses.len(), labels.len(), "losses");
    assert_labels(classes, labels);
    logits.par_chunks(classes.max(1)).zip(labels).zip(losses).for_each(
        |((logits, &label), loss)| {
            let Exponentials { largest, sum } = exponentials(logits);
            *loss = rounded(sum.ln() - f64::from(logits[label as usize] - largest));
        },
    );
}

/// The gradient of the logits: for each image its loss's gradient times the softmax, less one at the label.
///
/// # Shapes
///
/// - `logits`, `grad_logits`: `(batch, classes)`
/// - `labels`, `grad_losses`: `(batch,)`, labels below `classes`
///
/// # Panics
///
/// If a slice has another length or a label is not below `classes`.
pub fn backward(
    classes: usize,
    logits: &[f32],
    labels: &[u32],
    grad_losses: &[f32],
    grad_logits: &mut [f32],
) {
    assert_eq!(logits.len(), labels.len() * classes, "logits");
    assert_eq!(grad_losses.len(), labels.len(), "grad_losses");
    assert_eq!(grad_logits.len(), logits.len(), "grad_logits");
    assert_labels(classes, labels);
    grad_logits
        .par_chunks_mut(classes.max(1))
        .zip(logits.par_chunks(classes.max(1)))
        .zip(labels.par_iter().zip(grad_losses))
        .for_each(|((grad, logits), (&label, &grad_loss))| {
            let Exponentials { largest, sum } = exponentials(logits);
            for (grad, logit) in grad.iter_mut().zip(logits) {
                *grad = grad_loss * rounded(f64::from((logit - largest).exp()) / sum);
            }
            // Less one before it is scaled: the difference is small for an image that is all but right.
            let label = label as usize;
            let others = sum - f64::from((logits[label] - largest).exp());
            grad[label] = -grad_loss * rounded(others / sum);
        });
}

fn assert_labels(classes: usize, labels: &[u32]) {
    assert!(labels.iter().all(|&label| (label as usize) < classes), "a label is no class");
}

struct Exponentials {
    largest: f32,
    /// Of the exponentials of the distances to the largest.
    sum: f64,
}

fn exponentials(logits: &[f32]) -> Exponentials {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
    Exponentials { largest, sum }
}

#[expect(clippy::cast_possible_truncation, reason = "losses and gradients are f32")]
fn rounded(value: f64) -> f32 {
    value as f32
}
