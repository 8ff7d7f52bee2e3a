//! What training changes between two steps, beside the network's weights.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    early_stopping::EarlyStoppingState,
    loss::Targets,
    optimizer::Optimizer,
    recipe::Stage,
    run::{BlockStep, EpochRecord},
    schedule::PlateauState,
    weight_averaging::WeightAverage,
};

/// A fold at work.
#[derive(Debug)]
pub(crate) struct FoldState {
    pub(crate) progress: FoldProgress,
    /// By the number of the stage; `None` where nothing is to be kept of it.
    pub(crate) stages: Vec<Option<StageState>>,
    /// Features of some images before the backbone was trained, `(images, ..)`; none until it is.
    pub(crate) reference: Option<Tensor>,
}

/// How far a fold has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FoldProgress {
    /// From 0.
    pub(crate) fold: usize,
    /// The stage at work, from 0; the number of stages once all are done.
    pub(crate) stage: usize,
    /// Records of this fold in `metrics.jsonl`.
    pub(crate) records: usize,
    /// Wall time spent on it.
    pub(crate) seconds: f64,
    /// Of the weights that it started from.
    pub(crate) initial_sha256: String,
    /// Of all epochs that are done.
    pub(crate) epochs: Vec<EpochRecord>,
}

/// A stage at work, or what it leaves to the next fold where one model goes through all.
#[derive(Debug)]
pub(crate) struct StageState {
    pub(crate) progress: StageProgress,
    pub(crate) optimizer: Optimizer,
    /// The average of the weights that the stage went through, where it is to end with that.
    pub(crate) average: Option<WeightAverage>,
    /// The best epoch's weights, where they are to be restored.
    pub(crate) best: Option<BTreeMap<String, Tensor>>,
}

/// How far a stage has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageProgress {
    /// The epoch at work, from 1.
    pub(crate) epoch: usize,
    /// Steps of that epoch that are done.
    pub(crate) steps: usize,
    /// Steps done in the stage.
    pub(crate) step: usize,
    /// Wall time spent on that epoch.
    pub(crate) seconds: f64,
    /// The base rate, as reduce-on-plateau has left it.
    pub(crate) learning_rate: f64,
    /// Over the batches of that epoch that are done.
    pub(crate) running: Running,
    /// What that epoch's first step did.
    pub(crate) blocks: Vec<BlockStep>,
    pub(crate) plateau: Option<PlateauState>,
    pub(crate) stopping: Option<EarlyStoppingState>,
    /// Whether early stopping has ended the stage.
    pub(crate) has_stopped: bool,
}

/// Running means over an epoch's training images, as Keras reports them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Running {
    pub(crate) images: usize,
    pub(crate) hits: f64,
    pub(crate) loss: f64,
}

impl FoldState {
    /// A fold before its first step.
    pub(crate) fn new(fold: usize, initial_sha256: String, num_stages: usize) -> Self {
        let progress = FoldProgress {
            fold,
            stage: 0,
            records: 0,
            seconds: 0.0,
            initial_sha256,
            epochs: Vec::new(),
        };
        Self { progress, stages: (0..num_stages).map(|_| None).collect(), reference: None }
    }

    /// The fold after this one where one model goes through all: its optimizers and their rates
    /// go on.
    pub(crate) fn next(self, fold: usize, initial_sha256: String, stages: &[Stage]) -> Self {
        let mut next = Self::new(fold, initial_sha256, self.stages.len());
        next.reference = self.reference;
        for ((next, last), stage) in next.stages.iter_mut().zip(self.stages).zip(stages) {
            *next = last.map(|last| StageState {
                progress: StageProgress::new(stage, last.progress.learning_rate),
                average: stage.weight_averaging.map(WeightAverage::new),
                ..last
            });
        }
        next
    }

    /// A stage that has begun.
    pub(crate) fn stage(&self, number: usize) -> &StageState {
        self.stages[number].as_ref().expect("the stage at work has begun")
    }

    /// A stage that has begun.
    pub(crate) fn stage_mut(&mut self, number: usize) -> &mut StageState {
        self.stages[number].as_mut().expect("the stage at work has begun")
    }

    /// Takes note of time spent on the stage at work.
    pub(crate) fn spend(&mut self, stage: usize, seconds: f64) {
        self.progress.seconds += seconds;
        self.stage_mut(stage).progress.seconds += seconds;
    }
}

impl StageState {
    /// A stage before its first step.
    pub(crate) fn new(stage: &Stage) -> Self {
        Self {
            progress: StageProgress::new(stage, stage.optimizer.learning_rate()),
            optimizer: Optimizer::new(stage.optimizer),
            average: stage.weight_averaging.map(WeightAverage::new),
            best: None,
        }
    }
}

impl StageProgress {
    fn new(stage: &Stage, learning_rate: f64) -> Self {
        Self {
            epoch: 1,
            steps: 0,
            step: 0,
            seconds: 0.0,
            learning_rate,
            running: Running::default(),
            blocks: Vec::new(),
            plateau: stage.reduce_on_plateau.map(PlateauState::new),
            stopping: stage.early_stopping.map(EarlyStoppingState::new),
            has_stopped: false,
        }
    }

    /// Begins the next epoch.
    pub(crate) fn next_epoch(&mut self) {
        self.epoch += 1;
        self.steps = 0;
        self.seconds = 0.0;
        self.running = Running::default();
        self.blocks = Vec::new();
    }

    /// Whether no epoch is left.
    pub(crate) fn is_done(&self, stage: &Stage) -> bool {
        self.has_stopped || stage.epochs.get() < self.epoch
    }
}

impl Running {
    /// Adds a batch.
    pub(crate) fn add(
        &mut self,
        loss: f32,
        logits: &Tensor,
        targets: &Targets,
    ) -> Result<(), Error> {
        let predicted = logits.detach().argmax(D::Minus1)?.to_device(&Device::Cpu)?;
        let images = targets.len();
        self.images += images;
        self.hits += targets.hits(&predicted.to_vec1::<u32>()?);
        self.loss += f64::from(loss) * images as f64;
        Ok(())
    }

    /// Mean over the images.
    pub(crate) fn loss(&self) -> f64 {
        self.loss / self.images as f64
    }

    /// Share of the images.
    pub(crate) fn accuracy(&self) -> f64 {
        self.hits / self.images as f64
    }
}
