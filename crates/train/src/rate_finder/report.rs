//! What a range test found.

use serde::Serialize;

use super::{Curve, End, Point, RateRange, Suggestion};
use crate::optimizer::OptimizerConfig;

/// What a range test found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Name or path.
    pub recipe: String,
    /// The stage's name.
    pub stage: String,
    /// From 0.
    pub fold: usize,
    /// Of everything random.
    pub seed: u32,
    /// Photographs a step; the last of a pass may have fewer.
    pub images_per_step: usize,
    /// The rates that were to be tried.
    pub range: RateRange,
    /// The stage's optimizer as the recipe has it.
    pub optimizer: OptimizerConfig,
    /// How the test ended.
    pub end: End,
    /// The rates that suggest themselves, unless the test ended before there was enough to judge.
    pub suggestion: Option<Suggestion>,
    /// The lowest smoothed loss over the first, among the steps that were judged.
    pub fall: Option<f64>,
    /// The steps that were taken.
    pub points: Vec<Point>,
}

impl Report {
    /// All of it as JSON, with a line's end.
    ///
    /// # Panics
    ///
    /// Never: it has only what JSON can say.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("a report has only strings, numbers and lists") + "\n"
    }

    /// Takes the losses in.
    pub(super) fn with_curve(mut self, curve: &Curve) -> Self {
        let judged = curve.judged(self.range.steps());
        let lowest = judged.iter().map(|point| point.smoothed).min_by(f64::total_cmp);
        self.end = curve.end();
        self.suggestion = Suggestion::of(judged);
        self.fall = lowest.zip(curve.points().first()).map(|(low, first)| low / first.smoothed);
        self.points = curve.points().to_vec();
        self
    }
}
