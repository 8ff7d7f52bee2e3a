//! A Keras model's configuration held against VGG16: whatever weights alone do not show and would
//! change what they compute.

use std::fmt::Write as _;

use model::architecture::CONVOLUTIONS_PER_BLOCK;
use serde_json::Value;

use super::super::printable;
use super::configuration::{Configured, layers};

/// Layers that VGG16 has or that do nothing once a network is trained.
const KNOWN: [&str; 15] = [
    "InputLayer",
    "MaxPooling2D",
    "ZeroPadding2D",
    "Softmax",
    "Dropout",
    "SpatialDropout2D",
    "GaussianDropout",
    "GaussianNoise",
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "RandomCrop",
];

/// How many characters of a name or a value are shown.
const MAX_SHOWN: usize = 60;

/// How many of a model's classes are shown.
const MAX_CLASSES: usize = 8;

/// What a model has that VGG16 has not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// The first thing by which its convolutions compute something else.
    pub(super) misfit: Option<String>,
    /// The first thing by which what is behind them does.
    pub(super) head_misfit: Option<String>,
    /// Classes of other layers, each once.
    pub(super) not_converted: Vec<String>,
    /// How many layers it has of which class.
    pub(super) summary: String,
}

/// Holds a model against VGG16, in the order in which it lists its layers.
pub(super) fn compare(configuration: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    let (mut convolutions, mut is_head) = (0, false);
    // What no longer is a map that a Flatten made a row of, until something is computed from it.
    let mut reshaped = None;
    let layers = layers(configuration);
    for layer in &layers {
        let misfit = match layer.class {
            "Conv2D" | "Convolution2D" | "AtrousConvolution2D" => {
                convolutions += 1;
                is_head |= CONVOLUTIONS_PER_BLOCK.iter().sum::<usize>() < convolutions;
                reshaped.take().or_else(|| geometry(layer)).or_else(|| activation(layer))
            }
            "Dense" => {
                is_head = true;
                reshaped.take().or_else(|| activation(layer))
            }
            "Flatten" => {
                is_head = true;
                None
            }
            "GlobalAveragePooling2D" | "GlobalMaxPooling2D" | "Permute" | "Reshape"
                if 0 < convolutions =>
            {
                is_head = true;
                if !is_flattening(layer) {
                    reshaped = Some(format!("{} comes before its dense layers", named(layer)));
                }
                None
            }
            "Activation" => activation(layer),
            "ReLU" if is_plain(layer) => None,
            "ReLU" | "LeakyReLU" | "PReLU" | "ELU" | "ThresholdedReLU" => {
                Some(format!("{} is not VGG16's max(0, x)", named(layer)))
            }
            class => {
                let class = shown(class);
                if !KNOWN.contains(&layer.class) && !comparison.not_converted.contains(&class) {
                    comparison.not_converted.push(class);
                }
                None
            }
        };
        let first = if is_head { &mut comparison.head_misfit } else { &mut comparison.misfit };
        *first = first.take().or(misfit);
    }
    comparison.not_converted.truncate(MAX_CLASSES);
    comparison.summary = summary(&layers);
    comparison
}

/// Whether a layer makes rows of maps as a Flatten does.
fn is_flattening(layer: &Configured<'_>) -> bool {
    let shape = layer.get("target_shape").and_then(Value::as_array);
    layer.class == "Reshape" && shape.is_some_and(|shape| shape.len() == 1)
}

/// Strides or dilation that VGG16's convolutions have not.
fn geometry(layer: &Configured<'_>) -> Option<String> {
    ["strides", "subsample", "dilation_rate", "atrous_rate"].into_iter().find_map(|key| {
        let value = layer.get(key).filter(|value| !is_one(value))?;
        Some(format!("{} has {key} {}, where VGG16 has 1", named(layer), shown(&value.to_string())))
    })
}

fn is_one(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(is_one),
        other => other.as_f64() == Some(1.0),
    }
}

/// An activation that VGG16 has not.
fn activation(layer: &Configured<'_>) -> Option<String> {
    let value = layer.get("activation")?;
    let config = value.get("config");
    // Keras 3 writes functions and layers that are not its own by class and configuration.
    let name = [Some(value), config, config.and_then(|it| it.get("activation"))]
        .into_iter()
        .flatten()
        .chain(value.get("class_name"))
        .find_map(Value::as_str)
        .unwrap_or_default();
    match name {
        "relu" | "linear" | "softmax" => None,
        _ => Some(format!(
            "{} has the activation `{}`, where VGG16 has relu, linear or softmax",
            named(layer),
            shown(name)
        )),
    }
}

/// Whether a ReLU has neither slope nor ceiling nor a threshold.
fn is_plain(layer: &Configured<'_>) -> bool {
    let is_zero = |key| layer.get(key).is_none_or(|value| value.as_f64() == Some(0.0));
    layer.get("max_value").is_none() && is_zero("negative_slope") && is_zero("threshold")
}

/// A layer by its class and its name.
fn named(layer: &Configured<'_>) -> String {
    match layer.get("name").and_then(Value::as_str) {
        Some(name) => format!("{} `{}`", shown(layer.class), shown(name)),
        None => shown(layer.class),
    }
}

/// The beginning of a text, fit for one line on a terminal.
fn shown(text: &str) -> String {
    printable(&text.chars().take(MAX_SHOWN).collect::<String>())
}

/// How many layers there are of which class, in the order in which they come first.
fn summary(layers: &[Configured<'_>]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for layer in layers {
        match counts.iter().position(|(class, _)| *class == layer.class) {
            Some(place) => counts[place].1 += 1,
            None if counts.len() < MAX_CLASSES => counts.push((layer.class, 1)),
            None => {}
        }
    }
    let mut text = format!("a model of {} layers", layers.len());
    for (place, (class, count)) in counts.into_iter().enumerate() {
        let before = if place == 0 { " (" } else { ", " };
        write!(text, "{before}{count} {}", shown(class))
            .expect("writing to a string does not fail");
    }
    text.push_str(if layers.is_empty() { "" } else { ")" });
    text
}
