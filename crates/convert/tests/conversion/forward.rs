//! Converted weights compute what the tool computes that they come from.

use candle_core::{Device, Tensor, safetensors};
use model::{Classifier, Cut, Head, Mode, Vgg16};
use preprocess::{Normalization, normalize};

use crate::golden::{converted, expected, golden};

/// Both sum the same products in f32, at most 54 at a time, in another order.
const RELATIVE: f32 = 1e-5;

/// Holds two tensors together, relative to the largest expected value.
#[track_caller]
fn close(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims());
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(0.0 < largest);
    let (index, difference) = found
        .iter()
        .zip(&expected)
        .map(|(found, expected)| (found - expected).abs())
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .unwrap();
    assert!(difference <= RELATIVE * largest, "{difference} at {index}, of {largest}");
}

/// The network in a golden file, once it is converted.
fn network(name: &str) -> Vgg16 {
    let (_, file) = converted(name, |_| ());
    let architecture = file.architecture().unwrap();
    assert_eq!(architecture.side_px, 64);
    let classifier = Classifier::new(Head::Vggface, 9);
    assert_eq!(architecture.classifier, Some(classifier));
    Vgg16::new(architecture, file.tensors().clone(), &Device::Cpu).unwrap()
}

#[test]
fn pool5_and_logits_are_those_of_keras() {
    let network = network("keras2.h5");
    let expected = expected();
    let pool5 = network.architecture().cut_after("pool5").unwrap();
    let features = network.forward(Cut::IMAGES, pool5, &expected["images"], Mode::Eval).unwrap();
    close(&features, &expected["pool5"]);
    let logits = network.logits(Cut::IMAGES, &expected["images"], Mode::Eval).unwrap();
    close(&logits, &expected["logits"]);
}

#[test]
fn torchvisions_networks_see_the_same_in_these_pixels() {
    let network = network("pytorch_torchvision.pth");
    let outputs = golden("pytorch_torchvision_outputs.safetensors");
    let outputs = safetensors::load(outputs, &Device::Cpu).unwrap();
    let rgb = outputs["pixels"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut pixels = vec![0.0; rgb.len()];
    normalize(Normalization::Torchvision, &rgb, &mut pixels);
    let images = Tensor::from_vec(pixels, (1, 3, 64, 64), &Device::Cpu).unwrap();
    let logits = network.logits(Cut::IMAGES, &images, Mode::Eval).unwrap();
    close(&logits, &outputs["logits"]);
}
