//! A comparison as a table for a terminal.

use std::collections::BTreeSet;

use super::{Comparison, Evidence, PairOutcome, Report, Row, recipes::name};

/// How a column stands.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// A line for each run, aligned and ended, then what has to be known to read them.
pub fn table(report: &Report) -> String {
    let mut lines = vec![heading(report)];
    let (titles, cells) = columns(report);
    lines.extend(aligned(&titles, &cells));
    let verdict = |row: &Row| format!("{}: {}", row.name, row.verdict);
    lines.extend(report.runs.iter().map(verdict));
    lines.extend(notes(report).into_iter().map(|note| format!("note: {note}")));
    let stopped = |run: &super::StoppedRun| format!("stopped: {}: {}", run.name, run.problem);
    lines.extend(report.stopped.iter().map(stopped));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// What the baseline's folds are.
fn heading(report: &Report) -> String {
    let baseline = report.runs.iter().find(|row| row.name == report.baseline);
    let Row { identities, images, chance, num_folds, repeats, seed, .. } =
        baseline.expect("the baseline is one of the runs");
    let repeats = match repeats.get() {
        1 => String::new(),
        repeats => format!(" repeated {repeats} times"),
    };
    format!(
        "{identities} people, {images} photographs, chance {:.2} %; {num_folds} folds{repeats}, seed \
         {seed}; differences are to {}, in percentage points",
        100.0 * chance,
        report.baseline
    )
}

fn columns(report: &Report) -> (Vec<(&'static str, Side)>, Vec<Vec<String>>) {
    use Side::{Left, Right};
    // A run that is called as its recipe needs no second column to say so.
    let has_recipes = report.runs.iter().any(|row| row.name != name(&row.recipe));
    let mut titles = vec![("run", Left)];
    if has_recipes {
        titles.push(("recipe", Left));
    }
    titles.extend([
        ("split", Left),
        ("folds", Right),
        ("accuracy %", Right),
        ("std. error", Right),
        ("top-5 %", Right),
        ("s a fold", Right),
        ("s in all", Right),
        ("difference", Right),
        ("95 % interval", Right),
        ("p", Right),
    ]);
    let cells = |row: &Row| {
        let mut cells = vec![row.name.clone()];
        if has_recipes {
            cells.push(row.recipe.clone());
        }
        cells.extend([
            row.split.to_string(),
            format!("{}/{}", row.folds_done, row.num_folds * row.repeats.get()),
            format!("{:.2}", 100.0 * row.accuracy.mean),
            row.accuracy.standard_error.map_or("-".to_owned(), |it| format!("{:.2}", 100.0 * it)),
            format!("{:.2}", 100.0 * row.top5_accuracy),
            format!("{:.1}", row.seconds_a_fold),
            format!("{:.1}", row.seconds),
        ]);
        cells.extend(difference(report.against_baseline(&row.name)));
        cells
    };
    (titles, report.runs.iter().map(cells).collect())
}

/// The difference to the baseline, its interval and its p.
fn difference(outcome: Option<&PairOutcome>) -> [String; 3] {
    let none = |why: &str| ["-".to_owned(), why.to_owned(), "-".to_owned()];
    let comparison = match outcome {
        None => return ["baseline".to_owned(), String::new(), String::new()],
        Some(PairOutcome::OtherFolds { what, .. }) => return none(&format!("{what} differs")),
        Some(PairOutcome::Unpaired { .. }) => return none("not paired"),
        Some(PairOutcome::Paired(comparison)) => comparison,
    };
    let (interval, p) = match comparison.evidence {
        Evidence::OneFold => ("one fold".to_owned(), "-".to_owned()),
        Evidence::NoSpread => ("no spread".to_owned(), "-".to_owned()),
        Evidence::Tested(test) => {
            let (lower, upper) = (100.0 * test.lower, 100.0 * test.upper);
            (format!("{lower:+.2} to {upper:+.2}"), p_value(test.p))
        }
    };
    [format!("{:+.2}", 100.0 * comparison.mean_difference), interval, p]
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { "<0.0001".to_owned() } else { format!("{p:.4}") }
}

/// Cells under their titles, each column as wide as its widest.
fn aligned(titles: &[(&'static str, Side)], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([titles[column].0.len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .into_iter()
            .zip(titles.iter().zip(&widths))
            .map(|(cell, ((_, side), &width))| match side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let heads = titles.iter().map(|(title, _)| *title).collect();
    let rows = rows.iter().map(|row| row.iter().map(String::as_str).collect());
    std::iter::once(heads).chain(rows).map(line).collect()
}

/// What has to be known to read a table.
pub(crate) fn notes(report: &Report) -> Vec<String> {
    let baseline = &report.baseline;
    let mut notes = Vec::new();
    let mut tested = 0;
    for Row { name, .. } in &report.runs {
        match report.against_baseline(name) {
            None => {}
            Some(PairOutcome::Paired(comparison)) => {
                tested += usize::from(matches!(comparison.evidence, Evidence::Tested(_)));
                notes.extend(left_out(comparison, name, baseline));
            }
            Some(PairOutcome::OtherFolds { what, first, second }) => notes.push(format!(
                "{name} and {baseline} have other folds, so no difference is given: {what} is \
                 {} and {}{}",
                short(second),
                short(first),
                if what == "the split" { "; train both with one --split" } else { "" }
            )),
            Some(PairOutcome::Unpaired { problem }) => {
                notes.push(format!("{name} and {baseline}: no difference is given: {problem}"));
            }
        }
    }
    for row in &report.runs {
        if row.carries_weights_over {
            notes.push(format!(
                "{}: its folds started from different weights, as where one model goes through all; \
                 it may have trained on what it is measured on",
                row.name
            ));
        }
        if row.chosen_on_validation {
            notes.push(format!(
                "{}: each fold's best epoch, chosen on its own held-out photographs: optimistic",
                row.name
            ));
        }
    }
    let weights: BTreeSet<&str> =
        report.runs.iter().map(|row| row.weights_sha256.as_str()).collect();
    if weights.len() > 1 {
        notes.push("the runs started from different weights files".to_owned());
    }
    if tested > 0 {
        notes.push(
            "interval and p are of the corrected resampled t-test (Nadeau and Bengio), which knows \
             that folds share training images; where the interval holds 0, the folds do not tell \
             the two runs apart"
                .to_owned(),
        );
    }
    if tested > 1 {
        notes.push(
            "each p is of one pair alone; of many equal recipes one in twenty is below 0.05"
                .to_owned(),
        );
    }
    notes
}

/// As much of a SHA-256 as tells it from another; all other values are shorter.
fn short(value: &str) -> &str {
    value.get(..12).unwrap_or(value)
}

/// That some folds had no partner.
fn left_out(comparison: &Comparison, name: &str, baseline: &str) -> Option<String> {
    (comparison.only_in_first + comparison.only_in_second > 0).then(|| {
        format!(
            "{name} and {baseline}: the difference is over the {} folds that both have",
            comparison.folds.len()
        )
    })
}
