//! This project's own files: a run's weights become a base.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use convert::{
    Error, Format, Layers, Normalization, NormalizationReason, Pixels, Request, SourceFormat,
};
use model::{Metadata, WeightsFile};
use tempfile::TempDir;

use crate::golden::{bits, convert, expected, golden, request};

/// Whom the golden network's fc8 tells apart.
const NAMES: [&str; 9] = ["Ann", "Bob", "Cy", "Di", "Eve", "Flo", "Guy", "Hal", "Ida"];

/// A run's weights in a folder of their own, and a request to convert them.
fn trained() -> (TempDir, Request, BTreeMap<String, Tensor>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let mut tensors = expected();
    tensors.retain(|name, _| name.starts_with("conv") || name.starts_with("fc"));
    let metadata = Metadata {
        format_version: 1,
        normalization: "vggface-v2".to_owned(),
        source: "runs/lfw".to_owned(),
        source_sha256: "00".to_owned(),
        identities: Some(NAMES.map(str::to_owned).to_vec()),
        notes: BTreeMap::new(),
    };
    model::weights::write(&file, &tensors, &metadata).unwrap();
    let request = request(&file, &folder.path().join("base.safetensors"));
    (folder, request, tensors)
}

#[test]
fn base_of_a_trained_run_is_its_convolutions() {
    let (_folder, request, tensors) = trained();
    let conversion = convert(&Request { layers: Layers::Base, ..request.clone() }).unwrap();
    assert_eq!(conversion.format, Format::Safetensors);
    assert_eq!(conversion.left_out.len(), 6);
    assert!(conversion.to_string().contains("left out       fc6.weight, fc6.bias"));
    let base = WeightsFile::read(&request.out).unwrap();
    assert_eq!(base.tensors().len(), 26);
    for (name, tensor) in base.tensors() {
        assert_eq!(bits(tensor), bits(&tensors[name]), "{name}");
    }
    assert_eq!(base.metadata().identities, None);
}

#[test]
fn own_metadata_are_kept() {
    let (_folder, request, tensors) = trained();
    let conversion = convert(&request).unwrap();
    assert_eq!(conversion.normalization, Normalization::VggfaceV2);
    assert_eq!(conversion.normalization_reason, NormalizationReason::Source);
    let file = WeightsFile::read(&request.out).unwrap();
    assert_eq!(file.tensors().len(), tensors.len());
    assert_eq!(file.metadata().identities.as_deref(), Some(&NAMES.map(str::to_owned)[..]));
    assert_eq!(file.metadata().source, "weights.safetensors");
}

#[test]
fn contradicting_normalization_is_refused() {
    let (_folder, request, _) = trained();
    let asked = Request { normalization: Some(Normalization::Imagenet), ..request };
    assert!(matches!(convert(&asked), Err(Error::NormalizationConflict { .. })));
}

#[test]
fn metadata_that_are_not_understood_are_refused() {
    let (_folder, request, _) = trained();
    let bytes = fs::read(&request.file).unwrap();
    for (from, to) in [
        ("vggface-v2", "vggface-v9"),
        ("[\\\"Ann", "{\\\"Ann"),
        // A name less than fc8 has rows; a file of a later version.
        ("\\\"Ann\\\",", "        "),
        ("\"format_version\":\"1\"", "\"format_version\":\"2\""),
    ] {
        let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let (before, after) = (&bytes[..place], &bytes[place + from.len()..]);
        fs::write(&request.file, [before, to.as_bytes(), after].concat()).unwrap();
        assert!(matches!(convert(&request), Err(Error::Metadata { .. })), "{to}");
    }
}

#[test]
fn source_is_never_written_over() {
    let (folder, request, _) = trained();
    let before = fs::read(&request.file).unwrap();
    let roundabout: PathBuf = folder.path().join(".").join("weights.safetensors");
    let result = convert(&Request { out: roundabout, ..request.clone() });
    assert!(matches!(result, Err(Error::SameFile { .. })));
    assert_eq!(fs::read(&request.file).unwrap(), before);
}

#[test]
fn integers_are_refused() {
    let (folder, request, mut tensors) = trained();
    let file = folder.path().join("foreign.safetensors");
    let write = |tensors: &BTreeMap<String, Tensor>| {
        let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        candle_core::safetensors::save(&tensors, &file).unwrap();
        let pixels = Some(Pixels::Bgr);
        convert(&Request { file: file.clone(), pixels, ..request.clone() })
    };
    assert!(write(&tensors).is_ok(), "metadata are not needed");
    let integers = tensors["fc7.bias"].to_dtype(candle_core::DType::U32).unwrap();
    tensors.insert("fc7.bias".to_owned(), integers);
    match write(&tensors) {
        Err(Error::ElementType { name, found, .. }) => {
            assert_eq!((name.as_str(), found.as_str()), ("fc7.bias", "U32"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    let (_folder, request, mut tensors) = trained();
    let broken = Tensor::new(&[1.0, f32::NAN], &Device::Cpu).unwrap();
    tensors.insert("conv1_2.bias".to_owned(), broken);
    let metadata = WeightsFile::read(&request.file).unwrap().metadata().clone();
    model::weights::write(&request.file, &tensors, &metadata).unwrap();
    match convert(&request) {
        Err(Error::NotFinite { name, index, .. }) => {
            assert_eq!((name.as_str(), index), ("conv1_2.bias", 1));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn content_counts_and_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.caffemodel");
    fs::copy(golden("keras2.h5"), &file).unwrap();
    let request = request(&file, &folder.path().join("out.safetensors"));
    assert_eq!(convert(&request).unwrap().format, Format::Hdf5);
    let asked = Request { from: SourceFormat::Keras, ..request.clone() };
    assert!(convert(&asked).is_ok());
    let asked = Request { from: SourceFormat::Safetensors, ..request };
    assert!(matches!(convert(&asked), Err(Error::FormatMismatch { .. })));
}
