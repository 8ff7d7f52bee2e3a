//! What the programs of this crate share towards their user.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Shows events on stderr, as `RUST_LOG` says, else from `info` on.
pub fn trace() {
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .without_time()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
}
