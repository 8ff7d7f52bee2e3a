//! The ground of a chart: two axes, their grid and their names.

use super::{Anchor, Scale, Svg};

/// Where the ground of a chart lies, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Edges {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

/// The ground of a chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plot {
    pub(crate) edges: Edges,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Plot {
    /// Lines across at the vertical axis's ticks, each with its label.
    pub(crate) fn rows(&self, svg: &mut Svg, about: usize, unit: &str) {
        let Edges { left, right, .. } = self.edges;
        for tick in self.y.ticks(about) {
            let y = self.y.at(tick);
            svg.path("grid", format_args!("M{left} {y:.1}H{right}"));
            let label = format!("{}{unit}", self.y.label(tick));
            svg.text("tick", (left - 8.0, y + 4.0), Anchor::End, label);
        }
    }

    /// Lines upwards at the horizontal axis's ticks, each with its label.
    pub(crate) fn columns(&self, svg: &mut Svg, about: usize, unit: &str) {
        let Edges { top, bottom, .. } = self.edges;
        for tick in self.x.ticks(about) {
            let x = self.x.at(tick);
            svg.path("grid", format_args!("M{x:.1} {top}V{bottom}"));
            let label = format!("{}{unit}", self.x.label(tick));
            svg.text("tick", (x, bottom + 18.0), Anchor::Middle, label);
        }
    }

    /// The horizontal axis, named below it.
    pub(crate) fn floor(&self, svg: &mut Svg, name: &str) {
        let Edges { left, right, bottom, .. } = self.edges;
        svg.path("axis", format_args!("M{left} {bottom}H{right}"));
        svg.text("name", (f64::midpoint(left, right), bottom + 38.0), Anchor::Middle, name);
    }

    /// What the vertical axis shows, above it.
    pub(crate) fn heading(&self, svg: &mut Svg, name: &str) {
        let Edges { left, top, .. } = self.edges;
        svg.text("name", (left, top - 10.0), Anchor::Start, name);
    }

    /// Where a pair of values lies.
    pub(crate) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }
}
