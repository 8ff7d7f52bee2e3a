//! Conversion through the public interface and the command line, on files of every format.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;
mod damage;
mod formats;
mod forward;
mod golden;
mod graphs;
mod keras_rules;
mod layouts;
mod own_files;
#[cfg(feature = "reference-weights")]
mod published;
mod refusals;
mod verification;
