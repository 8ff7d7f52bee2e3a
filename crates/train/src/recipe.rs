//! A recipe: what is trained, in which stages, at which rates. One TOML file, checked once.

mod builtin;
mod pattern;

use std::{collections::BTreeSet, num::NonZeroUsize, path::Path};

use model::{Head, Layer, Widths};
use preprocess::Augmentation;
use serde::{Deserialize, Serialize};

pub use builtin::{BUILTIN, Builtin};
pub use pattern::Pattern;

use crate::{
    Error, early_stopping::EarlyStopping, features::FeatureDtype, folds::SplitKind, loss::LossKind,
    optimizer::OptimizerConfig, schedule::ReduceOnPlateau,
};

/// The recipe of a run. What is read is checked: such a value is valid.
///
/// # Example
///
/// ```
/// let recipe = train::recipe::Recipe::builtin("two-stage")?;
/// assert_eq!(recipe.stages[0].name, "head");
/// # Ok::<(), train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawRecipe")]
pub struct Recipe {
    /// What follows `pool5`.
    pub head: Head,
    /// Where the head's first values come from.
    pub head_init: HeadInit,
    /// Images a step; the last batch of an epoch may be smaller.
    pub batch_size: NonZeroUsize,
    /// When the training images are put into a new order.
    pub shuffle: Shuffle,
    /// Whether each fold starts from the same initial weights. `false` is the mistake that the
    /// recipe `naive` repeats on purpose.
    pub fresh_model_per_fold: bool,
    /// What is minimized.
    pub loss: LossKind,
    /// How the folds are drawn, unless the command line says otherwise.
    pub split: SplitKind,
    /// Channels of the five blocks, for a network that starts from random weights; a weights file
    /// brings its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widths: Option<[usize; 5]>,
    /// The type in which the frozen layers' output is kept.
    #[serde(skip_serializing_if = "FeatureDtype::is_default")]
    pub features_dtype: FeatureDtype,
    /// What is done, in order; at least one.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
}

/// Where the head's first values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadInit {
    /// Glorot-uniform from the seed.
    New,
    /// From the weights file, for each layer whose shape fits there; the rest as with `New`.
    Weights,
}

/// When the training images are put into a new order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shuffle {
    /// Another order in each epoch, as Keras's `fit` does.
    EveryEpoch,
    /// The data set's order, always.
    Never,
}

/// A part of a run with its own trainable layers and optimizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name in the records.
    pub name: String,
    /// Patterns of layers that stay as they are; read before `train`, the first match wins.
    #[serde(default)]
    pub freeze: Vec<Pattern>,
    /// Patterns of layers that learn.
    pub train: Vec<Pattern>,
    /// Passes over the training images.
    pub epochs: NonZeroUsize,
    /// Who applies the gradients.
    pub optimizer: OptimizerConfig,
    /// Lowers the rate when a metric no longer improves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce_on_plateau: Option<ReduceOnPlateau>,
    /// Ends the stage when a metric no longer improves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Random changes to the training images; validation images are never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augmentation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecipe {
    head: Head,
    head_init: HeadInit,
    batch_size: NonZeroUsize,
    shuffle: Shuffle,
    fresh_model_per_fold: bool,
    loss: LossKind,
    #[serde(default = "stratified")]
    split: SplitKind,
    widths: Option<[usize; 5]>,
    #[serde(default)]
    features_dtype: FeatureDtype,
    #[serde(rename = "stage", default)]
    stages: Vec<Stage>,
}

fn stratified() -> SplitKind {
    SplitKind::Stratified
}

impl TryFrom<RawRecipe> for Recipe {
    type Error = String;

    fn try_from(raw: RawRecipe) -> Result<Self, String> {
        if raw.stages.is_empty() {
            return Err("no [[stage]] found, expected at least one".to_owned());
        }
        let mut names = BTreeSet::new();
        for stage in &raw.stages {
            if stage.name.is_empty() {
                return Err("a stage has an empty name".to_owned());
            }
            if !names.insert(&stage.name) {
                return Err(format!("two stages are named `{}`", stage.name));
            }
            if stage.train.is_empty() {
                return Err(format!("stage `{}` trains nothing: `train` is empty", stage.name));
            }
        }
        if raw.widths.is_some_and(|widths| widths.contains(&0)) {
            return Err("`widths` has a 0, expected five numbers of channels".to_owned());
        }
        Ok(Self {
            head: raw.head,
            head_init: raw.head_init,
            batch_size: raw.batch_size,
            shuffle: raw.shuffle,
            fresh_model_per_fold: raw.fresh_model_per_fold,
            loss: raw.loss,
            split: raw.split,
            widths: raw.widths,
            features_dtype: raw.features_dtype,
            stages: raw.stages,
        })
    }
}

impl Recipe {
    /// Reads a recipe from TOML text; `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] with the offending key and where it stands.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|cause| Error::Recipe {
            name: name.to_owned(),
            problem: one_line(&cause, text),
        })
    }

    /// A recipe that comes with the program.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRecipe`] if none has this name.
    pub fn builtin(name: &str) -> Result<Self, Error> {
        Self::parse(name, Builtin::find(name)?.text)
    }

    /// A built-in recipe by its name, or one from a file: whatever ends in `.toml` or has a
    /// directory in front is a file.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRecipe`], [`Error::Read`] or [`Error::Recipe`].
    pub fn named_or_file(argument: &str) -> Result<Self, Error> {
        let path = Path::new(argument);
        let is_file = path.extension().is_some_and(|extension| extension == "toml")
            || path.components().count() > 1;
        if !is_file {
            return Self::builtin(argument);
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(argument, &text)
    }

    /// Takes what the command line says over what the recipe says; `epochs` holds for each stage.
    pub fn override_with(
        &mut self,
        split: Option<SplitKind>,
        epochs: Option<NonZeroUsize>,
        batch_size: Option<NonZeroUsize>,
        features_dtype: Option<FeatureDtype>,
    ) {
        self.split = split.unwrap_or(self.split);
        self.batch_size = batch_size.unwrap_or(self.batch_size);
        self.features_dtype = features_dtype.unwrap_or(self.features_dtype);
        for stage in &mut self.stages {
            stage.epochs = epochs.unwrap_or(stage.epochs);
        }
    }

    /// The recipe as TOML, every default written out.
    ///
    /// # Panics
    ///
    /// Never: a recipe has only what TOML can say.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe has only strings, numbers, tables and arrays")
    }

    /// The network's widths: the file's own, else the recipe's, else VGG16's. How many units `fc6`
    /// has is the file's to say only where the recipe takes `fc6` from it.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] if both are given and differ.
    pub fn widths(&self, name: &str, of_file: Option<Widths>) -> Result<Widths, Error> {
        match (of_file, self.widths) {
            (Some(found), Some(wanted)) if found.blocks != wanted => Err(Error::Recipe {
                name: name.to_owned(),
                problem: format!(
                    "`widths` is {wanted:?}, the weights file has {:?}; leave the key out",
                    found.blocks
                ),
            }),
            (Some(found), _) => Ok(match (self.head, self.head_init) {
                (Head::Vggface, _) | (_, HeadInit::Weights) => found,
                _ => Widths { fc: Widths::VGG16.fc, ..found },
            }),
            (None, Some(blocks)) => Ok(Widths { blocks, ..Widths::VGG16 }),
            (None, None) => Ok(Widths::VGG16),
        }
    }
}

impl Stage {
    /// Names of the layers with parameters that this stage trains.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] if a layer with parameters is covered by no pattern, if no layer is left
    /// to train, or if a pattern of `train` is left with nothing.
    pub fn trainable(&self, recipe: &str, layers: &[Layer]) -> Result<BTreeSet<String>, Error> {
        let problem = |problem| Error::Recipe { name: recipe.to_owned(), problem };
        let with_parameters = || layers.iter().filter(|layer| !layer.parameters().is_empty());
        let mut trainable = BTreeSet::new();
        for layer in with_parameters() {
            let matches = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(&layer.name));
            if matches(&self.freeze) {
                continue;
            }
            if !matches(&self.train) {
                return Err(problem(format!(
                    "stage `{}` neither trains nor freezes `{}`; add a pattern for it to `train` \
                     or `freeze`",
                    self.name, layer.name
                )));
            }
            trainable.insert(layer.name.clone());
        }
        if trainable.is_empty() {
            return Err(problem(format!(
                "stage `{}` trains nothing: `freeze` matches every layer",
                self.name
            )));
        }
        for pattern in self.freeze.iter().chain(&self.train) {
            if !with_parameters().any(|layer| pattern.matches(&layer.name)) {
                tracing::warn!(stage = self.name, pattern = %pattern, "pattern matches no layer");
            }
        }
        let is_shadowed = |pattern: &&Pattern| {
            with_parameters().any(|layer| pattern.matches(&layer.name))
                && !trainable.iter().any(|layer| pattern.matches(layer))
        };
        if let Some(pattern) = self.train.iter().find(is_shadowed) {
            return Err(problem(format!(
                "stage `{}` does not train `{pattern}`: `freeze` is read first and matches all of \
                 it; freeze less, or leave the pattern out of `train`",
                self.name
            )));
        }
        Ok(trainable)
    }
}

/// A TOML error in one line with its place, without the picture of the text around it.
fn one_line(cause: &toml::de::Error, text: &str) -> String {
    let message = cause.message().lines().collect::<Vec<_>>().join("; ");
    match cause.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use model::{Architecture, Classifier};

    use super::*;

    fn layers(head: Head) -> Vec<Layer> {
        Architecture {
            widths: Widths { blocks: [2; 5], fc: 4 },
            side_px: 48,
            classifier: Some(Classifier { head, num_classes: 3 }),
        }
        .layers()
    }

    fn problem(text: &str) -> String {
        Recipe::parse("r.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn every_builtin_recipe_covers_its_network() {
        for builtin in BUILTIN {
            let recipe = Recipe::builtin(builtin.name).unwrap();
            for stage in &recipe.stages {
                stage.trainable(builtin.name, &layers(recipe.head)).unwrap();
            }
        }
    }

    #[test]
    fn a_resolved_recipe_reads_back_as_itself() {
        for builtin in BUILTIN {
            let recipe = Recipe::builtin(builtin.name).unwrap();
            assert_eq!(Recipe::parse("resolved", &recipe.to_toml()).unwrap(), recipe);
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let base = Builtin::find("linear-probe").unwrap().text;
        assert!(problem(&format!("momentum = 0.9\n{base}")).contains("momentum"));
        let in_stage = base.replace("epochs = 20", "epochs = 20\nepoch = 3");
        assert!(problem(&in_stage).contains("`epoch`"), "{}", problem(&in_stage));
        let line = in_stage.lines().position(|line| line == "epoch = 3").unwrap() + 1;
        assert!(problem(&in_stage).contains(&format!("line {line}: ")), "{}", problem(&in_stage));
        let in_optimizer = base.replace("learning_rate = 1e-4", "learning_rate = 1e-4, lr = 1.0");
        assert!(problem(&in_optimizer).contains("lr"), "{}", problem(&in_optimizer));
    }

    #[test]
    fn a_problem_is_told_in_one_line() {
        let base = Builtin::find("linear-probe").unwrap().text;
        let message = problem(&base.replace("head = \"linear\"", "head = \"resnet\""));
        assert!(message.contains("resnet") && message.contains("linear"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }

    #[test]
    fn an_uncovered_layer_is_refused_by_name() {
        let mut stage = Recipe::builtin("two-stage").unwrap().stages.remove(1);
        stage.train.pop();
        let message = stage.trainable("r", &layers(Head::Seed)).unwrap_err().to_string();
        assert!(message.contains("`fc8`"), "{message}");
    }

    #[test]
    fn freeze_is_read_before_train() {
        let mut stage = Recipe::builtin("linear-probe").unwrap().stages.remove(0);
        stage.train = vec!["*".parse().unwrap()];
        let trainable = stage.trainable("r", &layers(Head::Linear)).unwrap();
        assert_eq!(trainable, BTreeSet::from(["fc8".to_owned()]));
    }

    #[test]
    fn a_pattern_that_freeze_leaves_nothing_of_is_refused() {
        let mut stage = Recipe::builtin("linear-probe").unwrap().stages.remove(0);
        stage.train.insert(0, "conv5_*".parse().unwrap());
        let message = stage.trainable("r", &layers(Head::Linear)).unwrap_err().to_string();
        assert!(message.contains("`conv5_*`"), "{message}");
    }

    #[test]
    fn the_files_fc6_counts_only_where_it_is_used() {
        let file = Some(Widths { fc: 256, ..Widths::VGG16 });
        let mut recipe = Recipe::builtin("two-stage").unwrap();
        assert_eq!(recipe.widths("r", file).unwrap(), Widths::VGG16);
        recipe.head_init = HeadInit::Weights;
        assert_eq!(recipe.widths("r", file).unwrap().fc, 256);
        recipe = Recipe { head: Head::Vggface, head_init: HeadInit::New, ..recipe };
        assert_eq!(recipe.widths("r", file).unwrap().fc, 256);
    }

    #[test]
    fn a_stage_that_trains_nothing_is_refused() {
        let mut stage = Recipe::builtin("linear-probe").unwrap().stages.remove(0);
        stage.freeze = vec!["*".parse().unwrap()];
        assert!(stage.trainable("r", &layers(Head::Linear)).is_err());
    }
}
