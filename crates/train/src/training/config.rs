//! What a run is asked to do.

use std::{convert::Infallible, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use crate::{device::DeviceChoice, folds::Fold, recipe::Recipe, report::FacesShown};

/// What to train, on what, and where to.
#[derive(Debug, Clone)]
pub struct Config {
    /// A prepared set.
    pub data: PathBuf,
    /// What to start from.
    pub weights: WeightsChoice,
    /// The run's folder.
    pub out: PathBuf,
    /// Where features are kept; the prepared set's path with `-features` if not given.
    pub features: Option<PathBuf>,
    /// Name or path of the recipe, for messages and the summary.
    pub recipe_name: String,
    /// The recipe.
    pub recipe: Recipe,
    /// Folds of the split.
    pub num_folds: usize,
    /// How often the images are dealt.
    pub repeats: NonZeroUsize,
    /// Which of them to train; all if empty.
    pub selected: Vec<usize>,
    /// Of every random stream.
    pub seed: u32,
    /// Where the arithmetic runs.
    pub device: DeviceChoice,
    /// How old the last checkpoint may become inside an epoch.
    pub checkpoint_every: Duration,
    /// Which weights are kept of a fold.
    pub keep: Keep,
    /// Whether the run's page shows faces.
    pub faces: FacesShown,
}

impl Config {
    /// Whether a fold is to be trained.
    pub(crate) fn is_selected(&self, fold: &Fold) -> bool {
        self.selected.is_empty() || self.selected.contains(&fold.index)
    }
}

/// Which weights are kept of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Those of its end.
    Last,
    /// Also those of its best epoch.
    LastAndBest,
}

/// What a run starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsChoice {
    /// A safetensors file made by `convert-weights` or by a run.
    File(PathBuf),
    /// Values from the seed: He-uniform convolutions, the first for inputs that deviate as pixels
    /// do, and a Glorot-uniform head as Keras's.
    Random,
}

impl FromStr for WeightsChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "random" { Self::Random } else { Self::File(PathBuf::from(text)) })
    }
}
