//! The network's health at the end of an epoch, as it is recorded.

use candle_core::{Device, Tensor};
use model::{Mode, Vgg16};

use super::{evaluation::Evaluation, stage::StageRun, state::FoldState};
use crate::{
    Error,
    diagnosis::{Features, PredictionSpread, linear_cka, mean_cosine},
    run::HealthRecord,
};

/// Images whose features show how far the backbone has drifted.
const WATCHED_IMAGES: usize = 128;

impl StageRun<'_> {
    /// What an epoch shows of the network's health.
    pub(crate) fn health(
        &self,
        validated: &Evaluation,
        network: &Vgg16,
        fold_state: &FoldState,
    ) -> Result<HealthRecord, Error> {
        let at = &fold_state.stage(self.number).progress;
        let drift = match &fold_state.reference {
            Some(before) if self.trains_backbone() => {
                let [before, after] = [before, &self.watched_features(network)?].map(features);
                Some((before?, after?))
            }
            _ => None,
        };
        let (feature_cosine, feature_cka) = match drift {
            Some((before, after)) => {
                // Features that no longer differ between images have kept nothing.
                let cka = linear_cka(&before, &after)?.unwrap_or(0.0);
                (Some(mean_cosine(&before, &after)), Some(cka))
            }
            None => (None, None),
        };
        let predicted: Vec<u32> = validated.predictions.iter().map(|it| it.predicted).collect();
        let labels: Vec<u32> = validated.predictions.iter().map(|it| it.label).collect();
        Ok(HealthRecord {
            fold: self.fold.index,
            stage: self.plan.stage.name.clone(),
            epoch: at.epoch,
            predictions: PredictionSpread::of(&predicted, &labels, &validated.mean_probabilities),
            saturated_share: validated.saturated_share,
            dead_units: validated.dead_units.clone(),
            blocks: at.blocks.clone(),
            feature_cosine,
            feature_cka,
        })
    }

    pub(crate) fn trains_backbone(&self) -> bool {
        self.plan.trainable.iter().any(|layer| layer.starts_with("conv"))
    }

    /// The backbone's features of some images of the whole set, the same in every fold.
    pub(crate) fn watched_features(&self, network: &Vgg16) -> Result<Tensor, Error> {
        let (inputs, cut) = self.experiment.inputs_at(self.plan.cut);
        let stride = inputs.len().div_ceil(WATCHED_IMAGES);
        let indices: Vec<usize> = (0..inputs.len()).step_by(stride).collect();
        let end = network.architecture().cut_after("pool5")?;
        let mut parts = Vec::new();
        for batch in indices.chunks(self.experiment.recipe.batch_size.get()) {
            let images = inputs.read(batch, 0, network.device())?;
            let features = network.forward(cut, end, &images, Mode::Eval)?;
            parts.push(features.flatten_from(1)?.to_device(&Device::Cpu)?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }
}

fn features(tensor: &Tensor) -> Result<Features, Error> {
    Ok(Features::new(tensor.flatten_all()?.to_vec1()?, tensor.dim(0)?))
}
