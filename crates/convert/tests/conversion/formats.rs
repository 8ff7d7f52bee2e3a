//! Every other format gives the same tensors, to the bit, as Keras's.

use candle_core::{DType, Tensor};
use convert::{Format, Naming, Normalization, NormalizationReason, Pixels, PixelsReason, Request};

use crate::golden::{VGGFACE, bits, converted, converts_as, expected};

/// The nine names that the files of MatConvNet have.
const IDENTITIES: usize = 9;

fn nothing(_: &mut Request) {}

fn takes_bgr(request: &mut Request) {
    request.pixels = Some(Pixels::Bgr);
}

#[test]
fn caffes_models_convert() {
    for name in ["caffe_v1.caffemodel", "caffe_v2.caffemodel", "caffe_double.caffemodel"] {
        let conversion = converts_as(name, VGGFACE, nothing);
        assert_eq!(conversion.format, Format::Caffe);
        assert_eq!(conversion.naming, Naming::Vggface);
        assert_eq!(conversion.pixels, Pixels::Bgr);
    }
}

#[test]
fn matconvnets_networks_convert_with_their_means_and_names() {
    for name in [
        "matconvnet_simple.mat",
        "matconvnet_simple_gzip.mat",
        "matconvnet_old.mat",
        "matconvnet_net.mat",
        "matconvnet_dag.mat",
        "matconvnet_octave.mat",
        "matconvnet_simple73.mat",
        "matconvnet_dag73.mat",
    ] {
        let conversion = converts_as(name, VGGFACE, nothing);
        assert_eq!(conversion.naming, Naming::Vggface, "{name}");
        assert_eq!(
            (conversion.pixels, conversion.pixels_reason),
            (Pixels::Rgb, PixelsReason::Format)
        );
        assert_eq!(conversion.normalization, Normalization::VggfaceV1);
        assert_eq!(conversion.normalization_reason, NormalizationReason::Source, "{name}");
        assert_eq!(conversion.identities, IDENTITIES, "{name}");
    }
}

#[test]
fn pytorchs_state_dicts_of_vgg_face_dag_convert() {
    for name in ["pytorch_dag.pth", "pytorch_dag_legacy.pth"] {
        let conversion = converts_as(name, VGGFACE, nothing);
        assert_eq!(conversion.naming, Naming::Vggface);
        assert_eq!(
            (conversion.pixels, conversion.pixels_reason),
            (Pixels::Rgb, PixelsReason::Naming)
        );
        assert_eq!(conversion.normalization, Normalization::VggfaceV1);
    }
}

#[test]
fn pytorchs_modules_checkpoints_and_scripts_convert() {
    for name in [
        "pytorch_torchvision.pth",
        "pytorch_module.pth",
        "pytorch_module_legacy.pth",
        "pytorch_script.pt",
        "pytorch_trace.pt",
    ] {
        let conversion = converts_as(name, VGGFACE, takes_bgr);
        assert_eq!(conversion.naming, Naming::Torchvision, "{name}");
        assert_eq!(conversion.left_out, Vec::<String>::new());
    }
    for name in ["pytorch_prefixed.pth", "pytorch_prefixed_legacy.pth"] {
        let conversion = converts_as(name, VGGFACE, takes_bgr);
        assert_eq!(conversion.left_out, ["epoch", "arch", "optimizer"], "{name}");
        assert_eq!(conversion.converted[0].source_name, "module.features.0.weight");
    }
}

#[test]
fn views_into_one_storage_convert() {
    converts_as("pytorch_shared.pth", VGGFACE, takes_bgr);
}

#[test]
fn other_floats_are_converted_to_f32() {
    converts_as("pytorch_double.pth", VGGFACE, takes_bgr);
    for (name, dtype) in [
        ("pytorch_half.pth", DType::F16),
        ("pytorch_bfloat16.pth", DType::BF16),
        ("safetensors_half.safetensors", DType::F16),
    ] {
        let (_, file) = converted(name, takes_bgr);
        let rounded = |it: &Tensor| it.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
        assert_eq!(file.tensors().len(), VGGFACE);
        for (name, tensor) in file.tensors() {
            assert_eq!(bits(tensor), bits(&rounded(&expected()[name])), "{name}");
        }
    }
}

#[test]
fn torchvisions_pixels_become_these() {
    let (conversion, file) = converted("pytorch_torchvision.pth", nothing);
    assert_eq!(conversion.pixels, Pixels::Torchvision);
    assert_eq!(conversion.normalization, Normalization::Torchvision);
    assert_eq!(conversion.normalization_reason, NormalizationReason::Pixels);
    let kernel = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (ours, theirs) =
        (kernel(&file.tensors()["conv1_1.weight"]), kernel(&expected()["conv1_1.weight"]));
    for output in 0..2 {
        for (channel, deviation) in [0.225, 0.224, 0.229].into_iter().enumerate() {
            for place in 0..9 {
                let found = ours[(output * 3 + channel) * 9 + place];
                let standardised = theirs[(output * 3 + 2 - channel) * 9 + place];
                let expected = f64::from(standardised) / (255.0 * deviation);
                // Rounded to f32 once.
                assert!((f64::from(found) - expected).abs() <= 6e-8 * expected.abs());
            }
        }
    }
}

#[test]
fn torch7s_networks_convert() {
    for name in ["torch7_nn.t7", "torch7_cudnn.t7", "torch7_ascii.t7"] {
        let conversion = converts_as(name, VGGFACE, nothing);
        assert_eq!(conversion.format, Format::Torch7);
        assert_eq!(conversion.naming, Naming::Order);
        assert_eq!(
            (conversion.pixels, conversion.pixels_reason),
            (Pixels::Bgr, PixelsReason::Format)
        );
    }
}

#[test]
fn onnx_models_convert_whoever_exported_them() {
    for name in ["onnx_torchvision.onnx", "onnx_dynamo.onnx", "onnx_constant.onnx"] {
        assert_eq!(converts_as(name, VGGFACE, takes_bgr).naming, Naming::Torchvision, "{name}");
    }
    assert_eq!(converts_as("onnx_dag.onnx", VGGFACE, nothing).pixels, Pixels::Rgb);
    assert_eq!(converts_as("onnx_fc_conv.onnx", VGGFACE, takes_bgr).naming, Naming::Vggface);
    let conversion = converts_as("onnx_tf2onnx.onnx", VGGFACE, nothing);
    assert_eq!((conversion.naming, conversion.pixels), (Naming::Order, Pixels::Bgr));
}

#[test]
fn safetensors_of_others_convert() {
    let conversion = converts_as("safetensors_torchvision.safetensors", VGGFACE, takes_bgr);
    assert_eq!(conversion.naming, Naming::Torchvision);
    let conversion = converts_as("safetensors_prefixed.safetensors", VGGFACE, takes_bgr);
    assert_eq!(conversion.naming, Naming::Vggface);
    assert_eq!(conversion.converted[0].source_name, "model.conv1_1.weight");
}
