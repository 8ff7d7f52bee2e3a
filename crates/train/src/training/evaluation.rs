//! What a model says of images that it is not trained on.

use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use model::{Cut, Mode, Vgg16};

use super::{Inputs, Interrupt, for_each_batch};
use crate::{
    Error,
    loss::{LossKind, losses},
    metrics::{Prediction, accuracy, macro_f1, top_k_accuracy},
};

/// Predictions and their quality.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// One for each image, in the order asked for.
    pub(crate) predictions: Vec<Prediction>,
    /// Mean over the images.
    pub(crate) loss: f64,
}

impl Evaluation {
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
    let mut predictions = Vec::with_capacity(held.indices.len());
    let mut loss_sum = 0.0;
    let batches = held.indices.chunks(held.batch_size);
    for_each_batch(held.inputs, batches, 0, network.device(), |batch, inputs| {
        if interrupt.is_raised() {
            return Err(Error::Interrupted { fold });
        }
        let logits = network.logits(held.cut, inputs, Mode::Eval)?.to_device(&Device::Cpu)?;
        let labels: Vec<u32> = batch.iter().map(|&image| held.labels[image]).collect();
        let of_batch = losses(kind, &logits, &Tensor::new(labels.as_slice(), &Device::Cpu)?)?;
        loss_sum += of_batch.to_vec1::<f32>()?.into_iter().map(f64::from).sum::<f64>();
        let rows = logits.to_vec2::<f32>()?;
        predictions.extend(rows.iter().zip(labels).map(|(row, label)| Prediction::new(row, label)));
        progress.inc(batch.len() as u64);
        Ok(())
    })?;
    progress.finish_and_clear();
    Ok(Evaluation { predictions, loss: loss_sum / held.indices.len() as f64 })
}
