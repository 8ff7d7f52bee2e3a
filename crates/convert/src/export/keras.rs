//! Weights as Keras 2 saved them in HDF5, which Keras 3 reads as well.
//!
//! | where | what |
//! | --- | --- |
//! | attributes of `/` | `layer_names`, `backend`, `keras_version` |
//! | attribute of `/conv1_1` | `weight_names`: `conv1_1/kernel:0`, `conv1_1/bias:0` |
//! | `/conv1_1/conv1_1/kernel:0` | (row, column, in, out) |
//! | `/fc6/fc6/kernel:0` | (in, out), in over pool5 in (row, column, channel) order |
//!
//! Layers without weights are left out: Keras counts only those with weights where it loads in the
//! layers' order, and looks names up where it loads by name. Beside them stand, for whoever uses
//! the weights, the attributes `normalization`, `input`, `source` and `source_sha256` and the
//! dataset `identities`, which Keras passes over.
//!
//! # Source
//!
//! Keras 2.2.4, `engine/saving.py`; Keras 3.15.1, `src/legacy/saving/legacy_h5_format.py`.

use std::io::{self, Write};
use std::path::Path;

use hdf5_pure::{AttrValue, FileBuilder, LibVer, make_f32_type};
use model::{Layer, LayerKind};

use super::network::Network;
use super::{Input, Target};
use crate::axes::{Axes, Kernel, Order};

/// The version whose layout this is.
const KERAS_VERSION: &str = "2.2.4";

/// Whether Keras, which goes by the name, takes such a file for one of this form.
pub(super) fn is_read_under(out: &Path) -> bool {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".h5") && !name.ends_with(".weights.h5")
}

/// Writes the file; each tensor is given up once it has been reordered.
pub(super) fn write(mut network: Network, file: &mut impl Write) -> io::Result<()> {
    let ascii = |text: &str| AttrValue::AsciiString(text.to_owned());
    let mut builder = FileBuilder::new();
    // HDF5 1.8 of 2008: Keras 2's time knew no later form.
    builder.with_libver_bounds(LibVer::V18, LibVer::V18);
    builder.set_attr("backend", ascii("tensorflow"));
    builder.set_attr("keras_version", ascii(KERAS_VERSION));
    builder.set_attr("normalization", ascii(&network.normalization.to_string()));
    builder.set_attr("input", ascii(&network.pixels(Input::Normalized)));
    builder.set_attr("source", AttrValue::String(network.source.clone()));
    builder.set_attr("source_sha256", ascii(&network.source_sha256));
    if let Some(identities) = network.identities.as_deref().filter(|names| !names.is_empty()) {
        let names: Vec<&str> = identities.iter().map(String::as_str).collect();
        builder.create_dataset("identities").with_strings(&names).map_err(io::Error::other)?;
    }
    let mut layer_names = Vec::new();
    let mut input_shape = network.input(Target::Onnx).shape;
    for Layer { name, kind, output_shape } in network.architecture.layers() {
        let weights = Weights::of(kind, &input_shape);
        input_shape = output_shape;
        let Some(weights) = weights else { continue };
        let mut values = |parameter: &str| {
            let name = format!("{name}.{parameter}");
            let tensor = network.tensors.remove(&name).expect("every parameter was accounted for");
            tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(io::Error::other)
        };
        let (kernel, bias) = (weights.order.placed(&values("weight")?), values("bias")?);
        let mut outer = builder.create_group(&name);
        let weight_names = ["kernel", "bias"].map(|weight| format!("{name}/{weight}:0"));
        outer.set_attr("weight_names", AttrValue::AsciiStringArray(weight_names.to_vec()));
        let mut inner = outer.create_group(&name);
        for (weight, values, shape) in
            [("kernel:0", kernel, weights.shape), ("bias:0", bias, vec![weights.units])]
        {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let shape: Vec<u64> = shape.into_iter().map(|extent| extent as u64).collect();
            inner
                .create_dataset(weight)
                .with_raw_data(make_f32_type(), bytes, values.len() as u64)
                .with_shape(&shape);
        }
        outer.add_group(inner.finish());
        builder.add_group(outer.finish());
        layer_names.push(name);
    }
    builder.set_attr("layer_names", AttrValue::AsciiStringArray(layer_names));
    builder.finish_to(file).map_err(|error| match error {
        hdf5_pure::Error::Io(source) => source,
        other => io::Error::other(other),
    })
}

/// How Keras keeps a layer's weights.
struct Weights {
    order: Order,
    shape: Vec<usize>,
    units: usize,
}

impl Weights {
    /// `None` for a layer without. The layer is given (channel, row, column), or units.
    fn of(kind: LayerKind, input_shape: &[usize]) -> Option<Self> {
        match kind {
            LayerKind::Convolution { in_channels: inputs, out_channels: outputs } => {
                let extents = Kernel { rows: 3, columns: 3, inputs, outputs };
                let shape = vec![3, 3, inputs, outputs];
                Some(Self { order: Axes::KERAS.kernel_order(extents), shape, units: outputs })
            }
            LayerKind::Dense { in_features, out_features: outputs, .. } => {
                let extents = match *input_shape {
                    [inputs, rows, columns] => Kernel { rows, columns, inputs, outputs },
                    _ => Kernel { rows: 1, columns: 1, inputs: in_features, outputs },
                };
                let shape = vec![in_features, outputs];
                Some(Self { order: Axes::KERAS.dense_order(extents), shape, units: outputs })
            }
            LayerKind::MaxPool | LayerKind::Dropout { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keras_goes_by_the_name() {
        for (name, is_read) in [
            ("weights.h5", true),
            ("runs/a.b/lfw.h5", true),
            ("lfw.weights.h5", false),
            ("lfw.hdf5", false),
            ("lfw", false),
        ] {
            assert_eq!(is_read_under(Path::new(name)), is_read, "{name}");
        }
    }
}
