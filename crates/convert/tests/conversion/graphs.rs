//! Networks that are VGG16 but for one operation or setting are refused by it, and VGG16 that is
//! written in another way converts.

use std::fs;

use convert::{Conversion, Error, Naming, Pixels, Request};

use crate::golden::{VGGFACE, convert, converts_as, golden, request};

/// Converts a golden file with a stretch of bytes replaced wherever it stands.
#[track_caller]
fn edited(name: &str, from: &[u8], to: &[u8]) -> Result<Conversion, Error> {
    assert_eq!(from.len(), to.len(), "lengths in the file are kept");
    let mut bytes = fs::read(golden(name)).unwrap();
    let is_from = |(_, window): &(usize, &[u8])| *window == from;
    let places = bytes.windows(from.len()).enumerate().filter(is_from);
    let places: Vec<usize> = places.map(|(place, _)| place).collect();
    assert!(!places.is_empty(), "{name} has no such bytes");
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    attempt(&bytes)
}

/// Converts these bytes.
fn attempt(bytes: &[u8]) -> Result<Conversion, Error> {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("edited"), folder.path().join("out.safetensors"));
    fs::write(&file, bytes).unwrap();
    convert(&Request { pixels: Some(Pixels::Bgr), ..request(&file, &out) })
}

/// Refuses such a file with a reason that names what stands in the way.
#[track_caller]
fn refuses(name: &str, from: &[u8], to: &[u8], reason: &str) {
    is_refused(edited(name, from, to), reason);
}

#[track_caller]
fn is_refused(result: Result<Conversion, Error>, reason: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Unconvertible { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn batch_normalization_in_a_graph_is_refused_by_its_name() {
    for (name, reason) in [
        ("onnx_batchnorm.onnx", "`BatchNormalization` (`bn1_1`) is no part of VGG16"),
        ("torch7_batchnorm.t7", "`nn.SpatialBatchNormalization`, which is no layer of VGG16"),
    ] {
        is_refused(attempt(&fs::read(golden(name)).unwrap()), reason);
    }
}

#[test]
fn other_modules_of_torch7_with_weights_are_refused() {
    refuses("torch7_nn.t7", b"nn.Linear", b"nn.Cosine", "a module in it is `nn.Cosine`");
}

#[test]
fn weights_under_other_names_convert() {
    let conversion = converts_as("onnx_aliases.onnx", VGGFACE, |request| {
        request.pixels = Some(Pixels::Bgr);
    });
    assert_eq!(conversion.naming, Naming::Torchvision);
    assert_eq!(conversion.converted[28].source_name, "classifier.3.weight");
}

#[test]
fn names_of_pytorch_are_no_sign_of_keras() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let conversion = convert(&request(&golden("onnx_aliases.onnx"), &out)).unwrap();
    assert_eq!(conversion.pixels, Pixels::Torchvision);
}

#[test]
fn computed_weights_are_refused() {
    let perm = |to: &'static [u8; 4]| [&b"perm"[..], to].concat();
    let (from, to) = (perm(b"\x40\x01\x40\x00"), perm(b"\x40\x00\x40\x01"));
    refuses(
        "onnx_aliases.onnx",
        &from,
        &to,
        "the weight of `Gemm` (`/classifier/classifier.6/Gemm`)",
    );
}

#[test]
fn weights_in_another_file_are_asked_for_inside() {
    let error = attempt(&fs::read(golden("onnx_external.onnx")).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Unconvertible { .. }), "{error}");
    let text = error.to_string();
    assert!(text.ends_with("save the model with its weights in it"), "{text}");
}

#[test]
fn other_activations_are_refused() {
    refuses("onnx_dag.onnx", b"\x22\x04Relu", b"\x22\x04Tanh", "`Tanh` (`/Relu`) is no part");
}

#[test]
fn other_convolutions_are_refused() {
    let two = b"\x40\x01\x40\x01";
    for (setting, from, to, reason) in [
        ("dilations", &two[..], &b"\x40\x02\x40\x02"[..], "has dilations"),
        ("strides", two, b"\x40\x01\x40\x02", "has strides"),
        ("group", b"\x18\x01", b"\x18\x02", "works on groups of channels"),
        ("pads", two, b"\x40\x00\x40\x00", "pads its input in another way"),
    ] {
        let setting = setting.as_bytes();
        let (from, to) = ([setting, from].concat(), [setting, to].concat());
        refuses("onnx_dag.onnx", &from, &to, &format!("`Conv` (`/conv1_1/Conv`) {reason}"));
    }
}

#[test]
fn other_poolings_are_refused() {
    let kernel = |to: &'static [u8; 4]| [&b"kernel_shape"[..], to].concat();
    for (from, to, reason) in [
        (b"\x40\x01\x40\x01", b"\x40\x02\x40\x02", "averages over several places"),
        (b"\x40\x02\x40\x02", b"\x40\x03\x40\x03", "does not pool squares of two places"),
    ] {
        refuses("onnx_torchvision.onnx", &kernel(from), &kernel(to), reason);
    }
}

#[test]
fn maps_that_are_turned_in_another_way_are_refused() {
    let perm = |to: &'static [u8; 8]| [&b"perm"[..], to].concat();
    let from = perm(b"\x40\x00\x40\x02\x40\x03\x40\x01");
    let to = perm(b"\x40\x00\x40\x03\x40\x02\x40\x01");
    refuses("onnx_tf2onnx.onnx", &from, &to, "takes what was transposed in another way");
}

#[test]
fn layers_that_do_not_follow_each_other_are_refused() {
    // The second convolution takes the images and not what the first gives.
    let from = b"\x0a\x0e/Relu_output_0\x0a";
    let to = b"\x0a\x0eno_output_at_a\x0a";
    let reason = "`Conv` (`/conv1_2/Conv`) does not take what `Conv` (`/conv1_1/Conv`) gives";
    refuses("onnx_dag.onnx", from, to, reason);
}

#[test]
fn transposed_inner_products_convert() {
    for name in ["caffe_transposed.caffemodel", "caffe_v1_transposed.caffemodel"] {
        assert_eq!(converts_as(name, VGGFACE, |_| ()).naming, Naming::Vggface, "{name}");
    }
}

#[test]
fn convolutions_of_other_settings_are_refused_in_both_versions_of_caffe() {
    // `pad` 1 is turned into other settings, which are as long: group, stride.
    for name in ["caffe_v1.caffemodel", "caffe_v2.caffemodel"] {
        for (to, reason) in [
            (b"\x28\x02\x20\x03", "`conv1_1` works on groups of channels"),
            (b"\x30\x02\x20\x03", "`conv1_1` has strides"),
        ] {
            refuses(name, b"\x18\x01\x20\x03", to, reason);
        }
    }
}
