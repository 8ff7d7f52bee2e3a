//! What a check says: a finding with its number and its remedy, silence, or why it did not run.

use serde::{Deserialize, Deserializer, Serialize};

use super::check::Check;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The run cannot learn, or its figures do not mean what they say.
    Error,
    /// The run will likely be worse than it could be, or its figures are too good.
    Warning,
    /// Worth knowing.
    Note,
}

/// On which side of its threshold a number is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Healthy {
    /// Up to the threshold.
    AtMost,
    /// From the threshold on.
    AtLeast,
}

/// The number that a check looks at, and its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What the number is, with its unit.
    pub what: String,
    /// The number; in JSON null, if it is none.
    #[serde(deserialize_with = "number_or_null")]
    pub value: f64,
    /// The threshold.
    pub threshold: f64,
    /// Which side of it is healthy.
    pub healthy: Healthy,
}

/// JSON has no word for what is no number.
fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Remedy {
    /// A key of the recipe with the value to give it, as TOML.
    Recipe {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A key of the recipe's stage to set.
    Stage {
        /// The key.
        key: String,
        /// Its value, as TOML has it.
        value: String,
    },
    /// A command, or options for one.
    Command {
        /// As it is typed.
        command: String,
    },
    /// What no key and no command does.
    Advice {
        /// One sentence.
        text: String,
    },
}

/// Something that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Who found it.
    pub check: Check,
    /// How bad it is.
    pub level: Level,
    /// One sentence, in words that a user of Keras knows.
    pub verdict: String,
    /// The number behind it.
    pub measurement: Measurement,
    /// What to do.
    pub remedy: Remedy,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It found something.
    Found(Finding),
    /// It ran and found nothing.
    Silent {
        /// Who.
        check: Check,
        /// The number it was silent at.
        measurement: Measurement,
    },
    /// It did not run, and so says nothing of the run's health.
    Skipped {
        /// Who.
        check: Check,
        /// Why, as the end of "skipped: ".
        why: String,
    },
}

impl Measurement {
    /// A number that is healthy up to `threshold`.
    pub fn at_most(what: impl Into<String>, value: f64, threshold: f64) -> Self {
        Self { what: what.into(), value, threshold, healthy: Healthy::AtMost }
    }

    /// A number that is healthy from `threshold` on.
    pub fn at_least(what: impl Into<String>, value: f64, threshold: f64) -> Self {
        Self { what: what.into(), value, threshold, healthy: Healthy::AtLeast }
    }

    /// Whether the number is on the healthy side; what is no number never is.
    pub fn is_healthy(&self) -> bool {
        match self.healthy {
            Healthy::AtMost => self.value <= self.threshold,
            Healthy::AtLeast => self.threshold <= self.value,
        }
    }
}

impl Remedy {
    /// A key of the recipe and its value.
    pub fn recipe(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Recipe { key: key.into(), value: value.into() }
    }

    /// A key of a stage and its value.
    pub fn stage(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Stage { key: key.into(), value: value.into() }
    }

    /// A command or its options.
    pub fn command(command: impl Into<String>) -> Self {
        Self::Command { command: command.into() }
    }

    /// Something to do by hand.
    pub fn advice(text: impl Into<String>) -> Self {
        Self::Advice { text: text.into() }
    }
}

impl Outcome {
    /// Silence if the number is healthy, else what `found` says of it.
    pub(crate) fn judge(
        check: Check,
        measurement: Measurement,
        found: impl FnOnce() -> (Level, String, Remedy),
    ) -> Self {
        if measurement.is_healthy() {
            return Self::Silent { check, measurement };
        }
        let (level, verdict, remedy) = found();
        Self::Found(Finding { check, level, verdict, measurement, remedy })
    }

    /// A check that could not run.
    pub fn skipped(check: Check, why: impl Into<String>) -> Self {
        Self::Skipped { check, why: why.into() }
    }

    /// Who says it.
    pub fn check(&self) -> Check {
        match self {
            Self::Found(finding) => finding.check,
            Self::Silent { check, .. } | Self::Skipped { check, .. } => *check,
        }
    }

    /// What was found, if anything.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Found(finding) => Some(finding),
            Self::Silent { .. } | Self::Skipped { .. } => None,
        }
    }
}

/// What mends steps that are too large, where it is not known that a frozen base would.
pub(super) fn lower_the_rate() -> Remedy {
    Remedy::advice(
        "Lower the stage's learning_rate tenfold (`cargo xtask find-rate`), or train the head on the \
         frozen base first, as `two-stage` does.",
    )
}

/// What finds a rate that suits a run.
pub(super) fn find_the_rate() -> Remedy {
    Remedy::advice(
        "Find a rate by `cargo xtask find-rate` with this run's --data, --weights, --recipe and \
         --folds.",
    )
}

/// A share as a percentage with one digit.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_back_from_json_as_itself() {
        let outcome = Outcome::Found(Finding {
            check: Check::NearDuplicates,
            level: Level::Warning,
            verdict: "v".to_owned(),
            measurement: Measurement::at_most("images", 3.0, 0.0),
            remedy: Remedy::recipe("split", "\"stratified\""),
        });
        let text = serde_json::to_string(&outcome).unwrap();
        assert!(text.contains(r#""outcome":"found","check":"near-duplicates""#), "{text}");
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
        let none = Measurement::at_most("x", f64::INFINITY, 1.0);
        let text = serde_json::to_string(&none).unwrap();
        assert!(serde_json::from_str::<Measurement>(&text).unwrap().value.is_nan(), "{text}");
    }

    #[test]
    fn no_number_is_never_healthy() {
        assert!(!Measurement::at_most("x", f64::NAN, 1.0).is_healthy());
        assert!(!Measurement::at_least("x", f64::NAN, 1.0).is_healthy());
        assert!(Measurement::at_most("x", 1.0, 1.0).is_healthy());
        assert!(!Measurement::at_least("x", 0.5, 1.0).is_healthy());
    }
}
