//! Charts as SVG that needs nothing else: no script, no font, nothing from elsewhere.
//!
//! A chart is drawn in its own units, a pixel each at its natural width, and scales with the page.
//! Colors are classes; the page or the picture that holds a chart gives them.

mod plot;
mod scale;
mod svg;

pub(crate) use plot::{Edges, Plot};
pub(crate) use scale::Scale;
pub(crate) use svg::{Anchor, Svg};
