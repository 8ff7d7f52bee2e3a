//! Settings of operations, as far as VGG16 allows them.

use model::architecture::CONVOLUTIONS_PER_BLOCK;

use crate::axes::DenseAxes;
use crate::onnx::{AttributeProto, NodeProto};

/// The axes of a `Gemm`'s weight, if it is a plain dense layer.
pub(super) fn gemm_axes(node: &NodeProto) -> Result<DenseAxes, &'static str> {
    let integer = |name| attribute(node, name).map_or(0, AttributeProto::i);
    let factor = |name| attribute(node, name).map_or(1.0, AttributeProto::f);
    #[expect(clippy::float_cmp, reason = "one is exact, and anything else another layer")]
    let is_plain = integer("transA") == 0 && factor("alpha") == 1.0 && factor("beta") == 1.0;
    match (is_plain, integer("transB")) {
        (true, 0) => Ok(DenseAxes::InOut),
        (true, _) => Ok(DenseAxes::OutIn),
        (false, _) => Err("scales or transposes what no dense layer does"),
    }
}

/// Refuses a convolution that is not VGG16's: the backbone's keep the size of their maps, and
/// dense layers that are stored as convolutions are not padded.
pub(super) fn check_convolution(
    node: &NodeProto,
    shape: &[usize],
    place: usize,
) -> Result<(), &'static str> {
    let all = |name, value| integers(node, name).is_none_or(|it| it.iter().all(|&it| it == value));
    if !all("strides", 1) {
        return Err("has strides");
    }
    if !all("dilations", 1) {
        return Err("has dilations");
    }
    if attribute(node, "group").is_some_and(|group| group.i() != 1) {
        return Err("works on groups of channels");
    }
    let auto_pad = attribute(node, "auto_pad").and_then(|it| it.s.as_deref()).unwrap_or_default();
    let keeps_size = matches!(auto_pad, b"SAME_UPPER" | b"SAME_LOWER");
    let (is_3x3, is_1x1) = (shape.ends_with(&[3, 3]), shape.ends_with(&[1, 1]));
    let is_backbone = place < CONVOLUTIONS_PER_BLOCK.iter().sum();
    let fits = match (is_backbone, auto_pad) {
        // Its kernel is refused later.
        (true, _) if !is_3x3 => true,
        (true, b"" | b"NOTSET") => integers(node, "pads") == Some(&[1; 4]),
        (true, _) => keeps_size,
        (false, b"" | b"NOTSET") => all("pads", 0),
        (false, _) => auto_pad == b"VALID" || keeps_size && is_1x1,
    };
    if fits { Ok(()) } else { Err("pads its input in another way than VGG16") }
}

/// Refuses a pooling that is not VGG16's; averages over single places change nothing.
pub(super) fn check_pooling(node: &NodeProto) -> Result<(), &'static str> {
    let is = |name, values: &[i64]| integers(node, name) == Some(values);
    match node.op_type() {
        "MaxPool" if !is("kernel_shape", &[2, 2]) || !is("strides", &[2, 2]) => {
            Err("does not pool squares of two places")
        }
        "AveragePool" if !is("kernel_shape", &[1, 1]) => Err("averages over several places"),
        "AveragePool" if integers(node, "strides").is_some_and(|it| it != [1, 1]) => {
            Err("leaves out places")
        }
        _ => Ok(()),
    }
}

/// A list of integers among a node's settings.
pub(super) fn integers<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|attribute| attribute.ints.as_slice())
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}
