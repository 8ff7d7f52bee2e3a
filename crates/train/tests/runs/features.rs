//! The command `features`: what the file holds is what the network gives.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor};
use model::{Architecture, Classifier, Cut, Head, Mode, Vgg16, WeightsFile};
use preprocess::{Normalization, Prepared, View, read_batch};
use safetensors::{Dtype, SafeTensors};
use train::{
    Error,
    device::DeviceChoice,
    features::{Config, FeatureDtype, export},
    training::{self, Interrupt, run},
};

use crate::support::{Bench, TWO_STAGES, narrow, steps};

/// The weights that a fold of a trained run has left.
fn trained_weights(bench: &Bench) -> PathBuf {
    let config = bench.config(&narrow("linear", TWO_STAGES), "run");
    run(&config, &Interrupt::default()).unwrap();
    bench.path("run").join("fold-01/weights.safetensors")
}

#[test]
fn exported_features_are_the_networks_output_in_the_manifests_order() {
    let bench = Bench::new(3, 4);
    let weights = trained_weights(&bench);
    let file = WeightsFile::read(&weights).unwrap();
    let architecture = Architecture {
        widths: file.widths().unwrap(),
        side_px: 48,
        classifier: Some(Classifier::new(Head::Linear, 3)),
    };
    let network = Vgg16::new(architecture, file.tensors().clone(), &Device::Cpu).unwrap();
    let prepared = Prepared::open(&bench.path("data")).unwrap();
    let indices: Vec<usize> = (0..prepared.len()).collect();
    let images = read_batch(&prepared, &indices, Normalization::VggfaceV1, View::Plain).unwrap();
    let images = Tensor::from_vec(images, (indices.len(), 3, 48, 48), &Device::Cpu).unwrap();

    for layer in ["conv3_2", "pool5", "fc8"] {
        let out = bench.path(&format!("{layer}.safetensors"));
        let config = Config {
            data: bench.path("data"),
            weights: weights.clone(),
            layer: layer.to_owned(),
            out: out.clone(),
            dtype: FeatureDtype::F32,
            device: DeviceChoice::Cpu,
        };
        export(&config, &Interrupt::default()).unwrap();
        let cut = architecture.cut_after(layer).unwrap();
        let expected = network.forward(Cut::IMAGES, cut, &images, Mode::Eval).unwrap();

        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let features = tensors.tensor("features").unwrap();
        assert_eq!(features.shape(), expected.dims(), "{layer}");
        let (found, _) = features.data().as_chunks::<4>();
        let found: Vec<u32> = found.iter().map(|value| u32::from_le_bytes(*value)).collect();
        let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected: Vec<u32> = expected.into_iter().map(f32::to_bits).collect();
        assert_eq!(found, expected, "{layer}");

        let (labels, _) = tensors.tensor("labels").unwrap().data().as_chunks::<4>();
        let labels: Vec<u32> = labels.iter().map(|label| u32::from_le_bytes(*label)).collect();
        assert_eq!(labels, prepared.labels());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let words = header.metadata().as_ref().unwrap();
        assert_eq!(words["layer"], layer);
        assert_eq!(words["weights_sha256"], file.sha256());
        assert_eq!(words["data_sha256"], prepared.sha256());
    }
}

#[test]
fn features_in_half_precision_are_those_in_single_rounded() {
    let bench = Bench::new(3, 4);
    let weights = trained_weights(&bench);
    let features = |dtype: FeatureDtype| {
        let out = bench.path(&format!("{dtype}.safetensors"));
        let config = Config {
            data: bench.path("data"),
            weights: weights.clone(),
            layer: "pool4".to_owned(),
            out: out.clone(),
            dtype,
            device: DeviceChoice::Cpu,
        };
        let file = export(&config, &Interrupt::default()).unwrap();
        let read = file.read(&(0..file.len()).collect::<Vec<_>>()).unwrap();
        let bytes = fs::read(&out).unwrap();
        let in_file = SafeTensors::deserialize(&bytes).unwrap().tensor("features").unwrap().dtype();
        (read, in_file)
    };
    let (whole, in_file) = features(FeatureDtype::F32);
    assert_eq!(in_file, Dtype::F32);
    let (half, in_file) = features(FeatureDtype::F16);
    assert_eq!(in_file, Dtype::F16);
    let rounded: Vec<f32> =
        whole.iter().map(|&value| half::f16::from_f32(value).to_f32()).collect();
    assert_eq!(half, rounded);
    assert_ne!(half, whole);
}

#[test]
fn features_replace_features_alone_and_make_their_folder() {
    let bench = Bench::new(3, 4);
    let weights = trained_weights(&bench);
    let export_to = |out: &Path| {
        let config = Config {
            data: bench.path("data"),
            weights: weights.clone(),
            layer: "pool5".to_owned(),
            out: out.to_owned(),
            dtype: FeatureDtype::F32,
            device: DeviceChoice::Cpu,
        };
        export(&config, &Interrupt::default())
    };
    let new = bench.path("new/folder/pool5.safetensors");
    export_to(&new).unwrap();
    export_to(&new).unwrap();
    for taken in [
        weights.clone(),
        bench.path("data/pixels-00000.safetensors"),
        bench.path("data"),
        bench.path("data/new/folder/file"),
    ] {
        let before = fs::read(&taken).ok();
        let refused = export_to(&taken);
        assert!(matches!(refused, Err(Error::Output { .. })), "{refused:?}");
        assert_eq!(fs::read(&taken).ok(), before);
        assert!(!bench.path("data/new").exists());
    }
}

#[test]
fn features_of_two_layers_in_one_pass_are_those_of_two_passes() {
    let bench = Bench::new(3, 4);
    let config = bench.config(&narrow("linear", TWO_STAGES), "one-pass");
    let kept = || -> BTreeMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(bench.path("data-features")).unwrap();
        let paths = files.map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    run(&config, &Interrupt::default()).unwrap();
    let expected = kept();
    assert_eq!(expected.len(), 2);
    for path in expected.keys() {
        fs::remove_file(path).unwrap();
        let again = bench
            .config(&narrow("linear", TWO_STAGES), &path.file_name().unwrap().to_string_lossy());
        run(&again, &Interrupt::default()).unwrap();
        assert!(kept() == expected, "{}", path.display());
    }
}

#[test]
fn features_in_half_precision_take_half_the_space_and_are_kept_apart() {
    let bench = Bench::new(3, 4);
    let losses = |config: &training::Config| {
        run(config, &Interrupt::default()).unwrap();
        steps(&config.out).iter().map(|step| step.loss).collect::<Vec<f32>>()
    };
    let whole = losses(&bench.config(&narrow("linear", TWO_STAGES), "whole"));
    let folder = bench.path("data-features");
    let sizes = || -> Vec<u64> {
        fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect()
    };
    let of_whole: u64 = sizes().iter().sum();
    let mut config = bench.config(&narrow("linear", TWO_STAGES), "half");
    config.recipe.features_dtype = FeatureDtype::F16;
    let half = losses(&config);
    assert_eq!(sizes().len(), 4, "two layers in two types");
    let of_half = sizes().iter().sum::<u64>() - of_whole;
    assert!(of_half < of_whole * 3 / 4, "{of_half} bytes of {of_whole}, with headers and labels");
    assert_ne!(half, whole);
    for (half, whole) in half.iter().zip(&whole) {
        // A feature is off by 2^-11 of itself at most, and what a loss sums of them partly cancels.
        assert!((half - whole).abs() <= 0.5_f32.powi(11) * whole, "{half}, {whole}");
    }
}
