//! Random inputs and comparisons for the tests.

#![allow(dead_code, reason = "no test file uses all of them")]

/// Reproducible values of about a standard normal distribution: a sum of uniform ones.
pub(crate) fn normal(seed: u64, length: usize) -> Vec<f32> {
    // splitmix64: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (2014).
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    (0..length).map(|_| 2.0 * (uniform() + uniform() + uniform())).collect()
}

pub(crate) fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Asserts that the largest error is within `tolerance` of the root mean square of what is expected.
pub(crate) fn assert_close(name: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let mean_square =
        expected.iter().map(|value| value * value).sum::<f64>() / expected.len() as f64;
    let bound = tolerance * mean_square.sqrt();
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= bound,
            "{name}[{index}] is {found}, expected {expected}: off by {error:e}, allowed {bound:e}"
        );
    }
}

/// Asserts that `gradient` is that of `loss` at `point`, by central differences in f64.
pub(crate) fn assert_gradient(gradient: &[f64], point: &[f64], loss: impl Fn(&[f64]) -> f64) {
    assert_eq!(gradient.len(), point.len());
    for (index, gradient) in gradient.iter().enumerate() {
        let at = |step: f64| {
            let mut moved = point.to_vec();
            moved[index] += step;
            loss(&moved)
        };
        // The losses are linear in each argument, so that only rounding, about 1e-15 / 1e-3, parts the two.
        let difference = (at(1e-3) - at(-1e-3)) / 2e-3;
        assert!(
            (difference - gradient).abs() < 1e-9,
            "[{index}]: {gradient}, by differences {difference}"
        );
    }
}

/// Asserts equality bit by bit.
pub(crate) fn assert_same(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(
            found.to_bits(),
            expected.to_bits(),
            "{name}[{index}]: {found}, expected {expected}"
        );
    }
}

/// What a `ReLU` makes of the values.
pub(crate) fn rectified(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| if value < 0.0 { 0.0 } else { value }).collect()
}

pub(crate) fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a few threads can be started").install(work)
}
