//! What is wrong with a recipe's text, in one line and in the words of who writes TOML.

/// Keys and values that Keras calls otherwise, in serde's words, and how a recipe says it.
const KERAS_NAMES: [(&str, &str); 10] = [
    ("field `clipnorm`", "clip = { norm = 1.0 }"),
    ("field `clipvalue`", "clip = { value = 0.5 }"),
    ("field `global_clipnorm`", "clip = { global_norm = 1.0 }"),
    ("field `lr`", "learning_rate"),
    ("field `min_lr`", "min_learning_rate"),
    ("variant `adamw`", "kind = \"adam\", weight_decay = 0.004"),
    ("variant `val_loss`", "validation_loss"),
    ("variant `val_accuracy`", "validation_accuracy"),
    ("variant `val_acc`", "validation_accuracy"),
    ("variant `accuracy`", "train_accuracy"),
];

/// What serde says of types, and what it means to who writes TOML.
const TOML_WORDS: [(&str, &str); 3] = [
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
        None => message,
    };
    match cause.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}
