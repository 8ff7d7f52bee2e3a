//! The arguments that say what is trained on what: those of `train`, `diagnose`, and all that train.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use terminal::whole_number;

use crate::{
    Error,
    comparison::recipe_names,
    device::DeviceChoice,
    features::FeatureDtype,
    folds::SplitKind,
    recipe::{Overrides, Recipe},
    report::FacesShown,
    training::{Config, Keep, WeightsChoice},
};

/// What is trained on what, by which recipe.
// A group does not take in what it flattens; with `data` in it, an optional group is there when a
// command trains.
#[derive(Debug, Clone, Args)]
#[group(args = ["data"])]
pub struct RunArguments {
    /// All but the recipe.
    #[command(flatten)]
    pub shared: SharedArguments,
    /// two-stage, augmented, low-rate, bottleneck, linear-probe, naive, or a TOML file
    ///
    /// What a file may say stands in crates/train/recipes/README.md.
    #[arg(long, value_name = "NAME|FILE.toml", default_value = "two-stage")]
    pub recipe: String,
}

/// What is trained on what, by whichever recipe.
#[derive(Debug, Clone, Args)]
pub struct SharedArguments {
    /// The prepared set, made by `cargo xtask prepare`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A weights file, made by `cargo xtask fetch-weights` or `convert-weights`, or the word `random`
    ///
    /// From random weights, convolutions are He-uniform
    /// (the first divided by the deviation of pixels), the head is Glorot-uniform.
    #[arg(long, value_name = "FILE")]
    pub weights: WeightsChoice,
    /// Folds of the split
    #[arg(long, value_name = "K", default_value_t = 15, value_parser = whole_number::<usize>)]
    pub folds: usize,
    /// Deals the images so often, each time anew: fold F of repeat J, both from 0, has number J * K + F
    #[arg(long, value_name = "R", default_value = "1", value_parser = repeats)]
    pub repeats: NonZeroUsize,
    /// Trains only the folds of these numbers, from 0: `--fold 0,2` or `--fold 0 --fold 2`
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', value_parser = whole_number::<usize>)]
    pub fold: Vec<usize>,
    /// How images are dealt to folds, as scikit-learn deals them [default: the recipe's]
    ///
    /// Grouped keeps near duplicates, as `prepare` and the base find them, on one side of every fold.
    #[arg(long, value_enum)]
    pub split: Option<SplitKind>,
    /// Seed of the folds, of new layers' weights, of order and augmentation
    #[arg(long, value_name = "NUMBER", default_value_t = 42, value_parser = whole_number::<u32>)]
    pub seed: u32,
    /// Epochs of each stage [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = whole_number::<NonZeroUsize>)]
    pub epochs: Option<NonZeroUsize>,
    /// Images a step [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = whole_number::<NonZeroUsize>)]
    pub batch_size: Option<NonZeroUsize>,
    /// Type in which the frozen layers' output is kept [default: the recipe's]
    ///
    /// Other layers' output is then computed from the images again, not from what is kept.
    #[arg(long, value_enum, value_name = "DTYPE")]
    pub features_dtype: Option<FeatureDtype>,
    /// auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Where the frozen layers' output is kept [default: DIR-features, beside the data]
    #[arg(long, value_name = "DIR")]
    pub features_dir: Option<PathBuf>,
}

impl RunArguments {
    /// The run that they ask for, into this folder.
    ///
    /// # Errors
    ///
    /// Those of [`Recipe::named_or_file`].
    pub fn config(self, out: PathBuf, checkpoint_every: Duration) -> Result<Config, Error> {
        self.shared.config(&self.recipe, out, checkpoint_every)
    }
}

impl SharedArguments {
    /// The runs that they ask for by these recipes, each into the folder in `out` that is called as
    /// the recipe.
    ///
    /// # Errors
    ///
    /// Those of [`recipe_names`] and [`Recipe::named_or_file`].
    pub fn configs(
        &self,
        recipes: &[String],
        out: &Path,
        checkpoint_every: Duration,
    ) -> Result<Vec<Config>, Error> {
        let names = recipe_names(recipes)?;
        let config = |(recipe, name): (&String, &String)| {
            self.clone().config(recipe, out.join(name), checkpoint_every)
        };
        recipes.iter().zip(&names).map(config).collect()
    }

    /// The run that they ask for by this recipe, a name or a file, into this folder.
    ///
    /// # Errors
    ///
    /// Those of [`Recipe::named_or_file`].
    pub fn config(
        self,
        recipe_name: &str,
        out: PathBuf,
        checkpoint_every: Duration,
    ) -> Result<Config, Error> {
        let mut recipe = Recipe::named_or_file(recipe_name)?;
        let overrides = Overrides {
            split: self.split,
            epochs: self.epochs,
            batch_size: self.batch_size,
            features_dtype: self.features_dtype,
        };
        recipe.override_with(recipe_name, &overrides)?;
        Ok(Config {
            data: self.data,
            weights: self.weights,
            out,
            features: self.features_dir,
            recipe_name: recipe_name.to_owned(),
            recipe,
            num_folds: self.folds,
            repeats: self.repeats,
            selected: self.fold,
            seed: self.seed,
            device: self.device,
            checkpoint_every,
            keep: Keep::Last,
            faces: FacesShown::Shown,
        })
    }
}

/// Reads how often images are dealt, 1 to 1000: all folds are drawn before the first is trained.
fn repeats(text: &str) -> Result<NonZeroUsize, &'static str> {
    match text.parse::<NonZeroUsize>() {
        Ok(repeats) if repeats.get() <= 1000 => Ok(repeats),
        _ => Err("expected 1 to 1000"),
    }
}

/// Reads the name of a picture, so that no other file is replaced by one.
///
/// # Errors
///
/// What was expected, if it is something else.
pub fn svg_file(path: &str) -> Result<PathBuf, String> {
    file(path, "svg")
}

/// Reads the name of an HTML file, so that no other file is written over by it.
///
/// # Errors
///
/// What was expected, if it is something else.
pub fn html_file(path: &str) -> Result<PathBuf, String> {
    file(path, "html")
}

fn file(path: &str, extension: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    let is_it = path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
    if is_it { Ok(path) } else { Err(format!("expected a name that ends in .{extension}")) }
}

/// Reads a number of minutes, 0 to a million.
///
/// # Errors
///
/// What was expected, if it is something else.
pub fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.0..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err("expected a number of minutes, at least 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        run: RunArguments,
    }

    #[test]
    fn folds_are_given_one_by_one_or_with_commas() {
        let given = ["train", "--data", "d", "--weights", "random", "--fold", "0,2", "--fold", "5"];
        assert_eq!(Command::parse_from(given).run.shared.fold, [0, 2, 5]);
    }
}
