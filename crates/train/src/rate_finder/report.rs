//! What a range test found.

use serde::Serialize;

use super::{Curve, End, Point, RateRange, Suggestion, minimum};
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
    /// The lowest smoothed loss over the highest before it, among the steps that were judged.
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
        self.end = curve.end();
        self.suggestion = Suggestion::of(judged);
        self.fall = fall(judged);
        self.points = curve.points().to_vec();
        self
    }
}

#[cfg(test)]
impl Report {
    /// A hundred steps with these losses.
    pub(super) fn example(stage: &str, loss: impl Fn(f64) -> f64) -> Self {
        let range = RateRange::new(1e-7, 10.0, 100).expect("the default is a range");
        let mut curve = Curve::default();
        for rate in range.rates() {
            if curve.push(rate, loss(rate)).is_break() {
                break;
            }
        }
        let optimizer = toml::from_str("kind = \"adam\"").expect("adam has a default for all");
        Self {
            recipe: "mine.toml".to_owned(),
            stage: stage.to_owned(),
            fold: 0,
            seed: 42,
            images_per_step: 32,
            range,
            optimizer,
            end: End::Completed,
            suggestion: None,
            fall: None,
            points: Vec::new(),
        }
        .with_curve(&curve)
    }
}

fn fall(judged: &[Point]) -> Option<f64> {
    let losses: Vec<f64> = judged.iter().map(|point| point.smoothed).collect();
    let lowest = minimum(&losses)?;
    let highest = losses[..=lowest].iter().copied().max_by(f64::total_cmp)?;
    Some(losses[lowest] / highest)
}
