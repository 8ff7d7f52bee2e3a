//! The figures at the top of a run.

use serde::Serialize;

use super::{folds::interval, section::percent, time::duration};
use crate::run::{FoldSummary, Summary};

/// A figure and what it is.
#[derive(Debug, Serialize)]
pub(super) struct Tile {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) more: String,
}

/// How good the run is, on what, and how long it took.
pub(super) fn tiles(summary: &Summary) -> Vec<Tile> {
    let folds = summary.folds.len();
    let mean = |value: fn(&FoldSummary) -> f64| {
        summary.folds.iter().map(value).sum::<f64>() / folds as f64
    };
    let error = match summary.accuracy.standard_error {
        Some(error) => {
            let (low, high) =
                interval(summary.accuracy, folds, summary.num_folds).unwrap_or_default();
            format!(
                "standard error {}; 95\u{a0}% interval {:.1} to {:.1}\u{a0}%",
                percent(error, 2),
                100.0 * low,
                100.0 * high
            )
        }
        None => "one fold has no spread".to_owned(),
    };
    let optimistic = if summary.chosen_on_validation {
        "; each fold's best epoch, chosen on its own held-out photographs: optimistic"
    } else {
        ""
    };
    let tile =
        |label: &str, value: String, more: String| Tile { label: label.to_owned(), value, more };
    vec![
        tile("accuracy", percent(summary.accuracy.mean, 2), format!("{error}{optimistic}")),
        tile(
            "among the five best",
            percent(mean(|fold| fold.top5_accuracy), 1),
            "top-5 accuracy".to_owned(),
        ),
        tile(
            "macro F1",
            percent(mean(|fold| fold.macro_f1), 1),
            "each person counts alike".to_owned(),
        ),
        tile(
            "folds",
            format!("{folds} of {}", summary.num_folds * summary.repeats.get()),
            format!("{} split, seed {}", summary.split, summary.seed),
        ),
        tile(
            "data",
            format!("{} people", summary.dataset.identities),
            format!("{} photographs", summary.dataset.images),
        ),
        tile(
            "time",
            duration(summary.folds.iter().map(|fold| fold.seconds).sum()),
            format!("{} a fold, features aside", duration(mean(|fold| fold.seconds))),
        ),
    ]
}
