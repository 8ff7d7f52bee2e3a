//! `report.html`: a run, or several side by side, to look at rather than to read.
//!
//! One file that needs nothing else: no script, nothing loaded from elsewhere. It is made from a
//! run's files alone, so that it can be written while the run lasts, after it, and anew at any time;
//! faces come from the prepared set, where it is still there. Names and paths come from the data and
//! are text to the page, whatever they hold.

mod again;
mod causes;
mod confusions;
mod curves;
mod differences;
mod faces;
mod folds;
mod mistakes;
mod page;
mod people;
mod predictions;
mod reliability;
mod run;
mod section;
mod tiles;
mod time;

pub use faces::FacesShown;
pub(crate) use faces::face_jpeg;
pub use page::{Report, Written, write_report};
