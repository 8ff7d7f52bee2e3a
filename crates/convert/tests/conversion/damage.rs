//! Damaged files give errors or numbers, never panics, and never a half-written output.

use std::fs;
use std::path::Path;

use convert::{Conversion, Error, Pixels, Request};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::golden::{convert, golden, request};

/// One file of each structure.
const FILES: [&str; 20] = [
    "keras2.h5",
    "keras3.weights.h5",
    "keras2_block_gzip.h5",
    "keras3.keras",
    "caffe_v1.caffemodel",
    "caffe_double.caffemodel",
    "matconvnet_simple.mat",
    "matconvnet_simple_gzip.mat",
    "matconvnet_dag.mat",
    "matconvnet_simple73.mat",
    "pytorch_dag.pth",
    "pytorch_prefixed_legacy.pth",
    "pytorch_module.pth",
    "pytorch_script.pt",
    "torch7_cudnn.t7",
    "torch7_ascii.t7",
    "onnx_torchvision.onnx",
    "onnx_tf2onnx.onnx",
    "onnx_constant.onnx",
    "safetensors_prefixed.safetensors",
];

/// Converts these bytes over an output that is there, and gives what is there afterwards.
fn attempt(bytes: &[u8], folder: &Path) -> Result<(Conversion, Vec<u8>), Error> {
    let (file, out) = (folder.join("damaged"), folder.join("out.safetensors"));
    fs::write(&file, bytes).unwrap();
    fs::write(&out, "as before").unwrap();
    let result = convert(&Request { pixels: Some(Pixels::Bgr), ..request(&file, &out) });
    let text = fs::read(&out).unwrap();
    assert_eq!(result.is_err(), text == b"as before");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "nothing is left beside them");
    if let Err(error) = &result {
        let text = error.to_string();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    result.map(|conversion| (conversion, text))
}

/// The values in a file of weights, whose header says where they come from.
fn values(file: &[u8]) -> &[u8] {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    &rest[usize::try_from(u64::from_le_bytes(*length)).unwrap()..]
}

#[test]
fn files_cut_short_at_any_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let bytes = fs::read(golden(name)).unwrap();
        let (_, whole) = attempt(&bytes, folder.path()).unwrap();
        for length in (0..bytes.len()).step_by(100) {
            if let Ok((conversion, output)) = attempt(&bytes[..length], folder.path()) {
                // Some formats end in what no weights depend on, and nothing shows where the last
                // of a Caffe model's layers should be.
                let is_whole = values(&output) == values(&whole);
                let is_told = conversion.findings.iter().any(|it| it.contains("complete?"));
                assert!(is_whole || is_told, "{name} converts although cut at {length}");
                assert!(bytes.len() * 3 / 4 < length, "{name} converts cut at {length}");
            }
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let bytes = fs::read(golden(name)).unwrap();
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
                let _ = attempt(&damaged, folder.path());
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn claimed_sizes_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(golden("safetensors_prefixed.safetensors")).unwrap();
    for claim in [u64::MAX, 99_000_000] {
        assert!(attempt(&[&claim.to_le_bytes(), &bytes[8..]].concat(), folder.path()).is_err());
    }
}
