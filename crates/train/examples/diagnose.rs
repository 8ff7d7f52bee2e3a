//! Diagnoses a run before it starts: `diagnose DATA WEIGHTS RECIPE [FOLDS]`, for real data.
#![expect(clippy::print_stdout, reason = "a program speaks to its user")]

use std::path::PathBuf;

use train::{
    device::DeviceChoice,
    diagnosis::{Depth, diagnose, text},
    recipe::Recipe,
    training::{Config, WeightsChoice},
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, weights, recipe, rest @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: diagnose DATA WEIGHTS RECIPE [FOLDS]");
    };
    let config = Config {
        data: PathBuf::from(data),
        weights: match weights.as_str() {
            "random" => WeightsChoice::Random,
            path => WeightsChoice::File(PathBuf::from(path)),
        },
        out: PathBuf::new(),
        features: None,
        recipe_name: recipe.clone(),
        recipe: Recipe::named_or_file(recipe)?,
        num_folds: rest.first().map_or(Ok(15), |folds| folds.parse())?,
        selected: Vec::new(),
        seed: 42,
        device: DeviceChoice::Auto,
    };
    let diagnosis = diagnose(&config, Depth::Probes)?;
    print!("{}", text(&diagnosis));
    Ok(())
}
