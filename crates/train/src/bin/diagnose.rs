//! `cargo xtask diagnose`: why a run would not learn, before it is run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use train::{
    arguments::RunArguments,
    diagnosis::{Depth, Diagnosis, diagnose, text},
    terminal,
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
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask diagnose --data data/lfw-224 --weights weights/vggface.safetensors
  cargo xtask diagnose --data data/lfw-224 --weights weights/vggface.safetensors --recipe naive --json";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    terminal::trace();
    let arguments = Arguments::parse();
    let is_json = arguments.json;
    match run(arguments) {
        Ok(diagnosis) => {
            if is_json {
                let json = serde_json::to_string_pretty(&diagnosis);
                println!("{}", json.expect("findings have plain fields"));
            } else {
                print!("{}", text(&diagnosis));
            }
            ExitCode::from(u8::from(diagnosis.has_errors()))
        }
        Err(error) => {
            let code = error.exit_code();
            eprintln!("error: {:#}", anyhow::Error::from(error));
            code
        }
    }
}

fn run(arguments: Arguments) -> Result<Diagnosis, train::Error> {
    let depth = if arguments.quick { Depth::Cheap } else { Depth::Steps };
    let config = arguments.run.config(PathBuf::new(), Duration::ZERO)?;
    diagnose(&config, depth, &Interrupt::on_signal()?)
}
