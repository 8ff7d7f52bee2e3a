//! The layouts of Keras 1, 2 and 3 give the same tensors, to the bit.

use convert::{Conversion, KerasBackend, Naming, Normalization};

use crate::golden::{TRANSFER, VGGFACE, converts_as, expected};

/// Converts a golden file and holds every tensor against the expected ones.
#[track_caller]
fn converts(name: &str, parameters: usize) -> Conversion {
    converts_as(name, parameters, |_| ())
}

#[test]
fn keras_3_weights_convert() {
    assert_eq!(converts("keras3.weights.h5", VGGFACE).naming, Naming::Vggface);
}

#[test]
fn keras_3_weights_without_layer_names_convert_by_order() {
    let conversion = converts("keras3_unnamed.weights.h5", VGGFACE);
    assert_eq!(conversion.naming, Naming::Order);
    assert_eq!(conversion.normalization, Normalization::VggfaceV1);
}

#[test]
fn keras_3_models_convert() {
    assert_eq!(converts("keras3_model.h5", VGGFACE).naming, Naming::Vggface);
}

#[test]
fn models_inside_models_convert() {
    for name in ["keras3_transfer.weights.h5", "keras3_transfer_model.h5"] {
        let conversion = converts(name, TRANSFER);
        assert_eq!(conversion.naming, Naming::Keras);
        assert_eq!(conversion.normalization, Normalization::Imagenet);
    }
}

#[test]
fn dense_layers_stored_as_convolutions_convert() {
    assert_eq!(converts("keras3_fc_as_convolution.h5", VGGFACE).naming, Naming::Order);
}

#[test]
fn keras_2_weights_convert() {
    let conversion = converts("keras2.h5", VGGFACE);
    assert_eq!(conversion.naming, Naming::Vggface);
    assert_eq!(conversion.normalization, Normalization::VggfaceV1);
    assert_eq!(conversion.converted[0].source_name, "/conv1_1/conv1_1/kernel:0");
}

#[test]
fn keras_2_models_with_split_lists_of_names_convert() {
    let conversion = converts("keras2_model.h5", VGGFACE);
    assert_eq!(conversion.converted[0].source_name, "/model_weights/conv1_1/conv1_1/kernel:0");
}

#[test]
fn compressed_arrays_and_variable_strings_convert() {
    assert_eq!(converts("keras2_block_gzip.h5", VGGFACE).naming, Naming::Keras);
}

#[test]
fn keras_1_weights_convert() {
    assert_eq!(converts("keras1.h5", VGGFACE).naming, Naming::Order);
}

#[test]
fn report_describes_the_stored_values() {
    let conversion = converts("keras2.h5", VGGFACE);
    let expected = expected();
    for line in &conversion.converted {
        let values = expected[&line.name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let count = values.len() as f64;
        let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
        // The order of summation differs; 1e-12 is far above its effect on some hundred values.
        assert!((line.mean - mean).abs() < 1e-12, "{}: {} {mean}", line.name, line.mean);
    }
    let text = conversion.to_string();
    assert!(text.contains("/fc6/fc6/kernel:0"), "{text}");
    assert!(text.contains(&conversion.sha256) && text.contains(&conversion.source_sha256));
}

#[test]
fn keras_3_archives_convert() {
    assert_eq!(converts("keras3.keras", VGGFACE).naming, Naming::Vggface);
}

#[test]
fn mirrored_kernels_of_theano_are_turned() {
    for name in ["keras1_theano.h5", "keras1_theano_tf_backend.h5", "keras2_theano.h5"] {
        converts(name, VGGFACE);
    }
}

#[test]
fn files_that_do_not_name_their_backend_need_to_be_told() {
    for name in ["keras0_theano.h5", "keras1_theano_bare.h5"] {
        converts_as(name, VGGFACE, |it| it.keras_backend = Some(KerasBackend::Theano));
    }
}

#[test]
fn channels_first_models_convert_by_how_they_flatten() {
    for name in ["keras2_channels_first_model.h5", "keras2_channels_first_flatten_model.h5"] {
        converts(name, VGGFACE);
    }
}
