//! The diagnosis, cause by cause.

use serde::Serialize;

use crate::diagnosis::{Diagnosis, Finding, level_word, number, remedy_words};

/// A finding and those that it explains.
#[derive(Debug, Serialize)]
pub(super) struct CauseRow {
    finding: FindingRow,
    consequences: Vec<FindingRow>,
}

#[derive(Debug, Serialize)]
struct FindingRow {
    check: String,
    level: &'static str,
    verdict: String,
    number: String,
    remedy: String,
}

/// The causes, the most likely first.
pub(super) fn causes(diagnosis: &Diagnosis) -> Vec<CauseRow> {
    let row = |finding: &Finding| FindingRow {
        check: finding.check.name(),
        level: level_word(finding.level),
        verdict: finding.verdict.clone(),
        number: number(&finding.measurement),
        remedy: remedy_words(&finding.remedy),
    };
    diagnosis
        .causes
        .iter()
        .map(|cause| CauseRow {
            finding: row(&cause.finding),
            consequences: cause.consequences.iter().map(row).collect(),
        })
        .collect()
}
