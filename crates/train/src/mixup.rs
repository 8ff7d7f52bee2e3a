//! Mixup: a batch is mixed with itself in another order, images and labels alike.

use candle_core::{Result, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Beta, Distribution};

use crate::{loss::Targets, setting::MixupAlpha, training::Stream};

/// What decides how a step's batch is mixed, and nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSeed {
    /// The run's seed.
    pub seed: u32,
    /// The fold, from 0.
    pub fold: usize,
    /// The stage within the recipe, from 0.
    pub stage: usize,
    /// The epoch within the stage, from 1.
    pub epoch: usize,
    /// The step within the stage, from 1.
    pub step: usize,
    /// From 0, in the step.
    pub batch: usize,
}

/// How one batch is mixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixing {
    /// How much of each image stays, 0 to 1; the rest is its partner's. The paper's lambda.
    pub share: f32,
    /// Place in the batch of each image's partner: a permutation, in which an image may be its own.
    pub partners: Vec<u32>,
}

impl Mixing {
    /// Draws how a batch of `images` is mixed: one share, from Beta(alpha, alpha), and a permutation.
    ///
    /// # Panics
    ///
    /// If there are 2^32 images or more.
    ///
    /// # Source
    ///
    /// Zhang et al., mixup: Beyond Empirical Risk Minimization (ICLR 2018), section 2, and
    /// facebookresearch/mixup-cifar10, `train.py`, `mixup_data`: one lambda and one `randperm` a batch.
    #[expect(clippy::cast_possible_truncation, reason = "tensors are f32, and so is the share")]
    pub fn draw(alpha: MixupAlpha, seed: StepSeed, images: usize) -> Self {
        let StepSeed { seed, fold, stage, epoch, step, batch } = seed;
        let mut key = [0; 32];
        key[..8].copy_from_slice(
            &Stream::Mixup.seed(seed, &[fold, stage, epoch, step, batch]).to_le_bytes(),
        );
        let mut random = ChaCha8Rng::from_seed(key);
        let count = u32::try_from(images).expect("a batch has fewer than 2^32 images");
        let mut partners: Vec<u32> = (0..count).collect();
        for last in (1..images).rev() {
            let other = random.next_u64() % (last as u64 + 1);
            partners.swap(last, usize::try_from(other).expect("it is at most `last`"));
        }
        let beta = Beta::new(alpha.get(), alpha.get()).expect("alpha is finite and above 0");
        Self { share: beta.sample(&mut random) as f32, partners }
    }

    /// Mixes a batch of images, or of features: each with its partner.
    ///
    /// Features may be mixed where images could be: the layers above the cut learn from mixtures of what
    /// those below see (Verma et al., Manifold Mixup, ICML 2019).
    ///
    /// # Shapes
    ///
    /// - `batch`: `(images, ..)`, f32, as many images as were drawn for; returns the same
    ///
    /// # Errors
    ///
    /// Those of candle, if shapes or types are others.
    pub fn mix(&self, batch: &Tensor) -> Result<Tensor> {
        let partners = Tensor::new(self.partners.as_slice(), batch.device())?;
        let partners = batch.index_select(&partners, 0)?;
        let share = f64::from(self.share);
        (batch * share)? + (partners * (1.0 - share))?
    }

    /// What the mixed images should be.
    ///
    /// # Shapes
    ///
    /// - `labels`: `(images,)`, before mixing
    ///
    /// # Panics
    ///
    /// If there are fewer labels than partners.
    pub fn targets(&self, labels: Vec<u32>) -> Targets {
        let partners = self.partners.iter().map(|&partner| labels[partner as usize]).collect();
        let shares = vec![self.share; labels.len()];
        Targets::Mixed { labels, partners, shares }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use serde::Deserialize;

    use super::*;

    const SEED: StepSeed = StepSeed { seed: 42, fold: 0, stage: 0, epoch: 1, step: 1, batch: 0 };

    fn alpha(alpha: f64) -> MixupAlpha {
        MixupAlpha::new(alpha).unwrap()
    }

    #[derive(Deserialize)]
    struct Case {
        alpha: f64,
        probabilities: Vec<f64>,
        quantiles: Vec<f64>,
    }

    #[test]
    fn shares_have_the_quantiles_of_scipys_beta() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../tests/golden/beta.json")).unwrap();
        assert!(3 <= cases.len());
        let draws = 20_000;
        for Case { alpha: of_case, probabilities, quantiles } in cases {
            let shares: Vec<f64> = (1..=draws)
                .map(|step| Mixing::draw(alpha(of_case), StepSeed { step, ..SEED }, 1).share)
                .map(f64::from)
                .collect();
            assert_eq!(probabilities.len(), quantiles.len());
            for (probability, quantile) in probabilities.into_iter().zip(quantiles) {
                let below = shares.iter().filter(|&&share| share <= quantile).count();
                let found = below as f64 / draws as f64;
                // Five standard deviations of a binomial count, for some forty of them.
                let bound = 5.0 * (probability * (1.0 - probability) / draws as f64).sqrt();
                assert!(
                    (found - probability).abs() < bound,
                    "alpha {of_case}: {found} below {quantile}, expected {probability}"
                );
            }
        }
    }

    #[test]
    fn a_share_is_one_however_small_or_large_alpha_is() {
        for of_case in [1e-300, 1e-6, 1e-2, 1e3, 1e12] {
            for step in 1..200 {
                let mixing = Mixing::draw(alpha(of_case), StepSeed { step, ..SEED }, 1);
                assert!((0.0..=1.0).contains(&mixing.share), "{of_case}: {}", mixing.share);
            }
        }
    }

    #[test]
    fn partners_are_a_permutation_and_every_image_is_as_likely() {
        let (images, draws) = (8_u32, 8_000);
        let mut counts = [[0_u32; 8]; 8];
        for step in 1..=draws {
            let mixing = Mixing::draw(alpha(0.2), StepSeed { step, ..SEED }, images as usize);
            let mut sorted = mixing.partners.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..images));
            for (image, partner) in mixing.partners.into_iter().enumerate() {
                counts[image][partner as usize] += 1;
            }
        }
        let (mean, deviation) = (draws as f64 / 8.0, (draws as f64 * 7.0 / 64.0).sqrt());
        for &count in counts.as_flattened() {
            // Five standard deviations of a binomial count, for 64 of them.
            assert!((f64::from(count) - mean).abs() < 5.0 * deviation, "{counts:?}");
        }
    }

    #[test]
    fn the_place_in_the_run_decides() {
        let draw = |seed| Mixing::draw(alpha(0.2), seed, 16);
        assert_eq!(draw(SEED), draw(SEED));
        for other in [
            StepSeed { seed: 43, ..SEED },
            StepSeed { fold: 1, ..SEED },
            StepSeed { stage: 1, ..SEED },
            StepSeed { epoch: 2, ..SEED },
            StepSeed { step: 2, ..SEED },
        ] {
            assert_ne!(draw(SEED).share.to_bits(), draw(other).share.to_bits());
            assert_ne!(draw(SEED).partners, draw(other).partners);
        }
    }

    #[test]
    fn images_and_labels_are_mixed_alike() {
        let mixing = Mixing { share: 0.75, partners: vec![1, 2, 0] };
        let batch = Tensor::new(&[[0_f32, 4.0], [8.0, 0.0], [16.0, 4.0]], &Device::Cpu).unwrap();
        let mixed: Vec<Vec<f32>> = mixing.mix(&batch).unwrap().to_vec2().unwrap();
        assert_eq!(mixed, [[2.0, 3.0], [10.0, 1.0], [12.0, 4.0]]);
        let expected = Targets::Mixed {
            labels: vec![5, 6, 7],
            partners: vec![6, 7, 5],
            shares: vec![0.75; 3],
        };
        assert_eq!(mixing.targets(vec![5, 6, 7]), expected);
    }
}
