//! ONNX models, whoever has exported them: weights as initializers or constants, dense layers as
//! `Gemm` or as `MatMul` and `Add`, maps flattened channels first or, as from Keras, last.
//!
//! # Source
//!
//! ONNX 1.23, `docs/Operators.md`: `Conv`, `Gemm`, `MatMul`, `Transpose`.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use super::{Contents, Reader, SourceArray, SourceLayer, SourceMetadata, guarded, printable};
use crate::axes::{Axes, DenseAxes, Flattening};
use crate::element::{ByteOrder, Element};
use crate::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::protobuf::{Field, Fields};
use crate::source::Source;
use crate::{Error, Normalization, Pixels};

/// How many fields a model may have, but for its numbers: each takes far more memory than bytes.
const MAX_FIELDS: usize = 1 << 20;

/// How many nodes a graph may have; VGG16's have fewer than a hundred.
const MAX_NODES: usize = 1 << 14;

/// How deep fields are counted: model, graph, node, attribute.
const COUNTED_DEPTH: usize = 4;

/// Numbers in another file, `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// An ONNX file.
struct OnnxReader {
    tensors: HashMap<String, TensorProto>,
}

/// Lists the layers of a file, in the order of its nodes.
pub(super) fn open(source: &Source) -> Result<Contents, Error> {
    let bytes = Bytes::from(source.all()?);
    let mut count = 0;
    count_fields(bytes.clone(), COUNTED_DEPTH, &mut count)
        .map_err(|reason| source.damaged(reason))?;
    let model = guarded(source, || {
        ModelProto::decode(bytes).map_err(|error| source.damaged(printable(&error.to_string())))
    })?;
    let graph = model.graph.unwrap_or_default();
    if MAX_NODES < graph.node.len() {
        return Err(source.damaged("it has too many nodes"));
    }
    let nodes = Nodes::of(&graph);
    let layers = nodes.layers().map_err(|reason| source.damaged(reason))?;
    let is_channels_last = nodes.flattening() == Flattening::RowColumnChannel;
    let property = |key: &str| {
        let entry = model.metadata_props.iter().find(|it| it.key.as_deref() == Some(key))?;
        entry.value.as_deref()
    };
    let normalization = property("normalization").and_then(|name| name.parse().ok());
    let normalization: Option<Normalization> = normalization;
    // Channels come last in what Keras has made, which takes BGR; and in this project's own
    // exports the convolutions take what they take here, whatever the graph does before.
    let is_bgr = is_channels_last || normalization.is_some();
    let metadata = SourceMetadata {
        normalization,
        identities: property("identities").and_then(|json| serde_json::from_str(json).ok()),
        pixels: is_bgr.then_some(Pixels::Bgr),
        states_flattening: true,
        ..SourceMetadata::default()
    };
    if let (None, Some(node)) = (metadata.pixels, nodes.before_convolutions()) {
        tracing::warn!(
            "the model works on its input ({}) before its first convolution; that is not \
             converted, so set --pixels and --normalization accordingly",
            printable(node.op_type())
        );
    }
    let constants = graph.node.into_iter().filter(|node| node.op_type() == "Constant");
    let mut tensors: HashMap<String, TensorProto> = constants
        .filter_map(|node| {
            let tensor = node.attribute.into_iter().find_map(|attribute| attribute.t)?;
            Some((node.output.into_iter().next()?, tensor))
        })
        .collect();
    tensors.extend(graph.initializer.into_iter().map(|it| (it.name().to_owned(), it)));
    let reader = Box::new(OnnxReader { tensors });
    Ok(Contents { layers, metadata, reader })
}

impl Reader for OnnxReader {
    fn values(&self, source: &Source, array: &SourceArray) -> Result<Vec<f32>, Error> {
        let tensor = self.tensors.get(&array.name).expect("arrays are listed from these tensors");
        if tensor.data_location == Some(EXTERNAL) || !tensor.external_data.is_empty() {
            return Err(source.damaged(format!(
                "the numbers of `{}` lie in another file, which is not read: save the model with \
                 its weights in it",
                array.name
            )));
        }
        let element = match tensor.data_type() {
            1 => Element::F32,
            10 => Element::F16,
            11 => Element::F64,
            16 => Element::Bf16,
            other => {
                return Err(Error::ElementType {
                    path: source.path.clone(),
                    name: array.name.clone(),
                    found: format!("elements of ONNX's type {other}"),
                });
            }
        };
        if let Some(raw) = &tensor.raw_data {
            return Ok(element.to_f32(raw, ByteOrder::LittleEndian));
        }
        if element == Element::F64 {
            let bytes: Vec<u8> =
                tensor.double_data.iter().flat_map(|it| it.to_le_bytes()).collect();
            return Ok(element.to_f32(&bytes, ByteOrder::LittleEndian));
        }
        Ok(tensor.float_data.clone())
    }
}

/// Counts the fields of a message and of those in it.
fn count_fields(message: Bytes, depth: usize, count: &mut usize) -> Result<(), &'static str> {
    for field in Fields::of(message) {
        *count += 1;
        if MAX_FIELDS < *count {
            return Err("it has too many fields");
        }
        if let ((_, Field::Bytes(inner)), 1..) = (field?, depth) {
            // What is text or numbers need not be a message.
            let before = *count;
            if count_fields(inner, depth - 1, count).is_err() && MAX_FIELDS < *count {
                return Err("it has too many fields");
            }
            *count = (*count).max(before);
        }
    }
    Ok(())
}

/// A graph's nodes, and the arrays they may use.
struct Nodes<'a> {
    nodes: &'a [NodeProto],
    arrays: HashMap<&'a str, &'a TensorProto>,
}

impl<'a> Nodes<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let constants = graph.node.iter().filter(|node| node.op_type() == "Constant");
        let constants = constants.filter_map(|node| {
            let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
            Some((node.output.first()?.as_str(), tensor))
        });
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name(), tensor));
        Self { nodes: &graph.node, arrays: constants.chain(initializers).collect() }
    }

    /// Convolutions and dense layers, in the order of their nodes.
    fn layers(&self) -> Result<Vec<SourceLayer>, &'static str> {
        let flattening = self.flattening();
        let mut layers = Vec::new();
        for node in self.nodes {
            let dense = match node.op_type() {
                "Conv" => None,
                "Gemm" => Some(gemm_axes(node)?),
                "MatMul" => Some(DenseAxes::InOut),
                _ => continue,
            };
            let Some(weight) = node.input.get(1).and_then(|name| self.array(name)) else {
                continue;
            };
            let bias = match node.input.get(2).and_then(|name| self.array(name)) {
                None => node.output.first().and_then(|output| self.added_to(output)),
                bias => bias,
            };
            let dense = dense.unwrap_or(DenseAxes::OutIn);
            let axes = Axes { dense, flattening, ..Axes::CHANNELS_FIRST };
            let name = match weight.name.strip_suffix(".weight") {
                Some(layer) => layer,
                None => node.name(),
            };
            let arrays = [Some(weight.clone()), bias].into_iter().flatten().collect();
            layers.push(SourceLayer::new(name, arrays, axes));
        }
        Ok(layers)
    }

    /// An array by the name under which nodes use it.
    fn array(&self, name: &str) -> Option<SourceArray> {
        let tensor = self.arrays.get(name)?;
        let shape = tensor.dims.iter().map(|&extent| usize::try_from(extent).ok());
        Some(SourceArray { name: name.to_owned(), shape: shape.collect::<Option<_>>()? })
    }

    /// The array that is added to a value and to nothing else.
    fn added_to(&self, value: &str) -> Option<SourceArray> {
        let adds = self.nodes.iter().filter(|node| node.op_type() == "Add");
        let mut adds = adds.filter(|node| node.input.iter().any(|input| input == value));
        let add = adds.next()?;
        add.input.iter().find_map(|input| self.array(input))
    }

    /// The order in which the network flattens: channels last if it turns maps round behind the
    /// last convolution.
    fn flattening(&self) -> Flattening {
        let last = self.nodes.iter().rposition(|node| node.op_type() == "Conv").unwrap_or(0);
        let mut behind = self.nodes.iter().skip(last);
        let turns = behind.any(|node| {
            let perm = attribute(node, "perm").map(|it| it.ints.as_slice());
            node.op_type() == "Transpose" && perm == Some(&[0, 2, 3, 1])
        });
        if turns { Flattening::RowColumnChannel } else { Flattening::ChannelRowColumn }
    }

    /// The first node before the convolutions that does more than move its input about.
    fn before_convolutions(&self) -> Option<&NodeProto> {
        let first = self.nodes.iter().take_while(|node| node.op_type() != "Conv");
        let arithmetic = ["Sub", "Add", "Mul", "Div", "Gather", "Slice", "Concat", "Split"];
        first.into_iter().find(|node| arithmetic.contains(&node.op_type()))
    }
}

/// The axes of a `Gemm`'s weight, if it is a plain dense layer.
fn gemm_axes(node: &NodeProto) -> Result<DenseAxes, &'static str> {
    let integer = |name| attribute(node, name).map_or(0, AttributeProto::i);
    let factor = |name| attribute(node, name).map_or(1.0, AttributeProto::f);
    #[expect(clippy::float_cmp, reason = "one is exact, and anything else another layer")]
    let is_plain = integer("transA") == 0 && factor("alpha") == 1.0 && factor("beta") == 1.0;
    match (is_plain, integer("transB")) {
        (true, 0) => Ok(DenseAxes::InOut),
        (true, _) => Ok(DenseAxes::OutIn),
        (false, _) => Err("a `Gemm` in it scales or transposes what no dense layer does"),
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}
