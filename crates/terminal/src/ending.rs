//! How a program ends.
#![expect(clippy::print_stderr, clippy::exit, reason = "a program's last word")]

use std::{
    io::{ErrorKind, Write, stdout},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use indicatif::ProgressBar;

use crate::bars::clear;

/// Work that ends by itself, leaving nothing, once its bar is finished.
static BREAKABLE: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From now on Ctrl-C finishes this bar, and whoever works on it ends.
pub fn break_off_when_interrupted(progress: &ProgressBar) {
    *BREAKABLE.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
}

/// Ends the program at once when Ctrl-C or the termination signal comes, with the exit code of a failure:
/// for work that may be broken off anywhere, as by a crash. `left` says what becomes of it. While a bar is
/// to be [broken off](break_off_when_interrupted), the first Ctrl-C only finishes that.
pub fn end_when_interrupted(left: &'static str) {
    let set = ctrlc::set_handler(move || {
        let breakable = BREAKABLE.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bar) = breakable.filter(|bar| !bar.is_finished()) {
            bar.abandon();
            return;
        }
        clear();
        eprintln!("error: interrupted; {left}");
        std::process::exit(1);
    });
    if let Err(error) = set {
        tracing::warn!("Ctrl-C cannot be listened to, and may leave a part behind: {error}");
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
