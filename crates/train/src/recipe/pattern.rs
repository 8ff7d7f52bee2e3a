//! Patterns over layer names, in which `*` stands for any characters.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A pattern over layer names: `conv5_*`, `fc8`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Whether the whole of `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '*';
        if text.is_empty() || !text.chars().all(is_allowed) {
            return Err(format!(
                "`{text}` is no layer pattern: letters, digits, `_`, and `*` for any characters"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let matches = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().matches(name);
        assert!(matches("conv5_*", "conv5_1"));
        assert!(!matches("conv5_*", "conv4_1"));
        assert!(matches("*", "fc8"));
        assert!(matches("fc8", "fc8"));
        assert!(!matches("fc8", "fc80"));
        assert!(matches("conv*_3", "conv4_3"));
        assert!(!matches("conv*_3", "conv4_2"));
        assert!(matches("c*v*1", "conv1_1"));
        assert!(!matches("conv1_1*1", "conv1_1"));
    }

    #[test]
    fn other_characters_are_refused() {
        for text in ["", "conv5_?", "layers[:25]", "conv 5"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
