//! A run for TensorBoard: event files that its own reader takes.
//!
//! One folder for each fold's stage, so that TensorBoard shows each as a run of its own:
//! `fold-00/1-head` and so on, with the epochs of the stage along the axis.
//!
//! # Source
//!
//! TensorFlow 2.21, `tensorflow/core/util/event.proto`, `framework/summary.proto`, and TensorBoard
//! 2.21, `plugins/hparams/plugin_data.proto`; records are framed as in `lib/io/record_writer.h`.

mod events;
mod hyper_parameters;
mod messages;
mod record;

pub use events::{EventFolder, Picture};
