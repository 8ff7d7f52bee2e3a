//! `cargo xtask train`: K-fold fine-tuning by a recipe.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use train::{
    arguments::{RunArguments, minutes},
    diagnosis::verdict_line,
    recipe::Builtin,
    report::FacesShown,
    run::{read_diagnosis, table},
    training::{self, Interrupt, Keep},
};

/// Fine-tunes VGG16 on a prepared set, with K-fold cross-validation
#[derive(Parser)]
#[command(bin_name = "cargo xtask train", version, override_usage = USAGE, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    run: Option<RunArguments>,
    /// The run's folder; the same command goes on from where it was broken off
    #[arg(long, value_name = "DIR", required_unless_present = "show_recipe")]
    out: Option<PathBuf>,
    /// Prints a built-in recipe and ends
    #[arg(long, value_name = "NAME", exclusive = true)]
    show_recipe: Option<String>,
    /// Minutes that a crash may cost inside an epoch: how old the last checkpoint may become
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0, value_parser = minutes)]
    checkpoint_every: f64,
    /// Keeps the weights of each fold's best epoch, too, as best.safetensors in its folder
    ///
    /// It is the best by the inner validation photographs, where the recipe holds some back.
    #[arg(long)]
    keep_best: bool,
    /// Leaves photographs out of the run's report.html: it has names, but no faces
    #[arg(long)]
    no_faces: bool,
    /// Prints what summary.json has instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: terminal::Verbosity,
}

const USAGE: &str = "\
cargo xtask train --data <DIR> --weights <FILE> --out <DIR> [OPTIONS]
       cargo xtask train --show-recipe <NAME>";

const EXAMPLES: &str = "\
Examples:
  cargo xtask train --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --folds 5 \\
      --out runs/lfw
  cargo xtask train --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --folds 5 \\
      --recipe linear-probe --fold 0 --out runs/probe
  cargo xtask train --show-recipe two-stage > my-recipe.toml";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    terminal::begin(arguments.verbosity);
    terminal::end(run(arguments), train::Error::exit_code)
}

/// Gives what goes to stdout: a recipe, or the run's table.
fn run(arguments: Arguments) -> Result<String, train::Error> {
    if let Some(name) = arguments.show_recipe {
        return Ok(Builtin::find(&name)?.text.to_owned());
    }
    let given = "clap requires it unless --show-recipe is there";
    let checkpoint_every = Duration::from_secs_f64(60.0 * arguments.checkpoint_every);
    let mut config =
        arguments.run.expect(given).config(arguments.out.expect(given), checkpoint_every)?;
    if arguments.keep_best {
        config.keep = Keep::LastAndBest;
    }
    config.faces = FacesShown::unless(arguments.no_faces);
    let summary = training::run(&config, &Interrupt::on_signal()?)?;
    tracing::info!("report: {}", config.out.join("report.html").display());
    if arguments.json {
        return Ok(summary.to_json());
    }
    let diagnosis = read_diagnosis(&config.out)?.unwrap_or_default();
    Ok(terminal::wrapped(&(table(&summary) + &verdict_line(&diagnosis))))
}
