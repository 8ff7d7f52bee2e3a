//! What every fold starts from: the weights file's layers and new ones.

use std::{collections::BTreeMap, path::PathBuf};

use candle_core::{Device, Tensor};
use model::{
    Architecture, Head, Initializer, LoadReport, ParameterSpec, WeightsFile, initial, weights,
};

use super::streams::Stream;
use crate::{
    Error,
    recipe::{HeadInit, Recipe},
};

/// He's initialization keeps the variance of what goes in and assumes it to be one; pixels minus
/// a channel's mean deviate by about this much. Without it, activations and logits of a network
/// from random weights are some sixty times too large, and the first steps kill it.
const PIXEL_DEVIATION: f64 = 64.0;

/// The initial parameters of a run.
#[derive(Debug)]
pub(crate) struct InitialWeights {
    /// By name, on the CPU; exactly the architecture's.
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// Names of those that are not from the file.
    pub(crate) new: Vec<String>,
    /// Names in the file that the network has no use for.
    pub(crate) unused: Vec<String>,
}

/// Takes the backbone from the file (or draws it without one: He-uniform, for inputs that deviate
/// by [`PIXEL_DEVIATION`]) and the head as the recipe says; new layers of the head are
/// Glorot-uniform with biases of zero, as Keras's are.
///
/// # Errors
///
/// [`Error::Weights`] if the file lacks what the recipe takes from it, or if its `fc8` is of
/// other people than the data; [`Error::Model`] if it is another network.
pub(crate) fn initial_weights(
    architecture: &Architecture,
    recipe: &Recipe,
    file: Option<&WeightsFile>,
    identities: &[String],
    seed: u32,
) -> Result<InitialWeights, Error> {
    let mut from_file = Vec::new();
    let mut new = Vec::new();
    for layer in architecture.layers() {
        let parameters = layer.parameters();
        match file {
            Some(file) if is_taken(&layer.name, &parameters, recipe, file, identities)? => {
                from_file.extend(parameters);
            }
            _ => new.extend(parameters),
        }
    }
    let mut tensors = BTreeMap::new();
    let mut unused = Vec::new();
    if let Some(file) = file {
        // What the file holds beyond the network, such as another head, is left where it is.
        let (taken, report) = weights::take(file, &from_file, &["fc*"])?;
        if let Some(name) = report.missing.first() {
            return Err(problem(file, missing(name)));
        }
        refuse_wrong_shapes(file, &report)?;
        tensors.extend(taken);
        unused = report.unexpected;
    }
    let stream = Stream::InitialWeights.seed(seed, &[]);
    for spec in &new {
        let initializer = if spec.name.starts_with("conv") {
            Initializer::HeUniform
        } else {
            Initializer::GlorotUniform
        };
        let drawn = initial(spec, initializer, stream, &Device::Cpu)?;
        let drawn = if spec.name == "conv1_1.weight" { (drawn / PIXEL_DEVIATION)? } else { drawn };
        tensors.insert(spec.name.clone(), drawn);
    }
    let new = new.into_iter().map(|spec| spec.name).collect();
    Ok(InitialWeights { tensors, new, unused })
}

/// Refuses dense layers made for images of another side.
///
/// # Errors
///
/// [`Error::Weights`] with the first that is of another shape.
pub(crate) fn refuse_wrong_shapes(file: &WeightsFile, report: &LoadReport) -> Result<(), Error> {
    let Some(wrong) = report.wrong_shape.first() else { return Ok(()) };
    Err(problem(
        file,
        format!(
            "`{}` is {:?}, expected {:?}; prepare the data with the side that the weights were \
             made for",
            wrong.name, wrong.found, wrong.expected
        ),
    ))
}

/// Whether a layer comes from the file: its weights and its biases, or neither.
fn is_taken(
    layer: &str,
    parameters: &[ParameterSpec],
    recipe: &Recipe,
    file: &WeightsFile,
    identities: &[String],
) -> Result<bool, Error> {
    let is_there = |spec: &ParameterSpec| {
        file.tensors().get(&spec.name).is_some_and(|found| found.dims() == spec.shape)
    };
    let fits = || parameters.iter().all(is_there);
    match (layer, recipe.head, recipe.head_init) {
        ("fc6" | "fc7", Head::Vggface, _) => Ok(true),
        ("fc6" | "fc7" | "fc8", _, HeadInit::New) => Ok(false),
        ("fc8", _, HeadInit::Weights) => {
            if !fits() {
                return Ok(false);
            }
            check_identities(file, identities)?;
            Ok(true)
        }
        ("fc6" | "fc7", _, HeadInit::Weights) => Ok(fits()),
        _ => Ok(true),
    }
}

/// Refuses an `fc8` whose rows stand for other people.
fn check_identities(file: &WeightsFile, identities: &[String]) -> Result<(), Error> {
    let Some(found) = &file.metadata().identities else {
        tracing::warn!(
            "the weights file does not say whom its fc8 tells apart; taking it as it is"
        );
        return Ok(());
    };
    let mut pairs = found.iter().zip(identities).enumerate();
    let Some((label, (found, expected))) = pairs.find(|(_, (found, expected))| found != expected)
    else {
        return Ok(());
    };
    Err(problem(
        file,
        format!(
            "label {label} of its fc8 is `{found}`, of the data `{expected}`; set \
             head_init = \"new\", or prepare the photographs that the weights were trained on"
        ),
    ))
}

fn missing(name: &str) -> String {
    if name.starts_with("fc") {
        format!(
            "has no `{name}`, which head = \"vggface\" takes from it; convert a file with the top \
             layers, or set head = \"seed\""
        )
    } else {
        format!("has no `{name}`; convert the published file again")
    }
}

fn problem(file: &WeightsFile, problem: String) -> Error {
    Error::Weights { path: PathBuf::from(file.path()), problem }
}
