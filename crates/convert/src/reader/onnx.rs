//! ONNX models, whoever has exported them: weights as initializers or constants, dense layers as
//! `Gemm` or as `MatMul` and `Add`, maps flattened channels first or, as from Keras, last.
//!
//! # Source
//!
//! ONNX 1.23, `docs/Operators.md`: `Conv`, `Gemm`, `MatMul`, `Transpose`.

mod attributes;
mod graph;
mod limits;

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use self::graph::Graph;
use super::{Contents, Reader, SourceArray, SourceLayer, SourceMetadata, guarded, printable};
use crate::axes::Flattening;
use crate::element::{ByteOrder, Element};
use crate::onnx::{ModelProto, TensorProto};
use crate::source::Source;
use crate::{Error, Normalization, Pixels};

/// How many nodes a graph may have; VGG16's have fewer than a hundred.
const MAX_NODES: usize = 1 << 14;

/// Numbers in another file, `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// An ONNX file.
struct OnnxReader {
    tensors: HashMap<String, TensorProto>,
}

/// Lists the layers of a file, in the order of its nodes.
pub(super) fn open(source: &Source) -> Result<Contents, Error> {
    let bytes = Bytes::from(source.all()?);
    limits::check(&bytes).map_err(|reason| source.damaged(reason))?;
    let model = guarded(source, || {
        ModelProto::decode(bytes).map_err(|error| source.damaged(printable(&error.to_string())))
    })?;
    let graph = model.graph.unwrap_or_default();
    if MAX_NODES < graph.node.len() {
        return Err(source.damaged("it has too many nodes"));
    }
    let nodes = Graph::of(&graph);
    let unconvertible = |reason| Error::Unconvertible { path: source.path.clone(), reason };
    let layers = nodes.layers().map_err(unconvertible)?;
    // PyTorch's names are never those of what was made with Keras.
    let is_keras = layers.iter().any(|it| it.axes.flattening == Flattening::RowColumnChannel)
        && layers.iter().all(|it| it.arrays.iter().all(|it| !it.name.ends_with(".weight")));
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
    if let (None, Some(node)) = (metadata.pixels, nodes.changes_input()) {
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
            let reason = format!(
                "the numbers of `{}` lie in another file, which is not read; save the model with \
                 its weights in it",
                array.name
            );
            return Err(Error::Unconvertible { path: source.path.clone(), reason });
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
