//! What a run is made from, opened and checked before its first step.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use candle_core::Device;
use model::{Cut, Vgg16, weights::hexadecimal};
use preprocess::Prepared;
use sha2::{Digest, Sha256};

use super::{
    Config, Interrupt,
    groups::{BaseFeatures, same_photographs, with_near_copies},
    plan::StagePlan,
    start::Start,
    steering::{Steered, steered},
};
use crate::{
    Error,
    features::{FeatureCache, FeatureFile},
    folds::{Fold, Split, SplitKind},
    recipe::Recipe,
};

/// The data, the folds, the device and the weights of a run.
pub(crate) struct Materials {
    pub(crate) prepared: Prepared,
    /// Of all images.
    pub(crate) labels: Vec<u32>,
    /// Of all images: those of one group are of one photograph, as `prepare` found them.
    pub(crate) same_photographs: Vec<u32>,
    /// Of all images: those of one group are near duplicates, which a grouped split does not part.
    pub(crate) groups: Vec<u32>,
    /// All of the split.
    pub(crate) folds: Vec<Fold>,
    /// Whether a fold's held-out images steer its training: where none are held back for it, in one
    /// of the selected folds at least.
    pub(crate) is_steered_by_fold: bool,
    pub(crate) device: Device,
    pub(crate) start: Start,
}

impl Materials {
    /// Opens and checks everything that can be before the network is there. A grouped split needs
    /// features of all images first.
    ///
    /// # Errors
    ///
    /// [`Error::FoldOutOfRange`], [`Error::Preprocess`], [`Error::Folds`], [`Error::Device`],
    /// [`Error::Data`], [`Error::Weights`], [`Error::Recipe`] or [`Error::Model`]; of a grouped split
    /// also those of computing features.
    pub(crate) fn open(config: &Config, base_features: BaseFeatures<'_>) -> Result<Self, Error> {
        let prepared = Prepared::open(&config.data)?;
        let labels = prepared.labels();
        let same_photographs = same_photographs(&prepared);
        let split = Split {
            kind: config.recipe.split,
            num_folds: config.num_folds,
            repeats: config.repeats,
            seed: config.seed,
        };
        let mut folds = split.folds(&labels, &same_photographs)?;
        check_selection(&config.selected, folds.len())?;
        let device = config.device.open()?;
        let start = Start::new(config, &prepared)?;
        let mut groups = same_photographs.clone();
        if split.kind == SplitKind::Grouped {
            if prepared.manifest().counts.near_duplicates.is_none() {
                tracing::warn!(
                    "near duplicates are not known of this set, but only copies to the byte; \
                     prepare it anew with `cargo xtask prepare`"
                );
            }
            groups = with_near_copies(config, &prepared, &start, &device, &groups, base_features)?;
            folds = split.folds(&labels, &groups)?;
        }
        let mut is_steered_by_fold = false;
        for fold in folds.iter().filter(|fold| config.is_selected(fold)) {
            let Steered { fold, steering } =
                steered(&config.recipe, config.seed, &labels, &groups, fold);
            is_steered_by_fold |= steering.is_empty();
            config
                .recipe
                .check_rates(fold.train.len())
                .map_err(|problem| Error::Recipe { name: config.recipe_name.clone(), problem })?;
        }
        if let Some(warning) = split.warning(&labels) {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            prepared,
            labels,
            same_photographs,
            groups,
            folds,
            is_steered_by_fold,
            device,
            start,
        })
    }

    /// SHA-256 of the groups of near duplicates, if there are any and the recipe goes by them. The
    /// data's SHA-256 does not cover them, and the same data have others when they are prepared by
    /// a version that looks for them otherwise.
    pub(crate) fn groups_sha256(&self, recipe: &Recipe) -> Option<String> {
        let goes_by_them = recipe.split == SplitKind::Grouped || recipe.inner_validation.is_some();
        let has_any = (0..).zip(&self.groups).any(|(image, group)| image != *group);
        (goes_by_them && has_any).then(|| {
            let bytes: Vec<u8> = self.groups.iter().flat_map(|group| group.to_le_bytes()).collect();
            hexadecimal(&Sha256::digest(&bytes))
        })
    }
}

fn check_selection(selected: &[usize], folds: usize) -> Result<(), Error> {
    match selected.iter().find(|&&fold| folds <= fold) {
        Some(&fold) => Err(Error::FoldOutOfRange { fold, folds, last: folds.saturating_sub(1) }),
        None => Ok(()),
    }
}

/// The features that the stages start from, computed once for all folds and epochs.
///
/// # Errors
///
/// [`Error::Output`] if they would lie in the prepared set, and those of [`FeatureCache::features`].
pub(crate) fn features(
    config: &Config,
    prepared: &Prepared,
    start: &Start,
    plans: &[StagePlan<'_>],
    network: &Vgg16,
    interrupt: &Interrupt,
) -> Result<BTreeMap<Cut, FeatureFile>, Error> {
    let cache = feature_cache(config, prepared, start)?;
    let mut cuts: Vec<Cut> = plans.iter().map(|plan| plan.cut).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.retain(|&cut| cut != Cut::IMAGES);
    cache.features(network, &cuts, interrupt)
}

/// The features of all images at `pool5`, if they are kept from an earlier run.
///
/// # Errors
///
/// Those of [`FeatureCache::kept`].
pub(crate) fn kept_pool5(
    config: &Config,
    prepared: &Prepared,
    start: &Start,
    network: &Vgg16,
) -> Result<Option<FeatureFile>, Error> {
    kept(config, prepared, start, network, network.architecture().cut_after("pool5")?)
}

/// The features of all images at a cut, if there are any and an earlier run has kept them.
///
/// # Errors
///
/// Those of [`FeatureCache::kept`].
pub(super) fn kept(
    config: &Config,
    prepared: &Prepared,
    start: &Start,
    network: &Vgg16,
    cut: Cut,
) -> Result<Option<FeatureFile>, Error> {
    if cut == Cut::IMAGES {
        return Ok(None);
    }
    let folder = features_folder(&config.data, config.features.as_deref());
    cache(config, &folder, prepared, start).kept(network, cut)
}

/// Where features of these images are kept and put.
///
/// # Errors
///
/// [`Error::Output`] if they would lie in the prepared set.
pub(super) fn feature_cache<'a>(
    config: &Config,
    prepared: &'a Prepared,
    start: &Start,
) -> Result<FeatureCache<'a>, Error> {
    let folder = features_folder(&config.data, config.features.as_deref());
    if preprocess::lies_in(&folder, &config.data) {
        return Err(Error::Output {
            path: folder,
            problem: "lies in the prepared set, which holds nothing but itself; choose another \
                      --features-dir"
                .to_owned(),
        });
    }
    Ok(cache(config, &folder, prepared, start))
}

fn cache<'a>(
    config: &Config,
    folder: &Path,
    prepared: &'a Prepared,
    start: &Start,
) -> FeatureCache<'a> {
    let dtype = config.recipe.features_dtype;
    FeatureCache::new(folder, prepared, start.normalization, &start.weights.sha256, dtype)
}

/// Where features are kept: beside the prepared set, which holds nothing but itself.
fn features_folder(data: &Path, chosen: Option<&Path>) -> PathBuf {
    let beside = || {
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push("-features");
        data.with_file_name(name)
    };
    chosen.map_or_else(beside, Path::to_owned)
}
