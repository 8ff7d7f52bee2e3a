//! Conversion through the public interface and the command line, on files that Keras has written.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod command;
mod damage;
mod forward;
mod golden;
mod layouts;
mod own_files;
mod published;
mod refusals;
