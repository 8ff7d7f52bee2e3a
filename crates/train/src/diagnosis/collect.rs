//! The diagnosis of a run before it starts, from the same settings that would start it.

use std::collections::BTreeSet;

use super::{
    Beginning, Check, Diagnosis, Outcome, cheap, first_steps::first_steps, near_duplicates, probes,
};
use model::Vgg16;

use crate::{
    Error,
    training::{
        BaseFeatures, Config, Interrupt, Materials, StagePlan, all_features, kept_pool5, plan,
    },
};

/// How much a diagnosis may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Reading weights and some photographs: seconds.
    Cheap,
    /// Also the base on some hundred photographs, and the first steps: for LFW's 311 people one minute
    /// on two cores without AVX-512 where the first stage freezes the base, one and a half to two where it
    /// opens all of it.
    Steps,
}

/// Says what would keep a run from learning, without training it. Nothing is written.
///
/// # Errors
///
/// What would keep the run from starting: [`Error::Preprocess`], [`Error::Folds`],
/// [`Error::Weights`], [`Error::Model`], [`Error::Recipe`], [`Error::Device`]; and
/// [`Error::InterruptedTrial`] after Ctrl-C.
pub fn diagnose(config: &Config, depth: Depth, interrupt: &Interrupt) -> Result<Diagnosis, Error> {
    let materials = Materials::open(config, BaseFeatures::Kept)?;
    let mut network = materials.start.network(&materials.device)?;
    let plans = plan(&config.recipe_name, &config.recipe, &mut network)?;
    let num_trained = materials.folds.iter().filter(|fold| config.is_selected(fold)).count();
    let mut outcomes = before(config, &materials, &plans, num_trained)?;
    match depth {
        Depth::Steps => {
            let trainable: Vec<_> = plans.iter().map(|plan| plan.trainable.clone()).collect();
            let beginning = beginning(config, &materials, &trainable, num_trained);
            outcomes.extend(probes(&beginning, &materials.device, interrupt)?);
            outcomes.push(near(config, &materials, &network)?);
            drop(network);
            outcomes.extend(first_steps(config, &materials, &plans[0], interrupt)?);
        }
        Depth::Cheap => {}
    }
    Ok(Diagnosis::new(outcomes))
}

/// Near copies among the base's features of all photographs, where an earlier run has kept them.
fn near(config: &Config, materials: &Materials, network: &Vgg16) -> Result<Outcome, Error> {
    let skipped = |why: &str| Ok(Outcome::skipped(Check::NearDuplicates, why));
    let Materials { prepared, start, labels, same_photographs, folds, .. } = materials;
    let Some(file) = kept_pool5(config, prepared, start, network)? else {
        return skipped("it needs the base's features of all photographs, which a run keeps");
    };
    let Some(features) = all_features(&file)? else {
        return skipped("the base's features of all photographs are too many to hold in memory");
    };
    near_duplicates(&features, labels, same_photographs, folds)
}

/// The checks that cost next to nothing, of a run whose materials are open and that trains so many
/// folds, those among them that it has trained before.
///
/// # Errors
///
/// Those of [`cheap`].
pub(crate) fn before(
    config: &Config,
    materials: &Materials,
    plans: &[StagePlan<'_>],
    num_trained: usize,
) -> Result<Vec<Outcome>, Error> {
    let trainable: Vec<_> = plans.iter().map(|plan| plan.trainable.clone()).collect();
    cheap(&beginning(config, materials, &trainable, num_trained))
}

fn beginning<'a>(
    config: &'a Config,
    materials: &'a Materials,
    trainable: &'a [BTreeSet<String>],
    num_trained: usize,
) -> Beginning<'a> {
    Beginning {
        prepared: &materials.prepared,
        groups: &materials.groups,
        normalization: materials.start.normalization,
        folds: &materials.folds,
        num_trained,
        is_steered_by_fold: materials.is_steered_by_fold,
        num_folds: config.num_folds,
        recipe: &config.recipe,
        architecture: &materials.start.architecture,
        trainable,
        tensors: &materials.start.initial.tensors,
        new: &materials.start.initial.new,
    }
}
