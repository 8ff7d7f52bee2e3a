//! A run's files: all that is known of it afterwards.

mod folder;
mod predictions;
mod records;
mod summary;
mod table;

pub(crate) use folder::{FORMAT_VERSION, fold_path};
pub use folder::{RunFolder, RunIdentity, read_diagnosis};
pub use predictions::predictions_csv;
pub(crate) use records::best_epoch;
pub use records::{BlockStep, EpochRecord, HealthRecord, Kept, Record, RecordLog, StepRecord};
pub use summary::{
    Baselines, Calibration, DatasetSummary, FoldSummary, RunDescription, Summary, WeightsSummary,
};
pub use table::table;
