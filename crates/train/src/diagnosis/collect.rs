//! The diagnosis of a run before it starts, from the same settings that would start it.

use super::{Beginning, Check, Diagnosis, Outcome, cheap, probes};
use crate::{
    Error,
    training::{Config, Materials, plan},
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
    let Materials { prepared, folds, device, start, .. } = &Materials::open(config)?;
    let mut network = start.network(device)?;
    let trainable: Vec<_> = plan(&config.recipe_name, &config.recipe, &mut network)?
        .into_iter()
        .map(|stage| stage.trainable)
        .collect();
    let beginning = Beginning {
        prepared,
        normalization: start.normalization,
        folds,
        num_folds: config.num_folds,
        recipe: &config.recipe,
        architecture: &start.architecture,
        trainable: &trainable,
        tensors: &start.initial.tensors,
        new: &start.initial.new,
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
