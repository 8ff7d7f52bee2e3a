//! Converted weights compute what Keras computes.

use candle_core::{Device, Tensor};
use model::{Architecture, Classifier, Cut, Head, Mode, Vgg16, WeightsFile};

use crate::golden::{convert, expected, golden, request};

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

#[test]
fn pool5_and_logits_are_those_of_keras() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    convert(&request(&golden("keras2.h5"), &out)).unwrap();
    let file = WeightsFile::read(&out).unwrap();
    let architecture = Architecture {
        widths: file.widths().unwrap(),
        side_px: 64,
        classifier: Some(Classifier { head: Head::Vggface, num_classes: 9 }),
    };
    let network = Vgg16::new(architecture, file.tensors().clone(), &Device::Cpu).unwrap();

    let expected = expected();
    let pool5 = architecture.cut_after("pool5").unwrap();
    let features = network.forward(Cut::IMAGES, pool5, &expected["images"], Mode::Eval).unwrap();
    close(&features, &expected["pool5"]);
    let logits = network.logits(Cut::IMAGES, &expected["images"], Mode::Eval).unwrap();
    close(&logits, &expected["logits"]);
}
