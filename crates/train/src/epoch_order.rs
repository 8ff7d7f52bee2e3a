//! The order in which an epoch sees its training images.

use sha2::{Digest, Sha256};

use crate::numpy_random::NumpyRandom;

/// What decides an epoch's order, and nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochSeed {
    /// The run's seed.
    pub seed: u32,
    /// The fold, from 0.
    pub fold: usize,
    /// The stage within the recipe, from 0.
    pub stage: usize,
    /// The epoch within the stage.
    pub epoch: usize,
}

impl EpochSeed {
    /// The epoch's stream for one purpose.
    pub(crate) fn stream(self, purpose: &str) -> NumpyRandom {
        let mut hash = Sha256::new();
        hash.update(purpose);
        hash.update(u64::from(self.seed).to_le_bytes());
        for place in [self.fold, self.stage, self.epoch] {
            hash.update((place as u64).to_le_bytes());
        }
        let digest = hash.finalize();
        NumpyRandom::new(u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]))
    }
}

/// A permutation of `0..images` for one epoch, independent of all other epochs.
///
/// A resumed run needs no generator's state: the order follows from the place in the run. The
/// generator is the one that deals the folds, `RandomState`, with a seed of its own: the first
/// four bytes, little-endian, of the SHA-256 of `epoch-order` and of the four numbers as u64
/// little-endian.
pub fn epoch_order(seed: EpochSeed, images: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..images).collect();
    seed.stream("epoch-order").shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SEED: EpochSeed = EpochSeed { seed: 42, fold: 0, stage: 0, epoch: 1 };

    #[test]
    fn an_order_holds_every_image_once() {
        for images in [0, 1, 2, 97] {
            let mut order = epoch_order(SEED, images);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..images));
        }
    }

    #[test]
    fn the_same_place_in_a_run_has_the_same_order() {
        assert_eq!(epoch_order(SEED, 50), epoch_order(SEED, 50));
    }

    #[test]
    fn seed_fold_stage_and_epoch_each_change_the_order() {
        let seeds = [
            SEED,
            EpochSeed { seed: 43, ..SEED },
            EpochSeed { fold: 1, ..SEED },
            EpochSeed { stage: 1, ..SEED },
            EpochSeed { epoch: 2, ..SEED },
        ];
        let orders: BTreeSet<_> = seeds.iter().map(|&seed| epoch_order(seed, 50)).collect();
        assert_eq!(orders.len(), seeds.len());
    }

    #[test]
    fn the_order_is_that_of_the_derived_seed_in_numpy() {
        // d = hashlib.sha256(b"epoch-order" + struct.pack("<4Q", 42, 0, 0, 1)).digest()
        // a = np.arange(8); np.random.RandomState(int.from_bytes(d[:4], "little")).shuffle(a)
        assert_eq!(epoch_order(SEED, 8), [6, 3, 7, 2, 5, 1, 0, 4]);
    }
}
