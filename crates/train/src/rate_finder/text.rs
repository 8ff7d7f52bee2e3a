//! A range test's result for a terminal.

use std::fmt::Write as _;

use super::{End, Report, Suggestion};
use crate::optimizer::OptimizerConfig;

/// The factor within which two rates are as good as one.
const NEAR: f64 = 2.0;

/// What is left of a loss that has hardly fallen: as much as chance alone makes of a smoothed one.
const FLAT: f64 = 0.95;

/// A small table, and the line to set in the recipe.
pub fn text(report: &Report) -> String {
    let Report { recipe, stage, fold, seed, range, images_per_step, .. } = report;
    let mut out = format!(
        "{recipe}, stage {stage}: {} of {} steps of {images_per_step} photographs, fold {fold}, seed {seed}, \
         rates {:.1e} to {:.1e}\n",
        report.points.len(),
        range.steps(),
        range.from(),
        range.to()
    );
    let mut row = |what: &str, value: String| {
        writeln!(out, "  {what:<26}{value}").expect("a string takes all that is written");
    };
    let own = report.optimizer.learning_rate();
    let flat = report.fall.filter(|fall| FLAT < *fall);
    if let Some(Suggestion { valley, steepest, minimum_over_ten }) = report.suggestion {
        row("suggestion (valley)", format!("{valley:.1e}"));
        row("steepest fall", format!("{steepest:.1e}"));
        row("a tenth of the minimum's", format!("{minimum_over_ten:.1e}"));
        row("diverged at", ended(report.end));
        row("the recipe has", format!("{own:.1e}, {}", beside(own, valley)));
        if flat.is_none() {
            row("to set", line(&report.optimizer, valley));
        }
    } else {
        row("suggestion", "none: too few steps to judge, lower --from".to_owned());
        row("diverged at", ended(report.end));
        row("the recipe has", format!("{own:.1e}"));
    }
    if let (Some(fall), Some(_)) = (flat, report.suggestion) {
        let percent = 100.0 * (1.0 - fall);
        writeln!(
            out,
            "note: the smoothed loss fell by {percent:.1} % only, as it may by chance, so the suggestion says \
             nothing; {}",
            match report.end {
                End::Completed => "raise --to",
                End::Diverged { .. } | End::NotANumber { .. } => "lower --from, or take more --steps",
            }
        )
        .expect("a string takes all that is written");
    }
    out
}

fn ended(end: End) -> String {
    match end {
        End::Completed => "nowhere in this range".to_owned(),
        End::Diverged { learning_rate } => {
            format!("{learning_rate:.1e}, the loss over four times its best")
        }
        End::NotANumber { learning_rate } => format!("{learning_rate:.1e}, the loss no number"),
    }
}

/// How the recipe's own rate stands to the suggestion.
fn beside(own: f64, suggestion: f64) -> String {
    let ratio = own / suggestion;
    let times = |ratio: f64| format!("{:.0} times", ratio.max(2.0));
    if ratio > NEAR {
        format!("{} the suggestion: above it", times(ratio))
    } else if ratio < 1.0 / NEAR {
        format!("below the suggestion, which is {} as high", times(1.0 / ratio))
    } else {
        "near the suggestion".to_owned()
    }
}

/// The recipe's line with this rate.
fn line(optimizer: &OptimizerConfig, learning_rate: f64) -> String {
    let kind = match optimizer {
        OptimizerConfig::Adam(_) => "adam",
        OptimizerConfig::Sgd(_) => "sgd",
        OptimizerConfig::RmsProp(_) => "rmsprop",
    };
    format!("optimizer = {{ kind = \"{kind}\", ..., learning_rate = {learning_rate:.1e} }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_hardly_falls_gives_no_line_to_set() {
        let said = text(&Report::example("head", |rate| 5.0 - 1e-3 * rate));
        assert!(said.contains("says nothing; raise --to") && !said.contains("to set"), "{said}");
        let said = text(&Report::example("head", |rate| 5.0 - 5e2 * rate.min(9e-3)));
        assert!(said.contains("kind = \"adam\", ..., learning_rate = "), "{said}");
        let said = text(&Report::example("head", |_| f64::NAN));
        assert!(
            said.contains("none: too few steps") && said.contains("1.0e-7, the loss no"),
            "{said}"
        );
    }

    #[test]
    fn a_rate_is_near_within_a_factor_of_two() {
        assert_eq!(beside(1e-4, 1.9e-4), "near the suggestion");
        assert_eq!(beside(1e-3, 1e-4), "10 times the suggestion: above it");
        assert_eq!(beside(1e-5, 1e-4), "below the suggestion, which is 10 times as high");
    }
}
