//! K-fold fine-tuning of VGG16: folds, recipes, frozen features, the loop, and a run's files.
//!
//! A [`run`](training::run) reads a prepared set and a weights file and follows a
//! [`Recipe`](recipe::Recipe) through its folds. Everything random follows from one seed and the
//! place in the run, so a run can be had again. What lies under the lowest trainable layer is
//! computed once for each image ([`features`]). What a run found is in its files ([`run`]), which
//! are all that is known of it afterwards.

pub mod bench;
pub mod device;
pub mod early_stopping;
pub mod epoch_order;
mod error;
pub mod features;
pub mod folds;
pub mod loss;
pub mod metrics;
pub mod monitor;
mod numpy_random;
pub mod optimizer;
mod progress;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod setting;
pub mod training;
pub mod weight_averaging;
mod whole_file;

pub use error::Error;
