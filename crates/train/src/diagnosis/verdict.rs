//! The verdict over all outcomes: the most likely cause first, consequences under their causes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    check::Check,
    finding::{Finding, Level, Measurement, Outcome},
};

/// A finding that no other explains, with those that it explains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// What was found.
    pub finding: Finding,
    /// What was also found and follows from it.
    pub consequences: Vec<Finding>,
}

impl Cause {
    /// The worst level of it and what it explains.
    pub fn level(&self) -> Level {
        let levels = self.consequences.iter().map(|finding| finding.level);
        levels.fold(self.finding.level, Level::min)
    }
}

/// What all checks came to.
///
/// A finding stands under the first error or warning that [explains](Check::explains) it, whatever its
/// own level. Causes stand in the order of the worst level among them and what they explain, then of
/// [`Check::rank`], then as they came. Every check is there once: one that did not run is skipped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The most likely cause first.
    pub causes: Vec<Cause>,
    /// Checks that ran and found nothing, with their numbers, by rank.
    pub silent: Vec<(Check, Measurement)>,
    /// Checks that did not run, and why, by rank.
    pub skipped: Vec<(Check, String)>,
}

impl Diagnosis {
    /// Orders outcomes.
    pub fn new(outcomes: Vec<Outcome>) -> Self {
        let mut diagnosis = Self::default();
        let mut findings = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Found(finding) => findings.push(finding),
                Outcome::Silent { check, measurement } => {
                    diagnosis.silent.push((check, measurement));
                }
                Outcome::Skipped { check, why } => diagnosis.skipped.push((check, why)),
            }
        }
        let said: BTreeSet<Check> = findings
            .iter()
            .map(|finding| finding.check)
            .chain(diagnosis.silent.iter().map(|(check, _)| *check))
            .chain(diagnosis.skipped.iter().map(|(check, _)| *check))
            .collect();
        let unsaid = Check::ALL.into_iter().filter(|check| !said.contains(check));
        diagnosis.skipped.extend(unsaid.map(|check| (check, check.needs().to_owned())));
        diagnosis.silent.sort_by_key(|(check, _)| check.rank());
        diagnosis.skipped.sort_by_key(|(check, _)| check.rank());
        // By rank a cause comes before all that it explains.
        findings.sort_by_key(|finding| finding.check.rank());
        for finding in findings {
            let explains = |cause: &&mut Cause| {
                cause.finding.level != Level::Note
                    && cause.finding.check.explains().contains(&finding.check)
            };
            match diagnosis.causes.iter_mut().find(explains) {
                Some(cause) => cause.consequences.push(finding),
                None => diagnosis.causes.push(Cause { finding, consequences: Vec::new() }),
            }
        }
        diagnosis.causes.sort_by_key(Cause::level);
        diagnosis
    }

    /// The most likely cause of not learning, if anything was found.
    pub fn verdict(&self) -> Option<&Finding> {
        self.causes.first().map(|cause| &cause.finding)
    }

    /// All findings, each consequence behind its cause.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.causes
            .iter()
            .flat_map(|cause| std::iter::once(&cause.finding).chain(&cause.consequences))
    }

    /// All of it as JSON, with a line's end.
    ///
    /// # Panics
    ///
    /// Never: findings have plain fields.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("findings have plain fields") + "\n"
    }

    /// Whether there is an error among the findings.
    pub fn has_errors(&self) -> bool {
        self.findings().any(|finding| finding.level == Level::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Remedy, *};

    fn found(check: Check, level: Level) -> Outcome {
        let measurement = Measurement::at_most("x", 2.0, 1.0);
        let (verdict, remedy) = (check.name(), Remedy::advice("y"));
        Outcome::Found(Finding { check, level, verdict, measurement, remedy })
    }

    fn order(outcomes: Vec<Outcome>) -> Vec<Check> {
        Diagnosis::new(outcomes).causes.into_iter().map(|cause| cause.finding.check).collect()
    }

    #[test]
    fn the_questions_run_is_told_in_the_order_of_its_causes() {
        let outcomes = vec![
            found(Check::HeadSize, Level::Note),
            found(Check::Coverage, Level::Error),
            found(Check::Collapse, Level::Error),
            found(Check::ClippedSaturation, Level::Error),
            found(Check::BaseRate, Level::Error),
            found(Check::ModelPerFold, Level::Error),
            found(Check::ClippedLoss, Level::Note),
        ];
        let diagnosis = Diagnosis::new(outcomes.clone());
        assert_eq!(
            order(outcomes),
            [Check::BaseRate, Check::ModelPerFold, Check::Coverage, Check::HeadSize]
        );
        assert_eq!(diagnosis.verdict().unwrap().check, Check::BaseRate);
        let hidden: Vec<Check> =
            diagnosis.causes[0].consequences.iter().map(|finding| finding.check).collect();
        assert_eq!(hidden, [Check::ClippedSaturation, Check::ClippedLoss, Check::Collapse]);
        assert!(diagnosis.has_errors());
        assert_eq!(diagnosis.findings().count(), 7);
    }

    #[test]
    fn the_worst_of_what_a_cause_explains_decides_its_place_and_notes_explain_nothing() {
        let outcomes = |level| {
            vec![
                found(Check::UpdateRatio, level),
                found(Check::Collapse, Level::Error),
                found(Check::BaseRate, Level::Warning),
            ]
        };
        assert_eq!(order(outcomes(Level::Note)), [Check::BaseRate]);
        let outcomes = |level| outcomes(level)[..2].to_vec();
        assert_eq!(order(outcomes(Level::Warning)), [Check::UpdateRatio]);
        assert_eq!(order(outcomes(Level::Note)), [Check::Collapse, Check::UpdateRatio]);
    }

    #[test]
    fn silence_and_skipping_are_kept_apart() {
        let measurement = Measurement::at_most("x", 0.0, 1.0);
        let diagnosis = Diagnosis::new(vec![
            Outcome::skipped(Check::Presentation, "no network"),
            Outcome::Silent { check: Check::Coverage, measurement: measurement.clone() },
        ]);
        assert_eq!(diagnosis.silent, [(Check::Coverage, measurement)]);
        assert_eq!(diagnosis.skipped.len(), Check::ALL.len() - 1, "every check is there");
        assert!(diagnosis.skipped.contains(&(Check::Presentation, "no network".to_owned())));
        assert_eq!(diagnosis.verdict(), None);
    }
}
