//! Export through the public interface and the command line, and back by conversion.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;
mod networks;
mod refusals;
mod round_trips;
