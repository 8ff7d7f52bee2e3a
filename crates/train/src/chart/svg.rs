//! The elements of a picture.

use std::fmt::{self, Display, Write as _};

/// Which end of a text lies at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture that is being drawn.
pub(crate) struct Svg {
    text: String,
}

impl Svg {
    /// An empty picture of this size, in pixels; `label` is what those hear who do not see it.
    pub(crate) fn new(width: f64, height: f64, label: &str) -> Self {
        let label = escaped(label);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{label}\">\n"
        );
        Self { text }
    }

    /// Markup of the caller's own making.
    pub(crate) fn raw(&mut self, markup: fmt::Arguments<'_>) {
        self.text.write_fmt(markup).expect("a string takes all that is written");
    }

    /// A path of this class; `d` as SVG has it.
    pub(crate) fn path(&mut self, class: &str, d: impl Display) {
        self.raw(format_args!("<path class=\"{class}\" d=\"{d}\"/>\n"));
    }

    /// A line through points, broken where a coordinate is no number.
    pub(crate) fn line(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let mut d = String::new();
        let mut command = 'M';
        for (x, y) in points {
            if x.is_finite() && y.is_finite() {
                write!(d, "{command}{x:.1} {y:.1}").expect("a string takes all that is written");
                command = 'L';
            } else {
                command = 'M';
            }
        }
        if !d.is_empty() {
            self.path(class, d);
        }
    }

    /// A dot; `title` is shown where a pointer rests on it.
    pub(crate) fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64, title: &str) {
        let title = titled(title);
        self.raw(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\">{title}</circle>\n"
        ));
    }

    /// A rectangle from its upper left corner, width and height; `title` as for a [`dot`](Self::dot).
    pub(crate) fn rectangle(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        title: &str,
    ) {
        let title = titled(title);
        self.raw(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\">{title}</rect>\n"
        ));
    }

    /// Text at a place of its baseline.
    pub(crate) fn text(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        anchor: Anchor,
        content: impl Display,
    ) {
        let content = escaped(&content.to_string());
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.raw(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{content}</text>\n"
        ));
    }

    /// The picture as text.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

fn titled(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(title)) }
}

/// Text that is only that to XML and HTML.
pub(crate) fn escaped(text: &str) -> String {
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
    fn text_is_text_and_nothing_else() {
        let mut svg = Svg::new(10.0, 10.0, "<script>");
        svg.text("label", (1.0, 2.0), Anchor::End, "a & <b>\u{7}\"'");
        svg.dot("dot", (1.0, 1.0), 2.0, "<i>");
        let text = svg.finish();
        assert!(text.contains("aria-label=\"&lt;script&gt;\""), "{text}");
        assert!(text.contains(">a &amp; &lt;b&gt; &quot;&#39;</text>"), "{text}");
        assert!(text.contains("<title>&lt;i&gt;</title>"), "{text}");
    }

    #[test]
    fn a_line_is_broken_where_there_is_no_number() {
        let mut svg = Svg::new(10.0, 10.0, "");
        svg.line("line", [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 4.0)]);
        svg.line("none", [(f64::NAN, 0.0)]);
        let text = svg.finish();
        assert!(text.contains("d=\"M0.0 1.0M2.0 3.0L3.0 4.0\""), "{text}");
        assert!(!text.contains("none"), "{text}");
    }
}
