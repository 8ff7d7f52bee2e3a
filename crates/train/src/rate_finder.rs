//! A learning-rate range test: a stage's first steps at rates that grow from one to the next, and
//! what the losses say about the rate to set.
//!
//! # Source
//!
//! Smith, Cyclical Learning Rates for Training Neural Networks (WACV 2017), section 3.3; smoothing,
//! the end and the suggestions are those of fastai 2.8.12, `callback/schedule.py` and `learner.py`.
//! Differences: rates reach the upper end at the last step, where fastai's stop one step short of
//! it, and a loss that is no number ends the test.

mod curve;
mod picture;
mod range;
mod range_test;
mod report;
mod suggestion;
mod text;

pub use curve::{Curve, End, Point};
pub use picture::{picture, write_picture};
pub use range::RateRange;
pub use range_test::{StageChoice, find_rate};
pub use report::Report;
pub use suggestion::{Suggestion, minimum, steepest, valley};
pub use text::text;
