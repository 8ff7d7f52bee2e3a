//! A graph's convolutions and dense layers, and whether anything in it is no part of VGG16.

use std::collections::HashMap;

use crate::axes::{Axes, DenseAxes, Flattening};
use crate::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::reader::{SourceArray, SourceLayer};

/// What may stand behind the first convolution besides convolutions and dense layers: what VGG16
/// has, and what exporters put around it to flatten maps.
const OPERATORS: [&str; 19] = [
    "Add",
    "Relu",
    "MaxPool",
    "AveragePool",
    "Flatten",
    "Reshape",
    "Transpose",
    "Dropout",
    "Softmax",
    "LogSoftmax",
    "Constant",
    "Identity",
    "Cast",
    "Shape",
    "Gather",
    "Slice",
    "Concat",
    "Squeeze",
    "Unsqueeze",
];

/// How far a value is followed back through the graph.
const MAX_STEPS: usize = 64;

/// How many axes an array may have.
const MAX_AXES: usize = 8;

/// A graph's nodes, and the arrays they may use.
pub(super) struct Graph<'a> {
    nodes: &'a [NodeProto],
    arrays: HashMap<&'a str, &'a TensorProto>,
    /// Which node gives a value.
    producers: HashMap<&'a str, &'a NodeProto>,
}

impl<'a> Graph<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Self {
        let constants = graph.node.iter().filter(|node| node.op_type() == "Constant");
        let constants = constants.filter_map(|node| {
            let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
            Some((node.output.first()?.as_str(), tensor))
        });
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name(), tensor));
        let outputs = |node: &'a NodeProto| node.output.iter().map(move |it| (it.as_str(), node));
        Self {
            nodes: &graph.node,
            arrays: constants.chain(initializers).collect(),
            producers: graph.node.iter().flat_map(outputs).collect(),
        }
    }

    /// Convolutions and dense layers, in the order of their nodes; or what is no part of VGG16.
    pub(super) fn layers(&self, flattening: Flattening) -> Result<Vec<SourceLayer>, String> {
        let mut layers = Vec::new();
        for node in self.nodes {
            let mut dense = match node.op_type() {
                "Conv" => DenseAxes::OutIn,
                "Gemm" => gemm_axes(node)?,
                "MatMul" => DenseAxes::InOut,
                operator => {
                    if !layers.is_empty() && !is_known(node) {
                        return Err(format!(
                            "it has `{}` ({operator}), which is no part of VGG16",
                            node.name()
                        ));
                    }
                    continue;
                }
            };
            let weight = node.input.get(1).map(String::as_str).unwrap_or_default();
            let (weight, is_transposed) = self.resolved(weight).ok_or_else(|| {
                format!("the weights of `{}` ({}) are computed", node.name(), node.op_type())
            })?;
            if is_transposed {
                dense = match dense {
                    DenseAxes::InOut => DenseAxes::OutIn,
                    DenseAxes::OutIn => DenseAxes::InOut,
                };
            }
            if node.op_type() == "Conv" && (is_transposed || !is_plain(node, &weight.shape)) {
                return Err(format!(
                    "the convolution `{}` has strides, dilations, groups or padding that VGG16 has \
                     not",
                    node.name()
                ));
            }
            let bias = match node.input.get(2).filter(|it| !it.is_empty()) {
                Some(bias) => Some(self.resolved(bias).ok_or_else(|| {
                    format!("the biases of `{}` ({}) are computed", node.name(), node.op_type())
                })?),
                None => node.output.first().and_then(|output| self.added_to(output)),
            };
            let axes = Axes { dense, flattening, ..Axes::CHANNELS_FIRST };
            let name = weight.name.strip_suffix(".weight").unwrap_or(node.name()).to_owned();
            let bias = bias.map(|(bias, _)| bias);
            let arrays = [Some(weight), bias].into_iter().flatten().collect();
            layers.push(SourceLayer { name, arrays, axes });
        }
        Ok(layers)
    }

    /// The order in which the network flattens: channels last if it turns maps round between the
    /// last convolution and the first dense layer.
    pub(super) fn flattening(&self) -> Result<Flattening, String> {
        let mut flattening = Flattening::ChannelRowColumn;
        let dense = self.nodes.iter().find(|node| matches!(node.op_type(), "Gemm" | "MatMul"));
        let mut value = dense.and_then(|node| node.input.first());
        for _ in 0..MAX_STEPS {
            let Some(node) = value.and_then(|it| self.producers.get(it.as_str())) else { break };
            match node.op_type() {
                "Conv" => break,
                "Transpose" => {
                    let turns = attribute(node, "perm").map(|it| it.ints.as_slice());
                    if turns != Some(&[0, 2, 3, 1]) || flattening == Flattening::RowColumnChannel {
                        return Err(format!(
                            "`{}` moves the axes of pool5 as no known network does before its \
                             dense layers",
                            node.name()
                        ));
                    }
                    flattening = Flattening::RowColumnChannel;
                }
                _ => {}
            }
            value = node.input.first();
        }
        Ok(flattening)
    }

    /// The first node before the convolutions that does more than move its input about.
    pub(super) fn before_convolutions(&self) -> Option<&NodeProto> {
        let mut first = self.nodes.iter().take_while(|node| node.op_type() != "Conv");
        first.find(|node| !matches!(node.op_type(), "Constant" | "Identity" | "Cast" | "Transpose"))
    }

    /// An array by the name under which nodes use it, and whether it is transposed on the way.
    fn resolved(&self, name: &str) -> Option<(SourceArray, bool)> {
        let mut name = name;
        let mut is_transposed = false;
        for _ in 0..MAX_STEPS {
            if let Some(tensor) = self.arrays.get(name) {
                let shape = tensor.dims.iter().take(MAX_AXES + 1);
                let shape = shape.map(|&extent| usize::try_from(extent).ok());
                let shape: Vec<usize> = shape.collect::<Option<_>>()?;
                let fits = shape.len() <= MAX_AXES && (!is_transposed || shape.len() == 2);
                return fits
                    .then_some((SourceArray { name: name.to_owned(), shape }, is_transposed));
            }
            let node = self.producers.get(name)?;
            match node.op_type() {
                "Identity" => {}
                "Transpose" => {
                    let perm = attribute(node, "perm").map(|it| it.ints.as_slice());
                    if !matches!(perm, None | Some([1, 0])) {
                        return None;
                    }
                    is_transposed = !is_transposed;
                }
                _ => return None,
            }
            name = node.input.first()?;
        }
        None
    }

    /// The array that is added to a value.
    fn added_to(&self, value: &str) -> Option<(SourceArray, bool)> {
        let mut adds = self.nodes.iter().filter(|node| node.op_type() == "Add");
        let add = adds.find(|node| node.input.iter().any(|input| input == value))?;
        add.input.iter().find_map(|input| self.resolved(input))
    }
}

/// Whether a node is one that VGG16 may have.
fn is_known(node: &NodeProto) -> bool {
    let ints = |name| attribute(node, name).map_or(&[][..], |it| it.ints.as_slice());
    match node.op_type() {
        "MaxPool" => ints("kernel_shape") == [2, 2] && ints("strides") == [2, 2],
        // What an adaptive pooling to the size that is there becomes.
        "AveragePool" => ints("kernel_shape") == [1, 1],
        operator => OPERATORS.contains(&operator),
    }
}

/// Whether a convolution moves one pixel at a time over an image that keeps its size, or is a dense
/// layer in disguise, over all of an image without any padding.
fn is_plain(node: &NodeProto, weight: &[usize]) -> bool {
    let all = |name, value| {
        attribute(node, name).is_none_or(|it| it.ints.iter().all(|&found| found == value))
    };
    let pads = attribute(node, "pads").map_or(&[][..], |it| it.ints.as_slice());
    let keeps_size = match attribute(node, "auto_pad").and_then(|it| it.s.as_deref()) {
        Some(b"SAME_UPPER" | b"SAME_LOWER") => true,
        _ => pads == [1, 1, 1, 1],
    };
    let has_no_padding = pads.iter().all(|&pad| pad == 0);
    let padding_fits = if weight.ends_with(&[3, 3]) { keeps_size } else { has_no_padding };
    let group = attribute(node, "group").map_or(1, AttributeProto::i);
    all("strides", 1) && all("dilations", 1) && group == 1 && padding_fits
}

/// The axes of a `Gemm`'s weight, if it is a plain dense layer.
fn gemm_axes(node: &NodeProto) -> Result<DenseAxes, String> {
    let integer = |name| attribute(node, name).map_or(0, AttributeProto::i);
    let factor = |name| attribute(node, name).map_or(1.0, AttributeProto::f);
    #[expect(clippy::float_cmp, reason = "one is exact, and anything else another layer")]
    let is_plain = integer("transA") == 0 && factor("alpha") == 1.0 && factor("beta") == 1.0;
    match (is_plain, integer("transB")) {
        (true, 0) => Ok(DenseAxes::InOut),
        (true, _) => Ok(DenseAxes::OutIn),
        (false, _) => {
            Err(format!("`{}` scales or transposes what no dense layer does", node.name()))
        }
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}
