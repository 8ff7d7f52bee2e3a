//! Seeded random numbers: every stream is a function of a seed, a purpose and two places in it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One stream of random numbers.
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of `purpose` (say, `augment`) at `place` (say, epoch and image) under `seed`.
    pub(crate) fn new(seed: u64, purpose: [u8; 8], place: [u64; 2]) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&purpose);
        key[16..24].copy_from_slice(&place[0].to_le_bytes());
        key[24..].copy_from_slice(&place[1].to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A number in `low..=high`, evenly spread; one draw is used even if the two are equal.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        // 24 bits are what an f32 holds exactly.
        let unit = (self.0.next_u32() >> 8) as f32 / 16_777_216.0;
        (high - low).mul_add(unit, low)
    }

    /// True with the given probability.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.between(0.0, 1.0) < probability
    }

    /// One of the items.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        let at = self.0.next_u64() % items.len() as u64;
        items[usize::try_from(at).expect("the remainder is below a length")]
    }

    /// A number from the normal distribution, by adding up twelve even ones (Irwin-Hall), which
    /// needs no function whose last bit depends on the platform.
    pub(crate) fn normal(&mut self, mean: f32, deviation: f32) -> f32 {
        let sum: f32 = (0..12).map(|_| self.between(0.0, 1.0)).sum();
        (sum - 6.0).mul_add(deviation, mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_in_each_part_of_their_key() {
        let first = |seed, purpose, place| Draws::new(seed, purpose, place).0.next_u64();
        let base = first(1, *b"augment.", [2, 3]);
        assert_eq!(base, first(1, *b"augment.", [2, 3]));
        assert_ne!(base, first(9, *b"augment.", [2, 3]));
        assert_ne!(base, first(1, *b"augment!", [2, 3]));
        assert_ne!(base, first(1, *b"augment.", [9, 3]));
        assert_ne!(base, first(1, *b"augment.", [2, 9]));
    }

    #[test]
    fn numbers_stay_in_range() {
        let mut draws = Draws::new(0, *b"test....", [0, 0]);
        assert!((0..1000).map(|_| draws.between(-2.0, 3.0)).all(|x| (-2.0..=3.0).contains(&x)));
    }

    #[test]
    fn normal_has_its_mean_and_deviation() {
        let mut draws = Draws::new(0, *b"test....", [0, 0]);
        let numbers: Vec<f32> = (0..20_000).map(|_| draws.normal(5.0, 2.0)).collect();
        let mean = numbers.iter().sum::<f32>() / 20_000.0;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 20_000.0;
        // Standard errors are 0.014 and 0.04: four of them.
        assert!((mean - 5.0).abs() < 0.06, "mean {mean}");
        assert!((variance - 4.0).abs() < 0.16, "variance {variance}");
    }
}
