//! What can go wrong in this crate, by what the caller can do about it.

use std::{io, path::PathBuf, process::ExitCode};

use crate::folds::FoldsError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name of no built-in recipe.
    #[error(
        "no recipe is called `{name}`; there are {known}, and --recipe also takes a file that ends in .toml"
    )]
    UnknownRecipe {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A recipe's file that is not there.
    #[error(
        "{path} not found; print a recipe to change with `cargo xtask train --show-recipe \
         two-stage > {path}`"
    )]
    NoRecipeFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// A recipe that cannot be followed.
    #[error("recipe {name}: {problem}")]
    Recipe {
        /// Name or path.
        name: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The folds cannot be drawn.
    #[error(transparent)]
    Folds(#[from] FoldsError),
    /// A fold that the split does not have.
    #[error("fold {fold} is out of range, expected 0 to {last}: the split has {folds} folds")]
    FoldOutOfRange {
        /// What was asked for.
        fold: usize,
        /// How many there are.
        folds: usize,
        /// The last that there is.
        last: usize,
    },
    /// The data set cannot be trained on.
    #[error("{path}: {problem}")]
    Data {
        /// The prepared set.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The weights file does not fit the data or the recipe.
    #[error("{path}: {problem}")]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// A folder that was to be compared and is no run.
    #[error("{path} is no run with results: {missing} is not there; train it first")]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// What a run would have there.
        missing: &'static str,
    },
    /// Nothing to compare.
    #[error("found {found} to compare, expected two runs or recipes at least")]
    TooFewRuns {
        /// How many there are.
        found: usize,
    },
    /// A page over several runs that would lie in none of their folders.
    #[error("a page over {runs} runs needs a place: give --out FILE.html")]
    NoPlaceForReport {
        /// How many there are.
        runs: usize,
    },
    /// Two runs that could not be told apart.
    #[error(
        "two runs are called `{name}`; name each once, and rename a recipe's file of that name"
    )]
    EqualNames {
        /// Their name.
        name: String,
    },
    /// A baseline that is not among the runs.
    #[error("no run is called `{name}`, which was to be the baseline; there are {known}")]
    UnknownBaseline {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The output folder holds another run.
    #[error(
        "{path} holds another run: {what} is {found} there, {expected} now; choose another --out"
    )]
    OtherRun {
        /// The output folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// Its value in the folder.
        found: String,
        /// Its value now.
        expected: String,
    },
    /// A fold's checkpoint is of another run or program.
    #[error(
        "{path} is of another run: {what} is {found} there, {expected} now; go on with what it \
         was begun with, or delete it to begin the fold anew"
    )]
    OtherCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// Its value in the checkpoint.
        found: String,
        /// Its value now.
        expected: String,
    },
    /// The output folder cannot be used.
    #[error("{path}: {problem}")]
    Output {
        /// The output folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The device is not there.
    #[error("device {device} is not there: {problem}")]
    Device {
        /// What was asked for.
        device: String,
        /// Why it cannot be had, and what to do.
        problem: String,
    },
    /// The loss left the numbers.
    #[error(
        "the loss is {loss} at step {step} (fold {fold}, stage `{stage}`, epoch {epoch}, learning \
         rate {learning_rate:e}); lower the rate, or freeze the base first as in --recipe two-stage"
    )]
    NonFiniteLoss {
        /// From 0.
        fold: usize,
        /// The stage's name.
        stage: String,
        /// From 1, in the stage.
        epoch: usize,
        /// From 1, in the stage.
        step: usize,
        /// NaN or an infinity.
        loss: f32,
        /// The rate of that step.
        learning_rate: f64,
    },
    /// The loss of the held-out images left the numbers.
    #[error(
        "the validation loss is {loss} after epoch {epoch} (fold {fold}, stage `{stage}`, learning \
         rate {learning_rate:e}); lower the rate, or freeze the base first as in --recipe two-stage"
    )]
    NonFiniteValidationLoss {
        /// From 0.
        fold: usize,
        /// The stage's name.
        stage: String,
        /// From 1, in the stage.
        epoch: usize,
        /// NaN or an infinity.
        loss: f64,
        /// The rate of that epoch.
        learning_rate: f64,
    },
    /// Ctrl-C.
    #[error("interrupted in fold {fold}; the same command goes on from where it stopped")]
    Interrupted {
        /// The fold that was not finished, from 0.
        fold: usize,
    },
    /// Ctrl-C in a diagnosis, a range test or a bench.
    #[error("interrupted; nothing was written")]
    InterruptedTrial,
    /// A range test that cannot be taken.
    #[error("{setting} is {found}, expected {expected}")]
    RateRange {
        /// The setting, as the command line calls it.
        setting: &'static str,
        /// What was asked for.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A stage that the recipe does not have.
    #[error("recipe {recipe} has no stage `{name}`; it has {known}")]
    UnknownStage {
        /// Name or path of the recipe.
        recipe: String,
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Ctrl-C while features were computed.
    #[error("interrupted while computing features; the same command begins them again")]
    InterruptedFeatures,
    /// A feature that half precision cannot hold.
    #[error(
        "a feature of {layer} is {feature}, too large for f16; keep features in f32 \
         (--features-dtype f32, of `features` --dtype f32)"
    )]
    FeatureTooLarge {
        /// The layer.
        layer: String,
        /// The value.
        feature: f32,
    },
    /// A peer of the bench.
    #[error("{name}: {problem}")]
    Peer {
        /// Its name, or that of its script.
        name: String,
        /// What went wrong.
        problem: String,
    },
    /// A parameter took part in no gradient.
    #[error("`{name}` has no gradient: it takes no part in the loss")]
    NoGradient {
        /// The parameter.
        name: String,
    },
    /// What an optimizer remembered does not fit.
    #[error("what the optimizer remembers of `{name}` {problem}")]
    OptimizerState {
        /// The parameter.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An average of weights does not fit.
    #[error("the average of `{name}` {problem}")]
    WeightAverage {
        /// The parameter.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A warm-up or a schedule does not fit a stage.
    #[error(transparent)]
    Rates(#[from] crate::schedule::RatesError),
    /// A file could not be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of this project's that is broken or of another version.
    #[error("{path}: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// From reading prepared data.
    #[error(transparent)]
    Preprocess(#[from] preprocess::Error),
    /// From the network or its weights.
    #[error(transparent)]
    Model(Box<model::Error>),
    /// Ctrl-C cannot be listened to.
    #[error("no handler for Ctrl-C could be set")]
    Signal(#[from] ctrlc::Error),
    /// From tensor arithmetic.
    #[error("tensor arithmetic failed: {}", .0.to_string().lines().next().unwrap_or_default())]
    Tensor(candle_core::Error),
}

impl From<model::Error> for Error {
    fn from(error: model::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

impl Error {
    /// What a program that fails with it exits with: 2 if it was called wrongly, else 1.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.is_usage() { 2 } else { 1 })
    }

    /// Whether the command was called wrongly, rather than failed.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::UnknownRecipe { .. }
            | Self::NoRecipeFile { .. }
            | Self::Recipe { .. }
            | Self::Rates(_)
            | Self::FoldOutOfRange { .. }
            | Self::NoPlaceForReport { .. }
            | Self::TooFewRuns { .. }
            | Self::EqualNames { .. }
            | Self::UnknownBaseline { .. }
            | Self::RateRange { .. }
            | Self::UnknownStage { .. }
            | Self::Folds(_) => true,
            Self::Model(error) => matches!(**error, model::Error::UnknownLayer { .. }),
            _ => false,
        }
    }
}
