//! The first steps of a stage at rates of the caller's choice, from the run's initial weights.

use std::ops::ControlFlow;

use model::Vgg16;

use super::{
    Config, Experiment, Interrupt, Materials, materials::kept, plan::StagePlan, stage::StageRun,
    state::StageState, steering::Steered,
};
use crate::{Error, optimizer::LearningRates};

/// A stage that is about to take them.
pub(crate) struct FirstSteps<'a> {
    pub(crate) config: &'a Config,
    pub(crate) materials: &'a Materials,
    pub(crate) plan: &'a StagePlan<'a>,
    /// The stage's, from 0.
    pub(crate) number: usize,
    pub(crate) interrupt: &'a Interrupt,
}

impl FirstSteps<'_> {
    /// The fold on which they are taken: the first that is asked for.
    pub(crate) fn fold(&self) -> usize {
        self.config.selected.first().copied().unwrap_or(0)
    }

    /// Takes one step at each rate, as training would, until `seen` has seen enough of them. It is
    /// told each step's rate and the loss before the step; a loss that is no number is the last.
    ///
    /// Features that an earlier run has kept are used; without them images go through the frozen
    /// layers, for a few are enough. Nothing is kept of the steps, nor of the network.
    ///
    /// # Errors
    ///
    /// [`Error::InterruptedRangeTest`] after Ctrl-C, and whatever reading or arithmetic reports.
    pub(crate) fn take(
        &self,
        mut network: Vgg16,
        rates: impl IntoIterator<Item = f64>,
        mut seen: impl FnMut(f64, f64) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let Self { config, materials, plan, number, interrupt } = *self;
        let kept = kept(config, materials, &network, plan.cut)?;
        let features = kept.map(|file| (plan.cut, file)).into_iter().collect();
        let experiment = Experiment::new(config, materials, features, interrupt);
        let Steered { fold, steering } = experiment.steered(&materials.folds[self.fold()]);
        let objective = experiment.objective(&fold);
        let run = StageRun {
            experiment: &experiment,
            fold: &fold,
            steering: &steering,
            number,
            plan,
            objective: &objective,
        };
        let (inputs, cut) = run.training_inputs();
        let mut state = StageState::new(plan.stage);
        let mut rates = rates.into_iter();
        loop {
            let epoch = state.progress.epoch;
            network.set_trainable(&plan.trainable_in(epoch))?;
            let factors = run.plan.stage.rate_factors(network.layers());
            for indices in run.order(epoch).chunks(run.images_per_step()) {
                let Some(base) = rates.next() else { return Ok(()) };
                if interrupt.is_raised() {
                    return Err(Error::InterruptedRangeTest);
                }
                let images = inputs.read(indices, epoch, network.device())?;
                let labels = experiment.labels_of(indices);
                let learning_rates = LearningRates { base, factors: &factors };
                let step = run.step(&network, cut, &mut state, learning_rates, &images, &labels);
                let loss = match step {
                    Err(Error::NonFiniteLoss { loss, .. }) => loss,
                    other => other?,
                };
                if seen(base, f64::from(loss)).is_break() || !loss.is_finite() {
                    return Ok(());
                }
            }
            state.progress.next_epoch();
        }
    }
}
