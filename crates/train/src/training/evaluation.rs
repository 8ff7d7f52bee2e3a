//! What a model says of images that it is not trained on.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use model::{Cut, Layer, LayerKind, Mode, Vgg16, architecture::Activation};

use super::{Inputs, Interrupt, for_each_batch, watch::Units};
use crate::{
    Error,
    calibration::{CalibrationError, Logits},
    loss::{LossKind, losses},
    metrics::{Prediction, accuracy, macro_f1, top_k_accuracy},
};

/// Predictions and their quality.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// One for each image, in the order asked for.
    pub(crate) predictions: Vec<Prediction>,
    /// Of all images, one after the other.
    pub(crate) logits: Vec<f32>,
    /// Mean over the images.
    pub(crate) loss: f64,
    /// Share of images that the network gives their person a probability of 0 in f32 arithmetic, or
    /// below Keras's clip: the loss tells nothing more of how wrong they are.
    pub(crate) saturated_share: f64,
    /// Mean probability of each person.
    pub(crate) mean_probabilities: Vec<f32>,
    /// Share of each hidden layer's units that were zero for every image.
    pub(crate) dead_units: BTreeMap<String, f64>,
}

impl Evaluation {
    /// What logits of some images, one after the other, say of them.
    fn new(
        kind: LossKind,
        logits: Vec<f32>,
        labels: &[u32],
        dead_units: BTreeMap<String, f64>,
    ) -> Result<Self, Error> {
        let images = labels.len();
        let classes = logits.len() / images;
        let tensor = Tensor::from_slice(&logits, (images, classes), &Device::Cpu)?;
        let losses =
            losses(kind, &tensor, &Tensor::new(labels, &Device::Cpu)?)?.to_vec1::<f32>()?;
        let saturated = losses.iter().filter(|&&loss| SATURATED_LOSS <= loss).count();
        let rows = logits.chunks_exact(classes);
        Ok(Self {
            predictions: rows
                .zip(labels)
                .map(|(row, &label)| Prediction::new(row, label))
                .collect(),
            mean_probabilities: mean_probabilities(&logits, classes),
            loss: losses.into_iter().map(f64::from).sum::<f64>() / images as f64,
            saturated_share: saturated as f64 / images as f64,
            dead_units,
            logits,
        })
    }

    /// The mean of the softmax over several views of the same images, as if one network had said it.
    ///
    /// # Panics
    ///
    /// If there is no view.
    pub(crate) fn averaged(
        kind: LossKind,
        views: Vec<Self>,
        labels: &[u32],
    ) -> Result<Self, Error> {
        let count = views.len() as f32;
        let mut views = views.into_iter();
        let first = views.next().expect("there is a view");
        let classes = first.mean_probabilities.len();
        let mut means = softmax(&first.logits, classes);
        for view in views {
            for (mean, probability) in means.iter_mut().zip(softmax(&view.logits, classes)) {
                *mean += probability;
            }
        }
        // The logarithm of a probability is a logit whose softmax is that probability.
        let logits = means.into_iter().map(|sum| (sum / count).max(f32::MIN_POSITIVE).ln());
        Self::new(kind, logits.collect(), labels, first.dead_units)
    }

    /// Does something with the logits and the truth.
    ///
    /// # Errors
    ///
    /// [`CalibrationError`] if a logit is not finite, and those of `work`.
    pub(crate) fn with_logits<T>(
        &self,
        work: impl FnOnce(&Logits<'_>) -> Result<T, CalibrationError>,
    ) -> Result<T, CalibrationError> {
        let labels: Vec<u32> = self.predictions.iter().map(|image| image.label).collect();
        work(&Logits::new(&self.logits, &labels, self.mean_probabilities.len())?)
    }

    pub(crate) fn accuracy(&self) -> f64 {
        accuracy(&self.predictions).expect("a fold holds out at least one image")
    }

    pub(crate) fn top5(&self) -> f64 {
        top_k_accuracy(&self.predictions, 5).expect("a fold holds out at least one image")
    }

    pub(crate) fn macro_f1(&self) -> f64 {
        macro_f1(&self.predictions).expect("a fold holds out at least one image")
    }
}

/// What an evaluation reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    /// Where batches come from.
    pub(crate) inputs: &'a Inputs<'a>,
    /// Where they enter the network.
    pub(crate) cut: Cut,
    /// Which images.
    pub(crate) indices: &'a [usize],
    /// Of all images.
    pub(crate) labels: &'a [u32],
    /// Images at once.
    pub(crate) batch_size: usize,
}

/// Loss from which an image counts as saturated: minus the logarithm of Keras's 1e-7, less rounding.
const SATURATED_LOSS: f32 = 16.1;

/// Runs the held-out images through the network, without dropout or augmentation.
pub(crate) fn evaluate(
    network: &Vgg16,
    held: Held<'_>,
    kind: LossKind,
    progress: &ProgressBar,
    interrupt: &Interrupt,
    fold: usize,
) -> Result<Evaluation, Error> {
    progress.set_length(held.indices.len() as u64);
    let mut hidden: Vec<(Cut, Units)> =
        hidden_cuts(network, held.cut).into_iter().map(|cut| (cut, Units::default())).collect();
    let mut logits = Vec::new();
    let batches = held.indices.chunks(held.batch_size);
    for_each_batch(held.inputs, batches, 0, network.device(), |batch, inputs| {
        if interrupt.is_raised() {
            return Err(Error::Interrupted { fold });
        }
        let (mut at, mut activations) = (held.cut, inputs.clone());
        for (cut, units) in &mut hidden {
            activations = network.forward(at, *cut, &activations, Mode::Eval)?;
            at = *cut;
            units.add(&activations)?;
        }
        let of_batch = network.logits(at, &activations, Mode::Eval)?.to_device(&Device::Cpu)?;
        logits.extend(of_batch.flatten_all()?.to_vec1::<f32>()?);
        progress.inc(batch.len() as u64);
        Ok(())
    })?;
    progress.finish_and_clear();
    let labels: Vec<u32> = held.indices.iter().map(|&image| held.labels[image]).collect();
    let name = |cut: Cut| network.layers()[cut.index() - 1].name.clone();
    let dead = hidden.into_iter().map(|(cut, units)| (name(cut), units.dead_share())).collect();
    Evaluation::new(kind, logits, &labels, dead)
}

/// The cuts behind the hidden dense layers that come after a cut.
fn hidden_cuts(network: &Vgg16, from: Cut) -> Vec<Cut> {
    let is_hidden =
        |layer: &Layer| matches!(layer.kind, LayerKind::Dense { activation: Activation::Relu, .. });
    let layers = network.layers().iter().enumerate().skip(from.index());
    layers.filter(|(_, layer)| is_hidden(layer)).map(|(index, _)| Cut::before(index + 1)).collect()
}

fn mean_probabilities(logits: &[f32], classes: usize) -> Vec<f32> {
    let images = (logits.len() / classes) as f32;
    let mut means = vec![0.0; classes];
    for row in softmax(logits, classes).chunks_exact(classes) {
        for (mean, probability) in means.iter_mut().zip(row) {
            *mean += probability / images;
        }
    }
    means
}

fn softmax(logits: &[f32], classes: usize) -> Vec<f32> {
    let mut probabilities = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(classes) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = row.iter().map(|logit| (logit - largest).exp()).sum();
        probabilities.extend(row.iter().map(|logit| (logit - largest).exp() / sum));
    }
    probabilities
}
