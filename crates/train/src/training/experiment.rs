//! A run: one recipe over the folds of one split.

use std::{collections::BTreeMap, path::Path};

use model::{Cut, Metadata, weights};
use preprocess::{Normalization, Prepared};

use super::{
    Config, Inputs, Interrupt, Keep,
    checkpoints::Checkpoints,
    fold::train_fold,
    materials::{Materials, features, kept_pool5},
    plan::plan,
    resume::Resume,
    session::Session,
};
use crate::{
    Error,
    diagnosis::{self, Counts, Diagnosis, Level, Outcome, RunContext},
    features::FeatureFile,
    folds::Fold,
    loss::Objective,
    recipe::Recipe,
    run::{
        DatasetSummary, FORMAT_VERSION, RecordLog, RunDescription, RunFolder, RunIdentity, Summary,
        WeightsSummary,
    },
};

/// What all folds of a run share.
pub(crate) struct Experiment<'a> {
    pub(crate) prepared: &'a Prepared,
    /// Of all images.
    pub(crate) labels: Vec<u32>,
    /// Of all images: those of one group are near duplicates.
    pub(crate) groups: &'a [u32],
    pub(crate) recipe: &'a Recipe,
    pub(crate) normalization: Normalization,
    pub(crate) weights: WeightsSummary,
    pub(crate) seed: u32,
    pub(crate) interrupt: &'a Interrupt,
    /// The run's folder, if the best weights of each fold are to be kept there.
    pub(crate) best_weights: Option<&'a Path>,
    /// What the diagnosis knows of the run beside its records.
    pub(crate) context: RunContext,
    /// Features of all images, by cut.
    features: BTreeMap<Cut, FeatureFile>,
    /// Those at `pool5`, where they are kept, though no stage may start from them.
    pub(crate) pool5: Option<FeatureFile>,
}

impl<'a> Experiment<'a> {
    /// What folds of these materials share, where the frozen layers' output is this.
    pub(crate) fn new(
        config: &'a Config,
        materials: &'a Materials,
        features: BTreeMap<Cut, FeatureFile>,
        interrupt: &'a Interrupt,
    ) -> Self {
        let Materials { prepared, labels, groups, start, .. } = materials;
        Self {
            prepared,
            labels: labels.clone(),
            groups,
            recipe: &config.recipe,
            normalization: start.normalization,
            weights: start.weights.clone(),
            seed: config.seed,
            interrupt,
            best_weights: (config.keep == Keep::LastAndBest).then_some(config.out.as_path()),
            context: context(config, materials),
            features,
            pool5: None,
        }
    }

    /// What is minimized in a fold.
    pub(crate) fn objective(&self, fold: &Fold) -> Objective {
        let num_classes = self.prepared.identities().len();
        self.recipe.objective(&self.labels_of(&fold.train), num_classes)
    }

    /// What the weights that it leaves say of themselves.
    pub(crate) fn metadata(&self) -> Metadata {
        Metadata {
            format_version: weights::FORMAT_VERSION,
            normalization: self.normalization.to_string(),
            source: self.weights.path.clone(),
            source_sha256: self.weights.sha256.clone(),
            identities: Some(self.prepared.identities().to_vec()),
            notes: BTreeMap::new(),
        }
    }

    /// The labels of these images.
    pub(crate) fn labels_of(&self, images: &[usize]) -> Vec<u32> {
        images.iter().map(|&image| self.labels[image]).collect()
    }

    /// The images' features at this cut, where it has them, else the images; and where they enter.
    pub(crate) fn inputs_at(&self, cut: Cut) -> (Inputs<'_>, Cut) {
        match self.features.get(&cut) {
            Some(file) => (Inputs::Features(file), cut),
            None => (Inputs::plain(self.prepared, self.normalization), Cut::IMAGES),
        }
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
    let materials = Materials::open(config)?;
    let Materials { prepared, folds, device, start, .. } = &materials;
    start.report();
    let mut network = start.network(device)?;
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
        split: config.recipe.split,
        num_folds: config.num_folds,
        repeats: config.repeats,
        seed: config.seed,
        chosen_on_validation: config.recipe.inner_validation.is_none()
            && config
                .recipe
                .stages
                .last()
                .and_then(|stage| stage.early_stopping)
                .is_some_and(|stopping| stopping.restore_best_weights),
    };
    let before = diagnosis::before(config, &materials, &plans)?;
    let run = identity(config, &description, &materials);
    let mut folder = RunFolder::open(&config.out, &run)?;
    let to_train = to_train(config, &folder, folds)?;
    if !to_train.is_empty() {
        prepared.verify()?;
        warn(&before);
        let features = features(config, prepared, start, &plans, &network, interrupt)?;
        let experiment = Experiment {
            pool5: kept_pool5(config, &materials, &network)?,
            ..Experiment::new(config, &materials, features, interrupt)
        };
        let checkpoints = Checkpoints::new(&config.out, &run, &plans, config.checkpoint_every);
        let log =
            RecordLog::open(&folder.metrics_path(), &checkpoints.kept(folder.done(), folds)?)?;
        let mut session = Session::new(log, checkpoints);
        let mut last = None;
        for fold in to_train {
            if config.recipe.fresh_model_per_fold {
                network = start.network(device)?;
            }
            let resume = Resume { config, plans: &plans, folder: &folder, fold };
            let mut state = resume.state(&mut network, last.take(), &mut session)?;
            let result = train_fold(
                &experiment,
                &plans,
                fold,
                &mut network,
                &mut state,
                &mut session,
                &folder,
            )?;
            if !config.recipe.fresh_model_per_fold {
                session.checkpoints.write(&network, &state, &session.log)?;
                session.checkpoints.wait()?;
                session.checkpoints.supersede(fold.index);
                last = Some(state);
            }
            folder.finish_fold(result)?;
            if config.recipe.fresh_model_per_fold || folder.done().len() == folds.len() {
                session.checkpoints.remove(fold.index)?;
            }
            folder.summarize(&description)?;
            let records = RecordLog::records(&folder.metrics_path())?;
            let mut seen = diagnosis::of_records(&records, &experiment.context);
            seen.push(diagnosis::baseline_beaten(&beside_baseline(&folder)));
            folder.write_diagnosis(&Diagnosis::new([before.clone(), seen].concat()))?;
        }
    }
    // Anew also where nothing was left to do: the last run may have been killed before it.
    folder.summarize(&description)
}

/// Of each fold that is done: its accuracy, and what the frozen base can do alone, where that is known.
fn beside_baseline(folder: &RunFolder) -> Vec<(f64, f64)> {
    let folds = folder.done().values();
    folds.filter_map(|fold| Some((fold.accuracy, fold.nearest_mean_accuracy?))).collect()
}

fn context(config: &Config, materials: &Materials) -> RunContext {
    RunContext {
        loss: config.recipe.loss,
        backbone: materials.start.backbone(),
        counts: Counts::of(&materials.labels, materials.prepared.identities().len()),
        is_one_model: !config.recipe.fresh_model_per_fold,
    }
}

/// Says what was found; what is only worth a note is in `diagnosis.json`.
fn warn(outcomes: &[Outcome]) {
    for finding in outcomes.iter().filter_map(Outcome::finding) {
        let check = finding.check.name();
        match finding.level {
            Level::Error | Level::Warning => tracing::warn!("{check}: {}", finding.verdict),
            Level::Note => tracing::debug!("{check}: {}", finding.verdict),
        }
    }
}

fn identity(config: &Config, description: &RunDescription, materials: &Materials) -> RunIdentity {
    RunIdentity {
        format_version: FORMAT_VERSION,
        recipe: config.recipe.to_toml(),
        data_sha256: description.dataset.sha256.clone(),
        groups_sha256: materials.groups_sha256(&config.recipe),
        weights_sha256: description.weights.sha256.clone(),
        split: description.split,
        num_folds: config.num_folds,
        repeats: config.repeats,
        seed: config.seed,
    }
}

/// The folds that were asked for and are not done.
///
/// # Errors
///
/// [`Error::Output`] if one model goes through all and has been through a later one already.
fn to_train<'f>(
    config: &Config,
    folder: &RunFolder,
    folds: &'f [Fold],
) -> Result<Vec<&'f Fold>, Error> {
    let is_selected =
        |fold: &&Fold| config.selected.is_empty() || config.selected.contains(&fold.index);
    let (done, to_train): (Vec<&Fold>, Vec<&Fold>) =
        folds.iter().filter(is_selected).partition(|fold| folder.done().contains_key(&fold.index));
    for fold in done {
        tracing::info!("fold {} is done already", fold.index);
    }
    if config.recipe.fresh_model_per_fold {
        return Ok(to_train);
    }
    let last_done = folder.done().keys().next_back();
    if let (Some(first), Some(&last)) = (to_train.first(), last_done)
        && first.index < last
    {
        return Err(Error::Output {
            path: config.out.clone(),
            problem: format!(
                "has been through fold {last}, and its recipe takes one model through all folds, so \
                 fold {} cannot be had any more; choose another --out",
                first.index
            ),
        });
    }
    let mut expected = last_done.map_or(0, |last| last + 1)..;
    if to_train.iter().any(|fold| Some(fold.index) != expected.next()) {
        tracing::warn!(
            "this recipe takes one model through all folds; without those that are left out the \
             others come to other figures"
        );
    }
    Ok(to_train)
}
