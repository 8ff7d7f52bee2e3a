//! Progress bars on stderr; none where stderr is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar without a length yet.
pub(crate) fn bar(label: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg} {per_sec}, {eta} left")
            .expect("the template is well-formed")
            .progress_chars("=> ");
    ProgressBar::no_length().with_style(style).with_prefix(label.to_owned())
}
