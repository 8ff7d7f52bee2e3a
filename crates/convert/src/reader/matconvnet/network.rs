//! A network among MATLAB's values.
//!
//! # Source
//!
//! MatConvNet 1.0-beta25, `matlab/simplenn/vl_simplenn_tidy.m` (`layers`, `weights`, formerly
//! `filters` and `biases`; `meta`, formerly its parts), `matlab/+dagnn/@DagNN/saveobj.m`.

use std::collections::HashMap;

use super::value::{Numbers, Record, Value, Variables, field};
use crate::axes::Axes;
use crate::reader::{SourceArray, SourceLayer, SourceMetadata};
use crate::source::Source;
use crate::{Error, Pixels};

/// What a file holds of a network.
pub(super) struct Network {
    pub(super) layers: Vec<SourceLayer>,
    /// By the names of the layers' arrays.
    pub(super) arrays: HashMap<String, Numbers>,
    pub(super) metadata: SourceMetadata,
}

/// Finds a network in a file's variables, at the top or in one of them.
pub(super) fn network(
    source: &Source,
    variables: &Variables,
    read: impl Fn(&Numbers) -> Result<Vec<f32>, Error>,
) -> Result<Network, Error> {
    let inner = variables.iter().filter_map(|(_, value)| value.record());
    let holder = std::iter::once(variables).chain(inner).find(|it| field(it, "layers").is_some());
    let Some(holder) = holder else {
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).take(5).collect();
        return Err(Error::Unconvertible {
            path: source.path.clone(),
            reason: format!("its variables are {names:?}, none of them a network of MatConvNet's"),
        });
    };
    let mut network =
        Network { layers: Vec::new(), arrays: HashMap::new(), metadata: metadata(holder, read)? };
    match field(holder, "layers") {
        Some(Value::Struct(layers)) if field(holder, "params").is_some() => {
            let params = match field(holder, "params") {
                Some(Value::Struct(params)) => params.as_slice(),
                _ => &[],
            };
            let params: HashMap<&str, &Value> = params
                .iter()
                .filter_map(|it| Some((field(it, "name")?.text()?, field(it, "value")?)))
                .collect();
            for layer in layers {
                network.add_of_dag(layer, &params);
            }
        }
        Some(Value::Struct(layers)) => layers.iter().for_each(|it| network.add_simple(it)),
        Some(value) => {
            let layers = value.elements().iter().filter_map(Value::record);
            layers.for_each(|layer| network.add_simple(layer));
        }
        None => {}
    }
    Ok(network)
}

impl Network {
    /// Adds a layer of a SimpleNN, if it has weights.
    fn add_simple(&mut self, layer: &Record) {
        let name = field(layer, "name").and_then(Value::text).unwrap_or_default();
        let weights: Vec<&Value> = match field(layer, "weights") {
            Some(weights) => weights.elements().iter().collect(),
            None => ["filters", "biases"].iter().filter_map(|it| field(layer, it)).collect(),
        };
        let weights = weights.into_iter().filter(|it| !it.is_empty()).map(Value::numbers);
        self.add(name, &weights.collect::<Vec<_>>());
    }

    /// Adds a layer of a DagNN, whose weights lie among the network's parameters, by name.
    fn add_of_dag(&mut self, layer: &Record, params: &HashMap<&str, &Value>) {
        let name = field(layer, "name").and_then(Value::text).unwrap_or_default();
        let wanted = field(layer, "params").map(Value::elements).unwrap_or_default();
        let param = |wanted: &Value| params.get(wanted.text()?)?.numbers();
        self.add(name, &wanted.iter().map(param).collect::<Vec<_>>());
    }

    /// Adds a layer; weights that are no plain numbers get an empty shape, which fits nothing.
    fn add(&mut self, name: &str, weights: &[Option<&Numbers>]) {
        let place = self.layers.len();
        let mut arrays = Vec::new();
        for (number, &weights) in weights.iter().enumerate() {
            let shape = match (weights, number) {
                (None, _) => Vec::new(),
                (Some(weights), 0) => kernel_shape(&weights.shape),
                (Some(weights), _) => vector_shape(&weights.shape),
            };
            // Its place makes the name of the array unique, whatever the layer is called.
            let array = format!("{name}/{place}/weights{{{}}}", number + 1);
            if let Some(weights) = weights {
                self.arrays.insert(array.clone(), weights.clone());
            }
            arrays.push(SourceArray { name: array, shape });
        }
        self.layers.push(SourceLayer { name: name.to_owned(), arrays, axes: Axes::MATLAB });
    }
}

/// A kernel's four axes: MATLAB drops extents of one at the end, which is the front here.
fn kernel_shape(shape: &[usize]) -> Vec<usize> {
    let missing = 4_usize.saturating_sub(shape.len());
    [vec![1; missing], shape.to_vec()].concat()
}

/// A vector has two axes in MATLAB, one of them with an extent of one.
fn vector_shape(shape: &[usize]) -> Vec<usize> {
    match shape {
        &[count, 1] | &[1, count] => vec![count],
        _ => shape.to_vec(),
    }
}

/// Means and names, which formerly stood beside the layers and now stand in `meta`.
fn metadata(
    holder: &Record,
    read: impl Fn(&Numbers) -> Result<Vec<f32>, Error>,
) -> Result<SourceMetadata, Error> {
    let meta = field(holder, "meta").and_then(Value::record);
    let part = |name: &str| meta.and_then(|meta| field(meta, name)).or_else(|| field(holder, name));
    let average = part("normalization").and_then(|it| it.get("averageImage"));
    // Means that are there and cannot be used are none of those known, and not the default.
    let unknown = [f32::NAN; 3];
    let bgr_means = match average.map(Value::numbers) {
        Some(Some(numbers)) => Some(bgr_means(&numbers.shape, &read(numbers)?).unwrap_or(unknown)),
        Some(None) => Some(unknown),
        None => None,
    };
    let names = |key: &str| {
        let names = part("classes")?.get(key)?.elements().iter().map(Value::text);
        let names: Vec<String> =
            names.map(|name| Some(name?.trim().to_owned())).collect::<Option<_>>()?;
        (!names.is_empty()).then_some(names)
    };
    Ok(SourceMetadata {
        bgr_means,
        pixels: Some(Pixels::Rgb),
        identities: names("description").or_else(|| names("name")),
        states_flattening: true,
        ..SourceMetadata::default()
    })
}

/// Means of blue, green and red: of three numbers, or of an image of three channels.
fn bgr_means(shape: &[usize], values: &[f32]) -> Option<[f32; 3]> {
    let has_channels = matches!(shape, [3, ..] | [1, 3]);
    if !has_channels || values.is_empty() || !values.len().is_multiple_of(3) {
        return None;
    }
    let mean = |channel: &[f32]| {
        let sum: f64 = channel.iter().map(|&value| f64::from(value)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "a mean of f32 values")]
        let mean = (sum / channel.len() as f64) as f32;
        mean
    };
    let mut channels = values.chunks_exact(values.len() / 3).map(mean);
    let (red, green, blue) = (channels.next()?, channels.next()?, channels.next()?);
    Some([blue, green, red])
}
