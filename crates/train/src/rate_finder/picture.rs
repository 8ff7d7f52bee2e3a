//! A range test as a picture: one SVG file that needs nothing else.

use std::{
    fmt::{self, Write as _},
    path::Path,
};

use super::{Point, Report, Suggestion};
use crate::{Error, whole_file::write_whole};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
/// The edges of the plot.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 836.0;
const TOP: f64 = 100.0;
const BOTTOM: f64 = 420.0;

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
  .end { text-anchor: end } .middle { text-anchor: middle }
  @media (prefers-color-scheme: dark) {
    text { fill: #9aa4af } .title { fill: #e8eaed }
    .ground { fill: #15181c } .grid { stroke: #2a3037 } .axis { stroke: #9aa4af }
    .dot { fill: #4b6784 } .line { stroke: #79b8ff } .found { fill: #56d08f } .own { fill: #ff9d57 }
    .found-rule { stroke: #56d08f } .own-rule { stroke: #ff9d57 } }
";

/// The picture: losses over rates, the suggestion, and the rate that the recipe has.
pub fn picture(report: &Report) -> String {
    let Report { recipe, stage, fold, seed, range, points, .. } = report;
    let axes = Axes::of(report);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\">\n<title>Learning rates of {recipe}, stage {stage}</title>\n\
         <style>{STYLE}</style>\n<clipPath id=\"plot\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" \
         height=\"{}\"/></clipPath>\n<rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n",
        RIGHT - LEFT,
        BOTTOM - TOP,
        recipe = escaped(recipe),
        stage = escaped(stage),
    );
    let title = format!("{recipe}, stage {stage}");
    text(&mut svg, (24.0, 36.0), "title", &title);
    let under = format!(
        "Loss at {} of {} rates that grow from step to step; fold {fold}, seed {seed}",
        points.len(),
        range.steps()
    );
    text(&mut svg, (24.0, 58.0), "", &under);
    axes.draw(&mut svg);
    legend(&mut svg);
    svg.push_str("<g clip-path=\"url(#plot)\">\n");
    for point in points {
        let (x, y) = (axes.x(point.learning_rate), axes.y(point.loss));
        add(
            &mut svg,
            format_args!("<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\"/>\n"),
        );
    }
    let line: Vec<String> = points
        .iter()
        .map(|point| format!("{:.1},{:.1}", axes.x(point.learning_rate), axes.y(point.smoothed)))
        .collect();
    add(&mut svg, format_args!("<polyline class=\"line\" points=\"{}\"/>\n</g>\n", line.join(" ")));
    let own = report.optimizer.learning_rate();
    // Each label on its rule's far side from the other rule.
    let (mut own_side, mut found_side) = (Side::Right, Side::Left);
    if let Some(Suggestion { valley, .. }) = report.suggestion {
        if own < valley {
            (own_side, found_side) = (found_side, own_side);
        }
        let label = format!("suggestion {valley:.1e}");
        axes.mark(&mut svg, valley, "found", &label, (found_side, TOP + 18.0));
        if let Some(point) = points.iter().find(|point| valley <= point.learning_rate) {
            let (x, y) = (axes.x(point.learning_rate), axes.y(point.smoothed));
            add(
                &mut svg,
                format_args!(
                    "<circle class=\"found\" clip-path=\"url(#plot)\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>\n"
                ),
            );
        }
    }
    if range.from() <= own && own <= range.to() {
        let label = format!("the recipe has {own:.1e}");
        axes.mark(&mut svg, own, "own", &label, (own_side, TOP + 38.0));
    }
    svg.push_str("</svg>\n");
    svg
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

/// Where rates and losses lie.
struct Axes {
    /// Decimal logarithms of the rates at both edges.
    decades: (f64, f64),
    /// Losses at the lower and the upper edge.
    losses: (f64, f64),
}

impl Axes {
    fn of(report: &Report) -> Self {
        let (from, to) = (report.range.from().log10(), report.range.to().log10());
        Self { decades: (from, to), losses: losses(&report.points) }
    }

    fn x(&self, rate: f64) -> f64 {
        let (from, to) = self.decades;
        LEFT + (RIGHT - LEFT) * (rate.log10() - from) / (to - from)
    }

    /// Far above the plot, but still a number that every viewer reads, where a loss has exploded.
    fn y(&self, loss: f64) -> f64 {
        let (low, high) = self.losses;
        (BOTTOM - (BOTTOM - TOP) * (loss - low) / (high - low)).max(-HEIGHT)
    }

    fn draw(&self, svg: &mut String) {
        let (low, high) = self.losses;
        let step = tick_step(high - low);
        let first = (low / step).ceil();
        let count = ((high / step).floor() - first).max(0.0);
        let decimals = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
        for loss in (0..=10).map(f64::from).take_while(|&tick| tick <= count) {
            let loss = (first + loss) * step;
            let y = self.y(loss);
            let is_long = 1e5 <= high;
            let label = if is_long { format!("{loss:.1e}") } else { format!("{loss:.decimals$}") };
            add(svg, format_args!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\n"));
            text(svg, (LEFT - 8.0, y + 4.5), "end", &label);
        }
        let (from, to) = self.decades;
        let every = ((to - from) / 10.0).ceil();
        for decade in ticks(from, to, every) {
            let rate = 10_f64.powf(decade);
            let x = self.x(rate);
            add(svg, format_args!("<path class=\"grid\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/>\n"));
            text(svg, (x, BOTTOM + 20.0), "middle", &format!("{rate:.1e}").replace(".0e", "e"));
        }
        add(svg, format_args!("<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>\n"));
        text(svg, (f64::midpoint(LEFT, RIGHT), BOTTOM + 44.0), "middle", "learning rate");
        text(svg, (24.0, TOP - 12.0), "", "loss");
    }

    /// A rule at a rate, with its label on this side of it, if there is room.
    fn mark(&self, svg: &mut String, rate: f64, class: &str, label: &str, at: (Side, f64)) {
        let x = self.x(rate);
        let (side, y) = at;
        let is_left = match side {
            Side::Left => LEFT + LABEL < x,
            Side::Right => RIGHT - LABEL < x,
        };
        let (at, anchor) = if is_left { (x - 7.0, " end") } else { (x + 7.0, "") };
        add(svg, format_args!("<path class=\"{class}-rule\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/>\n"));
        text(svg, (at, y), &format!("{class} mark{anchor}"), label);
    }
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

/// One, two or five of a power of ten: some six in a range.
fn tick_step(range: f64) -> f64 {
    let rough = range / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| rough <= step * power);
    step.unwrap_or(10.0) * power
}

/// Whole decades within both ends, `every` apart; the ends where less than two lie between.
fn ticks(from: f64, to: f64, every: f64) -> Vec<f64> {
    // A logarithm of 1e-7 may lie a last digit above -7.
    let first = (from - 1e-9).ceil();
    let ticks = std::iter::successors(Some(first), |tick| Some(tick + every));
    let ticks: Vec<f64> = ticks.take_while(|&tick| tick <= to + 1e-9).collect();
    if ticks.len() < 2 { vec![from, to] } else { ticks }
}

fn legend(svg: &mut String) {
    let y = TOP - 16.0;
    add(svg, format_args!("<circle class=\"dot\" cx=\"640\" cy=\"{y}\" r=\"2.4\"/>\n"));
    text(svg, (650.0, y + 4.0), "", "each step");
    add(svg, format_args!("<path class=\"line\" d=\"M730 {y}h24\"/>\n"));
    text(svg, (762.0, y + 4.0), "", "smoothed");
}

fn add(svg: &mut String, element: fmt::Arguments<'_>) {
    svg.write_fmt(element).expect("a string takes all that is written");
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, content: &str) {
    let content = escaped(content);
    add(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{content}</text>\n"));
}

/// Text that is only that to XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no way to write other control characters.
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
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

    #[test]
    fn ticks_are_round_and_few() {
        let steps = [0.5, 3.0, 7.0, 40.0].map(|range| format!("{:.2}", tick_step(range)));
        assert_eq!(steps, ["0.10", "0.50", "2.00", "10.00"]);
        assert_eq!(format!("{:?}", ticks(-3.0, 1.0, 2.0)), "[-3.0, -1.0, 1.0]");
        assert_eq!(format!("{:?}", ticks(-3.5, -2.5, 1.0)), "[-3.5, -2.5]");
    }
}
