//! The first steps of a stage, from the run's initial weights, at rates of the caller's choice.
//! Nothing of them is kept, nor of the network.

use std::ops::ControlFlow;

use candle_core::Tensor;
use model::{Cut, Mode, Vgg16};

use super::{
    Config, Experiment, Interrupt, Materials, materials::kept, plan::StagePlan, stage::StageRun,
    state::StageState, steering::Steered,
};
use crate::{
    Error, folds::Fold, loss::Objective, optimizer::LearningRates, run::BlockStep, schedule::Rates,
};

/// A stage that is about to take them.
pub(crate) struct FirstSteps<'a> {
    plan: &'a StagePlan<'a>,
    number: usize,
    experiment: Experiment<'a>,
    /// Its training images are those that train.
    fold: Fold,
    steering: Vec<usize>,
    objective: Objective,
}

/// What a step showed.
pub(crate) struct FirstStep {
    /// Mean over its images, before it. If it is no number the step was not taken.
    pub(crate) loss: f64,
    /// The share of its images that were recognized, before it.
    pub(crate) accuracy: f64,
    /// What it did to each block that learns.
    pub(crate) blocks: Vec<BlockStep>,
}

impl<'a> FirstSteps<'a> {
    /// A stage, from 0, on the first fold that is asked for.
    ///
    /// Features that an earlier run has kept are used; without them images go through the frozen
    /// layers, for a few are enough.
    pub(crate) fn new(
        config: &'a Config,
        materials: &'a Materials,
        plan: &'a StagePlan<'a>,
        number: usize,
        network: &Vgg16,
        interrupt: &'a Interrupt,
    ) -> Result<Self, Error> {
        let kept = kept(config, &materials.prepared, &materials.start, network, plan.cut)?;
        let features = kept.map(|file| (plan.cut, file)).into_iter().collect();
        let experiment = Experiment::new(config, materials, features, interrupt);
        let fold = &materials.folds[config.selected.first().copied().unwrap_or(0)];
        let Steered { fold, steering } = experiment.steered(fold);
        let objective = experiment.objective(&fold);
        Ok(Self { plan, number, experiment, fold, steering, objective })
    }

    /// The fold on which they are taken; its training images are those that train.
    pub(crate) fn fold(&self) -> &Fold {
        &self.fold
    }

    /// What the base rate is multiplied by at each step.
    pub(crate) fn rates(&self) -> Result<Rates, Error> {
        self.stage().rates()
    }

    /// Takes one step at each base rate, as training would, until `seen` has seen enough of them. It
    /// is told each step's rate; a step whose loss is no number is the last.
    ///
    /// # Errors
    ///
    /// [`Error::InterruptedTrial`] after Ctrl-C, and whatever reading or arithmetic reports.
    pub(crate) fn take(
        &self,
        network: &mut Vgg16,
        rates: impl IntoIterator<Item = f64>,
        mut seen: impl FnMut(f64, FirstStep) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let run = self.stage();
        let (inputs, cut) = run.training_inputs();
        let mut state = StageState::new(self.plan.stage);
        let mut rates = rates.into_iter();
        loop {
            let epoch = state.progress.epoch;
            network.set_trainable(&self.plan.trainable_in(epoch))?;
            for indices in run.order(epoch).chunks(run.images_per_step()) {
                let Some(base) = rates.next() else { return Ok(()) };
                let images = inputs.read(indices, epoch, network.device())?;
                let labels = self.experiment.labels_of(indices);
                let step = self.step(network, cut, &mut state, base, &images, &labels)?;
                let is_last = !step.loss.is_finite();
                if seen(base, step).is_break() || is_last {
                    return Ok(());
                }
            }
            state.progress.next_epoch();
        }
    }

    /// The same with these images, the training images at these places of the first epoch, at each
    /// step; `seen` is shown the network as the step has left it.
    ///
    /// # Errors
    ///
    /// Those of [`take`](Self::take), and those of `seen`.
    pub(crate) fn repeat(
        &self,
        network: &mut Vgg16,
        batch: &Batch,
        rates: impl IntoIterator<Item = f64>,
        mut seen: impl FnMut(&Vgg16, FirstStep) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        network.set_trainable(&self.plan.trainable_in(1))?;
        let mut state = StageState::new(self.plan.stage);
        for base in rates {
            let Batch { images, labels } = batch;
            let step = self.step(network, self.plan.cut, &mut state, base, images, labels)?;
            let is_last = !step.loss.is_finite();
            if seen(network, step)?.is_break() || is_last {
                break;
            }
        }
        Ok(())
    }

    /// The images of the first epoch's first steps, so many of them.
    pub(crate) fn first_images(&self, count: usize) -> Vec<usize> {
        self.stage().order(1).into_iter().take(count).collect()
    }

    /// Images at the stage's cut, as they are.
    ///
    /// # Errors
    ///
    /// [`Error::InterruptedTrial`] after Ctrl-C, and whatever reading or arithmetic reports.
    pub(crate) fn batch(&self, network: &Vgg16, images: &[usize]) -> Result<Batch, Error> {
        let (inputs, cut) = self.experiment.inputs_at(self.plan.cut);
        let mut parts = Vec::new();
        for part in images.chunks(self.experiment.recipe.batch_size.get()) {
            self.refuse_interrupted()?;
            let read = inputs.read(part, 0, network.device())?;
            parts.push(network.forward(cut, self.plan.cut, &read, Mode::Eval)?);
        }
        Ok(Batch { images: Tensor::cat(&parts, 0)?, labels: self.experiment.labels_of(images) })
    }

    fn step(
        &self,
        network: &Vgg16,
        cut: Cut,
        state: &mut StageState,
        base: f64,
        images: &Tensor,
        labels: &[u32],
    ) -> Result<FirstStep, Error> {
        self.refuse_interrupted()?;
        let factors = self.plan.stage.rate_factors(network.layers());
        let rates = LearningRates { base, factors: &factors };
        let before = state.progress.running.hits;
        match self.stage().watched_step(network, cut, state, rates, images, labels) {
            Ok((loss, blocks)) => Ok(FirstStep {
                loss: f64::from(loss),
                accuracy: (state.progress.running.hits - before) / labels.len() as f64,
                blocks,
            }),
            Err(Error::NonFiniteLoss { loss, .. }) => {
                Ok(FirstStep { loss: f64::from(loss), accuracy: 0.0, blocks: Vec::new() })
            }
            Err(error) => Err(error),
        }
    }

    fn refuse_interrupted(&self) -> Result<(), Error> {
        if self.experiment.interrupt.is_raised() {
            return Err(Error::InterruptedTrial);
        }
        Ok(())
    }

    fn stage(&self) -> StageRun<'_> {
        StageRun {
            experiment: &self.experiment,
            fold: &self.fold,
            steering: &self.steering,
            number: self.number,
            plan: self.plan,
            objective: &self.objective,
        }
    }
}

/// Images at a stage's cut, `(images, ..)`, and who they show.
pub(crate) struct Batch {
    pub(crate) images: Tensor,
    pub(crate) labels: Vec<u32>,
}
