//! Where a file says what its network computes, that must be what VGG16 computes.

use convert::Error;

use crate::golden::{VGGFACE, convert, converts_as, golden, request};

#[track_caller]
fn refused(name: &str, part: &str) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let error = convert(&request(&golden(name), &out)).unwrap_err();
    assert!(matches!(error, Error::Unconvertible { .. }), "{error}");
    assert!(error.to_string().contains(part), "{error}");
    assert!(!out.exists());
}

#[test]
fn layers_that_vgg16_has_not_are_refused_by_their_names() {
    refused("onnx_batchnorm.onnx", "`bn` (BatchNormalization)");
    refused("onnx_quantized.onnx", "`q` (QuantizeLinear)");
    refused("onnx_dilated.onnx", "`/conv5_1/Conv` has strides, dilations");
    refused("torch7_batchnorm.t7", "`nn.SpatialBatchNormalization`");
}

#[test]
fn transposed_dense_weights_are_turned() {
    // fc7 is square: shapes alone would not show it.
    converts_as("onnx_transposed.onnx", VGGFACE, |_| ());
    converts_as("caffe_transposed.caffemodel", VGGFACE, |_| ());
}

#[test]
fn branches_beside_the_dense_layers_change_nothing() {
    converts_as("onnx_side.onnx", VGGFACE, |_| ());
}
