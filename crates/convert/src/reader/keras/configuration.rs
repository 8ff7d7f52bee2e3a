//! A Keras model's configuration: its layers, and in which order it flattens `pool5`, which
//! weights alone do not show.
//!
//! # Source
//!
//! Keras 1.2 `layers/convolutional.py` (`dim_ordering`), 2.0 and 2.2.4 `layers/core.py`, 3.15.1
//! `src/layers/reshaping/flatten.py`: a `Flatten` that has a `data_format` of its own turns
//! channels-first maps round, so that dense weights are the same either way.

use serde_json::{Map, Value};

use crate::axes::Flattening;

/// Where layers put channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channels {
    First,
    Last,
}

/// The order in which the model flattens, or what contradicts itself in its configuration.
pub(super) fn flattening(configuration: &Value) -> Result<Flattening, String> {
    let (flattens, others): (Vec<_>, Vec<_>) =
        layers(configuration).into_iter().partition(|layer| layer.class == "Flatten");
    let mut maps = others.iter().filter_map(Configured::channels);
    let first = maps.next().unwrap_or(Channels::Last);
    if maps.any(|channels| channels != first) {
        return Err("layers of which some put channels first and some last".to_owned());
    }
    let flatten = flattens.iter().find_map(Configured::channels);
    match (first, flatten) {
        (Channels::Last, None | Some(Channels::Last))
        | (Channels::First, Some(Channels::First)) => Ok(Flattening::RowColumnChannel),
        // A Flatten for channels-last maps leaves those that come as they are.
        (Channels::First, None | Some(Channels::Last)) => Ok(Flattening::ChannelRowColumn),
        (Channels::Last, Some(Channels::First)) => {
            Err("a Flatten that takes channels-last maps for channels-first".to_owned())
        }
    }
}

/// A layer of a configuration.
pub(super) struct Configured<'a> {
    /// Its class.
    pub(super) class: &'a str,
    config: &'a Map<String, Value>,
}

impl<'a> Configured<'a> {
    /// One of its settings; `None` where it is null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.config.get(key).filter(|value| !value.is_null())
    }

    fn channels(&self) -> Option<Channels> {
        let entry = self.get("data_format").or_else(|| self.get("dim_ordering"));
        match entry.and_then(Value::as_str) {
            Some("channels_first" | "th") => Some(Channels::First),
            Some("channels_last" | "tf") => Some(Channels::Last),
            _ => None,
        }
    }
}

/// Every layer in the model's order, those of models in models included.
pub(super) fn layers(configuration: &Value) -> Vec<Configured<'_>> {
    let mut layers = Vec::new();
    collect(configuration, &mut layers);
    layers
}

fn collect<'a>(value: &'a Value, layers: &mut Vec<Configured<'a>>) {
    let class = value.get("class_name").and_then(Value::as_str);
    let (Some(class), Some(config)) = (class, value.get("config")) else { return };
    // Keras 1's Sequential has the list itself for its configuration.
    let members = config.as_array().or_else(|| config.get("layers").and_then(Value::as_array));
    match (members, config.as_object()) {
        (Some(members), _) => members.iter().for_each(|member| collect(member, layers)),
        (None, Some(config)) => {
            layers.push(Configured { class, config });
            config.get("layer").into_iter().for_each(|wrapped| collect(wrapped, layers));
        }
        (None, None) => {}
    }
}

/// A configuration from its text, in which Python writes numbers that JSON does not have.
///
/// # Source
///
/// `CPython` 3.11, `Lib/json/encoder.py`: `NaN`, `Infinity` and `-Infinity`.
pub(super) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&without_pythons_numbers(text)))
}

/// The text with null for what is no number in JSON, outside of strings.
fn without_pythons_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    let (mut is_string, mut is_escaped) = (false, false);
    while let Some(character) = rest.chars().next() {
        let number = ["NaN", "Infinity", "-Infinity"].into_iter().find(|it| rest.starts_with(it));
        if let (false, Some(number)) = (is_string, number) {
            plain.push_str("null");
            rest = &rest[number.len()..];
            continue;
        }
        is_string ^= character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        plain.push(character);
        rest = &rest[character.len_utf8()..];
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layer(class: &str, config: &Value) -> Value {
        json!({"class_name": class, "config": config})
    }

    fn model(layers: &[Value]) -> Value {
        json!({"class_name": "Model", "config": {"name": "vgg16", "layers": layers}})
    }

    #[test]
    fn flatten_turns_maps_round_only_where_it_has_a_format_of_its_own() {
        let (first, last) =
            (json!({"data_format": "channels_first"}), json!({"data_format": "channels_last"}));
        let none = json!({});
        let cases = [
            (&last, &none, Flattening::RowColumnChannel),
            (&last, &last, Flattening::RowColumnChannel),
            (&first, &none, Flattening::ChannelRowColumn),
            (&first, &first, Flattening::RowColumnChannel),
            (&first, &last, Flattening::ChannelRowColumn),
        ];
        for (map, flatten, expected) in cases {
            let layers = [layer("Conv2D", map), layer("Flatten", flatten)];
            assert_eq!(flattening(&model(&layers)), Ok(expected));
            let nested = [model(&layers[..1]), layers[1].clone()];
            assert_eq!(flattening(&model(&nested)), Ok(expected));
        }
        let theano = layer("Convolution2D", &json!({"dim_ordering": "th"}));
        assert_eq!(flattening(&theano), Ok(Flattening::ChannelRowColumn));
    }

    #[test]
    fn contradictions_are_refused() {
        let (first, last) =
            (json!({"data_format": "channels_first"}), json!({"data_format": "channels_last"}));
        for (one, other) in [("Conv2D", "MaxPooling2D"), ("Conv2D", "Flatten")] {
            let layers = [layer(one, &last), layer(other, &first)];
            assert!(flattening(&model(&layers)).is_err());
        }
    }

    #[test]
    fn pythons_numbers_are_read_as_nothing() {
        let text = r#"{"a": NaN, "b": [Infinity, -Infinity], "NaN \" -Infinity": "NaN"}"#;
        let read = json!({"a": null, "b": [null, null], "NaN \" -Infinity": "NaN"});
        assert_eq!(parse(text).unwrap(), read);
        assert!(parse("{NaN").is_err() && parse("").is_err());
    }

    #[test]
    fn only_layers_are_listed() {
        let kernel = json!({"kernel_initializer": layer("Zeros", &json!({}))});
        let old = json!({"class_name": "Sequential", "config": [layer("Conv2D", &kernel)]});
        let wrapped = json!({"layer": layer("Dense", &json!({}))});
        let model = model(&[old, layer("TimeDistributed", &wrapped)]);
        let classes: Vec<_> = layers(&model).iter().map(|layer| layer.class).collect();
        assert_eq!(classes, ["Conv2D", "TimeDistributed", "Dense"]);
    }
}
