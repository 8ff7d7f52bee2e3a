//! The training itself: what starts, the stages of a fold, the folds of a run.

mod batches;
mod evaluation;
mod experiment;
mod fold;
mod initial_weights;
mod inputs;
mod interrupt;
mod plan;
mod stage;
mod streams;

pub(crate) use batches::for_each_batch;
pub use experiment::{Config, WeightsChoice, run};
pub(crate) use experiment::{Experiment, file_normalization};
pub(crate) use initial_weights::refuse_wrong_shapes;
pub use inputs::Inputs;
pub use interrupt::Interrupt;
pub(crate) use streams::Stream;
