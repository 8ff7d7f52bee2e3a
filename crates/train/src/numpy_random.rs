//! `NumPy`'s legacy random stream, so that a seed deals the folds that scikit-learn deals.

const STATE_WORDS: usize = 624;
const SHIFT_WORDS: usize = 397;

/// The Mersenne Twister behind `numpy.random.RandomState`.
///
/// # Source
///
/// Matsumoto and Nishimura, Mersenne Twister (ACM TOMACS 1998), `init_genrand` and
/// `genrand_int32`; numpy 2.4.6, `_mt19937.pyx` (seeding) and `distributions.c`
/// (`random_interval`).
#[derive(Debug, Clone)]
pub(crate) struct NumpyRandom {
    state: [u32; STATE_WORDS],
    position: usize,
}

impl NumpyRandom {
    /// The stream of `RandomState(seed)`.
    pub(crate) fn new(seed: u32) -> NumpyRandom {
        let mut state = [0; STATE_WORDS];
        let mut word = seed;
        for (place, index) in state.iter_mut().zip(1_u32..) {
            *place = word;
            word = (word ^ (word >> 30)).wrapping_mul(1_812_433_253).wrapping_add(index);
        }
        NumpyRandom { state, position: STATE_WORDS }
    }

    /// Reorders `items` as `RandomState.shuffle` does.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index_up_to(last);
            items.swap(last, other);
        }
    }

    /// A uniform number of `0..1`, a multiple of 2^-32; numpy's own has more digits.
    pub(crate) fn next_share(&mut self) -> f64 {
        f64::from(self.next_word()) / 2_f64.powi(32)
    }

    /// A uniform index of `0..=last`: masked words, drawn until one is small enough.
    pub(crate) fn index_up_to(&mut self, last: usize) -> usize {
        let last = u32::try_from(last).expect("a list to shuffle has fewer than 2^32 items");
        let mask = u32::MAX.checked_shr(last.leading_zeros()).unwrap_or(0);
        loop {
            let word = self.next_word() & mask;
            if word <= last {
                return word as usize;
            }
        }
    }

    fn next_word(&mut self) -> u32 {
        if self.position == STATE_WORDS {
            self.renew();
        }
        let mut word = self.state[self.position];
        self.position += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn renew(&mut self) {
        for index in 0..STATE_WORDS {
            let next = self.state[(index + 1) % STATE_WORDS];
            let mixed = (self.state[index] & 0x8000_0000) | (next & 0x7fff_ffff);
            let twisted = (mixed >> 1) ^ if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + SHIFT_WORDS) % STATE_WORDS] ^ twisted;
        }
        self.position = 0;
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use sha2::{Digest, Sha256};

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        randomstate_shuffle: Vec<Shuffled>,
    }

    #[derive(Deserialize)]
    struct Shuffled {
        seed: u32,
        n: u32,
        sha256: Vec<u8>,
        #[serde(default)]
        perm: Vec<u32>,
    }

    #[test]
    fn first_words_of_seed_42_are_those_of_numpy() {
        let mut random = NumpyRandom::new(42);
        let words = [(); 5].map(|()| random.next_word());
        let expected =
            [1_608_637_542, 3_421_126_067, 4_083_286_876, 787_846_414, 3_143_890_026_u32];
        assert_eq!(words, expected);
    }

    #[test]
    fn shuffles_as_randomstate() {
        let golden: Golden =
            serde_json::from_str(include_str!("../tests/golden/splits_and_scores.json")).unwrap();
        assert!(!golden.randomstate_shuffle.is_empty());
        for case in golden.randomstate_shuffle {
            let mut items: Vec<u32> = (0..case.n).collect();
            NumpyRandom::new(case.seed).shuffle(&mut items);
            let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_le_bytes()).collect();
            let case_name = format!("seed {}, {} items", case.seed, case.n);
            if !case.perm.is_empty() {
                assert_eq!(items, case.perm, "{case_name}");
            }
            assert_eq!(Sha256::digest(&bytes)[..], case.sha256, "{case_name}");
        }
    }

    #[test]
    fn shuffling_one_item_draws_nothing() {
        let mut random = NumpyRandom::new(7);
        random.shuffle(&mut [1]);
        random.shuffle::<u32>(&mut []);
        assert_eq!(random.next_word(), NumpyRandom::new(7).next_word());
    }
}
