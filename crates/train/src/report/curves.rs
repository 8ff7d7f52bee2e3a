//! Learning curves of a fold: loss, accuracy and rate, epoch after epoch, stage after stage.

use crate::{
    chart::{Anchor, Edges, Plot, Scale, Svg},
    run::EpochRecord,
};

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 396.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 328.0;

/// Dots of a line, at most; the line itself has all epochs.
const DOTS: usize = 60;

/// A panel's upper and lower edge: loss, accuracy, rate.
const LOSS: (f64, f64) = (52.0, 150.0);
const ACCURACY: (f64, f64) = (180.0, 278.0);
const RATE: (f64, f64) = (308.0, 348.0);

/// A line of the curves: its class, what it shows, and its value.
type Line = (&'static str, fn(&EpochRecord) -> Option<f64>);

/// The curves of a fold's epochs, which are in order; none of no epochs.
pub(super) fn chart(fold: usize, epochs: &[&EpochRecord]) -> Option<String> {
    let last = epochs.len();
    if last == 0 {
        return None;
    }
    let mut svg = Svg::new(WIDTH, HEIGHT, &format!("Learning curves of fold {fold}"));
    // Half an epoch of room at both ends, so that a single one has a place.
    let x = Scale::linear((0.5, last as f64 + 0.5), (LEFT, RIGHT));
    stages(&mut svg, x, epochs);

    let losses: [Line; 3] = [
        ("train", |epoch| Some(epoch.train_loss)),
        ("validation", |epoch| Some(epoch.validation_loss)),
        ("inner", |epoch| epoch.inner_loss),
    ];
    let values =
        losses.iter().flat_map(|(_, value)| epochs.iter().filter_map(|epoch| value(epoch)));
    let highest = values.filter(|value| value.is_finite()).fold(0.1, f64::max);
    panel(&mut svg, x, LOSS, "loss", (highest, ""), &losses, epochs);

    let accuracies: [Line; 3] = [
        ("train", |epoch| Some(100.0 * epoch.train_accuracy)),
        ("validation", |epoch| Some(100.0 * epoch.validation_accuracy)),
        ("inner", |epoch| epoch.inner_accuracy.map(|accuracy| 100.0 * accuracy)),
    ];
    panel(&mut svg, x, ACCURACY, "accuracy", (100.0, " %"), &accuracies, epochs);
    rates(&mut svg, x, epochs);
    Some(svg.finish())
}

/// Rules between stages, and their names where there is more than one.
fn stages(svg: &mut Svg, x: Scale, epochs: &[&EpochRecord]) {
    let starts: Vec<usize> = (0..epochs.len())
        .filter(|&epoch| epoch == 0 || epochs[epoch].stage != epochs[epoch - 1].stage)
        .collect();
    for &start in &starts {
        let left = x.at(start as f64 + 0.5);
        if 0 < start {
            svg.path("stage", format_args!("M{left:.1} {}V{}", LOSS.0 - 26.0, RATE.1));
        }
        svg.text("small", (left + 4.0, LOSS.0 - 30.0), Anchor::Start, &epochs[start].stage);
    }
}

fn panel(
    svg: &mut Svg,
    x: Scale,
    (top, bottom): (f64, f64),
    name: &str,
    (highest, unit): (f64, &str),
    lines: &[Line],
    epochs: &[&EpochRecord],
) {
    let y = Scale::linear((0.0, highest), (bottom, top));
    let plot = Plot { edges: Edges { left: LEFT, right: RIGHT, top, bottom }, x, y };
    plot.rows(svg, 4, unit);
    plot.heading(svg, name);
    let every = epochs.len().div_ceil(DOTS);
    for (class, value) in lines {
        let at = |place: usize, value: f64| plot.at(place as f64 + 1.0, value);
        let values = epochs.iter().map(|epoch| value(epoch)).enumerate();
        let values: Vec<(usize, f64)> =
            values.filter_map(|(place, value)| Some((place, value?))).collect();
        svg.line(class, values.iter().map(|&(place, value)| at(place, value)));
        for (place, value) in values {
            let epoch = epochs[place];
            let title = format!(
                "{class} {name} of {} epoch {}: {value:.4}{unit}",
                epoch.stage, epoch.epoch
            );
            if value.is_finite() && place.is_multiple_of(every) {
                svg.dot(&format!("{class}-dot"), at(place, value), 2.5, &title);
            }
        }
    }
}

/// A step for each epoch: the rate holds until the next.
fn rates(svg: &mut Svg, x: Scale, epochs: &[&EpochRecord]) {
    let values = || epochs.iter().map(|epoch| epoch.learning_rate).filter(|rate| 0.0 < *rate);
    let (low, high) =
        values().fold((f64::INFINITY, 0.0), |(low, high), rate| (rate.min(low), rate.max(high)));
    if !low.is_finite() {
        return;
    }
    // A little room, so that a rate does not lie on an edge.
    let y = Scale::logarithmic((low / 2.0, 2.0 * high), (RATE.1, RATE.0));
    let plot =
        Plot { edges: Edges { left: LEFT, right: RIGHT, top: RATE.0, bottom: RATE.1 }, x, y };
    plot.heading(svg, "learning rate");
    let mut ends = vec![high];
    if low < high {
        ends.push(low);
    }
    for rate in ends {
        let (_, at) = plot.at(1.0, rate);
        svg.path("grid", format_args!("M{LEFT} {at:.1}H{RIGHT}"));
        svg.text("tick", (LEFT - 8.0, at + 4.0), Anchor::End, y.label(rate));
    }
    let steps = epochs.iter().enumerate().flat_map(|(place, epoch)| {
        [0.5, 1.5].map(|half| plot.at(place as f64 + half, epoch.learning_rate))
    });
    svg.line("rate", steps);
    let about = epochs.len().clamp(1, 6);
    let every = epochs.len().div_ceil(about).max(1);
    for place in (1..=epochs.len()).filter(|place| place % every == 0 || *place == 1) {
        svg.text("tick", (x.at(place as f64), RATE.1 + 18.0), Anchor::Middle, place);
    }
    svg.path("axis", format_args!("M{LEFT} {}H{RIGHT}", RATE.1));
    svg.text("name", (f64::midpoint(LEFT, RIGHT), RATE.1 + 38.0), Anchor::Middle, "epoch");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::run::any_epoch;

    pub(in crate::report) fn epoch(
        fold: usize,
        stage: &str,
        epoch: usize,
        loss: f64,
    ) -> EpochRecord {
        EpochRecord {
            train_loss: loss,
            validation_loss: 2.0 * loss,
            ..any_epoch(fold, stage, epoch)
        }
    }

    #[test]
    fn a_loss_that_is_no_number_leaves_a_gap_and_no_word_of_it() {
        let epochs =
            [epoch(0, "head", 1, 2.0), epoch(0, "head", 2, f64::NAN), epoch(0, "<b>", 1, 1.0)];
        let svg = chart(0, &epochs.iter().collect::<Vec<_>>()).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("train loss of head epoch 1: 2.0000"), "{svg}");
        assert!(svg.contains("1e-4"), "{svg}");
        assert_eq!(chart(0, &[]), None);
    }
}
