//! VGG16 found in a list of named layers, by their names or else by their order and shapes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use model::architecture::CONVOLUTIONS_PER_BLOCK;

use crate::Error;
use crate::axes::{Axes, Kernel, Order};
use crate::reader::{SourceArray, SourceLayer};

/// What the layers of the backbone were recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// VGGFace's names: `conv1_1` .. `conv5_3`.
    Vggface,
    /// The names in Keras's own VGG16: `block1_conv1` .. `block5_conv3`.
    Keras,
    /// torchvision's places in a list: `features.0` .. `features.28`.
    Torchvision,
    /// Their order and shapes alone.
    Order,
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vggface => "VGGFace's layer names",
            Self::Keras => "Keras's layer names",
            Self::Torchvision => "torchvision's layer names",
            Self::Order => "the order and shapes of its layers",
        })
    }
}

/// A parameter of VGG16 and the array that holds it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    /// `conv1_1.weight`, ..
    pub(crate) name: String,
    /// Its shape in this project's axes.
    pub(crate) shape: Vec<usize>,
    /// Where it stands in the source.
    pub(crate) array: &'a SourceArray,
    /// How its values have to be moved.
    pub(crate) order: Order,
}

/// A VGG16 in a source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Network<'a> {
    /// What the backbone was recognised by.
    pub(crate) naming: Naming,
    /// Weight and bias of each convolution.
    pub(crate) backbone: Vec<Parameter<'a>>,
    /// Weight and bias of each dense layer.
    pub(crate) head: Vec<Parameter<'a>>,
}

/// Finds VGG16, of any widths, with no, one, two or three dense layers behind it.
///
/// # Errors
///
/// [`Error::NotVgg16`] if anything is missing, left over, or of a shape that does not fit.
pub(crate) fn recognize<'a>(path: &Path, layers: &'a [SourceLayer]) -> Result<Network<'a>, Error> {
    let misfit = |misfit| Error::NotVgg16 { path: path.to_owned(), misfit, found: summary(layers) };
    let weighted = layers
        .iter()
        .filter(|layer| !layer.arrays.is_empty())
        .map(Weighted::new)
        .collect::<Result<Vec<_>, _>>()
        .map_err(misfit)?;
    vgg16(&weighted).map_err(misfit)
}

/// A layer with parameters, known to have two.
#[derive(Clone, Copy)]
struct Weighted<'a> {
    name: &'a str,
    weight: &'a SourceArray,
    bias: &'a SourceArray,
    axes: Axes,
}

impl<'a> Weighted<'a> {
    fn new(layer: &'a SourceLayer) -> Result<Self, String> {
        match layer.arrays.as_slice() {
            [weight, bias]
                if matches!(weight.shape.len(), 2 | 4)
                    && bias.shape.len() == 1
                    && !weight.shape.contains(&0) =>
            {
                Ok(Self { name: &layer.name, weight, bias, axes: layer.axes })
            }
            [weight] if matches!(weight.shape.len(), 2 | 4) => {
                Err(format!("`{}` has no bias", layer.name))
            }
            arrays => {
                let shapes: Vec<_> = arrays.iter().map(|array| &array.shape).collect();
                Err(format!(
                    "`{}` has arrays of shapes {shapes:?}, where a weight and a bias belong",
                    layer.name
                ))
            }
        }
    }

    fn is_kernel(&self) -> bool {
        self.weight.shape.len() == 4
    }
}

/// The network behind the layers, or the first thing that does not fit.
fn vgg16<'a>(layers: &[Weighted<'a>]) -> Result<Network<'a>, String> {
    let (backbone, head) = split(layers);
    let all_of = |naming| {
        backbone.iter().all(|layer| known(layer.name).is_some_and(|(found, _)| found == naming))
    };
    let namings = [Naming::Keras, Naming::Vggface, Naming::Torchvision];
    let naming = namings.into_iter().find(|&naming| all_of(naming));
    let (backbone, channels) = backbone_parameters(&backbone)?;
    let head = head_parameters(&head, channels)?;
    Ok(Network { naming: naming.unwrap_or(Naming::Order), backbone, head })
}

/// Parts the layers of the backbone from those of the head.
fn split<'a>(layers: &[Weighted<'a>]) -> (Vec<Weighted<'a>>, Vec<Weighted<'a>>) {
    // Where no layer is dense, the head may be convolutions over all of pool5, as in deepface.
    let all_kernels = layers.iter().all(Weighted::is_kernel);
    let backbone_layers: usize = CONVOLUTIONS_PER_BLOCK.iter().sum();
    let (mut backbone, mut head) = (Vec::new(), Vec::new());
    for layer in layers {
        let is_head = match known(layer.name) {
            Some((_, name)) => name.starts_with("fc"),
            None => !layer.is_kernel() || all_kernels && backbone_layers <= backbone.len(),
        };
        if is_head { head.push(*layer) } else { backbone.push(*layer) }
    }
    (backbone, head)
}

/// Places of the convolutions in torchvision's list of layers, between `ReLU`s and poolings.
///
/// # Source
///
/// torchvision 0.29.2, `models/vgg.py`, configuration `D`. Its dense layers, `classifier.0`, `.3` and
/// `.6`, are told by their order: heads that people put in their place use other numbers.
const TORCHVISION_PLACES: [usize; 13] = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];

/// VGGFace's name for a layer that carries it, or that of its like in Keras's own VGG16 or in
/// torchvision's, whatever stands in front of it. Keras's `fc1`, `fc2` and `predictions` are told by
/// their order: with another head, `fc2` may be the last.
fn known(layer: &str) -> Option<(Naming, String)> {
    let (rest, last) = layer.rsplit_once(['.', '/']).unwrap_or(("", layer));
    if matches!(last, "fc6" | "fc7" | "fc8") {
        return Some((Naming::Vggface, last.to_owned()));
    }
    // PyTorch's example for ImageNet puts `features` alone into a `DataParallel`.
    let rest = rest.strip_suffix(".module").unwrap_or(rest);
    if rest.rsplit(['.', '/']).next() == Some("features") {
        let place = TORCHVISION_PLACES.iter().position(|place| place.to_string() == last)?;
        return convolution_names().nth(place).map(|name| (Naming::Torchvision, name));
    }
    let (naming, name) = match last.strip_prefix("block") {
        Some(rest) => (Naming::Keras, format!("conv{}", rest.replacen("_conv", "_", 1))),
        None => (Naming::Vggface, last.to_owned()),
    };
    convolution_names().any(|convolution| convolution == name).then_some((naming, name))
}

/// `conv1_1` .. `conv5_3`.
fn convolution_names() -> impl Iterator<Item = String> {
    (1..).zip(CONVOLUTIONS_PER_BLOCK).flat_map(|(block, count): (usize, _)| {
        (1..=count).map(move |convolution| format!("conv{block}_{convolution}"))
    })
}

/// Gives each layer its name in the network: its own where all are known, else by `order`.
///
/// The names sort in the order of the network.
fn assign<'a>(
    layers: &[Weighted<'a>],
    order: &[String],
) -> Result<BTreeMap<String, Weighted<'a>>, String> {
    let all_known = layers.iter().all(|layer| known(layer.name).is_some());
    let mut assigned = BTreeMap::new();
    for (place, layer) in layers.iter().enumerate() {
        let name = match (known(layer.name), order.get(place)) {
            (Some((_, name)), _) if all_known => name,
            (None, Some(expected)) => expected.clone(),
            (Some((_, name)), Some(expected)) if name == *expected => name,
            (_, Some(expected)) => {
                return Err(format!("`{}` stands where `{expected}` belongs", layer.name));
            }
            (_, None) => return Err(format!("`{}` is one too many", layer.name)),
        };
        if assigned.insert(name, *layer).is_some() {
            return Err(format!("`{}` stands there twice", layer.name));
        }
    }
    Ok(assigned)
}

/// Weights and biases of the convolutions, and the channels they end in.
fn backbone_parameters<'a>(layers: &[Weighted<'a>]) -> Result<(Vec<Parameter<'a>>, usize), String> {
    let names: Vec<String> = convolution_names().collect();
    let assigned = assign(layers, &names)?;
    let mut parameters = Vec::new();
    let mut channels = 3;
    for name in names {
        let Some(layer) = assigned.get(&name) else {
            return Err(format!("`{name}` is missing"));
        };
        let Some(kernel) = layer.axes.kernel(&layer.weight.shape) else {
            return Err(format!("`{}` is no convolution", layer.name));
        };
        let is_first = name.ends_with("_1");
        if (kernel.rows, kernel.columns, kernel.inputs) != (3, 3, channels)
            || !is_first && kernel.outputs != channels
        {
            let outputs = if is_first { "any number".to_owned() } else { channels.to_string() };
            return Err(format!(
                "`{}` is {}x{} from {} to {} channels, where `{name}` is 3x3 from {channels} to \
                 {outputs}",
                layer.name, kernel.rows, kernel.columns, kernel.inputs, kernel.outputs
            ));
        }
        if kernel.values().is_none() {
            return Err(format!("`{}` claims a shape beyond all memory", layer.name));
        }
        channels = kernel.outputs;
        let shape = vec![channels, kernel.inputs, 3, 3];
        push(&mut parameters, &name, *layer, shape, layer.axes.kernel_order(kernel))?;
    }
    Ok((parameters, channels))
}

/// Weights and biases of the dense layers behind `pool5`, of so many channels.
fn head_parameters<'a>(
    layers: &[Weighted<'a>],
    channels: usize,
) -> Result<Vec<Parameter<'a>>, String> {
    let order: &[&str] = match layers.len() {
        0 | 1 => &["fc8"],
        2 => &["fc6", "fc8"],
        _ => &["fc6", "fc7", "fc8"],
    };
    let order: Vec<String> = order.iter().map(|&name| name.to_owned()).collect();
    let assigned = assign(layers, &order)?;
    if assigned.contains_key("fc7") && !assigned.contains_key("fc6") {
        return Err("`fc6` is missing".to_owned());
    }
    let mut parameters = Vec::new();
    let mut before = Before::Pool5 { channels };
    for (name, layer) in assigned {
        let shape = &layer.weight.shape;
        let Some(order) = dense_order(shape, layer.axes, before) else {
            let before = match before {
                Before::Pool5 { channels } => format!("{channels} channels of a square"),
                Before::Dense { units } => format!("{units} units"),
            };
            return Err(format!(
                "`{}` has a weight of shape {shape:?}, where `{name}` follows {before}",
                layer.name
            ));
        };
        let Kernel { rows, columns, inputs, outputs } = order.extents;
        push(&mut parameters, &name, layer, vec![outputs, inputs * rows * columns], order)?;
        before = Before::Dense { units: outputs };
    }
    Ok(parameters)
}

/// What a dense layer takes its inputs from.
#[derive(Clone, Copy)]
enum Before {
    /// So many channels at each place of a square, flattened.
    Pool5 { channels: usize },
    /// So many units, at a single place.
    Dense { units: usize },
}

/// Where the values of a dense weight stand, or of a kernel in its stead, if it fits.
fn dense_order(shape: &[usize], axes: Axes, before: Before) -> Option<Order> {
    let (Before::Pool5 { channels: expected } | Before::Dense { units: expected }) = before;
    let (extents, is_kernel) = match (axes.kernel(shape), axes.dense(shape)) {
        (Some(kernel), _) if kernel.rows == kernel.columns => (kernel, true),
        (_, Some((features, outputs))) if features % expected == 0 => {
            let side = (features / expected).isqrt();
            (Kernel { rows: side, columns: side, inputs: expected, outputs }, false)
        }
        _ => return None,
    };
    let features = extents.rows.checked_mul(extents.columns)?.checked_mul(extents.inputs)?;
    extents.values()?;
    let sides_fit = match before {
        Before::Pool5 { .. } => true,
        Before::Dense { .. } => extents.rows == 1,
    };
    let is_square = is_kernel || axes.dense(shape).is_some_and(|(inputs, _)| inputs == features);
    let fits = sides_fit && is_square && extents.inputs == expected;
    let order = if is_kernel { axes.kernel_order(extents) } else { axes.dense_order(extents) };
    fits.then_some(order)
}

/// Adds a layer's weight and its bias, which must have one value for each output.
fn push<'a>(
    parameters: &mut Vec<Parameter<'a>>,
    name: &str,
    layer: Weighted<'a>,
    shape: Vec<usize>,
    order: Order,
) -> Result<(), String> {
    let bias_shape = vec![shape[0]];
    if layer.bias.shape != bias_shape {
        return Err(format!(
            "`{}` has a bias of shape {:?}, expected {bias_shape:?}",
            layer.name, layer.bias.shape
        ));
    }
    let weight = format!("{name}.weight");
    let bias = format!("{name}.bias");
    parameters.push(Parameter { name: weight, shape, array: layer.weight, order });
    let order = Order::bias(bias_shape[0]);
    parameters.push(Parameter { name: bias, shape: bias_shape, array: layer.bias, order });
    Ok(())
}

/// How many layers of which kind there are, and the first of them.
fn summary(layers: &[SourceLayer]) -> String {
    let weights: Vec<_> = layers
        .iter()
        .filter_map(|layer| Some((&layer.name, &layer.arrays.first()?.shape)))
        .collect();
    let count = |rank| weights.iter().filter(|(_, shape)| shape.len() == rank).count();
    let (convolutions, dense) = (count(4), count(2));
    let first: Vec<_> =
        weights.iter().take(3).map(|(name, shape)| format!("`{name}` {shape:?}")).collect();
    format!(
        "{convolutions} convolutions, {dense} dense and {} other layers with parameters ({})",
        weights.len() - convolutions - dense,
        first.join(", ")
    )
}

#[cfg(test)]
mod tests;
