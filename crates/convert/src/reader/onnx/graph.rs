//! The layers of a graph: a chain of convolutions and dense layers, each of which takes what the
//! one before it gives. A graph that computes anything else is refused.

use std::collections::{HashMap, HashSet};

use super::attributes::{check_convolution, check_pooling, gemm_axes, integers};
use super::{SourceArray, SourceLayer, printable};
use crate::axes::{Axes, DenseAxes, Flattening};
use crate::onnx::{GraphProto, NodeProto, TensorProto};

/// Operations that may stand between two layers.
const BETWEEN_LAYERS: [&str; 12] = [
    "Add",
    "Relu",
    "MaxPool",
    "AveragePool",
    "Flatten",
    "Reshape",
    "Transpose",
    "Dropout",
    "Identity",
    "Cast",
    "Squeeze",
    "Unsqueeze",
];

/// What else may stand in a network behind what is done to its input: the layers, their arrays, and
/// work on shapes or scores.
const ELSEWHERE: [&str; 10] = [
    "Conv",
    "Gemm",
    "MatMul",
    "Softmax",
    "LogSoftmax",
    "Constant",
    "Shape",
    "Gather",
    "Slice",
    "Concat",
];

/// Those that only move the input about, in whole.
const MOVES: [&str; 9] = [
    "Constant",
    "Identity",
    "Cast",
    "Shape",
    "Transpose",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
];

/// How many nodes may lie between an array and the layer that uses it.
const MAX_ALIASES: usize = 16;

/// The longest part of a name that is printed.
const PRINTED_CHARACTERS: usize = 80;

/// A graph's nodes, and the arrays they may use.
pub(super) struct Graph<'a> {
    nodes: &'a [NodeProto],
    arrays: HashMap<&'a str, &'a TensorProto>,
    /// The place of the node that gives a value.
    givers: HashMap<&'a str, usize>,
    /// The places of nodes that work on the input of the first convolution.
    preparation: HashSet<usize>,
}

/// A layer and the node that computes it.
struct Layer {
    node: usize,
    weight: SourceArray,
    bias: Option<SourceArray>,
    /// The axes of a dense weight; a convolution has none.
    dense: Option<DenseAxes>,
}

impl<'a> Graph<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Self {
        let constants = graph.node.iter().filter(|node| node.op_type() == "Constant");
        let constants = constants.filter_map(|node| {
            let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
            Some((node.output.first()?.as_str(), tensor))
        });
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name(), tensor));
        let givers = graph.node.iter().enumerate().flat_map(|(place, node)| {
            let outputs = node.output.iter().filter(|output| !output.is_empty());
            outputs.map(move |output| (output.as_str(), place))
        });
        let mut graph = Self {
            nodes: &graph.node,
            arrays: constants.chain(initializers).collect(),
            givers: givers.collect(),
            preparation: HashSet::new(),
        };
        let first = graph.nodes.iter().find(|node| node.op_type() == "Conv");
        if let Some(images) = first.and_then(|node| node.input.first()) {
            graph.preparation = graph.givers_of(images);
        }
        graph
    }

    /// Convolutions and dense layers, in their order.
    pub(super) fn layers(&self) -> Result<Vec<SourceLayer>, String> {
        let is_known =
            |operation: &str| BETWEEN_LAYERS.contains(&operation) || ELSEWHERE.contains(&operation);
        let others = self.behind_preparation().find(|(_, node)| !is_known(node.op_type()));
        if let Some((_, node)) = others {
            return Err(format!("{} is no part of VGG16", named(node)));
        }
        let mut biases = HashSet::new();
        let mut layers = Vec::new();
        let mut convolutions = 0;
        for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| is_layer(node)) {
            let layer = self.layer(place, &mut biases)?;
            if node.op_type() == "Conv" {
                check_convolution(node, &layer.weight.shape, convolutions)
                    .map_err(|reason| format!("{} {reason}", named(node)))?;
                convolutions += 1;
            }
            layers.push(layer);
        }
        for (place, node) in self.behind_preparation() {
            if node.op_type() == "Add" && !biases.contains(&place) {
                return Err(format!("{} adds what is no layer's bias", named(node)));
            }
            check_pooling(node).map_err(|reason| format!("{} {reason}", named(node)))?;
        }
        let flattening = self.flattening(&layers)?;
        Ok(layers.into_iter().map(|layer| self.listed(layer, flattening)).collect())
    }

    /// The first node that does more to the input than to move it about.
    pub(super) fn changes_input(&self) -> Option<&NodeProto> {
        let nodes = self.nodes.iter().enumerate();
        let mut before = nodes.filter(|(place, _)| self.preparation.contains(place));
        before.find(|(_, node)| !MOVES.contains(&node.op_type())).map(|(_, node)| node)
    }

    /// Nodes other than those that work on the input.
    fn behind_preparation(&self) -> impl Iterator<Item = (usize, &'a NodeProto)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(place, _)| !self.preparation.contains(place))
    }

    /// All nodes that a value depends on.
    fn givers_of(&self, value: &str) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut open: Vec<usize> = self.givers.get(value).copied().into_iter().collect();
        while let Some(place) = open.pop() {
            if found.insert(place) {
                let inputs = self.nodes[place].input.iter();
                open.extend(inputs.filter_map(|input| self.givers.get(input.as_str())));
            }
        }
        found
    }

    /// The weight and bias of a node; the place of an `Add` that gives the bias is noted.
    fn layer(&self, place: usize, biases: &mut HashSet<usize>) -> Result<Layer, String> {
        let node = &self.nodes[place];
        let mut dense = match node.op_type() {
            "Gemm" => Some(gemm_axes(node).map_err(|reason| format!("{} {reason}", named(node)))?),
            "MatMul" => Some(DenseAxes::InOut),
            _ => None,
        };
        let input = |place: usize| node.input.get(place).filter(|name| !name.is_empty());
        let found = input(1).and_then(|name| self.array(name));
        let Some((weight, is_turned)) = found else {
            return Err(format!(
                "the weight of {} is not stored as an array of floats, but computed",
                named(node)
            ));
        };
        dense = match (dense, is_turned) {
            (Some(DenseAxes::InOut), true) => Some(DenseAxes::OutIn),
            (Some(DenseAxes::OutIn), true) => Some(DenseAxes::InOut),
            (None, true) => return Err(format!("the kernel of {} is transposed", named(node))),
            (dense, false) => dense,
        };
        let bias = match (node.op_type(), input(2)) {
            ("MatMul", _) | (_, None) => {
                let added = node.output.first().and_then(|output| self.added_to(output));
                added.map(|(add, bias)| {
                    biases.insert(add);
                    bias
                })
            }
            (_, Some(name)) => match self.array(name) {
                Some((bias, false)) => Some(bias),
                _ => return Err(format!("the bias of {} is computed", named(node))),
            },
        };
        Ok(Layer { node: place, weight, bias, dense })
    }

    /// An array by the name under which nodes use it, and whether they use it transposed.
    fn array(&self, name: &str) -> Option<(SourceArray, bool)> {
        let (mut name, mut is_turned) = (name, false);
        for _ in 0..MAX_ALIASES {
            if let Some(tensor) = self.arrays.get(name) {
                let shape = tensor.dims.iter().map(|&extent| usize::try_from(extent).ok());
                let shape = shape.collect::<Option<Vec<_>>>()?;
                let fits = !is_turned || shape.len() == 2;
                return fits.then(|| (SourceArray { name: name.to_owned(), shape }, is_turned));
            }
            let node = &self.nodes[*self.givers.get(name)?];
            match node.op_type() {
                "Identity" => {}
                "Transpose" if matches!(integers(node, "perm"), None | Some([1, 0])) => {
                    is_turned = !is_turned;
                }
                _ => return None,
            }
            name = node.input.first()?;
        }
        None
    }

    /// The array that is added to a value, and the place of the node that adds it.
    fn added_to(&self, value: &str) -> Option<(usize, SourceArray)> {
        let adds = self.nodes.iter().enumerate().filter(|(_, node)| node.op_type() == "Add");
        let mut adds = adds.filter(|(_, node)| node.input.iter().any(|input| input == value));
        let (place, add) = adds.next()?;
        let (array, is_turned) = add.input.iter().find_map(|input| self.array(input))?;
        (!is_turned).then_some((place, array))
    }

    /// The order in which the network flattens, if each layer takes what the one before it gives.
    fn flattening(&self, layers: &[Layer]) -> Result<Flattening, String> {
        let mut flattening = Flattening::ChannelRowColumn;
        for pair in layers.windows(2) {
            let [before, layer] = pair else { continue };
            let (giver, between) = self.way_back(layer.node)?;
            let node = &self.nodes[layer.node];
            if giver != Some(before.node) {
                return Err(format!(
                    "{} does not take what {} gives",
                    named(node),
                    named(&self.nodes[before.node])
                ));
            }
            let turned = turned(&between).ok_or_else(|| {
                format!("{} takes what was transposed in another way", named(node))
            })?;
            match (turned, before.dense, layer.dense) {
                ([0, 1, 2, 3], _, _) => {}
                ([0, 2, 3, 1], None, Some(_)) => flattening = Flattening::RowColumnChannel,
                _ => {
                    let node = named(node);
                    return Err(format!("{node} takes what was transposed in another way"));
                }
            }
        }
        Ok(flattening)
    }

    /// The layer that gives what another takes, and the nodes between them in their order.
    fn way_back(&self, layer: usize) -> Result<(Option<usize>, Vec<&'a NodeProto>), String> {
        let mut between = Vec::new();
        let mut node = &self.nodes[layer];
        for _ in self.nodes {
            let mut inputs = node.input.iter();
            let input = match node.op_type() {
                "Add" => inputs.find(|input| self.array(input).is_none()),
                _ => inputs.next(),
            };
            let Some(&place) = input.and_then(|input| self.givers.get(input.as_str())) else {
                return Ok((None, between));
            };
            node = &self.nodes[place];
            if is_layer(node) {
                between.reverse();
                return Ok((Some(place), between));
            }
            if !BETWEEN_LAYERS.contains(&node.op_type()) {
                return Err(format!("{} stands between two layers", named(node)));
            }
            between.push(node);
        }
        Err("its nodes run in a circle".to_owned())
    }

    fn listed(&self, layer: Layer, flattening: Flattening) -> SourceLayer {
        let Layer { node, weight, bias, dense } = layer;
        let dense = dense.unwrap_or(DenseAxes::OutIn);
        let axes = Axes { dense, flattening, ..Axes::CHANNELS_FIRST };
        let name = match weight.name.strip_suffix(".weight") {
            Some(layer) => layer.to_owned(),
            None => self.nodes[node].name().to_owned(),
        };
        SourceLayer::new(name, [Some(weight), bias].into_iter().flatten().collect(), axes)
    }
}

fn is_layer(node: &NodeProto) -> bool {
    matches!(node.op_type(), "Conv" | "Gemm" | "MatMul")
}

/// The order of a map's axes (image, channel, row, column) behind some nodes; none if they are
/// turned after the map was flattened, or not as a map's are.
fn turned(nodes: &[&NodeProto]) -> Option<[usize; 4]> {
    let mut order = [0, 1, 2, 3];
    let mut is_map = true;
    for node in nodes {
        match node.op_type() {
            "Transpose" => {
                let perm: [i64; 4] = integers(node, "perm")?.try_into().ok()?;
                let before = order;
                for (axis, from) in order.iter_mut().zip(perm) {
                    *axis = *before.get(usize::try_from(from).ok()?)?;
                }
                is_map.then_some(())?;
            }
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => is_map = false,
            _ => {}
        }
    }
    Some(order)
}

/// A node's operation and name, fit for a message.
fn named(node: &NodeProto) -> String {
    let short = |text: &str| -> String { text.chars().take(PRINTED_CHARACTERS).collect() };
    format!("`{}` (`{}`)", printable(&short(node.op_type())), printable(&short(node.name())))
}
