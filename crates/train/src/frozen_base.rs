//! What the frozen base can do alone, without any training of the network: every fine-tune must beat it.

mod cholesky;
mod linear_probe;
mod nearest_mean;

use std::cell::OnceCell;

use self::{linear_probe::LinearProbe, nearest_mean::nearest_mean_accuracy};
use crate::{Error, features::FeatureFile, folds::Fold, training::Interrupt};

/// The base's features of all images, and what all folds share of them.
pub(crate) struct FrozenBase {
    file: FeatureFile,
    probe: OnceCell<Option<LinearProbe>>,
}

/// Shares of a fold's validation images that are named rightly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FrozenAccuracy {
    /// By the person whose mean features are nearest.
    pub(crate) nearest_mean: f64,
    /// By a linear classifier; none of too many images, or where features are all the same.
    pub(crate) linear_probe: Option<f64>,
}

impl FrozenBase {
    /// Features at `pool5`.
    pub(crate) fn new(file: FeatureFile) -> Self {
        Self { file, probe: OnceCell::new() }
    }

    /// Whether there are few enough images for a linear classifier.
    pub(crate) fn has_linear_probe(&self) -> bool {
        self.file.len() <= linear_probe::MOST_IMAGES
    }

    /// What it can do in a fold.
    ///
    /// # Shapes
    ///
    /// - `labels`: of all images, below `num_classes`
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] after Ctrl-C, [`Error::Read`] if the file fails, [`Error::Tensor`] if there
    /// is no room.
    pub(crate) fn accuracy(
        &self,
        labels: &[u32],
        num_classes: usize,
        fold: &Fold,
        interrupt: &Interrupt,
    ) -> Result<FrozenAccuracy, Error> {
        let goes_on = || {
            if interrupt.is_raised() {
                return Err(Error::Interrupted { fold: fold.index });
            }
            Ok(())
        };
        goes_on()?;
        let nearest_mean = nearest_mean_accuracy(&self.file, labels, num_classes, fold)?;
        goes_on()?;
        let probe = if let Some(probe) = self.probe.get() {
            probe
        } else {
            let probe = LinearProbe::of(&self.file, goes_on)?;
            self.probe.get_or_init(|| probe)
        };
        let linear_probe = match probe {
            Some(probe) => probe.accuracy(labels, num_classes, fold)?,
            None => None,
        };
        Ok(FrozenAccuracy { nearest_mean, linear_probe })
    }
}
