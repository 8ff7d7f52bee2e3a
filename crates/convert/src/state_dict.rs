//! Lists of named arrays, as PyTorch, ONNX and safetensors have them, as layers.

use std::collections::HashMap;

use crate::axes::Axes;
use crate::reader::{SourceArray, SourceLayer};

/// Gathers `conv1_1.weight` and `conv1_1.bias` into the layer `conv1_1`, in the order in which
/// layers first appear, the weight before the bias; any other array is a layer of its own.
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
        layer.arrays.sort_by_key(|array| array.name.strip_suffix(".bias").is_some());
    }
    layers
}

/// `features.0` for `features.0.weight`.
fn owner(name: &str) -> &str {
    name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias")).unwrap_or(name)
}

/// A name as text and numbers in turn, so that `features.2` sorts before `features.10` and `conv9`
/// before `conv10`.
pub(crate) fn in_order_of_numbers(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|it: char| it.is_ascii_digit()).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(text);
        let digits = behind.find(|it: char| !it.is_ascii_digit()).unwrap_or(behind.len());
        let (number, behind) = behind.split_at(digits);
        parts.push((text.to_owned(), number.parse().unwrap_or(u64::MAX)));
        rest = behind;
    }
    parts
}

/// Whether the names of arrays tell the order of their layers, which then differ in numbers alone.
pub(crate) fn tell_an_order<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut texts = names.map(|name| {
        let parts = in_order_of_numbers(owner(name));
        parts.into_iter().map(|(text, _)| text).collect::<Vec<String>>()
    });
    let first = texts.next();
    texts.all(|it| Some(it) == first)
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
            ("a", vec!["a.weight", "a.bias"]),
            ("a.running_mean", vec!["a.running_mean"]),
            ("scale", vec!["scale"]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_are_sorted_as_numbers() {
        let mut names = ["features.10.bias", "features.2.bias", "classifier.0.bias", "conv10"];
        names.sort_by_cached_key(|name| in_order_of_numbers(name));
        let sorted = ["classifier.0.bias", "conv10", "features.2.bias", "features.10.bias"];
        assert_eq!(names, sorted);
        assert!(in_order_of_numbers("conv9") < in_order_of_numbers("conv10"));
    }

    #[test]
    fn only_numbers_tell_an_order() {
        let tell = |names: &[&'static str]| tell_an_order(names.iter().copied());
        assert!(tell(&["conv1.weight", "conv1.bias", "conv2.weight", "conv10.weight"]));
        assert!(tell(&["b1.c1.weight", "b1.c2.weight", "b2.c1.weight"]));
        assert!(!tell(&["b3.one.weight", "b3.two.weight"]));
    }
}
