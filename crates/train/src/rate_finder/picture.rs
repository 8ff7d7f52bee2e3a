//! A range test as a picture: one SVG file that needs nothing else.

use std::path::Path;

use super::{Point, Report, Suggestion};
use crate::{
    Error,
    chart::{Anchor, Edges, Plot, Scale, Svg},
    whole_file::write_whole,
};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
const EDGES: Edges = Edges { left: 66.0, right: 836.0, top: 100.0, bottom: 420.0 };

/// How wide the label of a rate may be.
const LABEL: f64 = 180.0;

/// How much of the losses' range is left free above them, for the labels of rates.
const HEADROOM: f64 = 0.3;

/// Colors by rules of their own: not every viewer knows variables, and those that do not know of
/// dark screens pass the last block by.
const STYLE: &str = "
  text { font: 13px system-ui, sans-serif; fill: #59636e }
  .title { font-size: 18px; font-weight: 600; fill: #1f2328 }
  .ground { fill: #ffffff } .grid { stroke: #e4e8ec; fill: none } .axis { stroke: #59636e }
  .dot { fill: #9db4cc } .line { fill: none; stroke: #0b5cad; stroke-width: 2.5; stroke-linejoin: round }
  .mark { font-weight: 600 } .found { fill: #18794e } .own { fill: #b04a00 }
  .found-rule { stroke: #18794e; stroke-width: 1.5 }
  .own-rule { stroke: #b04a00; stroke-width: 1.5; stroke-dasharray: 5 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9aa4af } .title { fill: #e8eaed }
    .ground { fill: #15181c } .grid { stroke: #2a3037 } .axis { stroke: #9aa4af }
    .dot { fill: #4b6784 } .line { stroke: #79b8ff } .found { fill: #56d08f } .own { fill: #ff9d57 }
    .found-rule { stroke: #56d08f } .own-rule { stroke: #ff9d57 } }
";

/// The picture: losses over rates, the suggestion, and the rate that the recipe has.
pub fn picture(report: &Report) -> String {
    let Report { recipe, stage, fold, seed, range, points, .. } = report;
    let plot = Plot {
        edges: EDGES,
        x: Scale::logarithmic((range.from(), range.to()), (EDGES.left, EDGES.right)),
        y: Scale::linear(losses(points), (EDGES.bottom, EDGES.top)),
    };
    let mut svg = Svg::new(WIDTH, HEIGHT, &format!("Learning rates of {recipe}, stage {stage}"));
    svg.raw(format_args!(
        "<style>{STYLE}</style>\n<clipPath id=\"plot\"><rect x=\"{}\" y=\"{}\" width=\"{}\" \
         height=\"{}\"/></clipPath>\n",
        EDGES.left,
        EDGES.top,
        EDGES.right - EDGES.left,
        EDGES.bottom - EDGES.top,
    ));
    svg.rectangle("ground", (0.0, 0.0), (WIDTH, HEIGHT), "");
    svg.text("title", (24.0, 36.0), Anchor::Start, format_args!("{recipe}, stage {stage}"));
    let under = format!(
        "Loss at {} of {} rates that grow from step to step; fold {fold}, seed {seed}",
        points.len(),
        range.steps()
    );
    svg.text("", (24.0, 58.0), Anchor::Start, under);
    plot.rows(&mut svg, 6, "");
    plot.columns(&mut svg, 10, "");
    plot.floor(&mut svg, "learning rate");
    svg.text("", (24.0, EDGES.top - 12.0), Anchor::Start, "loss");
    legend(&mut svg);
    svg.raw(format_args!("<g clip-path=\"url(#plot)\">\n"));
    // Far above the plot, but still a number that every viewer reads, where a loss has exploded.
    let at = |rate: f64, loss: f64| (plot.x.at(rate), plot.y.at(loss).max(-HEIGHT));
    for point in points {
        svg.dot("dot", at(point.learning_rate, point.loss), 2.4, "");
    }
    svg.line("line", points.iter().map(|point| at(point.learning_rate, point.smoothed)));
    svg.raw(format_args!("</g>\n"));
    let own = report.optimizer.learning_rate();
    // Each label on its rule's far side from the other rule.
    let (mut own_side, mut found_side) = (Side::Right, Side::Left);
    if let Some(Suggestion { valley, .. }) = report.suggestion {
        if own < valley {
            (own_side, found_side) = (found_side, own_side);
        }
        let label = format!("suggestion {valley:.1e}");
        mark(&mut svg, plot.x.at(valley), "found", &label, (found_side, EDGES.top + 18.0));
        if let Some(point) = points.iter().find(|point| valley <= point.learning_rate) {
            svg.raw(format_args!("<g clip-path=\"url(#plot)\">\n"));
            svg.dot("found", at(point.learning_rate, point.smoothed), 5.0, "");
            svg.raw(format_args!("</g>\n"));
        }
    }
    if range.from() <= own && own <= range.to() {
        let label = format!("the recipe has {own:.1e}");
        mark(&mut svg, plot.x.at(own), "own", &label, (own_side, EDGES.top + 38.0));
    }
    svg.finish()
}

/// Writes the picture, whole or not at all, and says where.
///
/// # Errors
///
/// [`Error::Write`] if the disk fails or the folder is not there.
pub fn write_picture(report: &Report, path: &Path) -> Result<(), Error> {
    write_whole(path, picture(report).as_bytes())?;
    tracing::info!("the picture is in {}", path.display());
    Ok(())
}

/// Of a rule.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// A rule at a rate, with its label on this side of it, if there is room.
fn mark(svg: &mut Svg, x: f64, class: &str, label: &str, (side, y): (Side, f64)) {
    let is_left = match side {
        Side::Left => EDGES.left + LABEL < x,
        Side::Right => EDGES.right - LABEL < x,
    };
    let (at, anchor) = if is_left { (x - 7.0, Anchor::End) } else { (x + 7.0, Anchor::Start) };
    let Edges { top, bottom, .. } = EDGES;
    svg.path(&format!("{class}-rule"), format_args!("M{x:.1} {top}V{bottom}"));
    svg.text(&format!("{class} mark"), (at, y), anchor, label);
}

/// The losses that the plot shows: all up to the lowest, and free room above them; what explodes
/// behind it leaves the plot.
fn losses(points: &[Point]) -> (f64, f64) {
    let lowest =
        points.iter().enumerate().min_by(|(_, a), (_, b)| a.smoothed.total_cmp(&b.smoothed));
    let Some((lowest, _)) = lowest else { return (0.0, 1.0) };
    // At least half of them, for a loss that only rises is lowest at its first step.
    let shown = points[..=lowest.max(points.len() / 2)]
        .iter()
        .flat_map(|point| [point.loss, point.smoothed]);
    let low = shown.clone().fold(f64::INFINITY, f64::min);
    let high = shown.fold(f64::NEG_INFINITY, f64::max);
    let room = (high - low).max(0.1 * high.abs()).max(f64::MIN_POSITIVE);
    (low - 0.06 * room, low + (1.0 + HEADROOM) * room)
}

fn legend(svg: &mut Svg) {
    let y = EDGES.top - 16.0;
    svg.dot("dot", (640.0, y), 2.4, "");
    svg.text("", (650.0, y + 4.0), Anchor::Start, "each step");
    svg.path("line", format_args!("M730 {y}h24"));
    svg.text("", (762.0, y + 4.0), Anchor::Start, "smoothed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_nothing_else() {
        let svg = picture(&Report::example("<script>&\"'\u{7}", |_| 1.0));
        assert!(!svg.contains("<script>") && !svg.contains('\u{7}'), "{svg}");
        assert!(svg.contains("&lt;script&gt;&amp;&quot;&#39; "), "{svg}");
    }

    #[test]
    fn both_rates_are_marked_and_every_number_is_one() {
        let svg =
            picture(&Report::example("head", |rate| 5.0 - rate.log10() / 7.0 + 1e9 * rate.powi(4)));
        assert!(svg.contains("suggestion ") && svg.contains("the recipe has 1.0e-3"), "{svg}");
        for strange in ["NaN", "inf", "script"] {
            assert!(!svg.contains(strange), "{strange}: {svg}");
        }
    }

    #[test]
    fn a_test_without_steps_is_still_a_picture() {
        let svg = picture(&Report::example("head", |_| f64::NAN));
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        assert!(svg.contains(">1e-7<") && svg.contains(">1e0<"), "{svg}");
    }
}
