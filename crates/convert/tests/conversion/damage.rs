//! Damaged files give errors or numbers, never panics, and never a half-written output.

use std::fs;
use std::path::Path;

use convert::Error;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::golden::{convert, golden, request};

/// One file of each structure: symbol tables, a checkpoint, compressed chunks, and our own.
const FILES: [&str; 4] =
    ["keras2.h5", "keras3.weights.h5", "keras2_block_gzip.h5", "own.safetensors"];

/// A golden file's bytes; `own.safetensors` is made of one.
fn bytes(name: &str, folder: &Path) -> Vec<u8> {
    if name != "own.safetensors" {
        return fs::read(golden(name)).unwrap();
    }
    let own = folder.join(name);
    convert(&request(&golden("keras2.h5"), &own)).unwrap();
    fs::read(own).unwrap()
}

/// Converts these bytes over an output that is there.
fn attempt(bytes: &[u8], folder: &Path) -> Result<(), Error> {
    let (file, out) = (folder.join("damaged"), folder.join("out.safetensors"));
    fs::write(&file, bytes).unwrap();
    fs::write(&out, "as before").unwrap();
    let result = convert(&request(&file, &out));
    let text = fs::read(&out).unwrap();
    assert_eq!(result.is_err(), text == b"as before");
    result.map(|_| ())
}

#[test]
fn files_cut_short_at_any_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let bytes = bytes(name, folder.path());
        for percent in (0..100).step_by(5) {
            let result = attempt(&bytes[..bytes.len() * percent / 100], folder.path());
            assert!(result.is_err(), "{name} converts although cut at {percent} %");
        }
        attempt(&bytes, folder.path()).unwrap();
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let bytes = bytes(name, folder.path());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[19; 32]);
        let config =
            ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
        let flips = proptest::collection::vec((0..bytes.len(), 1..=u8::MAX), 1..8);
        TestRunner::new_with_rng(config, rng)
            .run(&flips, |flips| {
                let mut damaged = bytes.clone();
                for (index, flip) in flips {
                    damaged[index] ^= flip;
                }
                // Flips in the numbers themselves cannot be noticed.
                let result = attempt(&damaged, folder.path());
                let text = result.err().map(|error| error.to_string()).unwrap_or_default();
                prop_assert!(text.lines().count() <= 1, "{}", text);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn claimed_sizes_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = bytes("own.safetensors", folder.path());
    let huge = u64::MAX.to_le_bytes();
    assert!(attempt(&[&huge, &bytes[8..]].concat(), folder.path()).is_err());
    let header = 99_000_000_u64.to_le_bytes();
    assert!(attempt(&[&header, &bytes[8..]].concat(), folder.path()).is_err());
}
