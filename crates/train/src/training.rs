//! The training itself: what starts, the stages of a fold, the folds of a run.

mod batches;
mod checkpoint;
mod checkpoints;
mod config;
mod evaluation;
mod experiment;
mod fold;
mod health;
mod initial_weights;
mod inputs;
mod interrupt;
mod materials;
mod measuring;
mod plan;
mod resume;
mod session;
mod stage;
mod start;
mod state;
mod step;
mod stopwatch;
mod streams;
mod watch;

pub(crate) use batches::for_each_batch;
pub use config::{Config, Keep, WeightsChoice};
pub(crate) use experiment::Experiment;
pub use experiment::run;
pub(crate) use initial_weights::refuse_wrong_shapes;
pub use inputs::Inputs;
pub use interrupt::Interrupt;
pub(crate) use materials::{Materials, kept_pool5};
pub(crate) use plan::{StagePlan, plan};
pub(crate) use start::file_normalization;
pub(crate) use streams::Stream;
pub(crate) use watch::before_step;
