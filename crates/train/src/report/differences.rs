//! Several runs side by side: their table, and what each pair of folds says of them.

use serde::Serialize;

use super::run::ReportedRun;
use crate::{
    Error,
    chart::{Anchor, Edges, Plot, Scale, Svg},
    comparison::{
        Baseline, ComparedRun, Comparison, Evidence, PairOutcome, Report, Verdict, notes,
    },
    diagnosis::Diagnosis,
};

/// What a page over several runs begins with.
#[derive(Debug, Serialize)]
pub(super) struct Differences {
    baseline: String,
    rows: Vec<RunRow>,
    notes: Vec<String>,
    chart: Option<String>,
}

#[derive(Debug, Serialize)]
struct RunRow {
    name: String,
    accuracy: String,
    error: String,
    top5: String,
    folds: String,
    time: String,
    difference: String,
    interval: String,
    p: String,
}

/// The comparison of runs that have a fold done; none of fewer than two.
///
/// # Errors
///
/// Those of [`Report::new`].
pub(super) fn differences(runs: &[ReportedRun]) -> Result<Option<Differences>, Error> {
    let compared: Vec<ComparedRun> = runs
        .iter()
        .filter_map(|run| {
            let verdict = run
                .diagnosis
                .as_ref()
                .map_or(Verdict::NotDiagnosed, |it: &Diagnosis| Verdict::of(it));
            Some(ComparedRun { name: run.name.clone(), summary: run.summary.clone()?, verdict })
        })
        .collect();
    if compared.len() < 2 {
        return Ok(None);
    }
    let report = Report::new(&compared, Vec::new(), &Baseline::First)?;
    let rows = report.runs.iter().map(|row| {
        let [difference, interval, p] = outcome(report.against_baseline(&row.name));
        RunRow {
            name: row.name.clone(),
            accuracy: format!("{:.2} %", 100.0 * row.accuracy.mean),
            error: row
                .accuracy
                .standard_error
                .map_or("one fold".to_owned(), |it| format!("{:.2}", 100.0 * it)),
            top5: format!("{:.1} %", 100.0 * row.top5_accuracy),
            folds: format!("{} of {}", row.folds_done, row.num_folds * row.repeats.get()),
            time: super::time::duration(row.seconds_a_fold),
            difference,
            interval,
            p,
        }
    });
    Ok(Some(Differences {
        baseline: report.baseline.clone(),
        rows: rows.collect(),
        notes: notes(&report),
        chart: chart(&report),
    }))
}

/// Difference, interval and p, in words.
fn outcome(outcome: Option<&PairOutcome>) -> [String; 3] {
    let dash = || "\u{2013}".to_owned();
    match outcome {
        None => ["baseline".to_owned(), dash(), dash()],
        Some(PairOutcome::OtherFolds { what, .. }) => [dash(), format!("{what} differs"), dash()],
        Some(PairOutcome::Unpaired { problem }) => [dash(), problem.clone(), dash()],
        Some(PairOutcome::Paired(pair)) => {
            let difference = format!("{:+.2}", 100.0 * pair.mean_difference);
            match pair.evidence {
                Evidence::OneFold => [difference, "one fold".to_owned(), dash()],
                Evidence::NoSpread => [difference, "no spread".to_owned(), dash()],
                Evidence::Tested(test) => [
                    difference,
                    format!("{:+.2} to {:+.2}", 100.0 * test.lower, 100.0 * test.upper),
                    if test.p < 1e-4 { "< 0.0001".to_owned() } else { format!("{:.4}", test.p) },
                ],
            }
        }
    }
}

/// Each run's difference to the baseline with its interval; none where no pair can be compared.
fn chart(report: &Report) -> Option<String> {
    const LINE: f64 = 34.0;
    let paired: Vec<(&str, &Comparison)> = report
        .runs
        .iter()
        .filter_map(|row| match report.against_baseline(&row.name)? {
            PairOutcome::Paired(pair) => Some((row.name.as_str(), pair)),
            _ => None,
        })
        .collect();
    if paired.is_empty() {
        return None;
    }
    let tested = |pair: &Comparison| match pair.evidence {
        Evidence::Tested(test) => Some((test.lower, test.upper)),
        Evidence::OneFold | Evidence::NoSpread => None,
    };
    let ends = |pair| tested(pair).unwrap_or((pair.mean_difference, pair.mean_difference));
    let low = paired.iter().map(|(_, pair)| 100.0 * ends(pair).0).fold(0.0, f64::min);
    let high = paired.iter().map(|(_, pair)| 100.0 * ends(pair).1).fold(0.0, f64::max);
    let room = 0.08 * (high - low).max(1.0);
    let edges =
        Edges { left: 190.0, right: 690.0, top: 24.0, bottom: 24.0 + LINE * paired.len() as f64 };
    let mut svg = Svg::new(720.0, edges.bottom + 60.0, "Differences in accuracy");
    let plot = Plot {
        edges,
        x: Scale::linear((low - room, high + room), (edges.left, edges.right)),
        y: Scale::linear((0.0, paired.len() as f64), (edges.top, edges.bottom)),
    };
    plot.columns(&mut svg, 7, "");
    let zero = plot.x.at(0.0);
    svg.path("mean", format_args!("M{zero:.1} {}V{}", edges.top, edges.bottom));
    for (place, (name, pair)) in paired.iter().enumerate() {
        let (x, y) = plot.at(100.0 * pair.mean_difference, place as f64 + 0.5);
        let interval = match tested(pair) {
            None => "no interval".to_owned(),
            Some((lower, upper)) => {
                let (from, to) = (plot.x.at(100.0 * lower), plot.x.at(100.0 * upper));
                svg.path("whisker", format_args!("M{from:.1} {y:.1}H{to:.1}"));
                format!("95 % interval {:+.2} to {:+.2}", 100.0 * lower, 100.0 * upper)
            }
        };
        let title = format!(
            "{name}: {:+.2} points over {} folds, {interval}",
            100.0 * pair.mean_difference,
            pair.folds.len(),
        );
        svg.dot("point", (x, y), 5.0, &title);
        svg.text("tick", (edges.left - 12.0, y + 4.0), Anchor::End, short_name(name));
    }
    plot.floor(&mut svg, &format!("percentage points above {}", short_name(&report.baseline)));
    Some(svg.finish())
}

/// The last part of a run's path, as long as fits beside a chart.
fn short_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    if last.chars().count() <= 24 {
        last.to_owned()
    } else {
        last.chars().take(23).chain(['\u{2026}']).collect()
    }
}
