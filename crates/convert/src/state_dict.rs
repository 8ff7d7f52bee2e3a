//! Lists of named arrays, as PyTorch, ONNX and safetensors have them, as layers.

use std::collections::HashMap;

use crate::axes::Axes;
use crate::reader::{SourceArray, SourceLayer};

/// Gathers `conv1_1.weight` and `conv1_1.bias` into the layer `conv1_1`, in the order in which
/// layers first appear; within a layer the weight comes first, then the bias, then any other.
pub(crate) fn layers(arrays: Vec<SourceArray>, axes: Axes) -> Vec<SourceLayer> {
    let mut layers: Vec<SourceLayer> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for array in arrays {
        let name = owner(&array.name).to_owned();
        let place = *places.entry(name).or_insert_with_key(|name| {
            layers.push(SourceLayer { name: name.clone(), arrays: Vec::new(), axes });
            layers.len() - 1
        });
        layers[place].arrays.push(array);
    }
    for layer in &mut layers {
        layer.arrays.sort_by_key(|array| match array.name.rsplit('.').next() {
            Some("weight") => 0,
            Some("bias") => 1,
            _ => 2,
        });
    }
    layers
}

/// `features.0` for `features.0.weight`.
fn owner(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(layer, _)| layer)
}

/// A name's parts, numbers among them as numbers, so that `features.2` sorts before `features.10`.
pub(crate) fn in_order_of_numbers(name: &str) -> Vec<(u64, String)> {
    let part = |part: &str| (part.parse().unwrap_or(u64::MAX), part.to_owned());
    name.split('.').map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(name: &str) -> SourceArray {
        SourceArray { name: name.to_owned(), shape: vec![1] }
    }

    #[test]
    fn arrays_are_gathered_into_layers() {
        let names = ["b.0.bias", "b.0.weight", "a.weight", "a.running_mean", "a.bias", "scale"];
        let layers = layers(names.map(array).to_vec(), Axes::CHANNELS_FIRST);
        let found: Vec<(&str, Vec<&str>)> = layers
            .iter()
            .map(|layer| {
                (layer.name.as_str(), layer.arrays.iter().map(|it| it.name.as_str()).collect())
            })
            .collect();
        let expected = [
            ("b.0", vec!["b.0.weight", "b.0.bias"]),
            ("a", vec!["a.weight", "a.bias", "a.running_mean"]),
            ("scale", vec!["scale"]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_are_sorted_as_numbers() {
        let mut names = ["features.10.bias", "features.2.bias", "classifier.0.bias"];
        names.sort_by_cached_key(|name| in_order_of_numbers(name));
        assert_eq!(names, ["classifier.0.bias", "features.2.bias", "features.10.bias"]);
    }
}
