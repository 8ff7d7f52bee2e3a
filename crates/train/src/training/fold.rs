//! One fold: its stages, one after the other, and what it leaves.

use std::{collections::BTreeMap, time::Instant};

use model::{Metadata, Vgg16, weights};

use super::{
    Experiment,
    plan::StagePlan,
    stage::{Momentum, StageRun},
};
use crate::{
    Error,
    device::device_name,
    features::network_sha256,
    folds::Fold,
    metrics::majority,
    run::{EpochRecord, FoldSummary, RecordLog, RunFolder, predictions_csv},
    whole_file::write_whole,
};

/// Trains a fold and writes its predictions and weights.
///
/// `momenta` holds an optimizer for each stage; `None` starts a new one.
pub(crate) fn train_fold(
    experiment: &Experiment<'_>,
    plans: &[StagePlan<'_>],
    fold: &Fold,
    network: &mut Vgg16,
    momenta: &mut [Option<Momentum>],
    log: &mut RecordLog,
    folder: &RunFolder,
) -> Result<FoldSummary, Error> {
    let start = Instant::now();
    tracing::info!(
        "fold {}: {} images to train on, {} held out",
        fold.index,
        fold.train.len(),
        fold.validation.len()
    );
    let initial_sha256 = network_sha256(network)?;
    let mut epochs = Vec::new();
    let mut evaluation = None;
    for (number, (plan, momentum)) in plans.iter().zip(momenta).enumerate() {
        let run = StageRun { experiment, fold, number, plan };
        let result = run.train(network, momentum.take(), log)?;
        *momentum = Some(result.momentum);
        epochs.extend(result.epochs);
        evaluation = Some(result.evaluation);
    }
    let evaluation = evaluation.expect("a recipe has at least one stage");

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

    let best = best_epoch(&epochs);
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
        initial_sha256,
        seconds: start.elapsed().as_secs_f64(),
        device: device_name(network.device()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
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
