//! Where Keras's versions put layers and arrays in an HDF5 file.
//!
//! | written by | layers are listed by | arrays lie at |
//! | --- | --- | --- |
//! | Keras 0.3 | the attribute `nb_layers` | `/layer_0/param_0` |
//! | Keras 1 | the attribute `layer_names` | `/conv1_1/conv1_1_W` |
//! | Keras 2 | the attribute `layer_names` | `/conv1_1/conv1_1/kernel:0` |
//! | Keras 3, `.h5` | the attribute `layer_names` | `/conv1_1/conv1_1/kernel` |
//! | Keras 3, `.weights.h5` | the group `layers` | `/layers/conv2d/vars/0` |
//! | tf.keras 2.12 to 2.15, the same | the group `_layer_checkpoint_dependencies` | the same |
//!
//! `model.save` puts all but the last under `/model_weights`. Where there is `layer_names`, each
//! layer's attribute `weight_names` has the names of its arrays.
//!
//! # Source
//!
//! Keras 0.3 `models.py`, 1.2 `engine/topology.py`, 2.2.4 `engine/saving.py`, 3.15.1
//! `src/legacy/saving/legacy_h5_format.py` and `src/saving/saving_lib.py`.

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use hdf5_reader::{Attribute, Dataset, Hdf5File};
use serde_json::Value;

use super::super::{SourceArray, SourceLayer};
use super::{configuration, damaged};
use crate::axes::{Axes, Flattening, KernelAxes, KernelSense};
use crate::source::Source;
use crate::{Error, KerasBackend};

/// The groups in which a `.weights.h5` keeps layers.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// How deep models may lie in models; a damaged file may hold a group that contains itself.
const MAX_NESTING: usize = 4;

/// How many layers are listed before a file is taken for damaged.
const MAX_LAYERS: usize = 4096;

/// What a file's layers are laid out by.
pub(super) struct Layout {
    /// The model's configuration, which files of weights alone lack.
    pub(super) configuration: Option<Value>,
    /// The backend that the caller says the file was saved with.
    pub(super) backend: Option<KerasBackend>,
}

impl Layout {
    /// Lists the layers of a file in the order in which Keras lists them.
    pub(super) fn layers(
        &self,
        source: &Source,
        file: &Hdf5File,
    ) -> Result<(Vec<SourceLayer>, bool), Error> {
        let (mut layers, backend) = listed(source, file)?;
        let is_theanos = layers
            .iter()
            .flat_map(|layer| &layer.arrays)
            .any(|array| is_theano_kernel(&array.shape));
        let axes = self.axes(source, is_theanos, backend.as_deref())?;
        for layer in &mut layers {
            layer.axes = axes;
        }
        Ok((layers, is_theanos || self.configuration.is_some()))
    }

    /// The axes of a file whose kernels have Theano's order or not.
    ///
    /// # Source
    ///
    /// Keras 2.2.4, `engine/saving.py`, `preprocess_weights_for_loading`: Theano's kernels are
    /// mirrored, those of all other backends are not.
    fn axes(&self, source: &Source, is_theanos: bool, stated: Option<&str>) -> Result<Axes, Error> {
        let wrong =
            |expected, found| Error::KerasOrder { path: source.path.clone(), expected, found };
        let flattening = match &self.configuration {
            Some(configuration) => configuration::flattening(configuration)
                .map_err(|found| wrong("one order of channels", found))?,
            None if is_theanos => Flattening::ChannelRowColumn,
            None => Flattening::RowColumnChannel,
        };
        let kernel_sense = match (stated, self.backend) {
            (Some("theano"), _) | (None, Some(KerasBackend::Theano)) => KernelSense::Convolution,
            (None, None) if is_theanos => {
                return Err(Error::KerasBackend { path: source.path.clone() });
            }
            _ => KernelSense::Correlation,
        };
        let kernel =
            if is_theanos { KernelAxes::OutInRowColumn } else { KernelAxes::RowColumnInOut };
        Ok(Axes { kernel, kernel_sense, flattening, ..Axes::KERAS })
    }
}

/// Whether a kernel can only be (out, in, 3, 3).
fn is_theano_kernel(shape: &[usize]) -> bool {
    matches!(*shape, [first, second, 3, 3] if (first, second) != (3, 3))
}

/// The layers, whose axes are still to be found out, and the backend that the file names.
fn listed(source: &Source, file: &Hdf5File) -> Result<(Vec<SourceLayer>, Option<String>), Error> {
    let failed = damaged(source);
    let root = file.root_group().map_err(&failed)?;
    let (groups, datasets) = root.member_names().map_err(&failed)?;
    let has = |name: &str| groups.iter().any(|group| group == name);
    let prefix = if has("model_weights") { "/model_weights" } else { "" };
    let top = file.group(prefix).map_err(&failed)?;
    let attributes = top.attributes().map_err(&failed)?;
    let backend = find(&attributes, "backend").and_then(|it| it.read_string().ok());

    let layer_names = name_list(&attributes, "layer_names").map_err(&failed)?;
    if let Some(layer_names) = layer_names {
        return Ok((named(file, prefix, &layer_names).map_err(&failed)?, backend));
    }
    if let Some(count) = find(&attributes, "nb_layers") {
        let layers = count.read_as_f64().and_then(|count| numbered(file, prefix, count));
        return Ok((layers.map_err(&failed)?, backend));
    }
    if CONTAINERS.into_iter().any(has) {
        let mut layers = Vec::new();
        checkpoint(&root, "", MAX_NESTING, &mut 0, &mut layers).map_err(&failed)?;
        return Ok((layers, backend));
    }
    let found: Vec<_> = groups.iter().chain(&datasets).take(3).collect();
    Err(Error::NotKeras { path: source.path.clone(), found: format!("{found:?}") })
}

/// The model's configuration, where the file holds it.
pub(super) fn configuration(file: &Hdf5File) -> Result<Option<Value>, Hdf5Error> {
    let attributes = file.root_group()?.attributes()?;
    let text = find(&attributes, "model_config").and_then(|it| it.read_string().ok());
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The layers of Keras 1, 2 and 3's `.h5`.
fn named(
    file: &Hdf5File,
    prefix: &str,
    layer_names: &[String],
) -> Result<Vec<SourceLayer>, Hdf5Error> {
    let mut layers: Vec<SourceLayer> = Vec::new();
    for layer_name in layer_names {
        let group = format!("{prefix}/{layer_name}");
        let attributes = file.group(&group)?.attributes()?;
        let weight_names = name_list(&attributes, "weight_names")?.unwrap_or_default();
        // A model used as a layer lists all its arrays: `block1_conv1/kernel:0`, ..
        let is_model = weight_names.windows(2).any(|pair| owner(&pair[0]) != owner(&pair[1]));
        let start = layers.len();
        for weight_name in &weight_names {
            let layer = if is_model { owner(weight_name) } else { layer_name };
            let name = format!("{group}/{weight_name}");
            let array = array(&file.dataset(&name)?, name)?;
            match layers[start..].last_mut() {
                Some(last) if last.name == layer => last.arrays.push(array),
                _ => layers.push(SourceLayer::new(layer, vec![array], Axes::KERAS)),
            }
        }
        check_count(&layers)?;
    }
    Ok(layers)
}

/// The layer that an array of this name belongs to: `conv1_1` for `model/conv1_1/kernel:0`.
fn owner(weight_name: &str) -> &str {
    weight_name.rsplit('/').nth(1).unwrap_or_default()
}

/// The layers of Keras 0.3.
fn numbered(file: &Hdf5File, prefix: &str, count: f64) -> Result<Vec<SourceLayer>, Hdf5Error> {
    let mut layers = Vec::new();
    for index in (0..).take_while(|&index| f64::from(index) < count) {
        let name = format!("layer_{index}");
        let group = format!("{prefix}/{name}");
        let params = file.group(&group)?.attribute("nb_params")?.read_as_f64()?;
        let arrays = (0..)
            .take_while(|&param| f64::from(param) < params)
            .map(|param| {
                let name = format!("{group}/param_{param}");
                array(&file.dataset(&name)?, name)
            })
            .collect::<Result<_, _>>()?;
        layers.push(SourceLayer::new(name, arrays, Axes::KERAS));
        check_count(&layers)?;
    }
    Ok(layers)
}

/// The layers of a `.weights.h5`, whose groups are named for the layers' classes and numbered;
/// Keras 3 has come to keep the layer's own name as an attribute.
fn checkpoint(
    model: &Group,
    prefix: &str,
    nesting: usize,
    visited: &mut usize,
    layers: &mut Vec<SourceLayer>,
) -> Result<(), Hdf5Error> {
    let Some(nesting) = nesting.checked_sub(1) else {
        return Err(Hdf5Error::Other(format!("models nested {MAX_NESTING} deep")));
    };
    let (containers, _) = model.member_names()?;
    for container in containers.iter().filter(|name| CONTAINERS.contains(&name.as_str())) {
        let members = model.group(container)?;
        let (mut names, _) = members.member_names()?;
        names.sort_by_cached_key(|name| numbered_name(name));
        for name in names {
            *visited += 1;
            // Links let a small file hold one group under any number of names.
            if MAX_LAYERS < *visited {
                return Err(Hdf5Error::Other(format!("more than {MAX_LAYERS} groups of layers")));
            }
            let member = members.group(&name)?;
            let here = format!("{prefix}/{container}/{name}");
            let (parts, _) = member.member_names()?;
            if parts.iter().any(|part| part == "vars") {
                let vars = member.group("vars")?;
                let own_name = find(&vars.attributes()?, "name").map(Attribute::read_string);
                let (_, mut datasets) = vars.member_names()?;
                datasets.sort_by_cached_key(|dataset| (dataset.len(), dataset.clone()));
                let arrays = datasets
                    .into_iter()
                    .map(|number| array(&vars.dataset(&number)?, format!("{here}/vars/{number}")))
                    .collect::<Result<_, _>>()?;
                let name = own_name.transpose()?.unwrap_or(name);
                layers.push(SourceLayer::new(name, arrays, Axes::KERAS));
                check_count(layers)?;
            }
            checkpoint(&member, &here, nesting, visited, layers)?;
        }
    }
    Ok(())
}

/// `conv2d_10` as (`conv2d`, 10), which sorts behind `conv2d_9`; `conv2d`, the first, as number 0.
fn numbered_name(name: &str) -> (String, u32) {
    match name.rsplit_once('_').map(|(class, number)| (class, number.parse())) {
        Some((class, Ok(number))) => (class.to_owned(), number),
        _ => (name.to_owned(), 0),
    }
}

/// A list of names, which Keras splits over `name0`, `name1`, .. where it exceeds 64 KiB.
fn name_list(attributes: &[Attribute], name: &str) -> Result<Option<Vec<String>>, Hdf5Error> {
    if let Some(whole) = find(attributes, name) {
        return strings(whole).map(Some);
    }
    let mut names = None;
    for part in (0..).map_while(|part| find(attributes, &format!("{name}{part}"))) {
        names.get_or_insert_with(Vec::new).extend(strings(part)?);
    }
    Ok(names)
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name == name)
}

/// The strings of an attribute; an empty list may be of any type.
fn strings(attribute: &Attribute) -> Result<Vec<String>, Hdf5Error> {
    match attribute.num_elements()? {
        0 => Ok(Vec::new()),
        _ => attribute.read_strings(),
    }
}

fn array(dataset: &Dataset, name: String) -> Result<SourceArray, Hdf5Error> {
    let shape = dataset.shape().iter().map(|&extent| usize::try_from(extent));
    match shape.collect() {
        Ok(shape) => Ok(SourceArray { name, shape }),
        Err(_) => Err(Hdf5Error::Other(format!("`{name}` claims a shape beyond all memory"))),
    }
}

fn check_count(layers: &[SourceLayer]) -> Result<(), Hdf5Error> {
    if MAX_LAYERS < layers.len() {
        return Err(Hdf5Error::Other(format!("more than {MAX_LAYERS} layers")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_ordered_by_number() {
        let mut names = vec!["conv2d_10", "conv2d", "dense", "conv2d_2", "batch_normalization"];
        names.sort_by_cached_key(|name| numbered_name(name));
        assert_eq!(names, ["batch_normalization", "conv2d", "conv2d_2", "conv2d_10", "dense"]);
    }

    #[test]
    fn arrays_belong_to_the_last_group_of_their_name() {
        assert_eq!(owner("sequential/dense/kernel"), "dense");
        assert_eq!(owner("conv1_1/kernel:0"), "conv1_1");
        assert_eq!(owner("conv1_1_W:0"), "");
    }
}
