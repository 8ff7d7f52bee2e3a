//! `cargo xtask train`: K-fold fine-tuning by a recipe.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

use std::{
    io::{IsTerminal, stderr},
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use tracing_subscriber::EnvFilter;
use train::{
    device::DeviceChoice,
    features::FeatureDtype,
    folds::SplitKind,
    recipe::{Builtin, Overrides, Recipe},
    run::table,
    training::{self, Config, Interrupt, WeightsChoice},
};

/// Fine-tunes VGG16 on a prepared set, with K-fold cross-validation
#[derive(Parser)]
#[command(bin_name = "cargo xtask train", version, after_help = EXAMPLES)]
struct Arguments {
    /// The prepared set, made by `cargo xtask prepare`
    #[arg(long, value_name = "DIR", required_unless_present = "show_recipe")]
    data: Option<PathBuf>,
    /// A weights file, made by `cargo xtask convert-weights`, or the word `random`
    ///
    /// From random weights, convolutions are He-uniform
    /// (the first divided by the deviation of pixels), the head is Glorot-uniform.
    #[arg(long, value_name = "FILE", required_unless_present = "show_recipe")]
    weights: Option<WeightsChoice>,
    /// The run's folder; the same command goes on with the folds that are not done
    #[arg(long, value_name = "DIR", required_unless_present = "show_recipe")]
    out: Option<PathBuf>,
    /// two-stage, low-rate, bottleneck, linear-probe, naive, or a TOML file
    ///
    /// What a file may say stands in crates/train/recipes/README.md.
    #[arg(long, value_name = "NAME|FILE.toml", default_value = "two-stage")]
    recipe: String,
    /// Prints a built-in recipe and ends
    #[arg(long, value_name = "NAME")]
    show_recipe: Option<String>,
    /// Folds of the split
    #[arg(long, value_name = "K", default_value_t = 15)]
    folds: usize,
    /// Trains only this fold, from 0; may be repeated
    #[arg(long, value_name = "I")]
    fold: Vec<usize>,
    /// stratified, shuffled, contiguous or grouped, as scikit-learn makes them [default: the recipe's]
    #[arg(long)]
    split: Option<SplitKind>,
    /// Of everything random
    #[arg(long, default_value_t = 42)]
    seed: u32,
    /// Epochs of each stage [default: the recipe's]
    #[arg(long, value_name = "N")]
    epochs: Option<NonZeroUsize>,
    /// Images a step [default: the recipe's]
    #[arg(long, value_name = "N")]
    batch_size: Option<NonZeroUsize>,
    /// Type in which the frozen layers' output is kept: f32, or f16 in half the space [default: the recipe's]
    ///
    /// What is missing is computed from a lower layer's output only where that is kept in f32.
    #[arg(long, value_name = "DTYPE")]
    features_dtype: Option<FeatureDtype>,
    /// auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Where the frozen layers' output is kept [default: DIR-features, beside the data]
    #[arg(long, value_name = "DIR")]
    features_dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask train --data data/lfw-224 --weights weights/vggface.safetensors --out runs/lfw
  cargo xtask train --data data/lfw-224 --weights weights/vggface.safetensors --out runs/probe \\
      --recipe linear-probe --folds 5 --fold 0
  cargo xtask train --show-recipe two-stage > my-recipe.toml";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .without_time()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = if error.is_usage() { 2 } else { 1 };
            eprintln!("error: {:#}", anyhow::Error::from(error));
            ExitCode::from(code)
        }
    }
}

/// Gives what goes to stdout: a recipe, or the run's table.
fn run(arguments: Arguments) -> Result<String, train::Error> {
    if let Some(name) = arguments.show_recipe {
        return Ok(Builtin::find(&name)?.text.to_owned());
    }
    let mut recipe = Recipe::named_or_file(&arguments.recipe)?;
    recipe.override_with(&Overrides {
        split: arguments.split,
        epochs: arguments.epochs,
        batch_size: arguments.batch_size,
        features_dtype: arguments.features_dtype,
    });
    let given = "clap requires it unless --show-recipe is there";
    let config = Config {
        data: arguments.data.expect(given),
        weights: arguments.weights.expect(given),
        out: arguments.out.expect(given),
        features: arguments.features_dir,
        recipe_name: arguments.recipe,
        recipe,
        num_folds: arguments.folds,
        selected: arguments.fold,
        seed: arguments.seed,
        device: arguments.device,
    };
    Ok(table(&training::run(&config, &Interrupt::on_signal()?)?))
}
