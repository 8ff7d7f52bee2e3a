//! What this crate's programs share: what they say on stderr.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Shows events on stderr, as much as `RUST_LOG` asks for.
///
/// # Panics
///
/// If it is called twice.
pub fn show_events() {
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .without_time()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
}

/// A bar for [`convert()`](crate::convert()), which counts parameters.
pub fn parameters_bar() -> ProgressBar {
    bar("[{bar:30}] {pos}/{len} parameters, {msg}")
}

/// A bar for [`fetch()`](crate::fetch::fetch()), which counts bytes.
pub fn bytes_bar() -> ProgressBar {
    bar("[{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
}

fn bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    ProgressBar::no_length().with_style(style.progress_chars("=> "))
}
