//! K-fold fine-tuning of VGG16: folds, recipes, frozen features, the loop, and a run's files.
//!
//! A [`run`](training::run) reads a prepared set and a weights file and follows a
//! [`Recipe`](recipe::Recipe) through its folds. Everything random follows from one seed and the
//! place in the run, so a run can be had again. What lies under the lowest trainable layer is
//! computed once for each image ([`features`]). What a run found is in its files ([`run`]), which
//! are all that is known of it afterwards.

pub mod arguments;
pub mod bench;
pub mod calibration;
mod chart;
pub mod comparison;
pub mod device;
pub mod diagnosis;
pub mod early_stopping;
pub mod epoch_order;
mod error;
pub mod features;
pub mod folds;
mod frozen_base;
pub mod inner_split;
pub mod loss;
pub mod metrics;
pub mod mixup;
pub mod monitor;
mod numpy_random;
pub mod optimizer;
pub mod rate_finder;
pub mod recipe;
pub mod report;
pub mod run;
pub mod sampling;
pub mod schedule;
pub mod setting;
mod tensor_file;
pub mod tensorboard;
pub mod training;
pub mod weight_averaging;
mod whole_file;

pub use error::Error;
