//! Seeds of the random streams, each a function of the run's seed and the place in the run.

use sha2::{Digest, Sha256};

/// What a stream is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// Initial values of new layers; the same for every fold.
    InitialWeights,
    /// Which training images of a fold steer it.
    InnerSplit,
    /// Changes to the training images of a stage.
    Augmentation,
    /// Dropout's masks of a step.
    Dropout,
    /// How a step's batch is mixed.
    Mixup,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::InitialWeights => "initial-weights",
            Self::InnerSplit => "inner-split",
            Self::Augmentation => "augmentation",
            Self::Dropout => "dropout",
            Self::Mixup => "mixup",
        }
    }

    /// The stream's seed at a place: the first eight bytes, little-endian, of the SHA-256 of its
    /// name, the run's seed and the place, each number as u64 little-endian.
    pub(crate) fn seed(self, seed: u32, place: &[usize]) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.name());
        hash.update(u64::from(seed).to_le_bytes());
        for &number in place {
            hash.update((number as u64).to_le_bytes());
        }
        let digest = hash.finalize();
        let (first, _) = digest.split_first_chunk::<8>().expect("SHA-256 has 32 bytes");
        u64::from_le_bytes(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purpose_seed_and_place_each_change_the_stream() {
        let seeds = std::collections::BTreeSet::from([
            Stream::Dropout.seed(42, &[0, 1]),
            Stream::Augmentation.seed(42, &[0, 1]),
            Stream::Dropout.seed(43, &[0, 1]),
            Stream::Dropout.seed(42, &[1, 0]),
        ]);
        assert_eq!(seeds.len(), 4);
    }
}
