//! Events on stderr, above the bars.

use std::io::{self, IsTerminal, Write, stderr};

use clap::Args;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{
    bars::{above_bars, hide_bars},
    lines::write_lines,
};

/// How much a program says while it works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct Verbosity {
    /// Says nothing but warnings and errors while it works
    #[arg(long, short)]
    pub quiet: bool,
}

/// Shows events and bars on stderr from now on.
///
/// # Panics
///
/// If it is called twice.
pub fn begin(verbosity: Verbosity) {
    tracing_subscriber::fmt()
        .with_writer(AboveBars)
        .with_ansi(stderr().is_terminal() && !no_color(std::env::var_os("NO_COLOR").as_deref()))
        .with_target(false)
        .without_time()
        .with_env_filter(filter(verbosity, std::env::var("RUST_LOG").ok()))
        .init();
    if verbosity.quiet {
        hide_bars();
    } else if !stderr().is_terminal() {
        write_lines();
    }
}

/// What is shown: with `--quiet` warnings, else what `RUST_LOG` says, where it says something, or `info`.
fn filter(verbosity: Verbosity, variable: Option<String>) -> EnvFilter {
    match variable.filter(|filter| !filter.is_empty()) {
        _ if verbosity.quiet => "warn".into(),
        Some(filter) => EnvFilter::try_new(filter).unwrap_or_else(|_| "info".into()),
        None => "info".into(),
    }
}

/// Whether colors are unwanted: the variable is there and not empty.
fn no_color(variable: Option<&std::ffi::OsStr>) -> bool {
    variable.is_some_and(|value| !value.is_empty())
}

/// Writes to stderr while no bar is in the way.
struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above_bars(|| stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

impl MakeWriter<'_> for AboveBars {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn quiet_is_quiet_whatever_the_environment_asks_for() {
        let shown = |quiet, variable: Option<&str>| {
            filter(Verbosity { quiet }, variable.map(str::to_owned)).to_string()
        };
        assert_eq!(shown(true, Some("debug")), "warn");
        assert_eq!(shown(false, Some("debug")), "debug");
        assert_eq!([shown(false, None), shown(false, Some(""))], ["info", "info"]);
    }

    #[test]
    fn no_color_counts_where_it_says_something() {
        assert!(!no_color(None) && !no_color(Some(OsStr::new(""))));
        assert!(no_color(Some(OsStr::new("1"))) && no_color(Some(OsStr::new("0"))));
    }
}
