//! Whole runs, through the library and through the programs.
#![expect(clippy::unwrap_used, reason = "a test's setup may panic as the test itself may")]

mod baselines;
#[cfg(feature = "reference-browser")]
mod browser;
mod compare;
mod diagnosed;
mod end_to_end;
mod features;
mod find_rate;
mod grouped;
mod quickstart;
mod refusals;
mod report;
mod resume;
mod schedules;
mod support;
