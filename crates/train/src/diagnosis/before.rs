//! All checks that need no training, on what a run starts from.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use model::{Architecture, LayerKind};
use preprocess::{Normalization, Prepared, View, read_batch};

use super::{
    Central, Check, Counts, Features, LayerWeights, Origin, Outcome, PixelStatistics, Presentation,
    Probe, ProbeImages, Recognition, Rival, StageRate, base_rate, channel_order, clipped_loss,
    constant_images, coverage, duplicates, feature_spread, framing, from_file, frozen_baseline,
    gray_images, head_size, imbalance, initializer_like, loose_frames, mean_subtraction,
    model_per_fold, monitors, presentation, probe::evenly, probe_images, random_base, recognize,
    small_identities, validation_reuse, value_range,
};
use crate::{Error, folds::Fold, numpy_random::NumpyRandom, recipe::Recipe, training::Interrupt};

/// How often labels are shuffled to see what features come to by chance.
const SHUFFLES: usize = 20;

/// Photographs whose pixels are looked at.
const PIXEL_IMAGES: usize = 128;

/// What a run starts from.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// The prepared set.
    pub prepared: &'a Prepared,
    /// Of all images: those of one group are near duplicates.
    pub groups: &'a [u32],
    /// Which means are taken away.
    pub normalization: Normalization,
    /// The folds of the split, all of them, repeated or not.
    pub folds: &'a [Fold],
    /// How many folds the run trains, those among them that it has trained before.
    pub num_trained: usize,
    /// Whether a fold's held-out images steer its training.
    pub is_steered_by_fold: bool,
    /// How many of them hold each image out once.
    pub num_folds: usize,
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The network's layers.
    pub architecture: &'a Architecture,
    /// The layers that each stage of the recipe trains.
    pub trainable: &'a [BTreeSet<String>],
    /// The first parameters, by name.
    pub tensors: &'a BTreeMap<String, Tensor>,
    /// Names of those parameters that are from no file.
    pub new: &'a [String],
}

/// Runs the checks that cost no more than reading some photographs: always worth it.
///
/// # Errors
///
/// [`Error::Preprocess`] if photographs cannot be read, [`Error::Tensor`] if weights cannot.
pub fn cheap(beginning: &Beginning<'_>) -> Result<Vec<Outcome>, Error> {
    let Beginning { prepared, groups, folds, num_folds, recipe, .. } = *beginning;
    let labels = prepared.labels();
    let counts = Counts::of(&labels, prepared.identities().len());
    let layers = layer_weights(beginning)?;
    let stages: Vec<StageRate<'_>> = recipe
        .stages
        .iter()
        .zip(beginning.trainable)
        .map(|(stage, trainable)| StageRate {
            name: &stage.name,
            trainable,
            unfreezes: stage.unfreeze.is_some(),
            optimizer: &stage.optimizer,
            factors: stage.rate_factors(&beginning.architecture.layers()),
        })
        .collect();
    let trained: BTreeSet<&str> =
        beginning.trainable.iter().flatten().map(String::as_str).collect();
    let is_trained = |layer: &&LayerWeights| trained.contains(layer.name.as_str());
    let trained_base = layers.iter().filter(|layer| layer.is_base()).filter(is_trained).count();
    let new_parameters =
        layers.iter().filter(|l| l.origin == Origin::New).filter(is_trained).map(|l| l.parameters);
    let train_images = folds.iter().map(|fold| fold.train.len()).min().unwrap_or(0);
    let pixels = pixel_statistics(beginning)?;
    Ok(vec![
        base_rate(&stages, &layers),
        model_per_fold(recipe, beginning.num_trained),
        coverage(&labels, groups, folds, recipe.split),
        value_range(&pixels),
        mean_subtraction(&pixels),
        constant_images(&pixels),
        channel_order(&pixels),
        gray_images(&pixels),
        from_file(&layers),
        random_base(&layers, trained_base, train_images),
        initializer_like(&layers),
        clipped_loss(recipe),
        duplicates(&labels, groups, folds),
        validation_reuse(recipe, beginning.is_steered_by_fold),
        monitors(recipe),
        small_identities(&counts, num_folds),
        imbalance(&counts),
        head_size(new_parameters.sum(), train_images, regularized(beginning)),
    ])
}

/// Runs some hundred photographs through the frozen base, and some of them or all in two or three
/// other presentations, and two central parts of them.
///
/// # Errors
///
/// [`Error::Preprocess`] if photographs cannot be read, [`Error::Model`] or [`Error::Tensor`] if the
/// network fails, [`Error::InterruptedTrial`] after Ctrl-C.
pub fn probes(
    beginning: &Beginning<'_>,
    device: &Device,
    interrupt: &Interrupt,
) -> Result<Vec<Outcome>, Error> {
    let Beginning { prepared, normalization, architecture, tensors, .. } = *beginning;
    let images = probe_images(&prepared.labels());
    let is_random = beginning.new.iter().any(|parameter| parameter.starts_with("conv"));
    if is_random || images.indices.is_empty() {
        let why = if is_random {
            "the base is random and knows nothing yet"
        } else {
            "nobody has two photographs"
        };
        let checks =
            [Check::FeatureSpread, Check::FrozenBaseline, Check::Presentation, Check::LooseFrames];
        return Ok(checks.map(|check| Outcome::skipped(check, why)).into());
    }
    let largest = pixel_statistics(beginning)?.largest;
    let [in_use, reversed, scaled, both] = Presentation::candidates(largest);
    let probe = Probe::new(prepared, normalization, architecture, tensors, device, interrupt)?;
    let ProbeImages { indices, labels, .. } = &images;
    tracing::info!(
        "showing {} photographs to the frozen base, at {} pixels",
        indices.len(),
        probe.side_px()
    );
    let used = probe.features(indices, View::Plain, in_use)?;
    let recognized = recognize(&used, labels)?;
    let mut outcomes = vec![feature_spread(&used)?, baseline(&used, labels, &recognized)?];
    tracing::info!("showing them to it in other ways");
    let (first, rest) = images.looks();
    let first_labels = &labels[..first.len()];
    let first_recognized = recognize(&used.first(first.len()), first_labels)?;
    // Another way to show them, held against the one in use: on some, and on all if it is worth it.
    let beside = |view, shown, is_worth_a_look: &dyn Fn(&Recognition, &Recognition) -> bool| {
        let other = probe.features(first, view, shown)?;
        let other_recognized = recognize(&other, first_labels)?;
        if is_worth_a_look(&first_recognized, &other_recognized) && !rest.is_empty() {
            let other = other.followed_by(probe.features(rest, view, shown)?);
            return Ok((recognized.clone(), recognize(&other, labels)?));
        }
        Ok::<_, Error>((first_recognized.clone(), other_recognized))
    };
    let rival = |shown| -> Result<Rival, Error> {
        let rival = |in_use: &Recognition, recognition: &Recognition| Rival {
            shown,
            in_use: in_use.clone(),
            recognition: recognition.clone(),
        };
        let (used, other) =
            beside(View::Plain, shown, &|used, other| rival(used, other).is_worth_a_look())?;
        Ok(rival(&used, &other))
    };
    let mut rivals = vec![rival(reversed)?, rival(scaled)?];
    // Where another scale is no better, it is not so with other channels either.
    if rivals[1].is_worth_a_look() {
        rivals.push(rival(both)?);
    }
    outcomes.push(presentation(&rivals));
    let central = |share| -> Result<Central, Error> {
        let view = framing::central(share);
        let (whole, recognition) = beside(view, in_use, &framing::is_worth_a_look)?;
        Ok(Central { share, whole, recognition })
    };
    let parts: Vec<_> = framing::CENTRAL.into_iter().map(central).collect::<Result<_, _>>()?;
    outcomes.push(loose_frames(&parts, prepared.manifest().crop));
    Ok(outcomes)
}

fn baseline(
    features: &Features,
    labels: &[u32],
    recognized: &Recognition,
) -> Result<Outcome, Error> {
    let mut labels = labels.to_vec();
    // A control does not depend on the run's seed: the same data have the same one.
    let mut random = NumpyRandom::new(0);
    let mut sum = 0.0;
    for _ in 0..SHUFFLES {
        random.shuffle(&mut labels);
        sum += recognize(features, &labels)?.accuracy();
    }
    Ok(frozen_baseline(recognized, sum / SHUFFLES as f64))
}

/// Every layer that has parameters, in the network's order.
fn layer_weights(beginning: &Beginning<'_>) -> Result<Vec<LayerWeights>, Error> {
    let mut layers = Vec::new();
    for layer in beginning.architecture.layers() {
        let [weight, bias] = ["weight", "bias"].map(|kind| format!("{}.{kind}", layer.name));
        let (Some(weights), Some(biases)) =
            (beginning.tensors.get(&weight), beginning.tensors.get(&bias))
        else {
            continue;
        };
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let origin = if beginning.new.contains(&weight) { Origin::New } else { Origin::File };
        layers.push(LayerWeights::of(&layer.name, origin, &values(weights)?, &values(biases)?));
    }
    Ok(layers)
}

fn pixel_statistics(beginning: &Beginning<'_>) -> Result<PixelStatistics, Error> {
    let Beginning { prepared, normalization, .. } = *beginning;
    let indices: Vec<usize> = evenly(prepared.len(), PIXEL_IMAGES).collect();
    let images = read_batch(prepared, &indices, normalization, View::Plain)?;
    Ok(PixelStatistics::of(&images, prepared.side_px(), normalization.bgr_means()))
}

/// Dropout layers and augmented stages.
fn regularized(beginning: &Beginning<'_>) -> usize {
    let layers = beginning.architecture.layers();
    let dropouts =
        layers.iter().filter(|layer| matches!(layer.kind, LayerKind::Dropout { .. })).count();
    dropouts + beginning.recipe.stages.iter().filter(|stage| stage.augment.is_some()).count()
}
