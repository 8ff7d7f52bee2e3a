//! A conversion as a table for people.

use std::fmt;

use serde_json::{Value, json};

use crate::Conversion;

impl Conversion {
    /// The same for programs, with the findings.
    pub fn to_json(&self) -> Value {
        let parameter = |line: &crate::Converted| {
            json!({
                "source_name": line.source_name,
                "name": line.name,
                "shape": line.shape,
                "mean": line.mean,
                "standard_deviation": line.standard_deviation,
            })
        };
        let sighting = |it: &crate::Sighting| json!({ "identity": it.identity, "probability": it.probability });
        json!({
            "format": self.format.to_string(),
            "naming": self.naming.to_string(),
            "parameters": self.converted.iter().map(parameter).collect::<Vec<_>>(),
            "left_out": self.left_out,
            "normalization": self.normalization.to_string(),
            "normalization_reason": self.normalization_reason.to_string(),
            "pixels": self.pixels.to_string(),
            "pixels_reason": self.pixels_reason.to_string(),
            "findings": self.findings,
            "identities": self.identities,
            "sightings": self.sightings.iter().map(sighting).collect::<Vec<_>>(),
            "source_sha256": self.source_sha256,
            "sha256": self.sha256,
        })
    }
}

/// One line a parameter, aligned, then where it came from and what is to be known about it.
/// [`Conversion::findings`] are left to the caller.
impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["in the source", "here", "shape", "mean", "std"].map(str::to_owned)];
        rows.extend(self.converted.iter().map(|line| {
            [
                line.source_name.clone(),
                line.name.clone(),
                format!("{:?}", line.shape),
                format!("{:+.3e}", line.mean),
                format!("{:.3e}", line.standard_deviation),
            ]
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        for [source, here, shape, mean, deviation] in &rows {
            writeln!(
                f,
                "{source:<0$}  {here:<1$}  {shape:<2$}  {mean:>3$}  {deviation:>4$}",
                widths[0], widths[1], widths[2], widths[3], widths[4]
            )?;
        }
        let parameters: usize =
            self.converted.iter().map(|line| line.shape.iter().product::<usize>()).sum();
        writeln!(f, "parameters     {parameters}")?;
        writeln!(f, "recognized by  {}, in {}", self.naming, self.format)?;
        writeln!(f, "pixels         {}, {}", self.pixels, self.pixels_reason)?;
        writeln!(f, "normalization  {}, {}", self.normalization, self.normalization_reason)?;
        match self.left_out.as_slice() {
            [] => writeln!(f, "left out       nothing")?,
            names => writeln!(f, "left out       {}", names.join(", "))?,
        }
        if self.identities > 0 {
            writeln!(f, "identities     {}", self.identities)?;
        }
        for (place, sighting) in self.sightings.iter().enumerate() {
            let title = if place == 0 { "sees" } else { "" };
            writeln!(f, "{title:<13}  {:.4} {}", sighting.probability, sighting.identity)?;
        }
        writeln!(f, "source sha256  {}", self.source_sha256)?;
        write!(f, "result sha256  {}", self.sha256)
    }
}
