//! What the programs of this crate share towards their user.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "programs end by it")]

use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
};

use tracing_subscriber::EnvFilter;

use crate::Error;

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

/// Ends a program: prints what it came to, as it is, on stdout, or the error on stderr, and gives
/// the exit code.
pub fn end(result: Result<String, Error>) -> ExitCode {
    match result {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = error.exit_code();
            eprintln!("error: {:#}", anyhow::Error::from(error));
            code
        }
    }
}
