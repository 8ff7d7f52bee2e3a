//! What is wrong with a recipe's text, in one line and in the words of who writes TOML.

use serde::de::DeserializeOwned;

use super::{RawRecipe, Stage};
use crate::optimizer::OptimizerConfig;

/// Keys and values that Keras calls otherwise, in serde's words, and how a recipe says it.
const KERAS_NAMES: [(&str, &str); 18] = [
    ("field `clipnorm`", "clip = { norm = 1.0 }"),
    ("field `clipvalue`", "clip = { value = 0.5 }"),
    ("field `global_clipnorm`", "clip = { global_norm = 1.0 }"),
    ("field `lr`", "learning_rate"),
    ("field `min_lr`", "min_learning_rate"),
    ("variant `adamw`", "kind = \"adam\", weight_decay = 0.004"),
    ("variant `AdamW`", "kind = \"adam\", weight_decay = 0.004"),
    ("variant `Adam`", "adam"),
    ("variant `SGD`", "sgd"),
    ("variant `RMSprop`", "rmsprop"),
    ("variant `categorical_crossentropy`", "cross-entropy"),
    ("variant `sparse_categorical_crossentropy`", "cross-entropy"),
    ("variant `Dense(4096)`", "head = \"seed\""),
    ("variant `Dense`", "head = \"linear\""),
    ("variant `val_loss`", "validation_loss"),
    ("variant `val_accuracy`", "validation_accuracy"),
    ("variant `val_acc`", "validation_accuracy"),
    ("variant `accuracy`", "train_accuracy"),
];

/// What serde says of types, and what it means to who writes TOML.
const TOML_WORDS: [(&str, &str); 5] = [
    ("invalid boolean, expected `false`", "expected false, in lower case"),
    ("invalid boolean, expected `true`", "expected true, in lower case"),
    ("a nonzero usize", "a whole number, at least 1"),
    (
        "invalid type: map, expected a sequence",
        "found a table, expected a list; [[stage]] has double brackets",
    ),
    ("expected a sequence", "expected a list such as [\"conv*\"]"),
];

/// A TOML error in one line with its place, without the picture of the text around it.
pub(super) fn one_line(cause: &toml::de::Error, text: &str) -> String {
    let message = cause.message().lines().collect::<Vec<_>>().join("; ");
    let message = TOML_WORDS
        .into_iter()
        .fold(message, |message, (words, meaning)| message.replace(words, meaning));
    let is_unknown = |keras: &str| message.starts_with(&format!("unknown {keras}"));
    let message = match KERAS_NAMES.into_iter().find(|(keras, _)| is_unknown(keras)) {
        Some((_, ours)) => format!("{message}; what Keras calls so is `{ours}` here"),
        None => match elsewhere(&message) {
            Some(place) => format!("{message}; {place}"),
            None => message,
        },
    };
    match cause.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

/// Where a key belongs that is unknown where it stands, or what else is missing.
fn elsewhere(message: &str) -> Option<String> {
    let key = |start: &str| message.strip_prefix(start)?.split('`').next();
    if let Some(key) = key("unknown field `") {
        let place = if knows::<RawRecipe>("", key) {
            "above the first [[stage]]"
        } else if knows::<Stage>("", key) {
            "in a [[stage]]"
        } else if ["adam", "sgd", "rmsprop"]
            .iter()
            .any(|kind| knows::<OptimizerConfig>(&format!("kind = \"{kind}\"\n"), key))
        {
            "in a stage's optimizer = { .. }"
        } else {
            return None;
        };
        return Some(format!("it belongs {place}"));
    }
    let key = key("missing field `")?;
    let whole = "`cargo xtask train --show-recipe two-stage` prints a whole recipe";
    Some(match key {
        "name" | "train" | "epochs" | "optimizer" => format!("every [[stage]] has one; {whole}"),
        "head"
        | "head_init"
        | "batch_size"
        | "shuffle"
        | "fresh_model_per_fold"
        | "loss"
        | "split" => format!("every recipe has one; {whole}"),
        _ => return None,
    })
}

/// Whether a table may have this key.
fn knows<T: DeserializeOwned>(before: &str, key: &str) -> bool {
    let unknown = format!("unknown field `{key}`");
    match toml::from_str::<T>(&format!("{before}\"{key}\" = []")) {
        Ok(_) => true,
        Err(error) => !error.message().starts_with(&unknown),
    }
}
