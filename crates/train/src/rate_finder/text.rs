//! A range test's result for a terminal.

use std::fmt::Write as _;

use super::{End, Report, Suggestion};
use crate::optimizer::OptimizerConfig;

/// The factor within which two rates are as good as one.
const NEAR: f64 = 2.0;

/// What the lowest loss may be of the first before the fall counts for nothing.
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
    if let Some(Suggestion { valley, steepest, minimum_over_ten }) = report.suggestion {
        row("suggestion (valley)", format!("{valley:.1e}"));
        row("steepest fall", format!("{steepest:.1e}"));
        row("a tenth of the minimum's", format!("{minimum_over_ten:.1e}"));
        row("diverged at", ended(report.end));
        row("the recipe has", format!("{own:.1e}, {}", beside(own, valley)));
        row("to set", line(&report.optimizer, valley));
    } else {
        row("suggestion", "none: too few steps to judge, lower --from".to_owned());
        row("diverged at", ended(report.end));
        row("the recipe has", format!("{own:.1e}"));
    }
    if let Some(fall) = report.fall.filter(|fall| FLAT < *fall) {
        let percent = 100.0 * (1.0 - fall).max(0.0);
        writeln!(
            out,
            "note: the smoothed loss fell by {percent:.1} % only, so the suggestion says little; \
             try more --steps, or a higher --from"
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
    fn a_rate_is_near_within_a_factor_of_two() {
        assert_eq!(beside(1e-4, 1.9e-4), "near the suggestion");
        assert_eq!(beside(1e-3, 1e-4), "10 times the suggestion: above it");
        assert_eq!(beside(1e-5, 1e-4), "below the suggestion, which is 10 times as high");
    }
}
