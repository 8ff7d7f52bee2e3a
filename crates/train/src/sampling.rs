//! Which training images an epoch sees, and how often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::epoch_order::EpochSeed;

/// How an epoch's images are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every training image once.
    #[default]
    Natural,
    /// As many images as there are, drawn anew in each epoch so that each identity is equally likely:
    /// some images come more than once, others not at all.
    Balanced,
}

/// The places, in the training images, of those that a balanced epoch sees, in its order.
///
/// Each is drawn by itself and put back: an identity evenly among those that have images, then one of its images
/// evenly. That is to draw images with a weight of one over their identity's count. The generator
/// is that of [`epoch_order`](crate::epoch_order::epoch_order), under the name `balanced-order`.
///
/// # Shapes
///
/// - `labels`: `(images,)`, of the training images in their order
/// - returns `(images,)`, places below `images`
///
/// # Source
///
/// `PyTorch` 2.15, `utils/data/sampler.py`, `WeightedRandomSampler` with `replacement=True` and `num_samples` the
/// number of images; the numbers are our own.
pub fn balanced_order(seed: EpochSeed, labels: &[u32]) -> Vec<usize> {
    let mut places: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, &label) in labels.iter().enumerate() {
        places.entry(label).or_default().push(place);
    }
    let identities: Vec<Vec<usize>> = places.into_values().collect();
    let mut random = seed.stream("balanced-order");
    labels
        .iter()
        .map(|_| {
            let images = &identities[random.index_up_to(identities.len() - 1)];
            images[random.index_up_to(images.len() - 1)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: EpochSeed = EpochSeed { seed: 42, fold: 0, stage: 0, epoch: 1 };

    /// One identity of 1 image, one of 9, one of 90; the label 1 has none.
    fn labels() -> Vec<u32> {
        [vec![3; 90], vec![0], vec![2; 9]].concat()
    }

    #[test]
    fn identities_are_equally_likely_and_so_are_the_images_of_each() {
        let labels = labels();
        let epochs = 300_u32;
        let mut counts = vec![0_u32; labels.len()];
        for epoch in 1..=epochs {
            let order = balanced_order(EpochSeed { epoch: epoch as usize, ..SEED }, &labels);
            assert_eq!(order.len(), labels.len());
            for place in order {
                counts[place] += 1;
            }
        }
        let draws = f64::from(epochs) * labels.len() as f64;
        // Binomial counts within five standard deviations: for 103 counts, of 1 in 17,000 seeds one is not.
        let assert_share = |count: u32, share: f64| {
            let deviation = (draws * share * (1.0 - share)).sqrt();
            let off = (f64::from(count) - draws * share).abs();
            assert!(off < 5.0 * deviation, "{count} of {draws}, expected a share of {share}");
        };
        for (label, images) in [(0, 1.0), (2, 9.0), (3, 90.0)] {
            let of_identity = counts.iter().zip(&labels).filter(|(_, of)| **of == label);
            assert_share(of_identity.clone().map(|(count, _)| count).sum(), 1.0 / 3.0);
            for (&count, _) in of_identity {
                assert_share(count, 1.0 / (3.0 * images));
            }
        }
    }

    #[test]
    fn the_place_in_the_run_decides_the_order() {
        let labels = labels();
        assert_eq!(balanced_order(SEED, &labels), balanced_order(SEED, &labels));
        for other in [
            EpochSeed { seed: 43, ..SEED },
            EpochSeed { fold: 1, ..SEED },
            EpochSeed { stage: 1, ..SEED },
            EpochSeed { epoch: 2, ..SEED },
        ] {
            assert_ne!(balanced_order(SEED, &labels), balanced_order(other, &labels));
        }
        assert!(balanced_order(SEED, &[]).is_empty());
    }

    #[test]
    fn a_sampling_is_named_as_in_recipes() {
        for (sampling, name) in
            [(Sampling::Natural, "\"natural\""), (Sampling::Balanced, "\"balanced\"")]
        {
            assert_eq!(serde_json::to_string(&sampling).unwrap(), name);
            assert_eq!(serde_json::from_str::<Sampling>(name).unwrap(), sampling);
        }
    }
}
