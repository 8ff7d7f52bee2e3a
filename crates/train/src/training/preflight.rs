//! What can stop a run before its features are computed: its stages, and the run that its folder is of.

use model::Vgg16;
use preprocess::Prepared;

use super::{Config, Materials, groups::BaseFeatures, plan::plan, start::Start};
use crate::{
    Error,
    report::FacesShown,
    run::{FORMAT_VERSION, Places, RunFolder, RunIdentity},
};

/// A run's identity, of which the near duplicates are not known yet.
pub(super) fn identity_but_groups(
    config: &Config,
    prepared: &Prepared,
    start: &Start,
) -> RunIdentity {
    RunIdentity {
        format_version: FORMAT_VERSION,
        recipe: config.recipe.to_toml(),
        data_sha256: prepared.sha256().to_owned(),
        groups_sha256: None,
        weights_sha256: start.weights.sha256.clone(),
        split: config.recipe.split,
        num_folds: config.num_folds,
        repeats: config.repeats,
        seed: config.seed,
        places: Some(Places {
            data: config.data.display().to_string(),
            weights: start.weights.path.clone(),
            no_faces: config.faces == FacesShown::LeftOut,
        }),
    }
}

/// Refuses a run whose stages do not fit the network, or whose folder is another's.
///
/// # Errors
///
/// [`Error::Recipe`], [`Error::OtherRun`] or [`Error::Output`].
pub(super) fn refuse_stages_or_folder(
    config: &Config,
    prepared: &Prepared,
    start: &Start,
    network: &mut Vgg16,
) -> Result<(), Error> {
    plan(&config.recipe_name, &config.recipe, network)?;
    RunFolder::check(&config.out, &identity_but_groups(config, prepared, start))
}

/// Checks a run without beginning it: all that can stop it before its first step, but for what its
/// features may bring. Nothing is written.
///
/// # Errors
///
/// Those of [`Materials::open`] and [`refuse_stages_or_folder`].
pub(crate) fn check(config: &Config) -> Result<(), Error> {
    let Materials { prepared, start, device, .. } = Materials::open(config, BaseFeatures::Kept)?;
    refuse_stages_or_folder(config, &prepared, &start, &mut start.network(&device)?)
}
