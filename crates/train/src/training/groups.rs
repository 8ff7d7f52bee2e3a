//! Which images are one photograph, and so must not be parted by a grouped split.

use std::collections::BTreeMap;

use candle_core::Device;
use preprocess::Prepared;

use super::{
    Config, Interrupt,
    materials::{feature_cache, kept_pool5},
    preflight::refuse_stages_or_folder,
    start::Start,
};
use crate::{
    Error,
    diagnosis::{Features, joined, near_copies},
    features::FeatureFile,
};

/// Numbers of features that are compared in memory, of which it takes up to three times 4 bytes each.
const MOST_FEATURES: usize = 1 << 28;

/// Where the base's features come from by which near copies are found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BaseFeatures<'a> {
    /// From an earlier run, if one has kept them.
    Kept,
    /// From the network, if none has, until Ctrl-C.
    Computed(&'a Interrupt),
}

/// Of each image the first that is of the same photograph: as `prepare` found them, or in a set of
/// before it looked, those whose file is the same to the byte.
pub(super) fn same_photographs(prepared: &Prepared) -> Vec<u32> {
    match prepared.manifest().counts.near_duplicates {
        Some(_) => near_duplicates(prepared),
        None => same_files(prepared),
    }
}

/// The same with those that are near copies to a pretrained base.
///
/// # Errors
///
/// Before features are computed those of [`refuse_stages_or_folder`]; [`Error::InterruptedFeatures`]
/// after Ctrl-C, and what reading photographs, the network or the disk report.
pub(super) fn with_near_copies(
    config: &Config,
    prepared: &Prepared,
    start: &Start,
    device: &Device,
    groups: &[u32],
    base_features: BaseFeatures<'_>,
) -> Result<Vec<u32>, Error> {
    let as_they_are = |why: &str| {
        tracing::warn!("folds go by the near duplicates that `prepare` found alone: {why}");
        Ok(groups.to_vec())
    };
    if start.has_random_base() {
        return as_they_are("a random base cannot tell others");
    }
    let mut network = start.network(device)?;
    let cut = network.architecture().cut_after("pool5")?;
    let shape = network.architecture().shape_at(cut)?;
    if !fits_in_memory(prepared.len(), &shape) {
        return as_they_are("the base's features, which tell others, do not fit in memory");
    }
    let file = match base_features {
        BaseFeatures::Kept => kept_pool5(config, prepared, start, &network)?,
        BaseFeatures::Computed(interrupt) => {
            // What would stop the run afterwards had better do so before the work.
            refuse_stages_or_folder(config, prepared, start, &mut network)?;
            prepared.verify()?;
            let cache = feature_cache(config, prepared, start)?;
            cache.features(&network, &[cut], interrupt)?.remove(&cut)
        }
    };
    let Some(file) = file else {
        return as_they_are("no run has kept the base's features, which tell others");
    };
    let Some(features) = all_features(&file)? else {
        return as_they_are("the base's features, which tell others, do not fit in memory");
    };
    let Some(copies) = near_copies(&features, &prepared.labels(), groups)? else {
        return as_they_are("the base sees nearly the same in most photographs");
    };
    let joined = joined(groups, &copies.pairs);
    let count = |groups: &[u32]| (0..).zip(groups).filter(|(image, group)| image != *group).count();
    tracing::info!(
        "folds part no near duplicates: {} images by what `prepare` found, {} more by what the base \
         sees (cosine {:.2} and more)",
        count(groups),
        count(&joined) - count(groups),
        copies.cosine
    );
    Ok(joined)
}

/// Features of all images, unless they are too many to be compared.
///
/// # Errors
///
/// [`Error::Read`] if the file cannot be read.
pub(crate) fn all_features(file: &FeatureFile) -> Result<Option<Features>, Error> {
    if !fits_in_memory(file.len(), file.shape()) {
        return Ok(None);
    }
    let all: Vec<usize> = (0..file.len()).collect();
    Ok(Some(Features::new(file.read(&all)?, file.len())))
}

/// Whether features of so many images, of this shape each, can be compared.
fn fits_in_memory(images: usize, shape: &[usize]) -> bool {
    images * shape.iter().product::<usize>() <= MOST_FEATURES
}

/// The groups of the manifest, which has copies to the byte among them.
fn near_duplicates(prepared: &Prepared) -> Vec<u32> {
    let images = prepared.manifest().images.iter().enumerate();
    images
        .map(|(index, image)| {
            u32::try_from(image.duplicate_of.unwrap_or(index)).expect("fewer than 2^32 images")
        })
        .collect()
}

fn same_files(prepared: &Prepared) -> Vec<u32> {
    let mut first: BTreeMap<&str, u32> = BTreeMap::new();
    let images = prepared.manifest().images.iter();
    (0_u32..)
        .zip(images)
        .map(|(index, image)| *first.entry(&image.sha256).or_insert(index))
        .collect()
}
