//! The first steps of a run, taken to see what they do; nothing of them is kept.

use std::{collections::BTreeMap, ops::ControlFlow};

use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use model::{Cut, Mode, Vgg16};

use super::{
    Counts, Features, NewBlocks, Origin, PredictionSpread,
    check::Check,
    clipped_saturation, collapse_since, dead_units, drift, feature_drift,
    finding::{Level, Measurement, Outcome, find_the_rate, lower_the_rate},
    initial_loss,
    probe::evenly,
    steps::{gradient_norm, has_no_gradient, update_ratio},
};
use crate::{
    Error,
    loss::{LossKind, losses},
    metrics::Prediction,
    recipe::Stage,
    run::BlockStep,
    training::{Config, FirstStep, FirstSteps, Interrupt, Materials, StagePlan, Units},
};

/// Steps that are taken, at most: at Adam's default rate the question's run is dead after three.
const STEPS: usize = 4;

/// Steps in succession without a gradient, after which no more are taken: what would still move the
/// weights is the optimizer's momentum.
const STILL: usize = 2;

/// Held-out images that are looked at before and after them.
const WATCHED: usize = drift::ENOUGH_IMAGES;

/// Images that are to be learned by heart.
const BATCH: usize = 8;

/// Steps in which they are to be, at most.
const OVERFIT_STEPS: usize = 25;

/// Steps after which it is looked at whether they are, the last time after all.
const OVERFIT_LOOK: usize = 5;

/// The share of its first loss that a batch's may have left after those.
const STILL_THERE: f64 = 0.5;

/// A stage at its first steps, on the first fold that is asked for.
struct Trial<'a> {
    config: &'a Config,
    materials: &'a Materials,
    plan: &'a StagePlan<'a>,
    interrupt: &'a Interrupt,
}

/// Takes the first stage's first steps on the first fold that is asked for, and learns one batch by
/// heart, each from the run's initial weights.
///
/// # Errors
///
/// [`Error::InterruptedTrial`] after Ctrl-C, [`Error::Preprocess`] if photographs cannot be read,
/// [`Error::Model`] or [`Error::Tensor`] if the network fails.
pub(crate) fn first_steps(
    config: &Config,
    materials: &Materials,
    plan: &StagePlan<'_>,
    interrupt: &Interrupt,
) -> Result<Vec<Outcome>, Error> {
    let trial = Trial { config, materials, plan, interrupt };
    let mut outcomes = trial.steps()?;
    outcomes.push(trial.overfit()?);
    Ok(outcomes)
}

impl Trial<'_> {
    fn steps(&self) -> Result<Vec<Outcome>, Error> {
        let trains_backbone = self.plan.trainable.iter().any(|layer| layer.starts_with("conv"));
        tracing::info!(
            "taking the first steps of stage `{}`, {STEPS} at most; nothing of them is kept",
            self.plan.stage.name
        );
        let mut network = self.network()?;
        let steps = self.first_steps(self.plan, &network)?;
        let fold = &self.materials.folds[steps.fold().index];
        let watched: Vec<usize> =
            evenly(fold.validation.len(), WATCHED).map(|place| fold.validation[place]).collect();
        let watched = steps.batch(&network, &watched)?;

        let pool5 = network.architecture().cut_after("pool5")?;
        let head_cut = self.plan.cut.max(pool5);
        let before_head =
            |network: &Vgg16| network.forward(self.plan.cut, head_cut, &watched.images, Mode::Eval);
        let before = before_head(&network)?;
        let first_logits = network.logits(head_cut, &before, Mode::Eval)?;
        let first_loss = self.plain_loss(&first_logits, &watched.labels)?;
        let first_spread = spread(&first_logits, &watched.labels)?;

        let mut taken: Vec<FirstStep> = Vec::new();
        let progress = steps_bar("first steps", STEPS);
        steps.take(&mut network, self.rates(&steps, STEPS)?, |_, step| {
            show(&progress, &step);
            taken.push(step);
            if STILL <= still(&taken) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        progress.finish_and_clear();
        let left = taken.iter().position(|step| !step.loss.is_finite());
        let finite = taken.iter().rfind(|step| step.loss.is_finite());
        let last = finite.map(|step| (step.loss, step.accuracy));
        let new_blocks = NewBlocks::of(&self.materials.start.initial.new);
        let blocks: Vec<(Origin, BlockStep)> = taken
            .into_iter()
            .flat_map(|step| step.blocks)
            .map(|step| (new_blocks.origin(&step.block), step))
            .collect();
        let counts = Counts::of(&self.labels(&fold.train), self.num_classes());
        let mut outcomes = vec![
            match left {
                Some(steps) => not_a_number(Check::InitialLoss, steps, STEPS),
                None => initial_loss(first_loss, &counts, trains_backbone),
            },
            update_ratio(&median_by_block(blocks.clone())),
            gradient_norm(&blocks),
            match (self.config.recipe.loss, last) {
                (LossKind::CrossEntropy, _) => {
                    Outcome::skipped(Check::ClippedSaturation, "the loss is not clipped")
                }
                (LossKind::Keras22Clipped, None) => {
                    Outcome::skipped(Check::ClippedSaturation, "no step's loss is a number")
                }
                (LossKind::Keras22Clipped, Some((loss, accuracy))) => {
                    clipped_saturation(loss, accuracy)
                }
            },
        ];
        if left.is_some() {
            // What the network says is no number any more.
            let checks = [Check::DeadUnits, Check::Collapse, Check::FeatureDrift];
            let why = "the loss has left the numbers before";
            outcomes.extend(checks.map(|check| Outcome::skipped(check, why)));
            return Ok(outcomes);
        }
        let after = before_head(&network)?;
        for (layer, activations) in hidden(&network, head_cut, &after)? {
            let mut units = Units::default();
            units.add(&activations)?;
            outcomes.push(dead_units(&layer, units.dead_share()));
        }
        let logits = network.logits(head_cut, &after, Mode::Eval)?;
        outcomes.push(collapse_since(&first_spread, &spread(&logits, &watched.labels)?));
        outcomes.push(if trains_backbone {
            feature_drift(&features(&before)?, &features(&after)?)?
        } else {
            Outcome::skipped(Check::FeatureDrift, "the first stage freezes the base")
        });
        Ok(outcomes)
    }

    /// Learns one batch by heart: what cannot do that cannot learn at all.
    fn overfit(&self) -> Result<Outcome, Error> {
        // Mixed images are not the same at each step.
        let stage = Stage { mixup: None, ..self.plan.stage.clone() };
        let StagePlan { trainable, cut, .. } = self.plan;
        let plan = StagePlan { stage: &stage, trainable: trainable.clone(), cut: *cut };
        let mut network = self.network()?;
        let steps = self.first_steps(&plan, &network)?;
        let batch = steps.batch(&network, &steps.first_images(BATCH))?;
        let images = batch.labels.len();
        tracing::info!("learning {images} photographs by heart, {OVERFIT_STEPS} steps at most");
        let loss = |network: &Vgg16| -> Result<f64, Error> {
            self.plain_loss(&network.logits(*cut, &batch.images, Mode::Eval)?, &batch.labels)
        };
        let first = loss(&network)?;
        let mut taken: Vec<FirstStep> = Vec::new();
        let mut last = first;
        let rates = self.rates(&steps, OVERFIT_STEPS)?;
        let progress = steps_bar("one batch", OVERFIT_STEPS);
        steps.repeat(&mut network, &batch, rates, |network, step| {
            show(&progress, &step);
            let is_number = step.loss.is_finite();
            taken.push(step);
            let is_still = STILL <= still(&taken);
            if is_number && (is_still || taken.len().is_multiple_of(OVERFIT_LOOK)) {
                last = loss(network)?;
            }
            let is_known = last <= STILL_THERE * first;
            Ok(if is_still || is_known {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        progress.finish_and_clear();
        if let Some(steps) = taken.iter().position(|step| !step.loss.is_finite()) {
            return Ok(not_a_number(Check::OverfitBatch, steps, OVERFIT_STEPS));
        }
        let steps = taken.len();
        let what = format!(
            "loss of {images} training photographs after {steps} steps on them alone, over their \
             first"
        );
        Ok(Outcome::judge(
            Check::OverfitBatch,
            Measurement::at_most(what, last / first, STILL_THERE),
            || {
                (
                    Level::Error,
                    format!(
                        "{steps} steps on {images} photographs alone bring their loss from \
                         {first:.3} to {last:.3}: a network that can learn knows so few by heart. \
                         Its rate is far too high or too low, or no gradient reaches it."
                    ),
                    find_the_rate(),
                )
            },
        ))
    }

    fn network(&self) -> Result<Vgg16, Error> {
        self.materials.start.network(&self.materials.device)
    }

    fn first_steps<'b>(
        &'b self,
        plan: &'b StagePlan<'b>,
        network: &Vgg16,
    ) -> Result<FirstSteps<'b>, Error> {
        FirstSteps::new(self.config, self.materials, plan, 0, network, self.interrupt)
    }

    /// The rates of the stage's first steps.
    fn rates(
        &self,
        steps: &FirstSteps<'_>,
        count: usize,
    ) -> Result<impl Iterator<Item = f64> + use<>, Error> {
        let (base, rates) = (self.plan.stage.optimizer.learning_rate(), steps.rates()?);
        Ok((1..=count).map(move |step| base * rates.factor(step)))
    }

    fn labels(&self, images: &[usize]) -> Vec<u32> {
        images.iter().map(|&image| self.materials.labels[image]).collect()
    }

    fn num_classes(&self) -> usize {
        self.materials.prepared.identities().len()
    }

    fn plain_loss(&self, logits: &Tensor, labels: &[u32]) -> Result<f64, Error> {
        let labels = Tensor::new(labels, &Device::Cpu)?;
        let losses = losses(self.config.recipe.loss, &logits.to_device(&Device::Cpu)?, &labels)?;
        Ok(f64::from(losses.mean_all()?.to_scalar::<f32>()?))
    }
}

/// Activations of the hidden dense layers at a cut and behind it, `(images, units)`, from those at the cut.
fn hidden(network: &Vgg16, from: Cut, inputs: &Tensor) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut hidden = BTreeMap::new();
    for layer in ["fc6", "fc7"] {
        if network.layers().iter().all(|it| it.name != layer) {
            continue;
        }
        let cut = network.architecture().cut_after(layer)?;
        if from <= cut {
            hidden.insert(layer.to_owned(), network.forward(from, cut, inputs, Mode::Eval)?);
        }
    }
    Ok(hidden)
}

fn steps_bar(label: &str, steps: usize) -> ProgressBar {
    let progress = terminal::bar(label, terminal::Unit::Things("steps"));
    progress.set_length(steps as u64);
    progress
}

fn show(progress: &ProgressBar, step: &FirstStep) {
    progress.set_message(format!("loss {:.4}", step.loss));
    progress.inc(1);
}

/// How many of the last steps, in succession, had no gradient.
fn still(taken: &[FirstStep]) -> usize {
    let is_still = |step: &&FirstStep| step.blocks.iter().all(has_no_gradient);
    taken.iter().rev().take_while(is_still).count()
}

fn spread(logits: &Tensor, labels: &[u32]) -> Result<PredictionSpread, Error> {
    let probabilities = candle_nn::ops::softmax(logits, 1)?.mean(0)?.to_device(&Device::Cpu)?;
    let rows = logits.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
    let predicted: Vec<u32> = rows
        .iter()
        .zip(labels)
        .map(|(row, &label)| Prediction::new(row, label).predicted)
        .collect();
    Ok(PredictionSpread::of(&predicted, labels, &probabilities.to_vec1::<f32>()?))
}

/// Each block's step of median length, in the order in which blocks first come.
fn median_by_block(steps: Vec<(Origin, BlockStep)>) -> Vec<(Origin, BlockStep)> {
    let mut by_block: BTreeMap<String, Vec<(Origin, BlockStep)>> = BTreeMap::new();
    for step in steps {
        by_block.entry(step.1.block.clone()).or_default().push(step);
    }
    let median = |mut steps: Vec<(Origin, BlockStep)>| {
        steps.sort_by(|(_, a), (_, b)| a.update_ratio.total_cmp(&b.update_ratio));
        steps.swap_remove(steps.len() / 2)
    };
    by_block.into_values().map(median).collect()
}

/// Of at most so many steps, how many were taken before the loss was no number.
fn not_a_number(check: Check, taken: usize, steps: usize) -> Outcome {
    let what = "steps before the loss is no number";
    let measurement = Measurement::at_least(what, taken as f64, steps as f64);
    Outcome::judge(check, measurement, || {
        (
            Level::Error,
            format!(
                "The loss is no number any more at step {}: the rate is far too high.",
                taken + 1
            ),
            lower_the_rate(),
        )
    })
}

fn features(tensor: &Tensor) -> Result<Features, Error> {
    let flat = tensor.flatten_from(1)?.to_device(&Device::Cpu)?;
    Ok(Features::new(flat.flatten_all()?.to_vec1()?, flat.dim(0)?))
}
