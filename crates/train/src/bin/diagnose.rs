//! `cargo xtask diagnose`: why a run would not learn, before it is run.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use train::{
    arguments::RunArguments,
    diagnosis::{Depth, Diagnosis, diagnose, text},
    training::Interrupt,
};

/// Says why a run would not learn: the data, the folds, the weights, the recipe, its first steps
///
/// Nothing is written. Ends with 1 if something was found that keeps the run from learning.
#[derive(Parser)]
#[command(bin_name = "cargo xtask diagnose", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    /// Only what needs no network: seconds
    #[arg(long)]
    quick: bool,
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: terminal::Verbosity,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask diagnose --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --folds 5
  cargo xtask diagnose --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors \\
      --recipe my-recipe.toml --folds 5 --json";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    let is_json = arguments.json;
    let print = |diagnosis: &Diagnosis| {
        if is_json { diagnosis.to_json() } else { terminal::wrapped(&text(diagnosis)) }
    };
    terminal::begin(arguments.verbosity);
    let diagnosis = run(arguments);
    let has_errors = diagnosis.as_ref().is_ok_and(Diagnosis::has_errors);
    let ended =
        terminal::end(diagnosis.map(|diagnosis| print(&diagnosis)), train::Error::exit_code);
    if has_errors { ExitCode::FAILURE } else { ended }
}

fn run(arguments: Arguments) -> Result<Diagnosis, train::Error> {
    let depth = if arguments.quick { Depth::Cheap } else { Depth::Steps };
    let config = arguments.run.config(PathBuf::new(), Duration::ZERO)?;
    diagnose(&config, depth, &Interrupt::on_signal()?)
}
