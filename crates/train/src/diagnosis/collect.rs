//! The diagnosis of a run before it starts, from the same settings that would start it.

use std::collections::BTreeSet;

use super::{Beginning, Check, Diagnosis, Outcome, cheap, first_steps::first_steps, probes};
use crate::{
    Error,
    training::{Config, Interrupt, Materials, StagePlan, plan},
};

/// How much a diagnosis may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Reading weights and some photographs: seconds.
    Cheap,
    /// Also the base on some hundred photographs, and the first steps: within two minutes on two
    /// cores.
    Steps,
}

/// Says what would keep a run from learning, without training it. Nothing is written.
///
/// # Errors
///
/// What would keep the run from starting: [`Error::Preprocess`], [`Error::Folds`],
/// [`Error::Weights`], [`Error::Model`], [`Error::Recipe`], [`Error::Device`]; and
/// [`Error::InterruptedDiagnosis`] after Ctrl-C.
pub fn diagnose(config: &Config, depth: Depth, interrupt: &Interrupt) -> Result<Diagnosis, Error> {
    let materials = Materials::open(config)?;
    let mut network = materials.start.network(&materials.device)?;
    let plans = plan(&config.recipe_name, &config.recipe, &mut network)?;
    let mut outcomes = before(config, &materials, &plans)?;
    match depth {
        Depth::Steps => {
            let trainable: Vec<_> = plans.iter().map(|plan| plan.trainable.clone()).collect();
            let beginning = beginning(config, &materials, &trainable);
            outcomes.extend(probes(&beginning, &network)?);
            if interrupt.is_raised() {
                return Err(Error::InterruptedDiagnosis);
            }
            drop(network);
            outcomes.extend(first_steps(config, &materials, &plans[0], interrupt)?);
        }
        Depth::Cheap => {
            let probing = [Check::FeatureSpread, Check::Presentation, Check::FrozenBaseline];
            let why = "it needs the network to look at photographs";
            outcomes.extend(probing.map(|check| Outcome::skipped(check, why)));
        }
    }
    Ok(Diagnosis::new(outcomes))
}

/// The checks that cost next to nothing, of a run whose materials are open.
///
/// # Errors
///
/// Those of [`cheap`].
pub(crate) fn before(
    config: &Config,
    materials: &Materials,
    plans: &[StagePlan<'_>],
) -> Result<Vec<Outcome>, Error> {
    let trainable: Vec<_> = plans.iter().map(|plan| plan.trainable.clone()).collect();
    cheap(&beginning(config, materials, &trainable))
}

fn beginning<'a>(
    config: &'a Config,
    materials: &'a Materials,
    trainable: &'a [BTreeSet<String>],
) -> Beginning<'a> {
    Beginning {
        prepared: &materials.prepared,
        groups: &materials.groups,
        normalization: materials.start.normalization,
        folds: &materials.folds,
        num_folds: config.num_folds,
        recipe: &config.recipe,
        architecture: &materials.start.architecture,
        trainable,
        tensors: &materials.start.initial.tensors,
        new: &materials.start.initial.new,
    }
}
