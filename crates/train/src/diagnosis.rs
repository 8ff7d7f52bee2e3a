//! Why fine-tuning does not learn: checks, what they found, and the verdict over all of them.
//!
//! A check is a function of plain data and says one [`Outcome`]: it found something, it was silent
//! (with the number it was silent at, so that a clean bill is evidence), or it was skipped and says
//! why (so that it is never taken for passed). [`Diagnosis`] puts the most likely cause first and
//! hangs consequences under their causes; [`text`] prints it.
//!
//! Thresholds are constants beside their checks, each with where it comes from. Those that were
//! calibrated were so on the 5,425 photographs of the 311 people of LFW with at least six, with
//! Keras's VGG16 for ImageNet.

mod before;
mod check;
mod collapse;
mod collect;
mod counts;
mod coverage;
mod drift;
mod duplicates;
mod finding;
mod first_steps;
mod framing;
mod loss_values;
mod near_copies;
mod origins;
mod pixels;
mod presentation;
mod probe;
mod protocol;
mod rates;
mod recognition;
mod rival;
mod run;
mod similarity;
mod steps;
mod text;
mod verdict;
mod watch;

pub use before::{Beginning, cheap, probes};
pub use check::Check;
pub use collapse::{PredictionSpread, collapse, collapse_since, dead_units};
pub(crate) use collect::before;
pub use collect::{Depth, diagnose};
pub use counts::{Counts, head_size, imbalance, small_identities};
pub use coverage::{Coverage, coverage};
pub use drift::{feature_drift, linear_cka, mean_cosine};
pub use duplicates::{duplicates, near_duplicates};
pub use finding::{Finding, Healthy, Level, Measurement, Outcome, Remedy};
pub use framing::{Central, loose_frames};
pub use loss_values::{PRIOR_FLAT_EPOCHS, clipped_saturation, flat_loss, initial_loss};
pub(crate) use near_copies::{joined, near_copies};
pub(crate) use origins::block_of;
pub use origins::{LayerWeights, NewBlocks, Origin, from_file, initializer_like, random_base};
pub use pixels::{
    PixelStatistics, channel_order, constant_images, gray_images, mean_subtraction, value_range,
};
pub use presentation::{Channels, Presentation, Scale};
pub(crate) use probe::Probe;
pub use probe::{ProbeImages, feature_spread, frozen_baseline, probe_images};
pub use protocol::{clipped_loss, model_per_fold, monitors, validation_reuse};
pub use rates::{StageRate, base_rate};
pub use recognition::{Recognition, recognize};
pub use rival::{Rival, presentation};
pub use run::{RunContext, of_records};
pub use similarity::Features;
pub use steps::{gradient_norm, update_ratio};
pub(crate) use text::{finding_line, level_word, number, remedy_words, short};
pub use text::{text, verdict_line};
pub use verdict::{Cause, Diagnosis};
pub use watch::{BesideBaseline, EpochsSeen, baseline_beaten, fold_trend, of_epoch};
