//! One fold: its stages, one after the other, and what it leaves.

use model::{Vgg16, weights};

use super::{
    Experiment,
    evaluation::Evaluation,
    plan::StagePlan,
    session::Session,
    stage::{BEST_WEIGHTS, StageRun},
    state::{FoldProgress, FoldState},
    stopwatch::Stopwatch,
};
use crate::{
    Error,
    calibration::Temperature,
    device::device_name,
    folds::Fold,
    metrics::majority,
    run::{Calibration, FoldSummary, RunFolder, best_epoch, predictions_csv},
    whole_file::write_whole,
};

/// Trains a fold from wherever `state` stands and writes its predictions and weights.
///
/// # Errors
///
/// Those of [`StageRun::train`]; after Ctrl-C a checkpoint is there.
pub(crate) fn train_fold(
    experiment: &Experiment<'_>,
    plans: &[StagePlan<'_>],
    fold: &Fold,
    network: &mut Vgg16,
    state: &mut FoldState,
    session: &mut Session<'_>,
    folder: &RunFolder,
) -> Result<FoldSummary, Error> {
    let trained = train_stages(experiment, plans, fold, network, state, session, folder);
    if let Err(Error::Interrupted { .. }) = trained {
        session.checkpoints.write(network, state, &session.log)?;
        session.checkpoints.wait()?;
    }
    trained
}

fn train_stages(
    experiment: &Experiment<'_>,
    plans: &[StagePlan<'_>],
    fold: &Fold,
    network: &mut Vgg16,
    state: &mut FoldState,
    session: &mut Session<'_>,
    folder: &RunFolder,
) -> Result<FoldSummary, Error> {
    let train_images = fold.train.len();
    let whole = fold;
    let steered = experiment.steered(fold);
    let (fold, steering) = (&steered.fold, steered.steering.as_slice());
    if let (Some(share), []) = (experiment.recipe.inner_validation, steering) {
        tracing::warn!(
            "inner_validation = {} leaves no photograph of fold {} to steer by, for the share is too \
             small or nobody can spare one; its held-out photographs steer instead",
            share.get(),
            fold.index
        );
    }
    tracing::info!(
        "fold {}: {} images to train on{}, {} held out",
        fold.index,
        fold.train.len(),
        match steering.len() {
            0 => String::new(),
            images => format!(", {images} to steer by"),
        },
        fold.validation.len()
    );
    let objective = experiment.objective(fold);
    let run = |number: usize| StageRun {
        experiment,
        fold,
        steering,
        number,
        plan: &plans[number],
        objective: &objective,
    };
    let mut evaluation = None;
    while state.progress.stage < plans.len() {
        let number = state.progress.stage;
        evaluation = Some(run(number).train(network, state, session)?);
        session.views.stage_ended(fold.index, &plans[number].stage.name);
        state.progress.stage += 1;
        if experiment.recipe.fresh_model_per_fold {
            // Nobody needs its moments again, which are twice as large as the weights.
            state.stages[number] = None;
        }
    }
    let mut watch = Stopwatch::start();
    let last = run(plans.len() - 1);
    let evaluation = match (experiment.recipe.test_time_views, evaluation) {
        (Some(views), _) => last.evaluate_views(network, views, &fold.validation)?,
        (None, Some(evaluation)) => evaluation,
        // The checkpoint was that of the fold's end.
        (None, None) => last.validate(network)?,
    };
    let calibration = calibration(&last, network, &evaluation)?;

    let path = folder.fold_folder(fold.index)?;
    let manifest = experiment.prepared.manifest();
    let images: Vec<&str> =
        fold.validation.iter().map(|&image| manifest.images[image].path.as_str()).collect();
    let csv = predictions_csv(&images, &manifest.identities, &evaluation.predictions);
    write_whole(&path.join("predictions.csv"), csv.as_bytes())?;
    if let Some(last) = state.progress.epochs.last() {
        let predictions = &evaluation.predictions;
        session.views.predicted(last, experiment.prepared, &fold.validation, predictions);
    }
    let mut metadata = experiment.metadata();
    if let Some(Calibration { temperature, .. }) = calibration {
        metadata.notes.insert("temperature".to_owned(), temperature.get().to_string());
    }
    weights::write(&path.join("weights.safetensors"), &network.tensors()?, &metadata)?;

    state.progress.seconds += watch.lap();
    // Of the whole training part, that which steers included; its time is not the training's.
    let frozen = experiment.frozen_accuracy(whole)?;
    if experiment.best_weights.is_some() && !path.join(BEST_WEIGHTS).exists() {
        tracing::warn!(
            "fold {} has no {BEST_WEIGHTS}: its best epoch was over before they were to be kept",
            fold.index
        );
    }
    let FoldProgress { epochs, initial_sha256, seconds, .. } = &state.progress;
    let best = best_epoch(epochs).expect("a stage has at least one epoch");
    Ok(FoldSummary {
        fold: fold.index,
        train_images,
        validation_images: fold.validation.len(),
        epochs: epochs.len(),
        accuracy: evaluation.accuracy(),
        top5_accuracy: evaluation.top5(),
        macro_f1: evaluation.macro_f1(),
        loss: evaluation.loss,
        best_stage: best.stage.clone(),
        best_epoch: best.epoch,
        best_accuracy: best.validation_accuracy,
        inner_images: steering.len(),
        calibration,
        majority_accuracy: majority(&experiment.labels, std::slice::from_ref(fold))
            .expect("a fold holds out at least one image"),
        nearest_mean_accuracy: frozen.map(|alone| alone.nearest_mean),
        linear_probe_accuracy: frozen.and_then(|alone| alone.linear_probe),
        initial_sha256: initial_sha256.clone(),
        seconds: *seconds,
        device: device_name(network.device()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Fits a temperature on the images that steer, and says what it does for the validation images.
fn calibration(
    last: &StageRun<'_>,
    network: &Vgg16,
    evaluation: &Evaluation,
) -> Result<Option<Calibration>, Error> {
    let steering = match last.experiment.recipe.test_time_views {
        Some(_) if last.steering.is_empty() => None,
        Some(views) => Some(last.evaluate_views(network, views, last.steering)?),
        None => last.steer(network)?,
    };
    let Some(steering) = steering else { return Ok(None) };
    let fitted = steering.with_logits(Temperature::fit);
    let temperature = match fitted {
        Ok(temperature) => temperature,
        Err(error) => {
            tracing::info!(
                "fold {}: no temperature is fitted, and accuracy is none the worse: {error}",
                last.fold.index
            );
            return Ok(None);
        }
    };
    let quality = |of: Temperature| evaluation.with_logits(|logits| Ok(of.quality(logits)));
    Ok(quality(Temperature::ONE)
        .and_then(|before| Ok(Calibration { temperature, before, after: quality(temperature)? }))
        .ok())
}
