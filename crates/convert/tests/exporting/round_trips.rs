//! What is exported converts back to the same bits.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use convert::export::{Target, export};
use convert::{Conversion, Error, Normalization, Pixels, Request, convert};
use indicatif::ProgressBar;
use model::WeightsFile;

use crate::networks::{NAMES, bits, expected, golden, seed_tensors, tensors, to, write};

fn quietly(request: &Request) -> Result<Conversion, Error> {
    convert(request, &ProgressBar::hidden())
}

/// Exports `file`, converts the result and holds it against what went in.
#[track_caller]
fn returns(target: Target, file: &Path) -> WeightsFile {
    let exported = export(&to(target, file), &ProgressBar::hidden()).unwrap().file;
    let back = file.with_file_name("back.safetensors");
    let asked = Request {
        pixels: Some(Pixels::Bgr),
        normalization: Some(Normalization::VggfaceV2),
        ..Request::new(&exported, &back)
    };
    quietly(&asked).unwrap();
    let (before, after) = (WeightsFile::read(file).unwrap(), WeightsFile::read(&back).unwrap());
    let names = |file: &WeightsFile| file.tensors().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before), "{target}");
    for (name, tensor) in before.tensors() {
        assert_eq!(after.tensors()[name].dims(), tensor.dims(), "{name} of {target}");
        assert_eq!(bits(&after.tensors()[name]), bits(tensor), "{name} of {target}");
    }
    after
}

#[test]
fn weights_come_back_to_the_bit() {
    let mut linear = tensors(&["fc8"]);
    let fc8 = expected()["fc6.weight"].repeat((2, 1)).unwrap().narrow(0, 0, 9).unwrap();
    linear.insert("fc8.weight".to_owned(), fc8);
    for (head, tensors) in [
        ("vggface", tensors(&["fc6", "fc7", "fc8"])),
        ("seed", seed_tensors()),
        ("linear", linear),
        ("base", tensors(&[])),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("{head}.safetensors"));
        write(&file, &tensors);
        for target in [Target::Keras, Target::Pytorch, Target::Onnx] {
            returns(target, &file);
        }
    }
}

#[test]
fn golden_file_of_keras_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let asked = Request {
        normalization: Some(Normalization::VggfaceV2),
        ..Request::new(golden("keras2.h5"), &file)
    };
    quietly(&asked).unwrap();
    for target in [Target::Keras, Target::Pytorch, Target::Onnx] {
        let after = returns(target, &file);
        assert_eq!(bits(&after.tensors()["fc6.weight"]), bits(&expected()["fc6.weight"]));
    }
}

#[test]
fn only_the_layer_behind_pool5_is_taken_for_flattened() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    // As many units as pool5 has features: 6 x 2 x 2.
    let mut tensors = tensors(&["fc8"]);
    let mut add = |name: &str, shape: &[usize]| {
        let count = u32::try_from(shape.iter().product::<usize>()).unwrap();
        let values = Tensor::arange(0, count, &Device::Cpu).unwrap();
        let values = values.to_dtype(DType::F32).unwrap().reshape(shape).unwrap();
        tensors.insert(name.to_owned(), values);
    };
    for name in ["fc6", "fc7"] {
        add(&format!("{name}.weight"), &[24, 24]);
        add(&format!("{name}.bias"), &[24]);
    }
    add("fc8.weight", &[9, 24]);
    write(&file, &tensors);
    for target in [Target::Keras, Target::Pytorch, Target::Onnx] {
        returns(target, &file);
    }
}

#[test]
fn pytorch_has_the_names_of_torchvision() {
    let features = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
    let heads: [(BTreeMap<String, Tensor>, &[usize]); 3] = [
        (tensors(&["fc6", "fc7", "fc8"]), &[0, 3, 6]),
        (seed_tensors(), &[0, 3]),
        (tensors(&[]), &[]),
    ];
    for (tensors, classifier) in heads {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights.safetensors");
        write(&file, &tensors);
        let exported = export(&to(Target::Pytorch, &file), &ProgressBar::hidden()).unwrap();
        assert_eq!(exported.file, folder.path().join("weights.pytorch.safetensors"));
        let found = candle_core::safetensors::load(&exported.file, &Device::Cpu).unwrap();
        let layers = features.iter().map(|place| format!("features.{place}"));
        let layers = layers.chain(classifier.iter().map(|place| format!("classifier.{place}")));
        let mut expected: Vec<String> =
            layers.flat_map(|layer| ["weight", "bias"].map(|it| format!("{layer}.{it}"))).collect();
        expected.sort();
        let mut names: Vec<String> = found.into_keys().collect();
        names.sort();
        assert_eq!(names, expected);
    }
}

#[test]
fn pytorch_keeps_what_is_known_of_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &seed_tensors());
    let exported = export(&to(Target::Pytorch, &file), &ProgressBar::hidden()).unwrap();
    assert_eq!(exported.identities, 9);
    // Nothing is asked for: the file says it.
    let back = folder.path().join("back.safetensors");
    let conversion = quietly(&Request::new(&exported.file, &back)).unwrap();
    assert_eq!(conversion.pixels, Pixels::Bgr);
    assert_eq!(conversion.normalization, Normalization::VggfaceV2);
    let identities = WeightsFile::read(&back).unwrap().metadata().identities.clone().unwrap();
    assert_eq!(identities, NAMES);
}

#[test]
fn same_weights_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &seed_tensors());
    for target in [Target::Keras, Target::Pytorch, Target::Onnx] {
        let first = export(&to(target, &file), &ProgressBar::hidden()).unwrap();
        let second = export(&to(target, &file), &ProgressBar::hidden()).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.size_bytes, std::fs::metadata(&first.file).unwrap().len());
    }
}
