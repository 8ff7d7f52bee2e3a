//! A run: one recipe over the folds of one split.

use std::{collections::BTreeMap, path::Path};

use model::{Cut, Metadata, weights};
use preprocess::{Normalization, Prepared};

use super::{
    Config, Inputs, Interrupt, Keep,
    baselines::complete_baselines,
    checkpoints::{Checkpoints, checkpoint_path},
    diagnosing::Diagnosing,
    fold::train_fold,
    forecast::Forecast,
    groups::BaseFeatures,
    live_report::LiveReport,
    materials::{Materials, features, kept_pool5},
    overview::Overview,
    plan::plan,
    preflight::identity_but_groups,
    resume::Resume,
    session::Session,
    steering::{Steered, steered},
    views::Views,
};
use crate::{
    Error,
    diagnosis::{self, Counts, Level, NewBlocks, Outcome, RunContext},
    features::FeatureFile,
    folds::Fold,
    frozen_base::{FrozenAccuracy, FrozenBase},
    loss::Objective,
    recipe::Recipe,
    run::{
        DatasetSummary, RecordLog, RunDescription, RunFolder, RunIdentity, Summary, WeightsSummary,
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
    /// What those at `pool5` can do alone, where they are kept, though no stage may start from them.
    frozen_base: Option<FrozenBase>,
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
            frozen_base: None,
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

    /// A fold's training images in those that train and those that steer.
    pub(crate) fn steered(&self, fold: &Fold) -> Steered {
        steered(self.recipe, self.seed, &self.labels, self.groups, fold)
    }

    /// What the frozen base can do alone in a fold, where its features are kept.
    pub(crate) fn frozen_accuracy(&self, fold: &Fold) -> Result<Option<FrozenAccuracy>, Error> {
        let num_classes = self.prepared.identities().len();
        let accuracy =
            |base: &FrozenBase| base.accuracy(&self.labels, num_classes, fold, self.interrupt);
        self.frozen_base.as_ref().map(accuracy).transpose()
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
    let mut report = None;
    let summary = train_folds(config, interrupt, &mut report);
    // Of a run that ends badly one wants the page the most.
    if let Some(mut report) = report {
        report.at_end(summary.as_ref().err());
    }
    summary
}

/// The same; `report` is the run's page, once its folder is its own.
fn train_folds(
    config: &Config,
    interrupt: &Interrupt,
    report: &mut Option<LiveReport>,
) -> Result<Summary, Error> {
    let materials = Materials::open(config, BaseFeatures::Computed(interrupt))?;
    let Materials { prepared, folds, device, start, .. } = &materials;
    start.report();
    let mut network = start.network(device)?;
    let plans = plan(&config.recipe_name, &config.recipe, &mut network)?;
    for plan in &plans {
        tracing::info!("{}", plan.describe(&network));
    }

    let description = description(config, &materials);
    let run = RunIdentity {
        groups_sha256: description.groups_sha256.clone(),
        ..identity_but_groups(config, prepared, start)
    };
    let mut folder = RunFolder::open(&config.out, &run)?;
    *report = Some(LiveReport::new(config));
    let is_trained =
        |fold: &&Fold| config.is_selected(fold) || folder.done().contains_key(&fold.index);
    let num_trained = folds.iter().filter(is_trained).count();
    let before = diagnosis::before(config, &materials, &plans, num_trained)?;
    let mut checkpoints = Checkpoints::new(&config.out, &run, &plans, config.checkpoint_every);
    clean_up(config, &folder, folds, &mut checkpoints)?;
    let to_train = to_train(config, &folder, folds)?;
    let conclude = |folder: &RunFolder, diagnosing: &mut Diagnosing| {
        diagnosing.folds_done(folder.done());
        diagnosing.write()?;
        folder.summarize(&description)
    };
    let context = context(config, &materials);
    let mut diagnosing =
        Diagnosing::new(folder.path(), folder.metrics_path(), before.clone(), context);
    diagnosing.folds_done(folder.done());
    let num_classes = prepared.identities().len();
    let complete = |folder: &mut RunFolder| {
        let base = kept_pool5(config, prepared, start, &network)?.map(FrozenBase::new);
        if let Some(base) = &base {
            complete_baselines(folder, base, &materials.labels, num_classes, folds, interrupt)?;
        }
        Ok::<_, Error>(base)
    };
    if to_train.is_empty() {
        complete(&mut folder)?;
        // Anew also here: the last run may have been killed before it.
        return conclude(&folder, &mut diagnosing);
    }
    prepared.verify()?;
    warn(&before);
    if folder.done().is_empty() {
        diagnosing.write()?;
    }
    let features = features(config, prepared, start, &plans, &network, interrupt)?;
    let experiment = Experiment {
        frozen_base: complete(&mut folder)?,
        ..Experiment::new(config, &materials, features, interrupt)
    };
    let log = RecordLog::open(&folder.metrics_path(), &checkpoints.kept(folder.done(), folds)?)?;
    let views = Views::new(config);
    let overview = Overview::new(Forecast::new(to_train.len(), &plans, network.architecture()));
    let mut session = Session::new(log, checkpoints, views, overview, diagnosing);
    let mut summary = None;
    let mut last = None;
    for fold in to_train {
        if config.recipe.fresh_model_per_fold {
            network = start.network(device)?;
        }
        let resume = Resume { config, plans: &plans, folder: &folder, fold };
        let mut state = resume.state(&mut network, last.take(), &mut session)?;
        let trained =
            train_fold(&experiment, &plans, fold, &mut network, &mut state, &mut session, &folder);
        if trained.is_err() {
            session.diagnosing.try_write();
        }
        let result = trained?;
        if !config.recipe.fresh_model_per_fold {
            session.checkpoints.write(&network, &state, &session.log)?;
            session.checkpoints.wait()?;
            session.checkpoints.supersede(fold.index);
            last = Some(state);
        }
        // A fold that is done is not begun again: its records are on the disk before it is.
        session.log.sync()?;
        folder.finish_fold(result)?;
        if config.recipe.fresh_model_per_fold || folder.done().len() == folds.len() {
            session.checkpoints.remove(fold.index)?;
        }
        summary = Some(conclude(&folder, &mut session.diagnosing)?);
        session.views.fold_ended();
        session.overview.fold_ended();
    }
    Ok(summary.expect("a fold was trained"))
}

/// What is known of the run before its first step.
fn description(config: &Config, materials: &Materials) -> RunDescription {
    let Materials { prepared, start, .. } = materials;
    RunDescription {
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
        groups_sha256: materials.groups_sha256(&config.recipe),
        restores_best: config
            .recipe
            .stages
            .last()
            .and_then(|stage| stage.early_stopping)
            .is_some_and(|stopping| stopping.restore_best_weights),
    }
}

fn context(config: &Config, materials: &Materials) -> RunContext {
    RunContext {
        loss: config.recipe.loss,
        new_blocks: NewBlocks::of(&materials.start.initial.new),
        counts: Counts::of(&materials.labels, materials.prepared.identities().len()),
        rates: config
            .recipe
            .stages
            .iter()
            .map(|stage| (stage.name.clone(), stage.optimizer.learning_rate()))
            .collect(),
        is_one_model: !config.recipe.fresh_model_per_fold,
    }
}

/// Says what was found; what is only worth a note is in `diagnosis.json`.
fn warn(outcomes: &[Outcome]) {
    for finding in outcomes.iter().filter_map(Outcome::finding) {
        let line = diagnosis::finding_line(finding);
        match finding.level {
            Level::Error | Level::Warning => tracing::warn!("{line}"),
            Level::Note => tracing::debug!("{line}"),
        }
    }
}

/// Removes what a process has left in a fold's folder that was killed as it finished the fold.
fn clean_up(
    config: &Config,
    folder: &RunFolder,
    folds: &[Fold],
    checkpoints: &mut Checkpoints<'_>,
) -> Result<(), Error> {
    let done = folder.done();
    let goes_on = !config.recipe.fresh_model_per_fold && done.len() < folds.len();
    // One model goes on from the checkpoint of the last fold that is done.
    let needed = done.keys().next_back().filter(|_| goes_on);
    for fold in done.keys() {
        folder.clean_fold_folder(*fold)?;
        if Some(fold) != needed {
            checkpoints.remove(*fold)?;
        }
    }
    Ok(())
}

/// The folds that were asked for and are not done.
///
/// # Errors
///
/// [`Error::Output`] if one model goes through all and has been in a later one already.
fn to_train<'f>(
    config: &Config,
    folder: &RunFolder,
    folds: &'f [Fold],
) -> Result<Vec<&'f Fold>, Error> {
    let selected = folds.iter().filter(|fold| config.is_selected(fold));
    let (done, to_train): (Vec<&Fold>, Vec<&Fold>) =
        selected.partition(|fold| folder.done().contains_key(&fold.index));
    for fold in done {
        tracing::info!("fold {} is done already", fold.index);
    }
    if config.recipe.fresh_model_per_fold {
        return Ok(to_train);
    }
    let is_begun = |fold: &&Fold| {
        folder.done().contains_key(&fold.index) || checkpoint_path(&config.out, fold.index).exists()
    };
    let last_begun = folds.iter().rfind(is_begun).map(|fold| fold.index);
    if let (Some(first), Some(last)) = (to_train.first(), last_begun)
        && first.index < last
    {
        return Err(Error::Output {
            path: config.out.clone(),
            problem: format!(
                "has been in fold {last}, and its recipe takes one model through all folds, so \
                 fold {} cannot be had any more; choose another --out",
                first.index
            ),
        });
    }
    let last_done = folder.done().keys().next_back();
    let mut expected = last_done.map_or(0, |last| last + 1)..;
    if to_train.iter().any(|fold| Some(fold.index) != expected.next()) {
        tracing::warn!(
            "this recipe takes one model through all folds; without those that are left out the \
             others come to other figures"
        );
    }
    Ok(to_train)
}
