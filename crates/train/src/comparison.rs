//! Runs side by side: the same folds by several recipes, their figures, and how sure a difference is.
//!
//! [`statistics`](Comparison) know only scores of folds. [`ComparedRun`] reads a run's folder,
//! [`compare_recipes`] first trains what is not there yet, [`Report`] sets the runs side by side and
//! [`table`] prints that.

mod recipes;
mod report;
mod runs;
mod statistics;
mod table;

pub use recipes::{compare_recipes, recipe_names};
pub use report::{Baseline, Pair, PairOutcome, Report, Row, StoppedRun};
pub use runs::{ComparedRun, Verdict, read_runs};
pub(crate) use runs::{refuse_given_twice, whole};
pub use statistics::{Comparison, ComparisonError, Evidence, FoldScore, PairedTest};
pub(crate) use table::notes;
pub use table::table;
