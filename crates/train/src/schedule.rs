//! The learning rate over a stage: warmed up, brought down by the step, reduced when a metric stops improving.
//!
//! [`Rates`] are functions of the step alone. [`PlateauState`] follows a metric from epoch to epoch and moves the base
//! rate that they are multiplied by.

mod decay;
mod plateau;
mod rates;
mod warmup;

pub use decay::{Cosine, OneCycle, Schedule, StepDecay};
pub use plateau::{PlateauState, ReduceOnPlateau};
pub use rates::{Rates, RatesError};
pub use warmup::{Duration, Warmup};

#[cfg(test)]
mod tests;
