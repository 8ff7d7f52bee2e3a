//! One subcommand a stage: builds the stage in release and becomes it. Holds no logic of its own.
#![expect(clippy::print_stderr, reason = "a program speaks to its user")]

mod check;
mod pages;
mod quickstart;
mod stage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stage::{Acceleration, Stage};

/// Fine-tunes VGG16 with VGGFace's weights on your own faces, with K-fold cross-validation.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    /// Builds the stages for this accelerator (needs its toolkit).
    #[arg(long, value_enum)]
    features: Option<Acceleration>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask quickstart
  cargo xtask prepare --faces data/lfw --out data/lfw-224 --min-faces 6 --crop center=0.6
  cargo xtask fetch-weights vggface-keras-notop
  cargo xtask convert-weights rcmalli_vggface_tf_notop_vgg16.h5 --out weights/vggface-keras-notop.safetensors
  cargo xtask train --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --folds 5 --out runs/lfw
  cargo xtask diagnose --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --folds 5
  cargo xtask find-rate --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --folds 5
  cargo xtask train --help";

#[derive(Subcommand)]
enum Command {
    /// Everything on synthetic faces, nothing to download: draw, prepare, train, the table
    #[command(after_help = "Example:\n  cargo xtask quickstart")]
    Quickstart,
    /// Photographs, one folder a person, to prepared pixels
    #[command(disable_help_flag = true)]
    Prepare(Passed),
    /// A published weights file from its publisher, checked and converted
    #[command(disable_help_flag = true)]
    FetchWeights(Passed),
    /// A published weights file to safetensors
    #[command(disable_help_flag = true)]
    ConvertWeights(Passed),
    /// K-fold fine-tuning by a recipe
    #[command(disable_help_flag = true)]
    Train(Passed),
    /// Why a run would not learn, before it is run
    #[command(disable_help_flag = true)]
    Diagnose(Passed),
    /// Which learning rate a stage of a recipe can take: a range test, with its picture
    #[command(disable_help_flag = true)]
    FindRate(Passed),
    /// Several recipes over the same folds, or runs that are there: one table, paired tests
    #[command(disable_help_flag = true)]
    Compare(Passed),
    /// Runs as a page to look at
    #[command(disable_help_flag = true)]
    Report(Passed),
    /// A run's weights for ONNX Runtime, Keras or PyTorch
    #[command(disable_help_flag = true)]
    Export(Passed),
    /// A layer's output for every image of a prepared set
    #[command(disable_help_flag = true)]
    Features(Passed),
    /// How fast the arithmetic is, in turn with PyTorch and Keras
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// A folder of synthetic people, to try things on
    #[command(disable_help_flag = true)]
    SyntheticFaces(Passed),
    /// Completions of all commands for a shell, on stdout
    #[command(after_help = "Examples:
  cargo xtask completions bash > ~/.cargo-xtask.bash    # and `source ~/.cargo-xtask.bash` in ~/.bashrc
  cargo xtask completions zsh > ~/.cargo-xtask.zsh      # and `source ~/.cargo-xtask.zsh` in ~/.zshrc, after compinit
  cargo xtask completions fish > ~/.config/fish/conf.d/cargo-xtask.fish")]
    Completions {
        /// Which shell
        shell: pages::Shell,
    },
    /// Pages for `man`, one for each stage
    #[command(
        after_help = "Example:\n  cargo xtask man --out man && man -l man/cargo-xtask-train.1"
    )]
    Man {
        /// The folder to write them to
        #[arg(long, value_name = "DIR", default_value = "man")]
        out: std::path::PathBuf,
    },
    /// What a contributor must pass: format, lints, tests, docs
    #[command(after_help = "Example:\n  cargo xtask check")]
    Check,
}

/// Whatever follows the subcommand is the stage's own; so is `--help`.
#[derive(clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

fn main() -> ExitCode {
    let Arguments { features, command } = Arguments::parse();
    let result = match command {
        Command::Quickstart => quickstart::run(features),
        Command::Check => check::run(),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { out } => pages::man(&out),
        Command::Prepare(passed) => Stage::PREPARE.become_it(features, &passed.arguments),
        Command::FetchWeights(passed) => {
            Stage::FETCH_WEIGHTS.become_it(features, &passed.arguments)
        }
        Command::ConvertWeights(passed) => {
            Stage::CONVERT_WEIGHTS.become_it(features, &passed.arguments)
        }
        Command::Train(passed) => Stage::TRAIN.become_it(features, &passed.arguments),
        Command::Diagnose(passed) => Stage::DIAGNOSE.become_it(features, &passed.arguments),
        Command::FindRate(passed) => Stage::FIND_RATE.become_it(features, &passed.arguments),
        Command::Compare(passed) => Stage::COMPARE.become_it(features, &passed.arguments),
        Command::Report(passed) => Stage::REPORT.become_it(features, &passed.arguments),
        Command::Export(passed) => Stage::EXPORT.become_it(features, &passed.arguments),
        Command::Bench(passed) => Stage::BENCH.become_it(features, &passed.arguments),
        Command::Features(passed) => Stage::FEATURES.become_it(features, &passed.arguments),
        Command::SyntheticFaces(passed) => {
            Stage::SYNTHETIC_FACES.become_it(features, &passed.arguments)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
