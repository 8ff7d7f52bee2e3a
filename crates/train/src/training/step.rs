//! One step of a stage: gradients of one batch or of several, and what the optimizer makes of them.

use std::{collections::BTreeMap, num::NonZeroUsize};

use candle_core::Tensor;
use model::{Accumulation, Cut, Gradient, Mode, Vgg16};

use super::{stage::StageRun, state::StageState, streams::Stream, watch::BeforeStep};
use crate::{
    Error,
    loss::Targets,
    mixup::{Mixing, StepSeed},
    optimizer::LearningRates,
    run::BlockStep,
};

/// A step that was taken.
pub(crate) struct Step {
    /// Mean over its images, before it.
    pub(crate) loss: f32,
    /// By which the weights were moved.
    gradients: BTreeMap<String, Gradient>,
}

impl StageRun<'_> {
    /// Takes a step, and gives its loss and what it did to each block that learns.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub(crate) fn watched_step(
        &self,
        network: &Vgg16,
        cut: Cut,
        stage_state: &mut StageState,
        learning_rates: LearningRates<'_>,
        images: &Tensor,
        labels: &[u32],
    ) -> Result<(f32, Vec<BlockStep>), Error> {
        let before = BeforeStep::of(network)?;
        let step = self.step(network, cut, stage_state, learning_rates, images, labels)?;
        Ok((step.loss, before.compare(network, &step.gradients)?))
    }

    /// Moves the weights by the gradient of these images' loss.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteLoss`], and whatever the arithmetic reports; nothing is moved then.
    pub(crate) fn step(
        &self,
        network: &Vgg16,
        cut: Cut,
        stage_state: &mut StageState,
        learning_rates: LearningRates<'_>,
        images: &Tensor,
        labels: &[u32],
    ) -> Result<Step, Error> {
        let StageState { progress: at, optimizer, average, .. } = stage_state;
        let (epoch, step) = (at.epoch, at.step + 1);
        let mut running = at.running.clone();
        let mut gradients = Accumulation::default();
        let mut loss_sum = 0.0;
        let batch_size = self.experiment.recipe.batch_size.get();
        for (batch, labels) in labels.chunks(batch_size).enumerate() {
            let of_batch = images.narrow(0, batch * batch_size, labels.len())?;
            let seed = Place { epoch, step, batch };
            let (of_batch, targets) = self.mixed(seed, &of_batch, labels.to_vec())?;
            let dropout_seed = self.dropout_seed(seed);
            let logits = network.logits(cut, &of_batch, Mode::Train { dropout_seed })?;
            let loss = self.objective.loss(&logits, &targets)?;
            let value = loss.to_scalar::<f32>()?;
            if !value.is_finite() {
                return Err(Error::NonFiniteLoss {
                    fold: self.fold.index,
                    stage: self.plan.stage.name.clone(),
                    epoch,
                    step,
                    loss: value,
                    learning_rate: learning_rates.base,
                });
            }
            running.add(value, &logits, &targets)?;
            let images = NonZeroUsize::new(labels.len()).expect("a batch has images");
            gradients.add(network.gradients(&loss)?, images)?;
            loss_sum += f64::from(value) * labels.len() as f64;
        }
        let gradients = gradients.take()?;
        optimizer.step(&network.variables(), &gradients, learning_rates)?;
        if let Some(average) = average {
            average.after_step(&network.variables())?;
        }
        at.running = running;
        at.step = step;
        at.steps += 1;
        #[expect(clippy::cast_possible_truncation, reason = "losses are f32")]
        let loss = (loss_sum / labels.len() as f64) as f32;
        Ok(Step { loss, gradients })
    }

    /// Another one for each batch of each step.
    fn dropout_seed(&self, Place { epoch, step, batch }: Place) -> u64 {
        let mut place = vec![self.fold.index, self.number, epoch, step];
        // The first batch has the seed that a step of one batch has.
        place.extend((0 < batch).then_some(batch));
        Stream::Dropout.seed(self.experiment.seed, &place)
    }

    /// A batch as the stage trains on it.
    fn mixed(
        &self,
        Place { epoch, step, batch }: Place,
        images: &Tensor,
        labels: Vec<u32>,
    ) -> Result<(Tensor, Targets), Error> {
        let Some(alpha) = self.plan.stage.mixup else {
            return Ok((images.clone(), Targets::Labels(labels)));
        };
        let (fold, stage) = (self.fold.index, self.number);
        let seed = StepSeed { seed: self.experiment.seed, fold, stage, epoch, step, batch };
        let mixing = Mixing::draw(alpha, seed, labels.len());
        Ok((mixing.mix(images)?, mixing.targets(labels)))
    }
}

/// A batch's place in a stage.
#[derive(Clone, Copy)]
struct Place {
    epoch: usize,
    step: usize,
    /// From 0, in the step.
    batch: usize,
}
