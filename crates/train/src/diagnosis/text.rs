//! A diagnosis for a terminal: the verdict, the findings, and what was and was not checked.

use super::{
    finding::{Finding, Healthy, Level, Measurement, Remedy},
    verdict::Diagnosis,
};

/// A diagnosis as lines, each ended.
pub fn text(diagnosis: &Diagnosis) -> String {
    let mut lines = Vec::new();
    match diagnosis.causes.first() {
        Some(cause) if cause.level() == Level::Error => {
            lines.push(format!("Most likely: {}", cause.finding.verdict));
        }
        Some(cause) => {
            lines.push("Nothing found that would keep the run from learning.".to_owned());
            if cause.level() == Level::Warning {
                lines.push(format!("First to look at: {}", cause.finding.verdict));
            }
        }
        None if diagnosis.silent.is_empty() => lines.push("Nothing was checked.".to_owned()),
        None => lines.push("Nothing found.".to_owned()),
    }
    for cause in &diagnosis.causes {
        lines.push(String::new());
        lines.extend(finding_lines(&cause.finding));
        for consequence in &cause.consequences {
            lines.push(format!("  which explains: {}", consequence.verdict));
            lines.push(format!("    {}", number(&consequence.measurement)));
        }
    }
    lines.push(String::new());
    if !diagnosis.silent.is_empty() {
        let checks: Vec<String> = diagnosis
            .silent
            .iter()
            .map(|(check, it)| format!("{} ({})", check.name(), short(it.value)))
            .collect();
        lines.push(format!("checked, and nothing found: {}", checks.join(", ")));
    }
    // Those of one reason stand together, where the first of them would.
    let mut by_reason: Vec<(&str, Vec<String>)> = Vec::new();
    for (check, why) in &diagnosis.skipped {
        match by_reason.iter_mut().find(|(reason, _)| reason == why) {
            Some((_, checks)) => checks.push(check.name()),
            None => by_reason.push((why, vec![check.name()])),
        }
    }
    for (why, checks) in by_reason {
        lines.push(format!("not checked: {}: {why}", checks.join(", ")));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The verdict in a line for a run's table.
pub fn verdict_line(diagnosis: &Diagnosis) -> String {
    let verdict = match diagnosis.causes.first() {
        Some(cause) if cause.level() == Level::Error => {
            format!("why it does not learn: {}", with_remedy(&cause.finding))
        }
        Some(cause) if cause.level() == Level::Warning => {
            format!("look at this: {}", with_remedy(&cause.finding))
        }
        _ if diagnosis.silent.is_empty() => return String::new(),
        _ => "nothing found that keeps it from learning; diagnosis.json has what was checked"
            .to_owned(),
    };
    format!("{:>12}  {verdict}\n", "diagnosis")
}

fn with_remedy(finding: &Finding) -> String {
    format!("{} (remedy: {})", finding.verdict, remedy_words(&finding.remedy))
}

/// A finding in one line, with its number and its remedy.
pub(crate) fn finding_line(finding: &Finding) -> String {
    let [head, number, remedy] = finding_lines(finding);
    format!("{head} ({}; {})", number.trim(), remedy.trim())
}

fn finding_lines(finding: &Finding) -> [String; 3] {
    let level = level_word(finding.level);
    [
        format!("{level} [{}]: {}", finding.check.name(), finding.verdict),
        format!("  {}", number(&finding.measurement)),
        format!("  remedy: {}", remedy_words(&finding.remedy)),
    ]
}

/// `error`, `warning` or `note`.
pub(crate) fn level_word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}

/// What to do, in words.
pub(crate) fn remedy_words(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Recipe { key, value } => {
            format!("set {key} = {value} in a copy of the recipe, above its first [[stage]]")
        }
        Remedy::Stage { key, value } => {
            format!("set {key} = {value} in a copy of the recipe, in its [[stage]]")
        }
        Remedy::Command { command } if command.starts_with("--") => {
            format!("add `{command}` to the command")
        }
        Remedy::Command { command } => command.clone(),
        Remedy::Advice { text } => text.clone(),
    }
}

/// A number with its threshold, in words.
pub(crate) fn number(measurement: &Measurement) -> String {
    let side = match measurement.healthy {
        Healthy::AtMost => "at most",
        Healthy::AtLeast => "at least",
    };
    format!(
        "{}: {}, healthy is {side} {}",
        measurement.what,
        short(measurement.value),
        short(measurement.threshold)
    )
}

/// Four digits, without zeros at the end.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = if size < 1.0 {
        4
    } else if size < 100.0 {
        2
    } else {
        0
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{check::Check, finding::*},
        *,
    };

    #[test]
    fn the_verdict_comes_first_and_what_was_not_checked_last() {
        let finding = |check, level, verdict: &str| {
            Outcome::Found(Finding {
                check,
                level,
                verdict: verdict.to_owned(),
                measurement: Measurement::at_most("share of a weight a step", 0.1314, 0.04),
                remedy: Remedy::command("--recipe two-stage"),
            })
        };
        let diagnosis = Diagnosis::new(vec![
            Outcome::skipped(Check::Presentation, "the base is random"),
            Outcome::Silent {
                check: Check::Coverage,
                measurement: Measurement::at_most("share", 0.0, 0.05),
            },
            finding(Check::Collapse, Level::Error, "One answer for all."),
            finding(Check::BaseRate, Level::Error, "The rate is too high."),
        ]);
        let said = text(&diagnosis);
        let expected = "Most likely: The rate is too high.\n\
             \n\
             error [base-rate]: The rate is too high.\n  \
               share of a weight a step: 0.1314, healthy is at most 0.04\n  \
               remedy: add `--recipe two-stage` to the command\n  \
               which explains: One answer for all.\n    \
                 share of a weight a step: 0.1314, healthy is at most 0.04\n\
             \n\
             checked, and nothing found: coverage (0)\n";
        assert!(said.starts_with(expected), "{said}");
        assert!(said.contains("\nnot checked: presentation: the base is random\n"), "{said}");
        assert!(said.contains("\nnot checked: flat-loss, baseline-beaten, "), "{said}");
    }

    #[test]
    fn a_clean_bill_and_no_bill_differ() {
        assert!(text(&Diagnosis::default()).starts_with("Nothing was checked."));
        let measurement = Measurement::at_most("share", 0.0, 0.05);
        let silent = Outcome::Silent { check: Check::Coverage, measurement };
        assert!(text(&Diagnosis::new(vec![silent])).starts_with("Nothing found."));
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 1e-5, 0.05, 16.118, 5425.0, 2e7].map(short);
        assert_eq!(shown, ["0", "1.0e-5", "0.05", "16.12", "5425", "2.0e7"]);
    }
}
