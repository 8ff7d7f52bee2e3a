//! The first steps of a run, taken to see what they do; nothing of them is kept.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use model::{Cut, Mode, Vgg16};

use super::{
    Counts, Features, PredictionSpread,
    check::Check,
    clipped_saturation, collapse_since, dead_units, feature_drift,
    finding::{Level, Measurement, Outcome, Remedy, lower_the_rate},
    initial_loss,
    steps::{BlockOrigin, gradient_norm, has_no_gradient, update_ratio},
};
use crate::{
    Error,
    epoch_order::{EpochSeed, epoch_order},
    loss::{LossKind, Objective, Targets, losses},
    metrics::Prediction,
    optimizer::{LearningRates, Optimizer},
    run::BlockStep,
    schedule::Rates,
    training::{Config, Inputs, Interrupt, Materials, StagePlan, before_step},
};

/// Steps that are taken, at most: at Adam's default rate the question's run is dead after three.
const STEPS: usize = 6;

/// Steps in succession without a gradient, after which no more are taken: what would still move the
/// weights is the optimizer's momentum.
const STILL: usize = 2;

/// Held-out images that are looked at after them; drift needs a hundred.
const WATCHED: usize = 128;

/// Images that are to be learned by heart.
const BATCH: usize = 16;

/// Steps in which they are to be, at most.
const OVERFIT_STEPS: usize = 25;

/// Steps after which it is looked at whether they are, the last time after all.
const OVERFIT_LOOK: usize = 5;

/// The share of its first loss that a batch's may have left after those.
const STILL_THERE: f64 = 0.5;

/// A stage at its first steps, on one fold.
struct Trial<'a> {
    config: &'a Config,
    materials: &'a Materials,
    plan: &'a StagePlan<'a>,
    objective: Objective,
    /// Warm-up and schedule.
    rates: Rates,
    interrupt: &'a Interrupt,
}

/// Takes the first stage's first steps on the first fold that is asked for, and learns one batch by
/// heart, each from the run's initial weights.
///
/// # Errors
///
/// [`Error::Interrupted`] after Ctrl-C, [`Error::Preprocess`] if photographs cannot be read,
/// [`Error::Model`] or [`Error::Tensor`] if the network fails.
pub(crate) fn first_steps(
    config: &Config,
    materials: &Materials,
    plan: &StagePlan<'_>,
    interrupt: &Interrupt,
) -> Result<Vec<Outcome>, Error> {
    let fold = &materials.folds[config.selected.first().copied().unwrap_or(0)];
    let labels: Vec<u32> = fold.train.iter().map(|&image| materials.labels[image]).collect();
    let num_classes = materials.prepared.identities().len();
    let trial = Trial {
        config,
        materials,
        plan,
        objective: config.recipe.objective(&labels, num_classes),
        rates: plan.stage.rates(fold.train.len(), config.recipe.batch_size)?,
        interrupt,
    };
    let seed = EpochSeed { seed: config.seed, fold: fold.index, stage: 0, epoch: 1 };
    let order: Vec<usize> =
        epoch_order(seed, fold.train.len()).into_iter().map(|place| fold.train[place]).collect();
    let stride = fold.validation.len().div_ceil(WATCHED);
    let watched: Vec<usize> = fold.validation.iter().copied().step_by(stride).collect();
    let mut outcomes = trial.steps(&order, &watched, &Counts::of(&labels, num_classes))?;
    outcomes.push(trial.overfit(&order[..BATCH.min(order.len())])?);
    Ok(outcomes)
}

impl Trial<'_> {
    fn steps(
        &self,
        order: &[usize],
        watched: &[usize],
        counts: &Counts,
    ) -> Result<Vec<Outcome>, Error> {
        tracing::info!(
            "taking the first steps of stage `{}`, {STEPS} at most; nothing of them is kept",
            self.plan.stage.name
        );
        let network = self.network()?;
        let backbone = self.materials.start.backbone();
        let trains_backbone = self.plan.trainable.iter().any(|layer| layer.starts_with("conv"));
        let pool5 = network.architecture().cut_after("pool5")?;
        let watched_inputs = self.inputs(&network, watched)?;
        let at_pool5 =
            |network: &Vgg16| network.forward(self.plan.cut, pool5, &watched_inputs, Mode::Eval);
        // Where the base is frozen, the stage begins there or behind it.
        let before = trains_backbone.then(|| at_pool5(&network)).transpose()?;
        let first_logits = match &before {
            Some(features) => network.logits(pool5, features, Mode::Eval)?,
            None => network.logits(self.plan.cut, &watched_inputs, Mode::Eval)?,
        };
        let first_spread = self.spread(&first_logits, watched)?;
        let mut optimizer = Optimizer::new(self.plan.stage.optimizer);
        let (mut first_loss, mut last) = (None, (0.0, 0.0));
        let mut blocks: Vec<(BlockOrigin, BlockStep)> = Vec::new();
        let (mut still, mut left) = (0, None);
        let batch_size = self.config.recipe.batch_size.get();
        for (number, batch) in order.chunks(batch_size).take(STEPS).enumerate() {
            let images = self.inputs(&network, batch)?;
            let labels = self.labels(batch);
            if first_loss.is_none() {
                let logits = network.logits(self.plan.cut, &images, Mode::Eval)?;
                first_loss = Some(self.plain_loss(&logits, &labels)?);
            }
            let seen = self.step(&network, &mut optimizer, number, &images, &labels)?;
            let Some(seen) = seen else {
                left = Some(number + 1);
                break;
            };
            last = (seen.loss, seen.accuracy);
            still = seen.still_after(still);
            blocks.extend(seen.blocks.into_iter().map(|step| {
                let is_base = step.block.starts_with("conv");
                (if is_base { backbone } else { BlockOrigin::New }, step)
            }));
            if still == STILL {
                break;
            }
        }
        let mut outcomes = vec![
            match left {
                Some(step) => not_a_number(Check::InitialLoss, step, STEPS),
                None => initial_loss(first_loss.unwrap_or_default(), counts),
            },
            update_ratio(&median_by_block(blocks.clone())),
            gradient_norm(&blocks),
            match self.config.recipe.loss {
                LossKind::CrossEntropy => {
                    Outcome::skipped(Check::ClippedSaturation, "the loss is not clipped")
                }
                LossKind::Keras22Clipped => clipped_saturation(last.0, last.1),
            },
        ];
        if left.is_some() {
            // What the network says is no number any more.
            let checks = [Check::DeadUnits, Check::Collapse, Check::FeatureDrift];
            let why = "the loss has left the numbers before";
            outcomes.extend(checks.map(|check| Outcome::skipped(check, why)));
            return Ok(outcomes);
        }
        let hidden = self.hidden(&network, &watched_inputs)?;
        for (layer, activations) in hidden {
            let largest = activations.max(0)?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
            let dead = largest.iter().filter(|&&value| value <= 0.0).count();
            outcomes.push(dead_units(&layer, dead as f64 / largest.len() as f64));
        }
        let logits = network.logits(self.plan.cut, &watched_inputs, Mode::Eval)?;
        outcomes.push(collapse_since(&first_spread, &self.spread(&logits, watched)?));
        outcomes.push(match before {
            Some(before) => feature_drift(&features(&before)?, &features(&at_pool5(&network)?)?)?,
            None => Outcome::skipped(Check::FeatureDrift, "the first stage freezes the base"),
        });
        Ok(outcomes)
    }

    /// Learns one batch by heart: what cannot do that cannot learn at all.
    fn overfit(&self, batch: &[usize]) -> Result<Outcome, Error> {
        tracing::info!(
            "learning {} photographs by heart, {OVERFIT_STEPS} steps at most",
            batch.len()
        );
        let network = self.network()?;
        let images = self.inputs(&network, batch)?;
        let labels = self.labels(batch);
        let loss = |network: &Vgg16| -> Result<f64, Error> {
            self.plain_loss(&network.logits(self.plan.cut, &images, Mode::Eval)?, &labels)
        };
        let first = loss(&network)?;
        let mut optimizer = Optimizer::new(self.plan.stage.optimizer);
        let (mut steps, mut still, mut last) = (0, 0, first);
        while steps < OVERFIT_STEPS && still < STILL && STILL_THERE * first < last {
            let seen = self.step(&network, &mut optimizer, steps, &images, &labels)?;
            steps += 1;
            let Some(seen) = seen else {
                return Ok(not_a_number(Check::OverfitBatch, steps, OVERFIT_STEPS));
            };
            still = seen.still_after(still);
            if steps.is_multiple_of(OVERFIT_LOOK) || still == STILL {
                last = loss(&network)?;
            }
        }
        let what = format!(
            "loss of {} training photographs after {steps} steps on them alone, over their first",
            batch.len()
        );
        Ok(Outcome::judge(
            Check::OverfitBatch,
            Measurement::at_most(what, last / first, STILL_THERE),
            || {
                (
                    Level::Error,
                    format!(
                        "{steps} steps on {} photographs alone bring their loss from {first:.3} to \
                     {last:.3}: a network that can learn knows so few by heart. Its rate is far too \
                     high or too low, or no gradient reaches it.",
                        batch.len()
                    ),
                    Remedy::command("cargo xtask find-rate"),
                )
            },
        ))
    }

    fn network(&self) -> Result<Vgg16, Error> {
        let mut network = self.materials.start.network(&self.materials.device)?;
        network.set_trainable(&self.plan.trainable_in(1))?;
        Ok(network)
    }

    fn labels(&self, images: &[usize]) -> Vec<u32> {
        images.iter().map(|&image| self.materials.labels[image]).collect()
    }

    /// Images at the stage's cut: run through the frozen layers here, for a few are enough.
    fn inputs(&self, network: &Vgg16, images: &[usize]) -> Result<Tensor, Error> {
        if self.interrupt.is_raised() {
            return Err(Error::InterruptedDiagnosis);
        }
        let plain = Inputs::plain(&self.materials.prepared, self.materials.start.normalization);
        let mut parts = Vec::new();
        for batch in images.chunks(32) {
            let pixels = plain.read(batch, 0, network.device())?;
            parts.push(network.forward(Cut::IMAGES, self.plan.cut, &pixels, Mode::Eval)?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// One step; none where the loss is no number.
    fn step(
        &self,
        network: &Vgg16,
        optimizer: &mut Optimizer,
        number: usize,
        images: &Tensor,
        labels: &[u32],
    ) -> Result<Option<Seen>, Error> {
        if self.interrupt.is_raised() {
            return Err(Error::InterruptedDiagnosis);
        }
        let mode = Mode::Train { dropout_seed: number as u64 };
        let logits = network.logits(self.plan.cut, images, mode)?;
        let loss = self.objective.loss(&logits, &Targets::Labels(labels.to_vec()))?;
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            return Ok(None);
        }
        let gradients = network.gradients(&loss)?;
        let before = before_step(network)?;
        let factors = self.plan.stage.rate_factors(network.layers());
        let base = self.plan.stage.optimizer.learning_rate() * self.rates.factor(number + 1);
        optimizer.step(
            &network.variables(),
            &gradients,
            LearningRates { base, factors: &factors },
        )?;
        let rows = logits.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        let is_hit =
            |(row, &label): (&Vec<f32>, &u32)| Prediction::new(row, label).rank_of_truth == 1;
        let hits = rows.iter().zip(labels).filter(|&pair| is_hit(pair)).count();
        Ok(Some(Seen {
            loss: f64::from(value),
            accuracy: hits as f64 / labels.len() as f64,
            blocks: before.compare(network, &gradients)?,
        }))
    }

    fn plain_loss(&self, logits: &Tensor, labels: &[u32]) -> Result<f64, Error> {
        let labels = Tensor::new(labels, &Device::Cpu)?;
        let losses = losses(self.config.recipe.loss, &logits.to_device(&Device::Cpu)?, &labels)?;
        Ok(f64::from(losses.mean_all()?.to_scalar::<f32>()?))
    }

    /// Activations of the hidden dense layers behind the cut, `(images, units)`.
    fn hidden(&self, network: &Vgg16, inputs: &Tensor) -> Result<BTreeMap<String, Tensor>, Error> {
        let layers = ["fc6", "fc7"];
        let there =
            layers.iter().filter(|&&it| network.layers().iter().any(|layer| layer.name == it));
        there
            .map(|&layer| {
                let cut = network.architecture().cut_after(layer)?;
                let activations = network.forward(self.plan.cut, cut, inputs, Mode::Eval)?;
                Ok((layer.to_owned(), activations))
            })
            .collect()
    }

    fn spread(&self, logits: &Tensor, images: &[usize]) -> Result<PredictionSpread, Error> {
        let probabilities = candle_nn::ops::softmax(logits, 1)?.mean(0)?.to_device(&Device::Cpu)?;
        let labels = self.labels(images);
        let rows = logits.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        let predicted: Vec<u32> = rows
            .iter()
            .zip(&labels)
            .map(|(row, &label)| Prediction::new(row, label).predicted)
            .collect();
        Ok(PredictionSpread::of(&predicted, &labels, &probabilities.to_vec1::<f32>()?))
    }
}

/// What a step showed, before it was taken but for `blocks`.
struct Seen {
    loss: f64,
    accuracy: f64,
    blocks: Vec<BlockStep>,
}

impl Seen {
    /// Steps in succession without a gradient, this one among them, after `still` of them.
    fn still_after(&self, still: usize) -> usize {
        if self.blocks.iter().all(has_no_gradient) { still + 1 } else { 0 }
    }
}

/// Each block's step of median length, in the order in which blocks first come.
fn median_by_block(steps: Vec<(BlockOrigin, BlockStep)>) -> Vec<(BlockOrigin, BlockStep)> {
    let mut by_block: BTreeMap<String, Vec<(BlockOrigin, BlockStep)>> = BTreeMap::new();
    for step in steps {
        by_block.entry(step.1.block.clone()).or_default().push(step);
    }
    let median = |mut steps: Vec<(BlockOrigin, BlockStep)>| {
        steps.sort_by(|(_, a), (_, b)| a.update_ratio.total_cmp(&b.update_ratio));
        steps.swap_remove(steps.len() / 2)
    };
    by_block.into_values().map(median).collect()
}

/// Of at most so many steps, the one whose loss is no number.
fn not_a_number(check: Check, step: usize, steps: usize) -> Outcome {
    let what = "steps before the loss is no number";
    let measurement = Measurement::at_least(what, (step - 1) as f64, steps as f64);
    Outcome::judge(check, measurement, || {
        (
            Level::Error,
            format!("The loss is no number any more at step {step}: the rate is far too high."),
            lower_the_rate(),
        )
    })
}

fn features(tensor: &Tensor) -> Result<Features, Error> {
    let flat = tensor.flatten_from(1)?.to_device(&Device::Cpu)?;
    Ok(Features::new(flat.flatten_all()?.to_vec1()?, flat.dim(0)?))
}
