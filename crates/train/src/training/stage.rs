//! One stage of one fold: epochs of steps, each epoch validated.

use std::collections::BTreeMap;

use candle_core::Tensor;
use model::{Cut, Mode, Vgg16};
use preprocess::TestTimeViews;

use super::{
    Experiment, Inputs,
    checkpoints::Checkpoints,
    evaluation::{Evaluation, Held, evaluate},
    for_each_batch,
    plan::StagePlan,
    state::{FoldState, StageProgress, StageState},
    stopwatch::Stopwatch,
    streams::Stream,
    watch::BeforeStep,
};
use crate::{
    Error,
    early_stopping::Decision,
    epoch_order::{EpochSeed, epoch_order},
    folds::Fold,
    loss::{Objective, Targets},
    mixup::{Mixing, StepSeed},
    monitor::Monitor,
    progress,
    recipe::Shuffle,
    run::{EpochRecord, Record, RecordLog, StepRecord},
    sampling::{Sampling, balanced_order},
};

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

/// Where a run keeps what it does, while it lasts.
pub(crate) struct Session<'a> {
    pub(crate) log: RecordLog,
    pub(crate) checkpoints: Checkpoints<'a>,
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
        network.set_trainable(&self.plan.trainable)?;
        fold_state.stages[self.number].get_or_insert_with(|| StageState::new(stage));
        if fold_state.reference.is_none() && self.trains_backbone() {
            fold_state.reference = Some(self.watched_features(network)?);
        }
        let mut evaluation = None;
        while !fold_state.stage(self.number).progress.is_done(stage) {
            self.epoch(network, fold_state, session)?;
            let mut watch = Stopwatch::start();
            let validated = self.validate(network)?;
            let steering = self.steer(network)?;
            fold_state.spend(self.number, watch.lap());
            let at = &fold_state.stage(self.number).progress;
            let record = self.record(&validated, steering.as_ref(), at)?;
            let health = self.health(&validated, network, fold_state)?;
            evaluation = Some(validated);
            session.log.append(&Record::Epoch(record.clone()))?;
            session.log.append(&Record::Health(health))?;
            report(&record);
            fold_state.progress.records += 2;
            self.observe(&record, network, fold_state.stage_mut(self.number))?;
            fold_state.stage_mut(self.number).progress.next_epoch();
            fold_state.progress.epochs.push(record);
            if session.checkpoints.is_worth_it() {
                session.checkpoints.try_write(network, fold_state, &session.log);
            }
        }
        if let Some(best) = fold_state.stage_mut(self.number).best.take() {
            restore(network, &best)?;
            evaluation = None;
        }
        // None also where the checkpoint was the last epoch's.
        evaluation.map_or_else(|| self.validate(network), Ok)
    }

    /// The rest of a pass over the training images.
    fn epoch(
        &self,
        network: &Vgg16,
        fold_state: &mut FoldState,
        session: &mut Session<'_>,
    ) -> Result<(), Error> {
        let Experiment { recipe, interrupt, seed, labels, .. } = self.experiment;
        let stage = self.plan.stage;
        let (inputs, cut) = self.training_inputs();
        let StageProgress { epoch, batches: done, .. } = fold_state.stage(self.number).progress;
        let order = self.order(epoch);
        let batches = order.chunks(recipe.batch_size.get()).skip(done);
        let progress = progress::bar(&format!(
            "fold {} {} epoch {epoch}/{}",
            self.fold.index, stage.name, stage.epochs
        ));
        progress.set_length(order.len() as u64);
        progress.set_position(fold_state.stage(self.number).progress.running.images as u64);
        let mut watch = Stopwatch::start();
        for_each_batch(&inputs, batches, epoch, network.device(), |batch, images| {
            if interrupt.is_raised() {
                return Err(Error::Interrupted { fold: self.fold.index });
            }
            let StageState { progress: at, optimizer, .. } = fold_state.stage_mut(self.number);
            let step = at.step + 1;
            let labels: Vec<u32> = batch.iter().map(|&image| labels[image]).collect();
            let place = [self.fold.index, self.number, epoch, step];
            let dropout_seed = Stream::Dropout.seed(*seed, &place);
            let (images, targets) = self.mixed(epoch, step, images, labels)?;
            let logits = network.logits(cut, &images, Mode::Train { dropout_seed })?;
            let batch_loss = self.objective.loss(&logits, &targets)?;
            let value = batch_loss.to_scalar::<f32>()?;
            let learning_rate = at.learning_rate;
            if !value.is_finite() {
                return Err(Error::NonFiniteLoss {
                    fold: self.fold.index,
                    stage: stage.name.clone(),
                    epoch,
                    step,
                    loss: value,
                    learning_rate,
                });
            }
            let gradients = network.gradients(&batch_loss)?;
            let before = (at.batches == 0).then(|| BeforeStep::of(network)).transpose()?;
            optimizer.step(&network.variables(), &gradients, learning_rate)?;
            if let Some(before) = before {
                at.blocks = before.compare(network, &gradients)?;
            }
            at.running.add(value, &logits, &targets)?;
            at.step = step;
            at.batches += 1;
            progress.set_message(format!("loss {:.4}", at.running.loss()));
            progress.inc(batch.len() as u64);
            session.log.append(&Record::Step(StepRecord {
                fold: self.fold.index,
                stage: stage.name.clone(),
                epoch,
                step,
                loss: value,
                learning_rate,
            }))?;
            fold_state.progress.records += 1;
            fold_state.spend(self.number, watch.lap());
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
        validated: &Evaluation,
        steering: Option<&Evaluation>,
        at: &StageProgress,
    ) -> Result<EpochRecord, Error> {
        let StageProgress { epoch, learning_rate, ref running, seconds, .. } = *at;
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
            at.learning_rate = plateau.observe(monitored(record, config.monitor), at.learning_rate);
        }
        let (Some(stopping), Some(config)) = (&mut at.stopping, stage.early_stopping) else {
            return Ok(());
        };
        match stopping.observe(monitored(record, config.monitor)) {
            Decision::Improved if config.restore_best_weights => {
                stage_state.best = Some(snapshot(network)?);
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

    /// A batch as the stage trains on it.
    fn mixed(
        &self,
        epoch: usize,
        step: usize,
        images: &Tensor,
        labels: Vec<u32>,
    ) -> Result<(Tensor, Targets), Error> {
        let Some(alpha) = self.plan.stage.mixup else {
            return Ok((images.clone(), Targets::Labels(labels)));
        };
        let (fold, stage) = (self.fold.index, self.number);
        let seed = StepSeed { seed: self.experiment.seed, fold, stage, epoch, step };
        let mixing = Mixing::draw(alpha, seed, labels.len());
        Ok((mixing.mix(images)?, mixing.targets(labels)))
    }

    /// The training images in the order of this epoch.
    fn order(&self, epoch: usize) -> Vec<usize> {
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

    /// Evaluates the network on the fold's validation images.
    pub(crate) fn validate(&self, network: &Vgg16) -> Result<Evaluation, Error> {
        let inputs = self.experiment.inputs_at(self.plan.cut);
        self.evaluate(network, &inputs, self.plan.cut, &self.fold.validation)
    }

    /// Evaluates it on the images that steer the schedules, if there are any.
    pub(crate) fn steer(&self, network: &Vgg16) -> Result<Option<Evaluation>, Error> {
        if self.steering.is_empty() {
            return Ok(None);
        }
        let inputs = self.experiment.inputs_at(self.plan.cut);
        self.evaluate(network, &inputs, self.plan.cut, self.steering).map(Some)
    }

    /// Evaluates it on images, over several views of each.
    pub(crate) fn evaluate_views(
        &self,
        network: &Vgg16,
        views: TestTimeViews,
        images: &[usize],
    ) -> Result<Evaluation, Error> {
        let Experiment { prepared, normalization, recipe, .. } = self.experiment;
        let evaluated = views.views().into_iter().map(|view| {
            let inputs = Inputs::viewed(prepared, *normalization, view);
            self.evaluate(network, &inputs, Cut::IMAGES, images)
        });
        let evaluated = evaluated.collect::<Result<_, _>>()?;
        let labels = self.experiment.labels_of(images);
        Evaluation::averaged(recipe.loss, evaluated, &labels)
    }

    fn evaluate(
        &self,
        network: &Vgg16,
        inputs: &Inputs<'_>,
        cut: Cut,
        indices: &[usize],
    ) -> Result<Evaluation, Error> {
        let experiment = self.experiment;
        let progress =
            progress::bar(&format!("fold {} {} validation", self.fold.index, self.plan.stage.name));
        let held = Held {
            inputs,
            cut,
            indices,
            labels: &experiment.labels,
            batch_size: experiment.recipe.batch_size.get(),
        };
        let kind = experiment.recipe.loss;
        evaluate(network, held, kind, &progress, experiment.interrupt, self.fold.index)
    }
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
