//! The file decoded again, and held against the network that went in.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use model::{Architecture, Classifier, DropoutRate, Head, HeadDropout, Widths};
use preprocess::Normalization;

use super::*;

const WIDTHS: Widths = Widths { blocks: [2, 3, 4, 5, 6], fc: 7 };

/// A narrow network whose every weight is another number.
fn network(classifier: Option<Classifier>) -> Network {
    let architecture = Architecture { widths: WIDTHS, side_px: 64, classifier };
    let mut next = 0.0;
    let mut tensors = BTreeMap::new();
    for parameter in architecture.parameters() {
        let count = parameter.shape.iter().product();
        let values: Vec<f32> = std::iter::repeat_with(|| {
            next += 0.25;
            next
        })
        .take(count)
        .collect();
        let tensor = Tensor::from_vec(values, parameter.shape, &Device::Cpu).unwrap();
        tensors.insert(parameter.name, tensor);
    }
    Network {
        architecture,
        tensors,
        normalization: Normalization::VggfaceV1,
        identities: classifier.map(|it| (0..it.num_classes()).map(|it| it.to_string()).collect()),
        source: "weights.safetensors".to_owned(),
        source_sha256: "00".to_owned(),
    }
}

fn with_head(head: Head) -> Network {
    network(Some(Classifier::new(head, 9)))
}

fn decoded(network: &Network, input: Input, scores: Scores) -> ModelProto {
    let model = Model::new(network, input, scores);
    model.check_size(Path::new("weights.onnx")).unwrap();
    let mut bytes = Vec::new();
    model.write(network, &mut bytes).unwrap();
    let whole = model.before.len() + field_bytes(model.graph_bytes()) + model.behind.len();
    assert_eq!(bytes.len(), whole, "lengths are known before a byte is written");
    ModelProto::decode(Bytes::from(bytes)).unwrap()
}

fn operators(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(|node| node.op_type.as_deref().unwrap()).collect()
}

fn extents_of(value: &ValueInfoProto) -> Vec<String> {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(tensor.elem_type, Some(F32));
    let dims = &tensor.shape.as_ref().unwrap().dim;
    let extent = |dim: &DimensionProto| match (&dim.dim_param, dim.dim_value) {
        (Some(name), None) => name.clone(),
        (None, Some(extent)) => extent.to_string(),
        both => panic!("{both:?}"),
    };
    dims.iter().map(extent).collect()
}

fn ints_of<'a>(graph: &'a GraphProto, node: &str, attribute: &str) -> &'a [i64] {
    let node = graph.node.iter().find(|it| it.name.as_deref() == Some(node)).unwrap();
    let attribute = node.attribute.iter().find(|it| it.name.as_deref() == Some(attribute)).unwrap();
    assert_eq!(attribute.r#type, Some(INTS));
    &attribute.ints
}

#[test]
fn initializers_are_the_parameters_to_the_bit() {
    let network = with_head(Head::Vggface);
    let graph = decoded(&network, Input::Normalized, Scores::Logits).graph.unwrap();
    let parameters = network.architecture.parameters();
    assert_eq!(graph.initializer.len(), parameters.len());
    for (initializer, parameter) in graph.initializer.iter().zip(parameters) {
        let name = parameter.name.as_str();
        assert_eq!(initializer.name.as_deref(), Some(name));
        assert_eq!(initializer.dims, extents(&parameter.shape), "{name}");
        assert_eq!(initializer.data_type, Some(F32));
        let values = network.tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(initializer.raw_data.as_deref(), Some(&bytes[..]), "{name}");
    }
}

#[test]
fn every_value_is_given_before_it_is_taken() {
    for head in [Head::Seed, Head::Vggface, Head::Bottleneck, Head::Linear] {
        let graph = decoded(&with_head(head), Input::Rgb, Scores::Probabilities).graph.unwrap();
        let mut known: Vec<&str> = vec!["images"];
        known.extend(graph.initializer.iter().map(|it| it.name.as_deref().unwrap()));
        for node in &graph.node {
            for value in &node.input {
                assert!(known.contains(&value.as_str()), "{value} in {head:?}");
            }
            known.extend(node.output.iter().map(String::as_str));
        }
        assert_eq!(known.last(), Some(&"probabilities"));
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len(), 1 + graph.initializer.len() + graph.node.len(), "{head:?}");
    }
}

#[test]
fn operations_and_their_settings_are_those_of_vgg16() {
    let model = decoded(&with_head(Head::Seed), Input::Normalized, Scores::Logits);
    assert_eq!(model.ir_version, Some(8));
    assert_eq!(model.opset_import[0].version, Some(17));
    let graph = model.graph.unwrap();
    let mut expected = Vec::new();
    for count in [2, 2, 3, 3, 3] {
        expected.extend(["Conv", "Relu"].repeat(count));
        expected.push("MaxPool");
    }
    expected.extend(["Flatten", "Gemm", "Relu", "Gemm"]);
    assert_eq!(operators(&graph), expected);
    assert_eq!(ints_of(&graph, "conv5_3", "kernel_shape"), [3, 3]);
    assert_eq!(ints_of(&graph, "conv5_3", "pads"), [1, 1, 1, 1]);
    assert_eq!(ints_of(&graph, "pool5", "kernel_shape"), [2, 2]);
    assert_eq!(ints_of(&graph, "pool5", "strides"), [2, 2]);
    let last = graph.node.last().unwrap();
    assert_eq!(last.input, ["fc6_relu", "fc8.weight", "fc8.bias"]);
    assert_eq!((last.attribute[0].name.as_deref(), last.attribute[0].i), (Some("transB"), Some(1)));
    assert_eq!(extents_of(&graph.input[0]), ["batch", "3", "64", "64"]);
    assert_eq!(graph.output[0].name.as_deref(), Some("logits"));
    assert_eq!(extents_of(&graph.output[0]), ["batch", "9"]);
}

#[test]
fn plain_pixels_are_normalized_in_the_graph() {
    let model = decoded(&with_head(Head::Linear), Input::Rgb, Scores::Probabilities);
    let graph = model.graph.unwrap();
    let operators = operators(&graph);
    assert_eq!(operators[..3], ["Gather", "Sub", "Conv"]);
    assert_eq!(operators[operators.len() - 2..], ["Gemm", "Softmax"]);
    let order: Vec<u8> = [2_i64, 1, 0].into_iter().flat_map(i64::to_le_bytes).collect();
    assert_eq!(graph.initializer[0].raw_data.as_deref(), Some(&order[..]));
    assert_eq!(graph.initializer[0].data_type, Some(I64));
    let means: Vec<u8> =
        [93.594_f32, 104.7624, 129.1863].into_iter().flat_map(f32::to_le_bytes).collect();
    assert_eq!(graph.initializer[1].raw_data.as_deref(), Some(&means[..]));
    let entries = model.metadata_props.iter();
    let entries: BTreeMap<_, _> =
        entries.map(|it| (it.key.as_deref().unwrap(), it.value.as_deref().unwrap())).collect();
    assert_eq!(entries["input"], "RGB, 0 to 255");
    assert_eq!(entries["normalization"], "vggface-v1");
    assert_eq!(entries["source_sha256"], "00");
    assert_eq!(entries["identities"], r#"["0","1","2","3","4","5","6","7","8"]"#);
}

#[test]
fn base_gives_pool5() {
    let graph = decoded(&network(None), Input::Normalized, Scores::Logits).graph.unwrap();
    assert_eq!(operators(&graph).last(), Some(&"MaxPool"));
    assert_eq!(graph.output[0].name.as_deref(), Some("pool5"));
    assert_eq!(extents_of(&graph.output[0]), ["batch", "6", "2", "2"]);
}

#[test]
fn networks_beyond_the_format_are_refused() {
    let mut network = with_head(Head::Seed);
    // Nothing of it needs to be there: lengths follow from the architecture.
    network.tensors.clear();
    network.architecture.side_px = 224;
    network.architecture.widths = Widths { fc: 30_000, ..Widths::VGG16 };
    let model = Model::new(&network, Input::Normalized, Scores::Logits);
    match model.check_size(Path::new("weights.onnx")) {
        Err(Error::OnnxTooLarge { found, limit: MAX_BYTES, .. }) => {
            assert!(25_088 * 30_000 * 4 < found, "{found}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn dropout_leaves_no_trace() {
    let rate = HeadDropout::Rate(DropoutRate::new(0.5).unwrap());
    let plain = with_head(Head::Vggface);
    let classifier = Classifier::new(Head::Vggface, 9).with_dropout(rate).unwrap();
    let dropped = network(Some(classifier));
    assert_ne!(plain.architecture.layers(), dropped.architecture.layers());
    let of = |network| decoded(network, Input::Normalized, Scores::Logits);
    assert_eq!(of(&plain), of(&dropped));
}
