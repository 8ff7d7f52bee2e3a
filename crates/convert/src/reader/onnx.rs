//! ONNX models, whoever has exported them: weights as initializers or constants, dense layers as
//! `Gemm` or as `MatMul` and `Add`, maps flattened channels first or, as from Keras, last.
//!
//! # Source
//!
//! ONNX 1.23, `docs/Operators.md`: `Conv`, `Gemm`, `MatMul`, `Transpose`.

mod graph;

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use self::graph::Graph;
use super::{Contents, Reader, SourceArray, SourceMetadata, guarded, printable};
use crate::axes::Flattening;
use crate::element::{ByteOrder, Element};
use crate::onnx::{ModelProto, TensorProto};
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
    let unconvertible = |reason: String| Error::Unconvertible {
        path: source.path.clone(),
        reason: printable(&reason),
    };
    let nodes = Graph::of(&graph);
    let flattening = nodes.flattening().map_err(unconvertible)?;
    let layers = nodes.layers(flattening).map_err(unconvertible)?;
    let named_by_pytorch =
        graph.initializer.iter().any(|tensor| tensor.name().strip_suffix(".weight").is_some());
    let is_keras = flattening == Flattening::RowColumnChannel && !named_by_pytorch;
    let property = |key: &str| {
        let entry = model.metadata_props.iter().find(|it| it.key.as_deref() == Some(key))?;
        entry.value.as_deref()
    };
    let normalization = property("normalization").and_then(|name| name.parse().ok());
    let normalization: Option<Normalization> = normalization;
    // Channels come last in what Keras has made, which takes BGR; and in this project's own
    // exports the convolutions take what they take here, whatever the graph does before.
    let is_bgr = is_keras || normalization.is_some();
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
            return Err(Error::Unconvertible {
                path: source.path.clone(),
                reason: format!(
                    "the numbers of `{}` lie in another file, which is not read; save the model \
                     with its weights in it",
                    array.name
                ),
            });
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
