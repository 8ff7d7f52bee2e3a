//! Accuracy by fold, with its intervals, beside what costs nothing.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::people::wilson;
use crate::{
    chart::{Anchor, Edges, Plot, Scale, Svg},
    metrics::Spread,
    run::{Baselines, FoldSummary, Summary},
};

/// The 95 % interval of a mean over so many folds, of `num_folds` that hold each photograph out once,
/// 0 to 1; none of one fold.
///
/// Folds share training photographs, so that their mean is less certain than that of independent ones:
/// the variance of a fold counts `1/n + 1/(K-1)` times, not `1/n`.
///
/// # Source
///
/// Nadeau and Bengio, Inference for the Generalization Error (Machine Learning 52, 2003), with a fold's
/// share of held-out to training photographs.
pub(super) fn interval(accuracy: Spread, folds: usize, num_folds: usize) -> Option<(f64, f64)> {
    let shared = folds as f64 / num_folds.checked_sub(1).filter(|&others| 0 < others)? as f64;
    let error = accuracy.standard_error? * (1.0 + shared).sqrt();
    let freedom = folds.checked_sub(1).filter(|&freedom| 0 < freedom)?;
    let t = StudentsT::new(0.0, 1.0, freedom as f64).ok()?.inverse_cdf(0.975);
    Some(((accuracy.mean - t * error).max(0.0), (accuracy.mean + t * error).min(1.0)))
}

/// A dot for each fold with the interval of its photographs, the mean as a band, baselines as rules.
pub(super) fn chart(summary: &Summary) -> String {
    let count = summary.folds.len();
    let width = (34.0 * count as f64).clamp(240.0, 640.0);
    let edges = Edges { left: 56.0, right: 56.0 + width, top: 34.0, bottom: 250.0 };
    let mut svg = Svg::new(edges.right + 170.0, 306.0, "Accuracy by fold");
    let interval_of = |fold: &FoldSummary| {
        let images = fold.validation_images;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a count"
        )]
        let hits = (fold.accuracy * images as f64).round() as usize;
        wilson(hits, images)
    };
    let rules = baselines(&summary.baselines);
    let highest = summary
        .folds
        .iter()
        .map(|fold| interval_of(fold).1)
        .chain(rules.iter().map(|(value, ..)| *value))
        .fold(0.05, f64::max);
    let ceiling = (105.0 * highest).min(100.0);
    let plot = Plot {
        edges,
        x: Scale::linear((0.0, count as f64), (edges.left, edges.right)),
        y: Scale::linear((0.0, ceiling), (edges.bottom, edges.top)),
    };
    plot.rows(&mut svg, 5, " %");
    plot.heading(&mut svg, "accuracy on held-out photographs");
    let Spread { mean, .. } = summary.accuracy;
    if let Some((low, high)) = interval(summary.accuracy, count, summary.num_folds) {
        let (top, bottom) = (plot.y.at((100.0 * high).min(ceiling)), plot.y.at(100.0 * low));
        let title =
            format!("95 % interval of the mean: {:.1} to {:.1} %", 100.0 * low, 100.0 * high);
        svg.rectangle("band", (edges.left, top), (width, bottom - top), &title);
    }
    let y = plot.y.at(100.0 * mean);
    svg.path("mean", format_args!("M{} {y:.1}H{}", edges.left, edges.right));
    // A number needs some room.
    let every = (26 * count).div_ceil(640).max(1);
    for (place, fold) in summary.folds.iter().enumerate() {
        let (x, y) = plot.at(place as f64 + 0.5, 100.0 * fold.accuracy);
        let (lower, upper) = interval_of(fold);
        let (low, high) = (plot.y.at(100.0 * lower), plot.y.at(100.0 * upper));
        svg.path("whisker", format_args!("M{x:.1} {low:.1}V{high:.1}"));
        let title = format!(
            "fold {}: {:.2} % of {} photographs (95 % interval {:.1} to {:.1} %)",
            fold.fold,
            100.0 * fold.accuracy,
            fold.validation_images,
            100.0 * lower,
            100.0 * upper
        );
        svg.dot("point", (x, y), 5.0, &title);
        if place % every == 0 {
            svg.text("tick", (x, edges.bottom + 18.0), Anchor::Middle, fold.fold);
        }
    }
    let mut labels = vec![(mean, format!("mean {:.1} %", 100.0 * mean), "mean-label")];
    for (value, name, class) in rules {
        let y = plot.y.at(100.0 * value);
        svg.path(class, format_args!("M{} {y:.1}H{}", edges.left, edges.right));
        labels.push((value, format!("{name} {:.1} %", 100.0 * value), "rule-label"));
    }
    write_labels(&mut svg, &plot, labels);
    plot.floor(&mut svg, "fold");
    svg.finish()
}

/// What costs little or nothing: value, name and class of its rule.
fn baselines(of: &Baselines) -> Vec<(f64, &'static str, &'static str)> {
    let nearest = of.nearest_mean.map(|value| (value, "nearest mean", "rule nearest"));
    let others = [(of.majority, "commonest person", "rule"), (of.chance, "chance", "rule")];
    let probe = of.linear_probe.map(|value| (value, "ridge probe", "rule nearest"));
    probe.into_iter().chain(nearest).chain(others).collect()
}

/// Labels at the right edge, none over another.
fn write_labels(svg: &mut Svg, plot: &Plot, mut labels: Vec<(f64, String, &str)>) {
    const LINE: f64 = 17.0;
    labels.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut places: Vec<f64> =
        labels.iter().map(|(value, ..)| plot.y.at(100.0 * value) + 4.0).collect();
    for place in 1..places.len() {
        places[place] = places[place].max(places[place - 1] + LINE);
    }
    // The lowest stays above the axis's end, and pushes up those that it meets.
    let mut limit = plot.edges.bottom + 6.0;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - LINE;
    }
    for ((_, words, class), y) in labels.into_iter().zip(places) {
        svg.text(class, (plot.edges.right + 10.0, y), Anchor::Start, words);
    }
}
