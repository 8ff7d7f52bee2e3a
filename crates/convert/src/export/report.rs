//! An export as a table for people.

use std::fmt;

use serde_json::json;

use super::{Export, Value};

impl Export {
    /// The same for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let value =
            |value: &Value| json!({ "name": value.name, "shape": value.shape, "dtype": "f32" });
        json!({
            "file": self.file.display().to_string(),
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "target": self.target.to_string(),
            "input": value(&self.input),
            "output": value(&self.output),
            "pixels": self.pixels,
            "identities": self.identities,
        })
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "file        {}", self.file.display())?;
        writeln!(f, "bytes       {}", self.size_bytes)?;
        writeln!(f, "sha256      {}", self.sha256)?;
        writeln!(f, "input       {}", self.input)?;
        writeln!(f, "output      {}", self.output)?;
        writeln!(f, "pixels      {}", self.pixels)?;
        match self.identities {
            0 => write!(f, "identities  none"),
            count => write!(f, "identities  {count}, named in the file"),
        }
    }
}

/// `logits (batch, 20)`
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, "{} (batch, {}), f32", self.name, extents.join(", "))
    }
}
