//! One stage of one fold: epochs of steps, each epoch validated.

use std::{collections::BTreeMap, time::Instant};

use candle_core::{D, Device, Tensor};
use model::{Cut, Mode, Vgg16};

use super::{
    Experiment, Inputs,
    evaluation::{Evaluation, Held, evaluate},
    for_each_batch,
    plan::StagePlan,
    streams::Stream,
};
use crate::{
    Error,
    early_stopping::{Decision, EarlyStoppingState},
    epoch_order::{EpochSeed, epoch_order},
    folds::Fold,
    loss::loss,
    monitor::Monitor,
    optimizer::{LearningRates, Optimizer},
    progress,
    recipe::Shuffle,
    run::{EpochRecord, Record, RecordLog, StepRecord},
    schedule::PlateauState,
};

/// What outlives a stage when one model goes through all folds.
#[derive(Debug)]
pub(crate) struct Momentum {
    optimizer: Optimizer,
    learning_rate: f64,
}

/// A stage of a fold, ready to run.
pub(crate) struct StageRun<'a> {
    pub(crate) experiment: &'a Experiment<'a>,
    pub(crate) fold: &'a Fold,
    /// From 0.
    pub(crate) number: usize,
    pub(crate) plan: &'a StagePlan<'a>,
}

/// What a stage leaves beside the trained network.
pub(crate) struct StageResult {
    /// One record an epoch.
    pub(crate) epochs: Vec<EpochRecord>,
    /// Of the network as the stage leaves it.
    pub(crate) evaluation: Evaluation,
    pub(crate) momentum: Momentum,
}

/// Running means over an epoch's training images, as Keras reports them.
#[derive(Default)]
struct Running {
    images: usize,
    hits: f64,
    loss: f64,
}

impl StageRun<'_> {
    /// Trains the stage.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteLoss`] at the step it happens, [`Error::NonFiniteValidationLoss`] after
    /// the epoch, [`Error::Interrupted`] after Ctrl-C, and whatever reading, arithmetic or writing
    /// reports.
    pub(crate) fn train(
        &self,
        network: &mut Vgg16,
        momentum: Option<Momentum>,
        log: &mut RecordLog,
    ) -> Result<StageResult, Error> {
        let stage = self.plan.stage;
        network.set_trainable(&self.plan.trainable)?;
        let mut momentum = momentum.unwrap_or_else(|| Momentum {
            optimizer: Optimizer::new(stage.optimizer),
            learning_rate: stage.optimizer.learning_rate(),
        });
        let mut plateau = stage.reduce_on_plateau.map(PlateauState::new);
        let mut stopping = stage.early_stopping.map(EarlyStoppingState::new);
        let mut best = None;
        let mut records = Vec::new();
        let mut evaluation = None;
        let mut step = 0;
        for epoch in 1..=stage.epochs.get() {
            let start = Instant::now();
            let learning_rate = momentum.learning_rate;
            let trained = self.epoch(network, &mut momentum, epoch, &mut step, log)?;
            let validated = self.validate(network)?;
            if !validated.loss.is_finite() {
                return Err(Error::NonFiniteValidationLoss {
                    fold: self.fold.index,
                    stage: stage.name.clone(),
                    epoch,
                    loss: validated.loss,
                    learning_rate,
                });
            }
            let record = EpochRecord {
                fold: self.fold.index,
                stage: stage.name.clone(),
                epoch,
                train_loss: trained.loss / trained.images as f64,
                train_accuracy: trained.hits / trained.images as f64,
                validation_loss: validated.loss,
                validation_accuracy: validated.accuracy(),
                validation_top5: validated.top5(),
                learning_rate,
                seconds: start.elapsed().as_secs_f64(),
            };
            evaluation = Some(validated);
            log.append(&Record::Epoch(record.clone()))?;
            report(&record);
            if let (Some(state), Some(config)) = (&mut plateau, stage.reduce_on_plateau) {
                momentum.learning_rate =
                    state.observe(monitored(&record, config.monitor), learning_rate);
            }
            let decision = match (&mut stopping, stage.early_stopping) {
                (Some(waiting), Some(config)) => {
                    waiting.observe(monitored(&record, config.monitor))
                }
                _ => Decision::Continue,
            };
            records.push(record);
            match decision {
                Decision::Improved
                    if stage.early_stopping.is_some_and(|c| c.restore_best_weights) =>
                {
                    best = Some(snapshot(network)?);
                }
                Decision::Improved | Decision::Continue => {}
                Decision::Stop => {
                    tracing::info!(
                        fold = self.fold.index,
                        stage = stage.name,
                        epoch,
                        "stopped early"
                    );
                    break;
                }
            }
        }
        let mut evaluation = evaluation.expect("a stage has at least one epoch");
        if let Some(best) = best {
            restore(network, &best)?;
            evaluation = self.validate(network)?;
        }
        Ok(StageResult { epochs: records, evaluation, momentum })
    }

    /// One pass over the training images.
    fn epoch(
        &self,
        network: &Vgg16,
        momentum: &mut Momentum,
        epoch: usize,
        step: &mut usize,
        log: &mut RecordLog,
    ) -> Result<Running, Error> {
        let Experiment { recipe, interrupt, seed, labels, .. } = self.experiment;
        let stage = self.plan.stage;
        let (inputs, cut) = self.training_inputs();
        let order = self.order(epoch);
        let progress = progress::bar(&format!(
            "fold {} {} epoch {epoch}/{}",
            self.fold.index, stage.name, stage.epochs
        ));
        progress.set_length(order.len() as u64);
        let mut running = Running::default();
        let batches = order.chunks(recipe.batch_size.get());
        for_each_batch(&inputs, batches, epoch, network.device(), |batch, images| {
            if interrupt.is_raised() {
                return Err(Error::Interrupted { fold: self.fold.index });
            }
            *step += 1;
            let labels: Vec<u32> = batch.iter().map(|&image| labels[image]).collect();
            let labels = Tensor::new(labels.as_slice(), network.device())?;
            let dropout_seed =
                Stream::Dropout.seed(*seed, &[self.fold.index, self.number, epoch, *step]);
            let logits = network.logits(cut, images, Mode::Train { dropout_seed })?;
            let batch_loss = loss(recipe.loss, &logits, &labels)?;
            let value = batch_loss.to_scalar::<f32>()?;
            let learning_rate = momentum.learning_rate;
            if !value.is_finite() {
                return Err(Error::NonFiniteLoss {
                    fold: self.fold.index,
                    stage: stage.name.clone(),
                    epoch,
                    step: *step,
                    loss: value,
                    learning_rate,
                });
            }
            let gradients = network.gradients(&batch_loss)?;
            let rates = LearningRates::equal(learning_rate);
            momentum.optimizer.step(&network.variables(), &gradients, rates)?;
            running.add(value, &logits, &labels)?;
            log.append(&Record::Step(StepRecord {
                fold: self.fold.index,
                stage: stage.name.clone(),
                epoch,
                step: *step,
                loss: value,
                learning_rate,
            }))?;
            progress.set_message(format!("loss {:.4}", running.loss / running.images as f64));
            progress.inc(batch.len() as u64);
            Ok(())
        })?;
        progress.finish_and_clear();
        Ok(running)
    }

    /// Where training batches come from, and where they enter. Augmented images cannot be cached,
    /// so they go through the frozen layers afresh.
    fn training_inputs(&self) -> (Inputs<'_>, Cut) {
        let experiment = self.experiment;
        match &self.plan.stage.augment {
            Some(augmentation) => {
                let seed =
                    Stream::Augmentation.seed(experiment.seed, &[self.fold.index, self.number]);
                let (prepared, normalization) = (experiment.prepared, experiment.normalization);
                (Inputs::augmented(prepared, normalization, augmentation, seed), Cut::IMAGES)
            }
            None => (experiment.inputs_at(self.plan.cut), self.plan.cut),
        }
    }

    /// The training images in the order of this epoch.
    fn order(&self, epoch: usize) -> Vec<usize> {
        let train = &self.fold.train;
        match self.experiment.recipe.shuffle {
            Shuffle::Never => train.clone(),
            Shuffle::EveryEpoch => {
                let (fold, stage) = (self.fold.index, self.number);
                let seed = EpochSeed { seed: self.experiment.seed, fold, stage, epoch };
                epoch_order(seed, train.len()).into_iter().map(|place| train[place]).collect()
            }
        }
    }

    /// Evaluates the network on the fold's validation images.
    fn validate(&self, network: &Vgg16) -> Result<Evaluation, Error> {
        let experiment = self.experiment;
        let progress =
            progress::bar(&format!("fold {} {} validation", self.fold.index, self.plan.stage.name));
        let held = Held {
            inputs: &experiment.inputs_at(self.plan.cut),
            cut: self.plan.cut,
            indices: &self.fold.validation,
            labels: &experiment.labels,
            batch_size: experiment.recipe.batch_size.get(),
        };
        let kind = experiment.recipe.loss;
        evaluate(network, held, kind, &progress, experiment.interrupt, self.fold.index)
    }
}

impl Running {
    fn add(&mut self, loss: f32, logits: &Tensor, labels: &Tensor) -> Result<(), Error> {
        let images = labels.dims1()?;
        let hits = logits.detach().argmax(D::Minus1)?.eq(labels)?.to_device(&Device::Cpu)?;
        let hits = hits.to_vec1::<u8>()?.into_iter().map(f64::from).sum::<f64>();
        self.images += images;
        self.hits += hits;
        self.loss += f64::from(loss) * images as f64;
        Ok(())
    }
}

fn monitored(record: &EpochRecord, monitor: Monitor) -> f64 {
    match monitor {
        Monitor::TrainLoss => record.train_loss,
        Monitor::TrainAccuracy => record.train_accuracy,
        Monitor::ValidationLoss => record.validation_loss,
        Monitor::ValidationAccuracy => record.validation_accuracy,
        Monitor::ValidationTop5 => record.validation_top5,
    }
}

fn report(record: &EpochRecord) {
    tracing::info!(
        "fold {} {} epoch {}: loss {:.4}, accuracy {:.2}%, validation loss {:.4}, \
         accuracy {:.2}%, top-5 {:.2}%, rate {:.2e}, {:.1} s",
        record.fold,
        record.stage,
        record.epoch,
        record.train_loss,
        100.0 * record.train_accuracy,
        record.validation_loss,
        100.0 * record.validation_accuracy,
        100.0 * record.validation_top5,
        record.learning_rate,
        record.seconds
    );
}

/// Copies of what is being trained.
fn snapshot(network: &Vgg16) -> Result<BTreeMap<String, Tensor>, Error> {
    let copy = |(name, var): (&str, &candle_core::Var)| {
        Ok((name.to_owned(), var.as_detached_tensor().copy()?))
    };
    network.variables().into_iter().map(copy).collect()
}

fn restore(network: &Vgg16, snapshot: &BTreeMap<String, Tensor>) -> Result<(), Error> {
    for (name, var) in network.variables() {
        var.set(snapshot.get(name).expect("the trainable layers have not changed in the stage"))?;
    }
    Ok(())
}
