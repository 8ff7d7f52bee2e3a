//! The diagnosis of a run before it starts, from the same settings that would start it.

use model::{Architecture, Classifier, Vgg16, WeightsFile};
use preprocess::{Normalization, Prepared};

use super::{Beginning, Check, Diagnosis, Outcome, cheap, probes};
use crate::{
    Error,
    folds::folds,
    training::{Config, WeightsChoice, file_normalization, initial_weights, plan},
};

/// How much a diagnosis may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Reading weights and some photographs: seconds.
    Cheap,
    /// Also the base on some hundred photographs: half a minute on two cores.
    Probes,
}

/// Says what would keep a run from learning, without training. Nothing is written.
///
/// # Errors
///
/// What would keep the run from starting: [`Error::Preprocess`], [`Error::Folds`],
/// [`Error::Weights`], [`Error::Model`], [`Error::Recipe`], [`Error::Device`].
pub fn diagnose(config: &Config, depth: Depth) -> Result<Diagnosis, Error> {
    let prepared = Prepared::open(&config.data)?;
    let labels = prepared.labels();
    let folds = folds(config.recipe.split, &labels, config.num_folds, config.seed)?;
    let file = match &config.weights {
        WeightsChoice::File(path) => Some(WeightsFile::read(path)?),
        WeightsChoice::Random => None,
    };
    let of_file = file.as_ref().map(WeightsFile::widths).transpose()?;
    let (head, num_classes) = (config.recipe.head, prepared.identities().len());
    let architecture = Architecture {
        widths: config.recipe.widths(&config.recipe_name, of_file)?,
        side_px: prepared.side_px(),
        classifier: Some(Classifier::new(head, num_classes)),
    };
    let initial = initial_weights(
        &architecture,
        &config.recipe,
        file.as_ref(),
        prepared.identities(),
        config.seed,
    )?;
    let normalization = file.as_ref().map_or(Ok(Normalization::VggfaceV1), file_normalization)?;
    let device = config.device.open()?;
    let mut network = Vgg16::new(architecture, initial.tensors.clone(), &device)?;
    let trainable: Vec<_> = plan(&config.recipe_name, &config.recipe, &mut network)?
        .into_iter()
        .map(|stage| stage.trainable)
        .collect();
    let beginning = Beginning {
        prepared: &prepared,
        normalization,
        folds: &folds,
        recipe: &config.recipe,
        architecture: &architecture,
        trainable: &trainable,
        tensors: &initial.tensors,
        new: &initial.new,
    };
    let mut outcomes = cheap(&beginning)?;
    match depth {
        Depth::Probes => outcomes.extend(probes(&beginning, &network)?),
        Depth::Cheap => {
            let probing = [Check::FeatureSpread, Check::Presentation, Check::FrozenBaseline];
            let why = "it needs the network to look at photographs";
            outcomes.extend(probing.map(|check| Outcome::skipped(check, why)));
        }
    }
    outcomes.push(Outcome::skipped(
        Check::NearDuplicates,
        "it needs the base's features of all photographs",
    ));
    Ok(Diagnosis::new(outcomes))
}
