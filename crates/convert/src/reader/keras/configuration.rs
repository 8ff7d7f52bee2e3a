//! A Keras model's configuration, for the one thing that weights alone do not show: in which
//! order the network flattens `pool5`.
//!
//! # Source
//!
//! Keras 1.2 `layers/convolutional.py` (`dim_ordering`), 2.0 and 2.2.4 `layers/core.py`, 3.15.1
//! `src/layers/reshaping/flatten.py`: a `Flatten` that has a `data_format` of its own turns
//! channels-first maps round, so that dense weights are the same either way.

use serde_json::Value;

use crate::axes::Flattening;

/// Where layers put channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channels {
    First,
    Last,
}

/// The order in which the model flattens, or what contradicts itself in its configuration.
pub(super) fn flattening(configuration: &Value) -> Result<Flattening, String> {
    let mut layers = Vec::new();
    collect(configuration, &mut layers);
    let (flattens, others): (Vec<_>, Vec<_>) =
        layers.into_iter().partition(|(class, _)| *class == "Flatten");
    let mut maps = others.iter().filter_map(|(_, channels)| *channels);
    let first = maps.next().unwrap_or(Channels::Last);
    if maps.any(|channels| channels != first) {
        return Err("layers of which some put channels first and some last".to_owned());
    }
    let flatten = flattens.iter().find_map(|(_, channels)| *channels);
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

/// Class and channels of every layer, models in models included.
fn collect<'a>(value: &'a Value, layers: &mut Vec<(&'a str, Option<Channels>)>) {
    match value {
        Value::Object(entries) => {
            let class = entries.get("class_name").and_then(Value::as_str);
            if let (Some(class), Some(Value::Object(config))) = (class, entries.get("config")) {
                let entry = config.get("data_format").or_else(|| config.get("dim_ordering"));
                let channels = match entry.and_then(Value::as_str) {
                    Some("channels_first" | "th") => Some(Channels::First),
                    Some("channels_last" | "tf") => Some(Channels::Last),
                    _ => None,
                };
                layers.push((class, channels));
            }
            for value in entries.values() {
                collect(value, layers);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, layers)),
        _ => {}
    }
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
}
