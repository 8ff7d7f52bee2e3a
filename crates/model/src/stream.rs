//! Streams of random numbers that depend on a seed and a name, and on nothing else.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// What a stream is drawn for, so that equal seeds and names do not share numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// A parameter's initial values.
    InitialValues,
    /// A layer's dropout mask.
    Dropout,
}

/// Numbers uniform in [0, 1).
pub(crate) struct Uniform(ChaCha8Rng);

impl Uniform {
    /// The stream of a purpose, a seed and a name.
    ///
    /// The key of `ChaCha8` is the SHA-256 of the purpose's byte, the seed (little-endian) and
    /// the name, so streams are unrelated, and the same on every machine.
    pub(crate) fn new(purpose: Purpose, seed: u64, name: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([match purpose {
            Purpose::InitialValues => 0_u8,
            Purpose::Dropout => 1,
        }]);
        hasher.update(seed.to_le_bytes());
        hasher.update(name);
        Self(ChaCha8Rng::from_seed(hasher.finalize().into()))
    }

    /// The next number: 24 bits, which f32 holds exactly.
    pub(crate) fn draw(&mut self) -> f32 {
        const SCALE: f32 = 1.0 / (1 << 24) as f32;
        (self.0.next_u32() >> 8) as f32 * SCALE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(purpose: Purpose, seed: u64, name: &str) -> Vec<f32> {
        let mut stream = Uniform::new(purpose, seed, name);
        (0..4).map(|_| stream.draw()).collect()
    }

    #[test]
    fn streams_depend_on_purpose_seed_and_name() {
        let base = first(Purpose::Dropout, 42, "fc6");
        assert_eq!(base, first(Purpose::Dropout, 42, "fc6"));
        assert_ne!(base, first(Purpose::InitialValues, 42, "fc6"));
        assert_ne!(base, first(Purpose::Dropout, 43, "fc6"));
        assert_ne!(base, first(Purpose::Dropout, 42, "fc7"));
    }

    #[test]
    fn numbers_lie_in_the_unit_interval() {
        let mut stream = Uniform::new(Purpose::Dropout, 0, "");
        assert!((0..10_000).all(|_| (0.0..1.0).contains(&stream.draw())));
    }
}
