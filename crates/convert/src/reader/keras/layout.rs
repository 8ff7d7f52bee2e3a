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
use hdf5_reader::{Attribute, Hdf5File};
use serde_json::Value;

use super::super::{SourceArray, SourceLayer, printable};
use super::listing::{Listing, MAX_LAYERS, find, name_list};
use super::{configuration, damaged};
use crate::axes::{Axes, Flattening, KernelAxes, KernelSense};
use crate::source::Source;
use crate::{Error, KerasBackend};

/// The groups in which a `.weights.h5` keeps layers.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// How deep models may lie in models; a damaged file may hold a group that contains itself.
const MAX_NESTING: usize = 4;

/// The groups at the top in which an optimizer's state lies.
const OPTIMIZERS: [&str; 2] = ["optimizer_weights", "optimizer"];

/// What to do with weights of an order that contradicts itself.
const ONE_ORDER: &str = "one order of channels; load it in Keras with the TensorFlow backend and \
                         `channels_last`, and save it again";

/// What a file's layers are laid out by.
pub(super) struct Layout {
    /// The model's configuration, which files of weights alone lack.
    pub(super) configuration: Option<Value>,
    /// The backend that the caller says the file was saved with.
    pub(super) backend: Option<KerasBackend>,
}

/// A file's layers, and what else their places and names say.
pub(super) struct Listed {
    /// In the order in which Keras lists them.
    pub(super) layers: Vec<SourceLayer>,
    /// Whether the file says in which order its network flattens `pool5`.
    pub(super) states_flattening: bool,
    /// Groups that belong to no layer.
    pub(super) left_out: Vec<String>,
}

/// What a file itself says of the backend that saved it.
enum Origin {
    /// Its name.
    Stated(String),
    /// A form that came after Theano.
    Later,
    /// Nothing.
    Unstated,
}

impl Layout {
    /// Lists the layers of a file in the order in which Keras lists them.
    pub(super) fn layers(&self, source: &Source, file: &Hdf5File) -> Result<Listed, Error> {
        let (mut layers, origin, left_out) = listed(source, file)?;
        let arrays = || layers.iter().flat_map(|layer| &layer.arrays);
        let is_theanos = arrays().any(|array| is_theano_kernel(&array.shape));
        let kernel_sense = match self.backend_of(source, &origin)? {
            Some(KerasBackend::Theano) => KernelSense::Convolution,
            Some(KerasBackend::Tensorflow) => KernelSense::Correlation,
            None if arrays().all(is_told_by_name) => KernelSense::Correlation,
            None => return Err(Error::KerasBackend { path: source.path.clone() }),
        };
        let flattening = match &self.configuration {
            Some(configuration) => configuration::flattening(configuration).map_err(|found| {
                Error::KerasOrder { path: source.path.clone(), expected: ONE_ORDER, found }
            })?,
            None if is_theanos => Flattening::ChannelRowColumn,
            None => Flattening::RowColumnChannel,
        };
        let kernel =
            if is_theanos { KernelAxes::OutInRowColumn } else { KernelAxes::RowColumnInOut };
        for layer in &mut layers {
            layer.axes = Axes { kernel, kernel_sense, flattening, ..Axes::KERAS };
        }
        let states_flattening = is_theanos || self.configuration.is_some();
        Ok(Listed { layers, states_flattening, left_out })
    }

    /// The backend that saved the file: what it says itself, or else the caller.
    ///
    /// # Source
    ///
    /// Keras 2.2.4, `engine/saving.py`, `preprocess_weights_for_loading`: Theano's kernels are
    /// mirrored, those of all other backends are not.
    fn backend_of(&self, source: &Source, origin: &Origin) -> Result<Option<KerasBackend>, Error> {
        let (stated, found) = match origin {
            Origin::Stated(name) if name == "theano" => {
                (KerasBackend::Theano, "the backend `theano`".to_owned())
            }
            Origin::Stated(name) => {
                let name: String = printable(name).chars().take(40).collect();
                (KerasBackend::Tensorflow, format!("the backend `{name}`"))
            }
            Origin::Later => {
                (KerasBackend::Tensorflow, "a form that Keras never wrote with Theano".to_owned())
            }
            Origin::Unstated => return Ok(self.backend),
        };
        match self.backend {
            Some(backend) if backend != stated => Err(Error::KerasOrder {
                path: source.path.clone(),
                expected: "what `--keras-backend` says; leave that option out",
                found,
            }),
            _ => Ok(Some(stated)),
        }
    }
}

/// Whether an array's name shows that its kernel, if it is one, is not mirrored: it is that of a
/// TensorFlow variable, or one of Keras 2 and 3, which state Theano.
fn is_told_by_name(array: &SourceArray) -> bool {
    let name = array.name.rsplit('/').next().unwrap_or_default();
    array.shape.len() != 4 || name.ends_with(":0") || name.starts_with("kernel")
}

/// Whether a kernel can only be (out, in, 3, 3).
fn is_theano_kernel(shape: &[usize]) -> bool {
    matches!(*shape, [first, second, 3, 3] if (first, second) != (3, 3))
}

/// The layers, whose axes are still to be found out, what the file says of its backend, and the
/// names of groups that belong to no layer.
fn listed(
    source: &Source,
    file: &Hdf5File,
) -> Result<(Vec<SourceLayer>, Origin, Vec<String>), Error> {
    let failed = damaged(source);
    let root = file.root_group().map_err(&failed)?;
    let (groups, datasets) = root.member_names().map_err(&failed)?;
    let has = |name: &str| groups.iter().any(|group| group == name);
    let left_out = OPTIMIZERS.into_iter().filter(|name| has(name)).map(str::to_owned).collect();
    let prefix = if has("model_weights") { "/model_weights" } else { "" };
    let top = file.group(prefix).map_err(&failed)?;
    let attributes = top.attributes().map_err(&failed)?;
    let origin = match find(&attributes, "backend").map(Attribute::read_string) {
        Some(name) => Origin::Stated(name.map_err(&failed)?),
        None => Origin::Unstated,
    };

    let mut listing = Listing::default();
    if let Some(layer_names) = name_list(&attributes, "layer_names").map_err(&failed)? {
        named(file, prefix, &layer_names, &mut listing).map_err(&failed)?;
        return Ok((listing.layers, origin, left_out));
    }
    if let Some(count) = find(&attributes, "nb_layers") {
        let count = count.read_as_f64().map_err(&failed)?;
        numbered(file, prefix, count, &mut listing).map_err(&failed)?;
        return Ok((listing.layers, origin, left_out));
    }
    if CONTAINERS.into_iter().any(has) {
        checkpoint(&root, "", MAX_NESTING, &mut 0, &mut listing).map_err(&failed)?;
        return Ok((listing.layers, Origin::Later, left_out));
    }
    let found: Vec<_> = groups.iter().chain(&datasets).take(3).collect();
    Err(Error::NotKeras { path: source.path.clone(), found: format!("{found:?}") })
}

/// The model's configuration, where the file holds it.
pub(super) fn configuration(source: &Source, file: &Hdf5File) -> Result<Option<Value>, Error> {
    let failed = damaged(source);
    let attributes = file.root_group().and_then(|root| root.attributes()).map_err(&failed)?;
    let Some(attribute) = find(&attributes, "model_config") else { return Ok(None) };
    let text = attribute.read_string().map_err(&failed)?;
    let parsed = configuration::parse(&text);
    parsed.map(Some).map_err(|error| source.damaged(format!("its model_config: {error}")))
}

/// The layers of Keras 1, 2 and 3's `.h5`.
fn named(
    file: &Hdf5File,
    prefix: &str,
    layer_names: &[String],
    listing: &mut Listing,
) -> Result<(), Hdf5Error> {
    for layer_name in layer_names {
        let group = format!("{prefix}/{layer_name}");
        let attributes = file.group(&group)?.attributes()?;
        listing.count(&attributes)?;
        let weight_names = name_list(&attributes, "weight_names")?.unwrap_or_default();
        // A model used as a layer lists all its arrays: `block1_conv1/kernel:0`, ..
        let is_model = weight_names.windows(2).any(|pair| owner(&pair[0]) != owner(&pair[1]));
        let start = listing.layers.len();
        for weight_name in &weight_names {
            let layer = if is_model { owner(weight_name) } else { layer_name };
            if listing.layers[start..].last().is_none_or(|last| last.name != layer) {
                listing.push(layer)?;
            }
            let name = format!("{group}/{weight_name}");
            listing.push_array(&file.dataset(&name)?, name)?;
        }
    }
    Ok(())
}

/// The layer that an array of this name belongs to: `conv1_1` for `model/conv1_1/kernel:0`.
fn owner(weight_name: &str) -> &str {
    weight_name.rsplit('/').nth(1).unwrap_or_default()
}

/// The layers of Keras 0.3.
fn numbered(
    file: &Hdf5File,
    prefix: &str,
    count: f64,
    listing: &mut Listing,
) -> Result<(), Hdf5Error> {
    for index in (0..).take_while(|&index| f64::from(index) < count) {
        let name = format!("layer_{index}");
        let group = format!("{prefix}/{name}");
        let attributes = file.group(&group)?.attributes()?;
        listing.count(&attributes)?;
        let params = match find(&attributes, "nb_params") {
            Some(params) => params.read_as_f64()?,
            None => return Err(Hdf5Error::Other(format!("`{group}` has no `nb_params`"))),
        };
        listing.push(&name)?;
        for param in (0..).take_while(|&param| f64::from(param) < params) {
            let name = format!("{group}/param_{param}");
            listing.push_array(&file.dataset(&name)?, name)?;
        }
    }
    Ok(())
}

/// The layers of a `.weights.h5`, whose groups are named for the layers' classes and numbered;
/// Keras 3 has come to keep the layer's own name as an attribute.
fn checkpoint(
    model: &Group,
    prefix: &str,
    nesting: usize,
    visited: &mut usize,
    listing: &mut Listing,
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
                let attributes = vars.attributes()?;
                listing.count(&attributes)?;
                let own_name = find(&attributes, "name").map(Attribute::read_string);
                let (_, mut datasets) = vars.member_names()?;
                datasets.sort_by_cached_key(|dataset| (dataset.len(), dataset.clone()));
                listing.push(&own_name.transpose()?.unwrap_or(name))?;
                for number in datasets {
                    let dataset = vars.dataset(&number)?;
                    listing.push_array(&dataset, format!("{here}/vars/{number}"))?;
                }
            }
            checkpoint(&member, &here, nesting, visited, listing)?;
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
