//! A recipe: what is trained, in which stages, at which rates. One TOML file, checked once.

mod builtin;
mod message;
mod pattern;
mod stage;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io::ErrorKind, num::NonZeroUsize, path::Path};

use model::{Architecture, Classifier, DropoutRate, Head, HeadDropout, Widths};
use preprocess::TestTimeViews;
use serde::{Deserialize, Serialize};

pub use builtin::{BUILTIN, Builtin};
pub use pattern::Pattern;
pub use stage::{Stage, Unfreeze};

use crate::{
    Error,
    features::FeatureDtype,
    folds::SplitKind,
    loss::{ClassWeighting, LossKind, Objective},
    sampling::Sampling,
    setting::{LabelSmoothing, Share},
};
use message::one_line;

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
    /// The share of a fold's training images that steer its schedules in place of the fold's
    /// validation images, which then only measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_validation: Option<Share>,
    /// How much of each label is spread over all identities in training.
    pub label_smoothing: LabelSmoothing,
    /// How much an image counts in training by whose it is.
    pub class_weights: ClassWeighting,
    /// Dropout behind the hidden layers of the head, in place of the head's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<DropoutRate>,
    /// The views of each held-out image over which the final predictions are averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_time_views: Option<TestTimeViews>,
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

/// Channels that a block may have: eight times VGG16's.
const MOST_CHANNELS: usize = 4096;

/// What may be given in the place of a recipe's own settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// How the folds are drawn.
    pub split: Option<SplitKind>,
    /// Of each stage.
    pub epochs: Option<NonZeroUsize>,
    /// Images a step.
    pub batch_size: Option<NonZeroUsize>,
    /// The type in which the frozen layers' output is kept.
    pub features_dtype: Option<FeatureDtype>,
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
    inner_validation: Option<Share>,
    #[serde(default = "unsmoothed")]
    label_smoothing: LabelSmoothing,
    #[serde(default)]
    class_weights: ClassWeighting,
    dropout: Option<DropoutRate>,
    test_time_views: Option<TestTimeViews>,
    widths: Option<[usize; 5]>,
    #[serde(default)]
    features_dtype: FeatureDtype,
    #[serde(rename = "stage", default)]
    stages: Vec<Stage>,
}

fn stratified() -> SplitKind {
    SplitKind::Stratified
}

fn unsmoothed() -> LabelSmoothing {
    LabelSmoothing::new(0.0).expect("0 is allowed")
}

impl TryFrom<RawRecipe> for Recipe {
    type Error = String;

    fn try_from(raw: RawRecipe) -> Result<Self, String> {
        if raw.stages.is_empty() {
            return Err("no [[stage]] found, expected at least one".to_owned());
        }
        // A head decides which layers there are; their widths are of no matter here.
        let layers = Architecture {
            widths: Widths::VGG16,
            side_px: 224,
            classifier: Some(classifier(raw.head, raw.dropout, 2).map_err(|e| e.to_string())?),
        }
        .layers();
        let mut names = BTreeSet::new();
        for stage in &raw.stages {
            if stage.name.is_empty() {
                return Err("a stage has an empty name".to_owned());
            }
            if !names.insert(&stage.name) {
                return Err(format!("two stages are named `{}`", stage.name));
            }
            stage.trainable(&layers)?;
            stage.check(raw.batch_size)?;
            if stage.sampling == Sampling::Balanced && raw.shuffle == Shuffle::Never {
                return Err(format!(
                    "stage `{}` has sampling = \"balanced\", which draws another order each epoch, \
                     under shuffle = \"never\"; set shuffle = \"every-epoch\"",
                    stage.name
                ));
            }
        }
        if raw.widths.is_some_and(|widths| widths.contains(&0)) {
            return Err("`widths` has a 0, expected five numbers of channels".to_owned());
        }
        if let Some(width) = raw.widths.iter().flatten().find(|&&width| MOST_CHANNELS < width) {
            return Err(format!("`widths` has {width}, expected {MOST_CHANNELS} channels at most"));
        }
        Ok(Self {
            head: raw.head,
            head_init: raw.head_init,
            batch_size: raw.batch_size,
            shuffle: raw.shuffle,
            fresh_model_per_fold: raw.fresh_model_per_fold,
            loss: raw.loss,
            split: raw.split,
            inner_validation: raw.inner_validation,
            label_smoothing: raw.label_smoothing,
            class_weights: raw.class_weights,
            dropout: raw.dropout,
            test_time_views: raw.test_time_views,
            widths: raw.widths,
            features_dtype: raw.features_dtype,
            stages: raw.stages,
        })
    }
}

/// The end of the network: a head, with its dropout.
fn classifier(
    head: Head,
    dropout: Option<DropoutRate>,
    num_classes: usize,
) -> Result<Classifier, model::Error> {
    let dropout = dropout.map_or(HeadDropout::Usual, HeadDropout::Rate);
    Classifier::new(head, num_classes).with_dropout(dropout)
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
    /// [`Error::UnknownRecipe`], [`Error::NoRecipeFile`], [`Error::Read`] or [`Error::Recipe`].
    pub fn named_or_file(argument: &str) -> Result<Self, Error> {
        let path = Path::new(argument);
        let is_file = path.extension().is_some_and(|extension| extension == "toml")
            || path.components().count() > 1;
        if !is_file {
            return Self::builtin(argument);
        }
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::NoRecipeFile { path: path.to_owned() },
            _ => Error::Read { path: path.to_owned(), source },
        })?;
        Self::parse(argument, &text)
    }

    /// The end of the network, for so many people.
    ///
    /// # Panics
    ///
    /// Never: whether the head takes dropout is checked when a recipe is read.
    pub fn classifier(&self, num_classes: usize) -> Classifier {
        classifier(self.head, self.dropout, num_classes)
            .expect("whether a head takes dropout does not depend on how many people there are")
    }

    /// What is minimized where training images have these labels.
    pub(crate) fn objective(&self, train_labels: &[u32], num_classes: usize) -> Objective {
        Objective {
            kind: self.loss,
            label_smoothing: self.label_smoothing,
            class_weights: self.class_weights.weights(train_labels, num_classes),
        }
    }

    /// Takes what was given over what the recipe says; `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] if the two do not go together.
    pub fn override_with(&mut self, name: &str, given: &Overrides) -> Result<(), Error> {
        self.split = given.split.unwrap_or(self.split);
        self.batch_size = given.batch_size.unwrap_or(self.batch_size);
        self.features_dtype = given.features_dtype.unwrap_or(self.features_dtype);
        for stage in &mut self.stages {
            stage.epochs = given.epochs.unwrap_or(stage.epochs);
        }
        self.check_stages().map_err(|problem| Error::Recipe { name: name.to_owned(), problem })
    }

    /// What is wrong with a stage for itself, if anything.
    fn check_stages(&self) -> Result<(), String> {
        self.stages.iter().try_for_each(|stage| stage.check(self.batch_size))
    }

    /// Whether warm-ups and schedules fit the steps of so many training images: what is wrong, and
    /// with which stage, if they do not.
    pub(crate) fn check_rates(&self, train_images: usize) -> Result<(), String> {
        let check = |stage: &Stage| match stage.rates(train_images, self.batch_size) {
            Ok(_) => Ok(()),
            Err(cause) => Err(format!("in stage `{}` {cause}", stage.name)),
        };
        self.stages.iter().try_for_each(check)
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
