//! One stage of one fold: epochs of steps, each epoch validated.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use kernels::machine::{peak_memory, reset_peak_memory};
use model::{Cut, Vgg16, weights};

use super::{
    Experiment, Inputs,
    evaluation::Evaluation,
    for_each_batch,
    overview::EpochAt,
    plan::StagePlan,
    session::Session,
    state::{FoldState, StageProgress, StageState},
    stopwatch::Stopwatch,
    streams::Stream,
};
use crate::{
    Error,
    early_stopping::Decision,
    epoch_order::{EpochSeed, epoch_order},
    folds::Fold,
    loss::Objective,
    monitor::Monitor,
    optimizer::LearningRates,
    recipe::Shuffle,
    run::{EpochRecord, Record, StepRecord, best_epoch, fold_path},
    sampling::{Sampling, balanced_order},
    schedule::Rates,
};

/// Name of the file with the weights of a fold's best epoch.
pub(crate) const BEST_WEIGHTS: &str = "best.safetensors";

/// A stage of a fold, ready to run.
pub(crate) struct StageRun<'a> {
    pub(crate) experiment: &'a Experiment<'a>,
    /// Its training images are those that train.
    pub(crate) fold: &'a Fold,
    /// Images that steer the schedules; none where the fold's validation images do.
    pub(crate) steering: &'a [usize],
    /// From 0.
    pub(crate) number: usize,
    pub(crate) plan: &'a StagePlan<'a>,
    /// What is minimized.
    pub(crate) objective: &'a Objective,
}

impl StageRun<'_> {
    /// Trains the stage, from wherever `fold_state` stands to its end, and evaluates the network that it
    /// leaves.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteLoss`] at the step it happens, [`Error::NonFiniteValidationLoss`] after
    /// the epoch, [`Error::Interrupted`] after Ctrl-C, and whatever reading, arithmetic or writing
    /// reports.
    pub(crate) fn train(
        &self,
        network: &mut Vgg16,
        fold_state: &mut FoldState,
        session: &mut Session<'_>,
    ) -> Result<Evaluation, Error> {
        let stage = self.plan.stage;
        reset_peak_memory();
        network.set_trainable(&self.plan.trainable)?;
        fold_state.stages[self.number].get_or_insert_with(|| StageState::new(stage));
        if fold_state.reference.is_none() && self.trains_backbone() {
            fold_state.reference = Some(self.watched_features(network)?);
        }
        let rates = self.rates()?;
        let mut evaluation = None;
        while !fold_state.stage(self.number).progress.is_done(stage) {
            let epoch = fold_state.stage(self.number).progress.epoch;
            network.set_trainable(&self.plan.trainable_in(epoch))?;
            self.epoch(network, &rates, fold_state, session)?;
            let mut watch = Stopwatch::start();
            if let Some(average) = &mut fold_state.stage_mut(self.number).average {
                average.after_epoch(epoch, &network.variables())?;
            }
            self.swap_average(network, fold_state)?;
            let validated = self.validate(network);
            let steering = self.steer(network);
            let ended = validated.and_then(|validated| Ok((validated, steering?)));
            if let Err(Error::Interrupted { .. }) = &ended {
                // What is kept of a broken-off epoch are the weights that learn, not their average.
                self.swap_average(network, fold_state)?;
            }
            let (validated, steering) = ended?;
            fold_state.spend(self.number, watch.lap());
            let at = &fold_state.stage(self.number).progress;
            let record = self.record(&rates, &validated, steering.as_ref(), at)?;
            let health = self.health(&validated, network, fold_state)?;
            evaluation = Some(validated);
            session.record(&Record::Epoch(record.clone()))?;
            session.record(&Record::Health(health.clone()))?;
            report(&record);
            fold_state.progress.records += 2;
            session.watch(&self.experiment.context, &fold_state.progress.epochs, &record, &health);
            session.overview.epoch_ended(self.number, record.epoch, record.seconds);
            self.observe(&record, network, fold_state.stage_mut(self.number))?;
            fold_state.progress.epochs.push(record);
            session.views.epoch_ended(&fold_state.progress.epochs);
            self.keep_best(network, &fold_state.progress.epochs)?;
            self.swap_average(network, fold_state)?;
            fold_state.stage_mut(self.number).progress.next_epoch();
            if session.checkpoints.is_worth_it() {
                session.checkpoints.try_write(network, fold_state, &session.log);
            }
        }
        network.set_trainable(&self.plan.trainable)?;
        let StageState { best, average, .. } = fold_state.stage_mut(self.number);
        match (best.take(), average.take()) {
            (Some(best), _) => {
                restore(network, &best)?;
                evaluation = None;
            }
            (None, Some(mut average)) => average.swap(&network.variables())?,
            (None, None) => {}
        }
        // None also where the checkpoint was the last epoch's.
        evaluation.map_or_else(|| self.validate(network), Ok)
    }

    /// Writes the weights down, if they are wanted and the last epoch is the best so far.
    fn keep_best(&self, network: &Vgg16, epochs: &[EpochRecord]) -> Result<(), Error> {
        let Some(out) = self.experiment.best_weights else { return Ok(()) };
        if best_epoch(epochs) != epochs.last() {
            return Ok(());
        }
        let path = fold_path(out, self.fold.index).join(BEST_WEIGHTS);
        weights::write(&path, &network.tensors()?, &self.experiment.metadata())?;
        Ok(())
    }

    /// Exchanges the weights and their average, if there is one.
    fn swap_average(&self, network: &Vgg16, fold_state: &mut FoldState) -> Result<(), Error> {
        match &mut fold_state.stage_mut(self.number).average {
            Some(average) => average.swap(&network.variables()),
            None => Ok(()),
        }
    }

    /// What the base rate is multiplied by at each step.
    pub(super) fn rates(&self) -> Result<Rates, Error> {
        Ok(self.plan.stage.rates(self.fold.train.len(), self.experiment.recipe.batch_size)?)
    }

    pub(super) fn images_per_step(&self) -> usize {
        self.plan.stage.images_per_step(self.experiment.recipe.batch_size)
    }

    /// The rest of a pass over the training images.
    fn epoch(
        &self,
        network: &Vgg16,
        rates: &Rates,
        fold_state: &mut FoldState,
        session: &mut Session<'_>,
    ) -> Result<(), Error> {
        let interrupt = self.experiment.interrupt;
        let stage = self.plan.stage;
        let (inputs, cut) = self.training_inputs();
        let StageProgress { epoch, steps: done, .. } = fold_state.stage(self.number).progress;
        let order = self.order(epoch);
        let steps = order.chunks(self.images_per_step()).skip(done);
        let progress = terminal::bar(
            format!("fold {} {} epoch {epoch}/{}", self.fold.index, stage.name, stage.epochs),
            terminal::Unit::Things("images"),
        );
        progress.set_length(order.len() as u64);
        progress.set_position(fold_state.stage(self.number).progress.running.images as u64);
        // What an earlier process did says nothing of this one's speed.
        progress.reset_eta();
        let factors = self.plan.stage.rate_factors(network.layers());
        let mut watch = Stopwatch::start();
        for_each_batch(&inputs, steps, epoch, network.device(), |indices, images| {
            if interrupt.is_raised() {
                return Err(Error::Interrupted { fold: self.fold.index });
            }
            let labels = self.experiment.labels_of(indices);
            let stage_state = fold_state.stage_mut(self.number);
            let at = &stage_state.progress;
            let base = at.learning_rate * rates.factor(at.step + 1);
            let learning_rates = LearningRates { base, factors: &factors };
            let loss = if at.steps == 0 {
                let (loss, blocks) =
                    self.watched_step(network, cut, stage_state, learning_rates, images, &labels)?;
                stage_state.progress.blocks = blocks;
                loss
            } else {
                self.step(network, cut, stage_state, learning_rates, images, &labels)?.loss
            };
            let at = &stage_state.progress;
            progress.set_message(format!(
                "loss {:.4}, accuracy {:.1} %, rate {base:.1e}, {:.0} images/s",
                at.running.loss(),
                100.0 * at.running.accuracy(),
                progress.per_sec()
            ));
            progress.inc(indices.len() as u64);
            session.record(&Record::Step(StepRecord {
                fold: self.fold.index,
                stage: stage.name.clone(),
                epoch,
                step: at.step,
                loss,
                learning_rate: base,
            }))?;
            fold_state.progress.records += 1;
            fold_state.spend(self.number, watch.lap());
            let at = &fold_state.stage(self.number).progress;
            session.overview.goes_on(EpochAt {
                stage: self.number,
                epoch,
                share: at.running.images as f64 / order.len() as f64,
                seconds: at.seconds,
            });
            if session.checkpoints.is_due() {
                session.checkpoints.try_write(network, fold_state, &session.log);
            }
            Ok(())
        })?;
        progress.finish_and_clear();
        Ok(())
    }

    /// What is recorded of an epoch.
    fn record(
        &self,
        rates: &Rates,
        validated: &Evaluation,
        steering: Option<&Evaluation>,
        at: &StageProgress,
    ) -> Result<EpochRecord, Error> {
        let StageProgress { epoch, step, ref running, seconds, .. } = *at;
        let learning_rate = at.learning_rate * rates.factor(step);
        let stage = self.plan.stage.name.clone();
        if !validated.loss.is_finite() {
            return Err(Error::NonFiniteValidationLoss {
                fold: self.fold.index,
                stage,
                epoch,
                loss: validated.loss,
                learning_rate,
            });
        }
        Ok(EpochRecord {
            fold: self.fold.index,
            stage,
            epoch,
            train_loss: running.loss(),
            train_accuracy: running.accuracy(),
            validation_loss: validated.loss,
            validation_accuracy: validated.accuracy(),
            validation_top5: validated.top5(),
            inner_loss: steering.map(|inner| inner.loss),
            inner_accuracy: steering.map(Evaluation::accuracy),
            inner_top5: steering.map(Evaluation::top5),
            learning_rate,
            seconds,
            memory_bytes: Some(peak_memory()).filter(|&bytes| 0 < bytes),
        })
    }

    /// Lets plateau and early stopping take note of an epoch.
    fn observe(
        &self,
        record: &EpochRecord,
        network: &Vgg16,
        stage_state: &mut StageState,
    ) -> Result<(), Error> {
        let (stage, at) = (self.plan.stage, &mut stage_state.progress);
        if let (Some(plateau), Some(config)) = (&mut at.plateau, stage.reduce_on_plateau) {
            let before = at.learning_rate;
            at.learning_rate = plateau.observe(monitored(record, config.monitor), before);
            if at.learning_rate < before {
                tracing::info!(
                    "fold {} {} epoch {}: {} has not improved, rate {:.2e} from now on",
                    record.fold,
                    record.stage,
                    record.epoch,
                    monitored_name(config.monitor, record.inner_loss.is_some()),
                    at.learning_rate
                );
            }
        }
        let (Some(stopping), Some(config)) = (&mut at.stopping, stage.early_stopping) else {
            return Ok(());
        };
        match stopping.observe(monitored(record, config.monitor)) {
            Decision::Improved if config.restore_best_weights => {
                stage_state.best = Some(snapshot(network, &self.plan.trainable)?);
            }
            Decision::Improved | Decision::Continue => {}
            Decision::Stop => {
                let fold = self.fold.index;
                tracing::info!(fold, stage = stage.name, epoch = record.epoch, "stopped early");
                at.has_stopped = true;
            }
        }
        Ok(())
    }

    /// Where training batches come from, and where they enter. Augmented images cannot be cached,
    /// so they go through the frozen layers afresh.
    pub(super) fn training_inputs(&self) -> (Inputs<'_>, Cut) {
        let experiment = self.experiment;
        match &self.plan.stage.augment {
            Some(augmentation) => {
                let seed =
                    Stream::Augmentation.seed(experiment.seed, &[self.fold.index, self.number]);
                let (prepared, normalization) = (experiment.prepared, experiment.normalization);
                (Inputs::augmented(prepared, normalization, augmentation, seed), Cut::IMAGES)
            }
            None => experiment.inputs_at(self.plan.cut),
        }
    }

    /// The training images in the order of this epoch.
    pub(super) fn order(&self, epoch: usize) -> Vec<usize> {
        let train = &self.fold.train;
        let (fold, stage) = (self.fold.index, self.number);
        let seed = EpochSeed { seed: self.experiment.seed, fold, stage, epoch };
        let places = match (self.experiment.recipe.shuffle, self.plan.stage.sampling) {
            (Shuffle::Never, _) => return train.clone(),
            (Shuffle::EveryEpoch, Sampling::Natural) => epoch_order(seed, train.len()),
            (Shuffle::EveryEpoch, Sampling::Balanced) => {
                balanced_order(seed, &self.experiment.labels_of(train))
            }
        };
        places.into_iter().map(|place| train[place]).collect()
    }
}

/// What a metric is called in an epoch's line; `has_inner` where inner photographs steer.
fn monitored_name(monitor: Monitor, has_inner: bool) -> String {
    let name = monitor.to_string().replace('_', " ");
    if has_inner { name.replace("validation", "inner") } else { name }
}

/// A metric of an epoch; that of the images that steer, where there are any.
fn monitored(record: &EpochRecord, monitor: Monitor) -> f64 {
    match monitor {
        Monitor::TrainLoss => record.train_loss,
        Monitor::TrainAccuracy => record.train_accuracy,
        Monitor::ValidationLoss => record.inner_loss.unwrap_or(record.validation_loss),
        Monitor::ValidationAccuracy => record.inner_accuracy.unwrap_or(record.validation_accuracy),
        Monitor::ValidationTop5 => record.inner_top5.unwrap_or(record.validation_top5),
    }
}

fn report(record: &EpochRecord) {
    tracing::info!(
        "fold {} {} epoch {}: loss {:.4}, accuracy {:.2}%, validation loss {:.4}, \
         accuracy {:.2}%, top-5 {:.2}%{}, rate {:.2e}, {:.1} s",
        record.fold,
        record.stage,
        record.epoch,
        record.train_loss,
        100.0 * record.train_accuracy,
        record.validation_loss,
        100.0 * record.validation_accuracy,
        100.0 * record.validation_top5,
        match record.inner_accuracy {
            Some(accuracy) => format!(", inner accuracy {:.2}%", 100.0 * accuracy),
            None => String::new(),
        },
        record.learning_rate,
        record.seconds
    );
}

/// Copies of what a stage trains, opened or not.
fn snapshot(network: &Vgg16, layers: &BTreeSet<String>) -> Result<BTreeMap<String, Tensor>, Error> {
    let copy = |(name, var): (&str, &candle_core::Var)| {
        Ok((name.to_owned(), var.as_detached_tensor().copy()?))
    };
    network.variables_of(layers).into_iter().map(copy).collect()
}

fn restore(network: &Vgg16, snapshot: &BTreeMap<String, Tensor>) -> Result<(), Error> {
    for (name, var) in network.variables() {
        var.set(snapshot.get(name).expect("a snapshot has all that the stage trains"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_called_as_in_the_epochs_line() {
        assert_eq!(monitored_name(Monitor::ValidationAccuracy, true), "inner accuracy");
        assert_eq!(monitored_name(Monitor::ValidationAccuracy, false), "validation accuracy");
        assert_eq!(monitored_name(Monitor::TrainLoss, true), "train loss");
    }
}
