//! A run: one recipe over the folds of one split.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
};

use candle_core::Device;
use model::{Architecture, Classifier, Cut, Vgg16, WeightsFile};
use preprocess::{Normalization, Prepared};

use super::{
    Inputs, Interrupt,
    fold::train_fold,
    initial_weights::{InitialWeights, initial_weights},
    plan::{StagePlan, plan},
};
use crate::{
    Error,
    device::DeviceChoice,
    features::{FeatureCache, FeatureFile},
    folds::{Fold, Split},
    recipe::Recipe,
    run::{
        DatasetSummary, FORMAT_VERSION, RecordLog, RunDescription, RunFolder, RunIdentity, Summary,
        WeightsSummary,
    },
};

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
    /// Which of them to train; all if empty.
    pub selected: Vec<usize>,
    /// Of every random stream.
    pub seed: u32,
    /// Where the arithmetic runs.
    pub device: DeviceChoice,
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

/// What all folds of a run share.
pub(crate) struct Experiment<'a> {
    pub(crate) prepared: &'a Prepared,
    /// Of all images.
    pub(crate) labels: Vec<u32>,
    pub(crate) recipe: &'a Recipe,
    pub(crate) normalization: Normalization,
    pub(crate) weights: WeightsSummary,
    pub(crate) seed: u32,
    pub(crate) interrupt: &'a Interrupt,
    /// Features of all images, by cut.
    features: BTreeMap<Cut, FeatureFile>,
}

impl Experiment<'_> {
    /// The images, or their features, that enter the network at this cut of a stage.
    pub(crate) fn inputs_at(&self, cut: Cut) -> Inputs<'_> {
        match self.features.get(&cut) {
            Some(file) => Inputs::Features(file),
            None => Inputs::plain(self.prepared, self.normalization),
        }
    }
}

impl FromStr for WeightsChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "random" { Self::Random } else { Self::File(PathBuf::from(text)) })
    }
}

/// Trains the selected folds that are not done yet and returns the summary over all that are.
///
/// # Errors
///
/// Everything that can be known beforehand is checked before the first step: the data, the
/// weights, the recipe, the folds, the device and the output folder. Later, [`Error::Interrupted`],
/// [`Error::NonFiniteLoss`], and what the disk and the device report; folds that are done are kept.
pub fn run(config: &Config, interrupt: &Interrupt) -> Result<Summary, Error> {
    check_selection(config)?;
    let prepared = Prepared::open(&config.data)?;
    let labels = prepared.labels();
    let split = config.recipe.split;
    let dealing = Split {
        kind: split,
        num_folds: config.num_folds,
        repeats: NonZeroUsize::MIN,
        seed: config.seed,
    };
    // Each image is a group of its own: nothing says yet which are near duplicates.
    let groups: Vec<u32> = (0..).zip(&labels).map(|(image, _)| image).collect();
    let folds = dealing.folds(&labels, &groups)?;
    if let Some(warning) = dealing.warning(&labels) {
        tracing::warn!("{warning}");
    }
    let device = config.device.open()?;
    let start = Start::new(config, &prepared)?;
    start.report();
    let mut network = start.network(&device)?;
    let plans = plan(&config.recipe_name, &config.recipe, &mut network)?;
    for plan in &plans {
        tracing::info!("{}", plan.describe(&network));
    }

    let description = RunDescription {
        recipe: config.recipe_name.clone(),
        dataset: DatasetSummary {
            identities: prepared.identities().len(),
            images: prepared.len(),
            sha256: prepared.sha256().to_owned(),
        },
        weights: start.weights.clone(),
        split,
        num_folds: config.num_folds,
        seed: config.seed,
        chosen_on_validation: config
            .recipe
            .stages
            .last()
            .and_then(|stage| stage.early_stopping)
            .is_some_and(|stopping| stopping.restore_best_weights),
    };
    let mut folder = RunFolder::open(&config.out, &identity(config, &description))?;
    let to_train = to_train(config, &folder, &folds)?;
    if !to_train.is_empty() {
        prepared.verify()?;
        let experiment = Experiment {
            features: features(config, &prepared, &start, &plans, &network, interrupt)?,
            prepared: &prepared,
            labels,
            recipe: &config.recipe,
            normalization: start.normalization,
            weights: start.weights.clone(),
            seed: config.seed,
            interrupt,
        };
        let done = folder.done().keys().copied().collect();
        let mut log = RecordLog::open(&folder.metrics_path(), &done)?;
        let mut momenta: Vec<_> = plans.iter().map(|_| None).collect();
        for fold in to_train {
            if config.recipe.fresh_model_per_fold {
                network = start.network(&device)?;
                momenta.fill_with(|| None);
            }
            let result = train_fold(
                &experiment,
                &plans,
                fold,
                &mut network,
                &mut momenta,
                &mut log,
                &folder,
            )
            .map_err(|error| match error {
                Error::Interrupted { fold } if !config.recipe.fresh_model_per_fold => {
                    Error::InterruptedOneModel { fold }
                }
                other => other,
            })?;
            folder.finish_fold(result)?;
            folder.summarize(&description)?;
        }
    }
    // Anew also where nothing was left to do: the last run may have been killed before it.
    folder.summarize(&description)
}

/// What every fold starts from.
struct Start {
    architecture: Architecture,
    initial: InitialWeights,
    normalization: Normalization,
    weights: WeightsSummary,
}

impl Start {
    fn new(config: &Config, prepared: &Prepared) -> Result<Self, Error> {
        let num_classes = prepared.identities().len();
        if num_classes < 2 {
            return Err(Error::Data {
                path: config.data.clone(),
                problem: format!("has {num_classes} people, expected at least 2"),
            });
        }
        let file = match &config.weights {
            WeightsChoice::File(path) => Some(WeightsFile::read(path)?),
            WeightsChoice::Random => None,
        };
        let of_file = file.as_ref().map(WeightsFile::widths).transpose()?;
        let architecture = Architecture {
            widths: config.recipe.widths(&config.recipe_name, of_file)?,
            side_px: prepared.side_px(),
            classifier: Some(Classifier { head: config.recipe.head, num_classes }),
        };
        let initial = initial_weights(
            &architecture,
            &config.recipe,
            file.as_ref(),
            prepared.identities(),
            config.seed,
        )?;
        let normalization = match &file {
            Some(file) => file_normalization(file)?,
            None => Normalization::VggfaceV1,
        };
        let random = "random".to_owned();
        let weights = WeightsSummary {
            path: file.as_ref().map_or(random.clone(), |f| f.path().display().to_string()),
            sha256: file.as_ref().map_or(random, |file| file.sha256().to_owned()),
            normalization: normalization.to_string(),
        };
        Ok(Self { architecture, initial, normalization, weights })
    }

    /// Says what was taken from where: weights that were silently not loaded are a classic.
    fn report(&self) {
        let count = |new: bool| -> usize {
            let is_counted = |name: &&String| self.initial.new.contains(name) == new;
            let tensors = &self.initial.tensors;
            tensors.keys().filter(is_counted).map(|name| tensors[name].elem_count()).sum()
        };
        tracing::info!(
            "weights: {} parameters from {}, {} new ({})",
            count(false),
            self.weights.path,
            count(true),
            match layers(&self.initial.new).as_str() {
                "" => "none",
                names => names,
            }
        );
        if !self.initial.unused.is_empty() {
            tracing::info!(
                "in the weights file, but not used: {}; head = \"vggface\" takes fc6 and fc7 from it",
                layers(&self.initial.unused)
            );
        }
    }

    /// A model with the initial weights.
    fn network(&self, device: &Device) -> Result<Vgg16, Error> {
        Ok(Vgg16::new(self.architecture, self.initial.tensors.clone(), device)?)
    }
}

/// The layers of these parameters, each once.
fn layers(parameters: &[String]) -> String {
    let mut layers: Vec<&str> =
        parameters.iter().filter_map(|name| name.split('.').next()).collect();
    layers.dedup();
    layers.join(", ")
}

/// The normalization that a weights file asks for.
pub(crate) fn file_normalization(file: &WeightsFile) -> Result<Normalization, Error> {
    let name = &file.metadata().normalization;
    name.parse().map_err(|_| Error::Weights {
        path: file.path().to_owned(),
        problem: format!(
            "asks for the normalization `{name}`, expected vggface-v1, vggface-v2, imagenet or \
             none; convert the published file again"
        ),
    })
}

fn check_selection(config: &Config) -> Result<(), Error> {
    let folds = config.num_folds;
    match config.selected.iter().find(|&&fold| folds <= fold) {
        Some(&fold) => Err(Error::FoldOutOfRange { fold, folds, last: folds.saturating_sub(1) }),
        None => Ok(()),
    }
}

fn identity(config: &Config, description: &RunDescription) -> RunIdentity {
    RunIdentity {
        format_version: FORMAT_VERSION,
        recipe: config.recipe.to_toml(),
        data_sha256: description.dataset.sha256.clone(),
        weights_sha256: description.weights.sha256.clone(),
        split: description.split,
        num_folds: config.num_folds,
        seed: config.seed,
    }
}

/// The folds that were asked for and are not done.
///
/// # Errors
///
/// [`Error::Output`] if some are done although one model goes through all.
fn to_train<'f>(
    config: &Config,
    folder: &RunFolder,
    folds: &'f [Fold],
) -> Result<Vec<&'f Fold>, Error> {
    let is_selected =
        |fold: &&Fold| config.selected.is_empty() || config.selected.contains(&fold.index);
    let (done, to_train): (Vec<&Fold>, Vec<&Fold>) =
        folds.iter().filter(is_selected).partition(|fold| folder.done().contains_key(&fold.index));
    if !config.recipe.fresh_model_per_fold && !to_train.is_empty() && !folder.done().is_empty() {
        return Err(Error::Output {
            path: config.out.clone(),
            problem: "holds folds of this run already, and its recipe takes one model through \
                      all folds, so they cannot be completed; choose another --out"
                .to_owned(),
        });
    }
    let left_out = |(place, fold): (usize, &&Fold)| fold.index != place;
    if !config.recipe.fresh_model_per_fold && to_train.iter().enumerate().any(left_out) {
        tracing::warn!(
            "this recipe takes one model through all folds; without those that are left out the \
             others come to other figures"
        );
    }
    for fold in done {
        tracing::info!("fold {} is done already", fold.index);
    }
    Ok(to_train)
}

/// The features that the stages start from, computed once for all folds and epochs.
fn features(
    config: &Config,
    prepared: &Prepared,
    start: &Start,
    plans: &[StagePlan<'_>],
    network: &Vgg16,
    interrupt: &Interrupt,
) -> Result<BTreeMap<Cut, FeatureFile>, Error> {
    let folder = features_folder(&config.data, config.features.as_deref());
    if preprocess::lies_in(&folder, &config.data) {
        return Err(Error::Output {
            path: folder,
            problem: "lies in the prepared set, which holds nothing but itself; choose another \
                      --features-dir"
                .to_owned(),
        });
    }
    let cache = FeatureCache::new(
        &folder,
        prepared,
        start.normalization,
        &start.weights.sha256,
        config.recipe.features_dtype,
    );
    let mut cuts: Vec<Cut> = plans.iter().map(|plan| plan.cut).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.retain(|&cut| cut != Cut::IMAGES);
    cache.features(network, &cuts, interrupt)
}

/// Where features are kept: beside the prepared set, which holds nothing but itself.
fn features_folder(data: &Path, chosen: Option<&Path>) -> PathBuf {
    let beside = || {
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push("-features");
        data.with_file_name(name)
    };
    chosen.map_or_else(beside, Path::to_owned)
}
