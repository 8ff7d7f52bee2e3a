//! How a program ends.
#![expect(clippy::print_stderr, clippy::exit, reason = "a program's last word")]

use std::{
    io::{ErrorKind, Write, stdout},
    process::ExitCode,
};

use crate::bars::clear;

/// Ends the program at once when Ctrl-C or the termination signal comes, with the exit code of a failure:
/// for work that may be broken off anywhere, as by a crash. `left` says what becomes of it.
pub fn end_when_interrupted(left: &'static str) {
    let set = ctrlc::set_handler(move || {
        clear();
        eprintln!("error: interrupted; {left}");
        std::process::exit(1);
    });
    if let Err(error) = set {
        tracing::debug!("Ctrl-C ends this without a word: {error}");
    }
}

/// Ends a program: writes what it came to, as it is, to stdout, or the error as one line to stderr,
/// and gives the exit code, of an error what `code` says.
pub fn end<E: Into<anyhow::Error>>(
    result: Result<String, E>,
    code: impl FnOnce(&E) -> ExitCode,
) -> ExitCode {
    let error = match result {
        Ok(text) => match stdout().write_all(text.as_bytes()) {
            // Who has read enough, as `head` does, closes the pipe.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                eprintln!("error: writing to stdout: {error}");
                return ExitCode::FAILURE;
            }
            _ => return ExitCode::SUCCESS,
        },
        Err(error) => error,
    };
    let code = code(&error);
    eprintln!("error: {:#}", error.into());
    code
}
