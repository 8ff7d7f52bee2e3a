//! What the frozen base can do alone, of folds that were trained when its features were not kept.

use super::Interrupt;
use crate::{Error, folds::Fold, frozen_base::FrozenBase, run::RunFolder};

/// Finds it out for folds of a run that are done without it.
///
/// # Errors
///
/// Those of [`FrozenBase::accuracy`], and [`Error::Write`] if the disk fails.
pub(super) fn complete_baselines(
    folder: &mut RunFolder,
    base: &FrozenBase,
    labels: &[u32],
    num_classes: usize,
    folds: &[Fold],
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let lacking: Vec<_> = folder
        .done()
        .values()
        .filter(|fold| {
            fold.nearest_mean_accuracy.is_none()
                || fold.linear_probe_accuracy.is_none() && base.has_linear_probe()
        })
        .cloned()
        .collect();
    for mut fold in lacking {
        tracing::info!("fold {}: what the frozen base can do alone", fold.fold);
        let alone = base.accuracy(labels, num_classes, &folds[fold.fold], interrupt)?;
        fold.nearest_mean_accuracy = Some(alone.nearest_mean);
        fold.linear_probe_accuracy = alone.linear_probe;
        folder.finish_fold(fold)?;
    }
    Ok(())
}
