//! The whole network as ONNX, written a tensor at a time.
//!
//! Parameters keep their names, axes and bits. A protocol buffer is the sum of its fields, in
//! whatever pieces they are written, so that the weights need not be encoded in memory.
//!
//! # Source
//!
//! ONNX 1.23, `docs/Operators.md`, as of operator set 17.

use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use model::LayerKind;
use model::architecture::Activation;
use prost::Message;
use serde_json::Value as Json;

use super::network::Network;
use super::{Input, Scores, Target, Value};
use crate::Error;
use crate::onnx::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

/// Format and operators: what ONNX 1.12 and ONNX Runtime 1.12, of 2022, and later ones read.
const IR_VERSION: i64 = 8;
const OPERATOR_SET: i64 = 17;

/// The most bytes that a protocol buffer may have.
const MAX_BYTES: usize = i32::MAX as usize;

/// `TensorProto.DataType`.
const F32: i32 = 1;
const I64: i32 = 7;

/// `AttributeProto.AttributeType`.
const INT: i32 = 2;
const INTS: i32 = 7;

/// Keys of the fields that are written in pieces: `ModelProto.graph`, `GraphProto.initializer` and
/// `TensorProto.raw_data`, all with a length before them.
const GRAPH: u8 = 7 << 3 | 2;
const INITIALIZER: u8 = 5 << 3 | 2;
const RAW_DATA: u8 = 9 << 3 | 2;

/// Floats that are turned into bytes at a time.
const CHUNK: usize = 1 << 14;

/// A file's parts in their order; the values of parameters are put between them.
pub(super) struct Model {
    before: Vec<u8>,
    nodes: Vec<u8>,
    initializers: Vec<TensorProto>,
    values: Vec<u8>,
    behind: Vec<u8>,
}

impl Model {
    /// Lays out the file.
    pub(super) fn new(network: &Network, input: Input, scores: Scores) -> Self {
        let mut graph = Graph::default();
        graph.layers(network, input, scores);
        let before = ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: Some(env!("CARGO_PKG_NAME").to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..ModelProto::default()
        };
        let nodes = GraphProto {
            node: graph.nodes,
            name: Some("vgg16".to_owned()),
            ..GraphProto::default()
        };
        let values = GraphProto {
            input: vec![value_info(network.input(Target::Onnx))],
            output: vec![value_info(network.output(Target::Onnx, scores))],
            ..GraphProto::default()
        };
        let behind = ModelProto {
            opset_import: vec![OperatorSetIdProto {
                domain: Some(String::new()),
                version: Some(OPERATOR_SET),
            }],
            metadata_props: metadata(network, input),
            ..ModelProto::default()
        };
        Self {
            before: before.encode_to_vec(),
            nodes: nodes.encode_to_vec(),
            initializers: graph.initializers,
            values: values.encode_to_vec(),
            behind: behind.encode_to_vec(),
        }
    }

    /// Refuses what would be longer than a protocol buffer can be.
    pub(super) fn check_size(&self, out: &Path) -> Result<(), Error> {
        let graph = self.graph_bytes();
        let found = self.before.len() + field_bytes(graph) + self.behind.len();
        match found {
            ..=MAX_BYTES => Ok(()),
            _ => Err(Error::OnnxTooLarge { path: out.to_owned(), found, limit: MAX_BYTES }),
        }
    }

    /// Writes the file, with the network's parameters for those initializers that have no values.
    pub(super) fn write(&self, network: &Network, file: &mut impl Write) -> io::Result<()> {
        file.write_all(&self.before)?;
        begin(file, GRAPH, self.graph_bytes())?;
        file.write_all(&self.nodes)?;
        for initializer in &self.initializers {
            begin(file, INITIALIZER, initializer_bytes(initializer))?;
            file.write_all(&initializer.encode_to_vec())?;
            if let (None, Some(name)) = (&initializer.raw_data, &initializer.name) {
                begin(file, RAW_DATA, parameter_bytes(initializer))?;
                let tensor = network.tensors[name].flatten_all().map_err(io::Error::other)?;
                let values = tensor.to_vec1::<f32>().map_err(io::Error::other)?;
                for chunk in values.chunks(CHUNK) {
                    let bytes: Vec<u8> =
                        chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
                    file.write_all(&bytes)?;
                }
            }
        }
        file.write_all(&self.values)?;
        file.write_all(&self.behind)
    }

    fn graph_bytes(&self) -> usize {
        let initializers = self.initializers.iter().map(|it| field_bytes(initializer_bytes(it)));
        self.nodes.len() + initializers.sum::<usize>() + self.values.len()
    }
}

/// An initializer's bytes, with the values that are yet to come.
fn initializer_bytes(initializer: &TensorProto) -> usize {
    let values = match initializer.raw_data {
        Some(_) => 0,
        None => field_bytes(parameter_bytes(initializer)),
    };
    initializer.encoded_len() + values
}

/// Bytes of an initializer's values in f32.
fn parameter_bytes(initializer: &TensorProto) -> usize {
    let extent = |&extent: &i64| usize::try_from(extent).expect("extents were counted");
    initializer.dims.iter().map(extent).product::<usize>() * size_of::<f32>()
}

/// Bytes of a field with its key and its length.
fn field_bytes(length: usize) -> usize {
    1 + prost::length_delimiter_len(length) + length
}

/// Writes a field's key and length.
fn begin(file: &mut impl Write, key: u8, length: usize) -> io::Result<()> {
    let mut bytes = vec![key];
    prost::encode_length_delimiter(length, &mut bytes)?;
    file.write_all(&bytes)
}

/// What the file says of itself.
fn metadata(network: &Network, input: Input) -> Vec<StringStringEntryProto> {
    let mut entries = vec![
        ("normalization", network.normalization.to_string()),
        ("input", network.pixels(input)),
        ("source", network.source.clone()),
        ("source_sha256", network.source_sha256.clone()),
    ];
    if let Some(identities) = &network.identities {
        entries.push(("identities", Json::from(identities.as_slice()).to_string()));
    }
    let entry = |(key, value): (&str, String)| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value),
    };
    entries.into_iter().map(entry).collect()
}

/// An input or output, whose batch may have any size.
fn value_info(Value { name, shape }: Value) -> ValueInfoProto {
    let batch = DimensionProto { dim_param: Some("batch".to_owned()), ..DimensionProto::default() };
    let extent = |extent| DimensionProto { dim_value: Some(extent), ..DimensionProto::default() };
    let dim = std::iter::once(batch).chain(extents(&shape).into_iter().map(extent)).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor_type = Some(TensorTypeProto { elem_type: Some(F32), shape });
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type }) }
}

/// Operations and constants, in the order in which they are computed.
#[derive(Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Graph {
    /// From the images to the scores. Every value has the name of the operation that gives it, but
    /// for the last, which has the output's.
    fn layers(&mut self, network: &Network, input: Input, scores: Scores) {
        let mut value = network.input(Target::Onnx).name.to_owned();
        if input == Input::Rgb {
            value = self.normalize(&value, network.normalization.bgr_means());
        }
        let mut is_flat = false;
        for layer in network.architecture.layers() {
            self.initializers.extend(layer.parameters().into_iter().map(|parameter| {
                let dims = extents(&parameter.shape);
                let name = Some(parameter.name);
                TensorProto { dims, data_type: Some(F32), name, ..TensorProto::default() }
            }));
            let name = layer.name;
            let inputs = |value| vec![value, format!("{name}.weight"), format!("{name}.bias")];
            match layer.kind {
                LayerKind::Convolution { .. } => {
                    let attributes = [ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
                    value = self.node("Conv", &name, inputs(value), attributes.to_vec());
                    value = self.node("Relu", &format!("{name}_relu"), vec![value], vec![]);
                }
                LayerKind::MaxPool => {
                    let attributes = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
                    value = self.node("MaxPool", &name, vec![value], attributes.to_vec());
                }
                LayerKind::Dense { activation, .. } => {
                    if !is_flat {
                        value = self.node("Flatten", "flatten", vec![value], vec![int("axis", 1)]);
                        is_flat = true;
                    }
                    value = self.node("Gemm", &name, inputs(value), vec![int("transB", 1)]);
                    if activation == Activation::Relu {
                        value = self.node("Relu", &format!("{name}_relu"), vec![value], vec![]);
                    }
                }
                LayerKind::Dropout { .. } => {}
            }
        }
        if scores == Scores::Probabilities {
            self.node("Softmax", "softmax", vec![value], vec![int("axis", -1)]);
        }
        let output = network.output(Target::Onnx, scores).name;
        let last = self.nodes.last_mut().expect("a network has layers");
        last.output = vec![output.to_owned()];
    }

    /// Plain pixels to what the weights expect: the channels reversed, their means subtracted.
    fn normalize(&mut self, images: &str, bgr_means: [f32; 3]) -> String {
        let order: Vec<u8> = [2_i64, 1, 0].into_iter().flat_map(i64::to_le_bytes).collect();
        let means: Vec<u8> = bgr_means.into_iter().flat_map(f32::to_le_bytes).collect();
        for (name, dims, data_type, bytes) in
            [("bgr_order", vec![3], I64, order), ("bgr_means", vec![1, 3, 1, 1], F32, means)]
        {
            self.initializers.push(TensorProto {
                dims,
                data_type: Some(data_type),
                name: Some(name.to_owned()),
                raw_data: Some(Bytes::from(bytes)),
                ..TensorProto::default()
            });
        }
        let inputs = vec![images.to_owned(), "bgr_order".to_owned()];
        let bgr = self.node("Gather", "bgr", inputs, vec![int("axis", 1)]);
        self.node("Sub", "normalized", vec![bgr, "bgr_means".to_owned()], vec![])
    }

    /// Adds an operation and returns the name of what it gives.
    fn node(
        &mut self,
        operator: &str,
        name: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) -> String {
        self.nodes.push(NodeProto {
            input,
            output: vec![name.to_owned()],
            name: Some(name.to_owned()),
            op_type: Some(operator.to_owned()),
            attribute,
            ..NodeProto::default()
        });
        name.to_owned()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(INT),
        ..AttributeProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        ints: values.to_vec(),
        r#type: Some(INTS),
        ..AttributeProto::default()
    }
}

/// A shape as ONNX writes it.
fn extents(shape: &[usize]) -> Vec<i64> {
    let extent = |&extent: &usize| i64::try_from(extent).expect("no extent is as large");
    shape.iter().map(extent).collect()
}

#[cfg(test)]
mod tests;
