//! `cargo xtask compare`: several recipes over the same folds, or runs that are there.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use train::{
    Error,
    arguments::{SharedArguments, minutes},
    comparison::{Baseline, Report, compare_recipes, read_runs, table},
    report::FacesShown,
    training::Interrupt,
};

/// Trains several recipes over the same folds, or takes runs that are there, and sets them side by side
///
/// Each recipe is an ordinary run in the folder DIR/NAME; the same command goes on from where it was
/// broken off. DIR/comparison.json has all of the table, and every pair.
#[derive(Parser)]
#[command(bin_name = "cargo xtask compare", version, override_usage = USAGE, after_help = EXAMPLES)]
#[command(mut_arg("data", |data| data.required(false).required_unless_present("runs")))]
#[command(mut_arg("weights", |weights| weights.required(false).required_unless_present("runs")))]
struct Arguments {
    /// Folders of runs that are there; nothing is trained
    #[arg(value_name = "RUN", conflicts_with_all = ["recipes", "SharedArguments", "out", "checkpoint_every", "no_faces"])]
    runs: Vec<PathBuf>,
    /// Recipes to train, with commas between: built-in names and TOML files
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required_unless_present = "runs")]
    recipes: Vec<String>,
    /// The folder for the recipes' runs and comparison.json
    #[arg(long, value_name = "DIR", required_unless_present = "runs")]
    out: Option<PathBuf>,
    /// The run that others are measured against, as the table calls it [default: the first]
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Prints what comparison.json has instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shared: Option<SharedArguments>,
    /// Minutes that a crash may cost inside an epoch: how old the last checkpoint may become
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0, value_parser = minutes)]
    checkpoint_every: f64,
    /// Leaves photographs out of the runs' report.html: it has names, but no faces
    #[arg(long)]
    no_faces: bool,
    #[command(flatten)]
    verbosity: terminal::Verbosity,
}

const USAGE: &str = "\
cargo xtask compare --recipes <NAMES> --data <DIR> --weights <FILE> --out <DIR> [OPTIONS]
       cargo xtask compare <RUN> <RUN>... [--baseline <NAME>] [--json]";

const EXAMPLES: &str = "\
Examples:
  cargo xtask compare --recipes linear-probe,two-stage,augmented --data data/lfw-224 \\
      --weights weights/vggface-keras-notop.safetensors --out runs/compared --folds 5
  cargo xtask compare --recipes naive,my-recipe.toml --baseline my-recipe --split stratified \\
      --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --out runs/mine
  cargo xtask compare runs/compared/two-stage runs/mine/my-recipe --json > comparison.json";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    let print = if arguments.json { Report::to_json } else { table };
    terminal::begin(arguments.verbosity);
    terminal::end(run(arguments).map(|report| print(&report)), Error::exit_code)
}

fn run(arguments: Arguments) -> Result<Report, Error> {
    let baseline = arguments.baseline.map_or(Baseline::First, Baseline::Named);
    let (Some(shared), Some(out)) = (arguments.shared, arguments.out) else {
        return Report::new(&read_runs(&arguments.runs)?, Vec::new(), &baseline);
    };
    let every = Duration::from_secs_f64(60.0 * arguments.checkpoint_every);
    let mut configs = shared.configs(&arguments.recipes, &out, every)?;
    for config in &mut configs {
        config.faces = FacesShown::unless(arguments.no_faces);
    }
    compare_recipes(&configs, &out, &baseline, &Interrupt::on_signal()?)
}
