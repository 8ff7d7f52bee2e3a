//! A run's files: all that is known of it afterwards.

mod folder;
mod identity;
mod keras_csv;
mod lock;
mod predictions;
mod records;
mod summary;
mod table;

pub use folder::{RunFolder, read_diagnosis};
pub(crate) use folder::{fold_path, read_identity, read_summary, write_diagnosis};
pub(crate) use identity::FORMAT_VERSION;
pub use identity::{Places, RunIdentity};
pub(crate) use keras_csv::keras_csv;
pub(crate) use lock::is_running;
pub use predictions::predictions_csv;
pub(crate) use records::best_epoch;
#[cfg(test)]
pub(crate) use records::tests::epoch as any_epoch;
pub use records::{BlockStep, EpochRecord, HealthRecord, Kept, Record, RecordLog, StepRecord};
pub use summary::{
    Baselines, Calibration, DatasetSummary, FoldSummary, RunDescription, Summary, WeightsSummary,
};
pub use table::table;
