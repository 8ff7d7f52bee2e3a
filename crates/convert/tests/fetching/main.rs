//! Fetching through the public interface and the command line, from a server on this machine that
//! does as it is told. No other address is ever asked for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod breaks;
mod command;
mod place;
mod refusals;
mod server;
mod workshop;
