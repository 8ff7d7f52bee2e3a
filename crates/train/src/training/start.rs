//! What every fold of a run starts from, and where it came from.

use candle_core::Device;
use model::{Architecture, Vgg16, WeightsFile};
use preprocess::{Normalization, Prepared};

use super::{
    Config, WeightsChoice,
    initial_weights::{InitialWeights, initial_weights},
};
use crate::{Error, run::WeightsSummary};

/// What every fold starts from.
pub(crate) struct Start {
    pub(crate) architecture: Architecture,
    pub(crate) initial: InitialWeights,
    pub(crate) normalization: Normalization,
    pub(crate) weights: WeightsSummary,
}

impl Start {
    pub(crate) fn new(config: &Config, prepared: &Prepared) -> Result<Self, Error> {
        let num_classes = prepared.identities().len();
        if num_classes < 2 {
            return Err(Error::Data {
                path: config.data.clone(),
                problem: format!("has {num_classes} people, expected at least 2"),
            });
        }
        let file = match &config.weights {
            WeightsChoice::File(path) => Some(WeightsFile::read(path)?),
            WeightsChoice::Random => None,
        };
        let of_file = file.as_ref().map(WeightsFile::widths).transpose()?;
        let architecture = Architecture {
            widths: config.recipe.widths(&config.recipe_name, of_file)?,
            side_px: prepared.side_px(),
            classifier: Some(config.recipe.classifier(num_classes)),
        };
        let initial = initial_weights(
            &architecture,
            &config.recipe,
            file.as_ref(),
            prepared.identities(),
            config.seed,
        )?;
        let normalization = match &file {
            Some(file) => file_normalization(file)?,
            None => Normalization::VggfaceV1,
        };
        let random = "random".to_owned();
        let weights = WeightsSummary {
            path: file.as_ref().map_or(random.clone(), |f| f.path().display().to_string()),
            sha256: file.as_ref().map_or(random, |file| file.sha256().to_owned()),
            normalization: normalization.to_string(),
        };
        Ok(Self { architecture, initial, normalization, weights })
    }

    /// Says what was taken from where: weights that were silently not loaded are a classic.
    pub(crate) fn report(&self) {
        let count = |new: bool| -> usize {
            let is_counted = |name: &&String| self.initial.new.contains(name) == new;
            let tensors = &self.initial.tensors;
            tensors.keys().filter(is_counted).map(|name| tensors[name].elem_count()).sum()
        };
        tracing::info!(
            "weights: {} parameters from {}, {} new ({})",
            count(false),
            self.weights.path,
            count(true),
            match layers(&self.initial.new).as_str() {
                "" => "none",
                names => names,
            }
        );
        if !self.initial.unused.is_empty() {
            tracing::info!(
                "in the weights file, but not used: {}; head = \"vggface\" takes fc6 and fc7 from it",
                layers(&self.initial.unused)
            );
        }
    }

    /// Whether the backbone, or a part of it, is not from a file.
    pub(crate) fn has_random_base(&self) -> bool {
        self.initial.new.iter().any(|name| name.starts_with("conv"))
    }

    /// A model with the initial weights.
    pub(crate) fn network(&self, device: &Device) -> Result<Vgg16, Error> {
        Ok(Vgg16::new(self.architecture, self.initial.tensors.clone(), device)?)
    }
}

/// The layers of these parameters, each once.
fn layers(parameters: &[String]) -> String {
    let mut layers: Vec<&str> =
        parameters.iter().filter_map(|name| name.split('.').next()).collect();
    layers.dedup();
    layers.join(", ")
}

/// The normalization that a weights file asks for.
pub(crate) fn file_normalization(file: &WeightsFile) -> Result<Normalization, Error> {
    let name = &file.metadata().normalization;
    name.parse().map_err(|_| Error::Weights {
        path: file.path().to_owned(),
        problem: format!(
            "asks for the normalization `{name}`, expected vggface-v1, vggface-v2, imagenet or \
             none; convert the published file again"
        ),
    })
}
