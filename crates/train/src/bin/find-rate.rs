//! `cargo xtask find-rate`: which learning rate a stage of a recipe can take.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use train::{
    Error,
    arguments::{RunArguments, svg_file},
    rate_finder::{RateRange, Report, StageChoice, find_rate, text, write_picture},
    training::Interrupt,
};

/// Takes a stage's first steps at ever higher learning rates and says which one to set
///
/// A range test (Smith 2017), judged as fastai does, on the first fold that is asked for: the loss falls once the rate
/// is high enough and explodes when it is too high. Weights are not kept: all that is written is the picture.
///
/// A later stage starts here from the initial weights, whose head is new. To judge it as it will be, train the stages before
/// it, and give their weights (`--weights runs/x/fold-00/weights.safetensors`) to a recipe with `head_init = "weights"`.
#[derive(Parser)]
#[command(bin_name = "cargo xtask find-rate", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    /// The recipe's stage [default: the first]
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Rates to try, one a step
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = terminal::whole_number::<usize>)]
    steps: usize,
    /// The rate of the first step
    #[arg(long, value_name = "RATE", default_value_t = 1e-7)]
    from: f64,
    /// The rate of the last step, unless the loss comes to four times its best before
    #[arg(long, value_name = "RATE", default_value_t = 10.0)]
    to: f64,
    /// The picture: losses over rates; replaces another
    #[arg(long, value_name = "FILE.svg", default_value = "rates.svg", value_parser = svg_file)]
    out: PathBuf,
    /// Prints all as JSON: every step, its rate and its loss
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: terminal::Verbosity,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask find-rate --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors
  cargo xtask find-rate --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --recipe low-rate \\
      --steps 50 --from 1e-6 --to 1 --out low-rate.svg";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    let print = if arguments.json { Report::to_json } else { text };
    terminal::begin(arguments.verbosity);
    terminal::end(run(arguments).map(|report| print(&report)), Error::exit_code)
}

fn run(Arguments { run, stage, steps, from, to, out, .. }: Arguments) -> Result<Report, Error> {
    let stage = stage.map_or(StageChoice::First, StageChoice::Named);
    let (range, config) = (RateRange::new(from, to, steps)?, run.config(out, Duration::ZERO)?);
    let report = find_rate(&config, &stage, range, &Interrupt::on_signal()?)?;
    write_picture(&report, &config.out)?;
    Ok(report)
}
