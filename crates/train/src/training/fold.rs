//! One fold: its stages, one after the other, and what it leaves.

use std::collections::BTreeMap;

use model::{Metadata, Vgg16, weights};

use super::{
    Experiment,
    plan::StagePlan,
    stage::{Session, StageRun},
    state::{FoldProgress, FoldState},
    stopwatch::Stopwatch,
};
use crate::{
    Error,
    device::device_name,
    folds::Fold,
    loss::Objective,
    metrics::majority,
    run::{EpochRecord, FoldSummary, RunFolder, predictions_csv},
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
    tracing::info!(
        "fold {}: {} images to train on, {} held out",
        fold.index,
        fold.train.len(),
        fold.validation.len()
    );
    let objective = objective(experiment, fold);
    let mut evaluation = None;
    while let Some(plan) = plans.get(state.progress.stage) {
        let number = state.progress.stage;
        let run = StageRun { experiment, fold, number, plan, objective: &objective };
        let trained = run.train(network, state, session);
        if let Err(Error::Interrupted { .. }) = trained {
            session.checkpoints.write(network, state, &session.log)?;
            session.checkpoints.wait()?;
        }
        evaluation = Some(trained?);
        state.progress.stage += 1;
        if experiment.recipe.fresh_model_per_fold {
            // Nobody needs its moments again, which are twice as large as the weights.
            state.stages[number] = None;
        }
    }
    let mut watch = Stopwatch::start();
    let number = plans.len() - 1;
    let last = StageRun { experiment, fold, number, plan: &plans[number], objective: &objective };
    let evaluation = match (experiment.recipe.test_time_views, evaluation) {
        (Some(views), _) => last.validate_views(network, views)?,
        (None, Some(evaluation)) => evaluation,
        // The checkpoint was that of the fold's end.
        (None, None) => last.validate(network)?,
    };

    let path = folder.fold_folder(fold.index)?;
    let manifest = experiment.prepared.manifest();
    let images: Vec<&str> =
        fold.validation.iter().map(|&image| manifest.images[image].path.as_str()).collect();
    let csv = predictions_csv(&images, &manifest.identities, &evaluation.predictions);
    write_whole(&path.join("predictions.csv"), csv.as_bytes())?;
    let metadata = Metadata {
        format_version: weights::FORMAT_VERSION,
        normalization: experiment.normalization.to_string(),
        source: experiment.weights.path.clone(),
        source_sha256: experiment.weights.sha256.clone(),
        identities: Some(manifest.identities.clone()),
        notes: BTreeMap::new(),
    };
    weights::write(&path.join("weights.safetensors"), &network.tensors()?, &metadata)?;

    state.progress.seconds += watch.lap();
    let FoldProgress { epochs, initial_sha256, seconds, .. } = &state.progress;
    let best = best_epoch(epochs);
    Ok(FoldSummary {
        fold: fold.index,
        train_images: fold.train.len(),
        validation_images: fold.validation.len(),
        epochs: epochs.len(),
        accuracy: evaluation.accuracy(),
        top5_accuracy: evaluation.top5(),
        macro_f1: evaluation.macro_f1(),
        loss: evaluation.loss,
        best_stage: best.stage.clone(),
        best_epoch: best.epoch,
        best_accuracy: best.validation_accuracy,
        majority_accuracy: majority(&experiment.labels, std::slice::from_ref(fold))
            .expect("a fold holds out at least one image"),
        initial_sha256: initial_sha256.clone(),
        seconds: *seconds,
        device: device_name(network.device()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// What a fold minimizes.
fn objective(experiment: &Experiment<'_>, fold: &Fold) -> Objective {
    let recipe = experiment.recipe;
    let num_classes = experiment.prepared.identities().len();
    Objective {
        kind: recipe.loss,
        label_smoothing: recipe.label_smoothing,
        class_weights: recipe
            .class_weights
            .weights(&experiment.labels_of(&fold.train), num_classes),
    }
}

/// The epoch with the highest validation accuracy, the first of equals.
fn best_epoch(epochs: &[EpochRecord]) -> &EpochRecord {
    epochs
        .iter()
        .reduce(
            |best, next| {
                if best.validation_accuracy < next.validation_accuracy { next } else { best }
            },
        )
        .expect("a stage has at least one epoch")
}
