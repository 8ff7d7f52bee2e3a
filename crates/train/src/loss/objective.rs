//! What a training step minimizes.

use candle_core::{D, Result, Tensor, bail};
use model::{SoftTarget, soft_cross_entropy};

use super::{ClassWeights, LossKind, Targets, clipped_probabilities, loss};
use crate::setting::LabelSmoothing;

/// A loss, and what is done to the truth before it is taken. Evaluation takes the plain
/// [`losses`](super::losses), so that figures can be compared whatever was minimized.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// The loss.
    pub kind: LossKind,
    /// How much of each label is spread evenly over all identities, its own among them.
    pub label_smoothing: LabelSmoothing,
    /// How much an image of each identity counts.
    pub class_weights: ClassWeights,
}

impl Objective {
    /// The plain loss: labels as they are, images alike.
    pub fn plain(kind: LossKind) -> Self {
        let (label_smoothing, class_weights) = (LabelSmoothing::NONE, ClassWeights::Uniform);
        Self { kind, label_smoothing, class_weights }
    }

    /// The loss of a batch: the sum of its images' weighted losses over their number.
    ///
    /// An image mixed of two counts as two, each with its own weight, as far as it is of each. The sum
    /// is over the number of images and not of weights, as with Keras's `class_weight` and unlike
    /// `PyTorch`'s `weight`. [`LossKind::Keras22Clipped`] takes all of it too, by Keras's
    /// formula for targets that are no single label.
    ///
    /// # Shapes
    ///
    /// - `logits`: `(batch, num_classes)`, f32, before softmax
    /// - `targets`: `batch` of them, labels below `num_classes`
    /// - returns a scalar, f32
    ///
    /// # Errors
    ///
    /// Those of candle, if shapes or types are others, a label is no class, or there are not as
    /// many class weights as classes.
    ///
    /// # Source
    ///
    /// Keras 3.15.1: `losses/losses.py`, `categorical_crossentropy` (smoothing);
    /// `trainers/data_adapters/data_adapter_utils.py`, `class_weight_to_sample_weights` (the weight is the
    /// true label's); `losses/loss.py`, `reduce_values` (the sum over the batch's size). Zhang et al., mixup
    /// (ICLR 2018), facebookresearch/mixup-cifar10, `train.py`, `mixup_criterion`: `lam * criterion(pred, y_a) +
    /// (1 - lam) * criterion(pred, y_b)`.
    pub fn loss(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor> {
        match (targets, &self.class_weights) {
            (Targets::Labels(labels), ClassWeights::Uniform) if self.label_smoothing.is_none() => {
                loss(self.kind, logits, &Tensor::new(labels.as_slice(), logits.device())?)
            }
            _ => self.soft_losses(logits, targets)?.mean_all(),
        }
    }

    fn soft_losses(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor> {
        let (batch, classes) = logits.dims2()?;
        let targets = self.soft_targets(targets, classes)?;
        let smoothing = self.label_smoothing.as_f32();
        match self.kind {
            LossKind::CrossEntropy => soft_cross_entropy(logits, targets, smoothing),
            LossKind::Keras22Clipped => {
                if targets.len() != batch {
                    bail!("{} targets for {batch} images", targets.len());
                }
                let truth = dense(&targets, classes, smoothing);
                let truth = Tensor::from_vec(truth, (batch, classes), logits.device())?;
                (clipped_probabilities(logits)?.log()? * truth)?.sum(D::Minus1)?.neg()
            }
        }
    }

    /// Each image's two labels with their weights.
    fn soft_targets(&self, targets: &Targets, classes: usize) -> Result<Vec<SoftTarget>> {
        if let ClassWeights::Each(weights) = &self.class_weights
            && weights.len() != classes
        {
            bail!("{} class weights for {classes} classes", weights.len());
        }
        let target = |labels: [u32; 2], shares: [f32; 2]| {
            if let Some(label) = labels.into_iter().find(|&label| classes <= label as usize) {
                bail!("a label is {label}, expected one below {classes}");
            }
            let weight = |label: u32| match &self.class_weights {
                ClassWeights::Uniform => 1.0,
                ClassWeights::Each(weights) => weights[label as usize],
            };
            let weights = [shares[0] * weight(labels[0]), shares[1] * weight(labels[1])];
            Ok(SoftTarget { labels, weights })
        };
        match targets {
            Targets::Labels(labels) => {
                labels.iter().map(|&label| target([label; 2], [1.0, 0.0])).collect()
            }
            Targets::Mixed { labels, partners, shares } => {
                if partners.len() != labels.len() || shares.len() != labels.len() {
                    let (labels, partners, shares) = (labels.len(), partners.len(), shares.len());
                    bail!("{labels} labels are mixed with {partners} by {shares} shares");
                }
                let both = labels.iter().zip(partners).zip(shares);
                both.map(|((&label, &partner), &share)| {
                    target([label, partner], [share, 1.0 - share])
                })
                .collect()
            }
        }
    }
}

/// The targets as one row of numbers an image, `(batch, classes)`; labels are below `classes`.
fn dense(targets: &[SoftTarget], classes: usize, smoothing: f32) -> Vec<f32> {
    let mut rows = Vec::with_capacity(targets.len() * classes);
    for target in targets {
        let mass: f32 = target.weights.iter().sum();
        let start = rows.len();
        rows.resize(start + classes, mass * smoothing / classes as f32);
        for (label, weight) in target.labels.into_iter().zip(target.weights) {
            rows[start + label as usize] += (1.0 - smoothing) * weight;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn logits() -> Tensor {
        Tensor::new(&[[1_f32, 2.0, 0.5], [0.0, -1.0, 3.0]], &Device::Cpu).unwrap()
    }

    fn value(objective: &Objective, targets: &Targets) -> f32 {
        objective.loss(&logits(), targets).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn without_softness_it_is_the_plain_loss_to_the_bit() {
        let labels = Tensor::new(&[2_u32, 0], &Device::Cpu).unwrap();
        for kind in [LossKind::CrossEntropy, LossKind::Keras22Clipped] {
            let plain = loss(kind, &logits(), &labels).unwrap().to_scalar::<f32>().unwrap();
            let found = value(&Objective::plain(kind), &Targets::Labels(vec![2, 0]));
            assert_eq!(found.to_bits(), plain.to_bits());
        }
    }

    #[test]
    fn an_identity_of_weight_0_never_matters() {
        for kind in [LossKind::CrossEntropy, LossKind::Keras22Clipped] {
            let class_weights = ClassWeights::Each(vec![1.0, 0.0, 0.0]);
            let weighted = Objective { class_weights, ..Objective::plain(kind) };
            let both = value(&weighted, &Targets::Labels(vec![0, 2]));
            let one = value(&weighted, &Targets::Labels(vec![0, 1]));
            assert_eq!(both.to_bits(), one.to_bits(), "{kind:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for kind in [LossKind::CrossEntropy, LossKind::Keras22Clipped] {
            let smooth = Objective {
                label_smoothing: LabelSmoothing::new(0.1).unwrap(),
                ..Objective::plain(kind)
            };
            let refusal = |objective: &Objective, targets: Targets| {
                objective.loss(&logits(), &targets).unwrap_err().to_string()
            };
            let message = refusal(&smooth, Targets::Labels(vec![0, 3]));
            assert!(message.contains("a label is 3, expected one below 3"), "{message}");
            let message = refusal(&smooth, Targets::Labels(vec![0]));
            assert!(message.contains("1 targets for 2 images"), "{message}");
            let mixed =
                Targets::Mixed { labels: vec![0, 1], partners: vec![1], shares: vec![0.5; 2] };
            let message = refusal(&smooth, mixed);
            assert!(message.contains("2 labels are mixed with 1 by 2 shares"), "{message}");
            let weighted = Objective { class_weights: ClassWeights::Each(vec![1.0]), ..smooth };
            let message = refusal(&weighted, Targets::Labels(vec![0, 1]));
            assert!(message.contains("1 class weights for 3 classes"), "{message}");
        }
    }
}
