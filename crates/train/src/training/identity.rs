//! What makes a run the same as one that has begun.

use preprocess::Prepared;

use super::{Config, start::Start};
use crate::run::{FORMAT_VERSION, RunIdentity};

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
    }
}
