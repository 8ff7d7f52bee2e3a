//! What the page says of one run, in words and charts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    again::{command, origins},
    causes::{CauseRow, causes},
    confusions::confusions,
    curves,
    faces::Faces,
    folds,
    mistakes::mistakes,
    people::{self, people_bins},
    predictions::PredictedImage,
    reliability::{self, reliability},
    run::ReportedRun,
    tiles::{Tile, tiles},
    time::{duration, stage_times},
};
use crate::{
    Error,
    calibration::DEFAULT_BINS,
    diagnosis::{self, Diagnosis, Level, level_word, short},
    run::Summary,
};

/// Pairs of people that are confused, at most.
const CONFUSIONS: usize = 12;

/// Mistakes in the gallery, at most.
const MISTAKES: usize = 24;

/// A run on the page.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    name: String,
    /// `good`, `note`, `warning` or `error`.
    level: &'static str,
    verdict: Vec<String>,
    /// Where it stands, while it lasts.
    progress: Option<String>,
    tiles: Vec<Tile>,
    folds_chart: Option<String>,
    /// What the rules in the chart of folds are.
    baselines: &'static str,
    folds: Vec<FoldRow>,
    curves: Vec<Curves>,
    confusions: Vec<ConfusionRow>,
    mistakes: Vec<MistakeRow>,
    /// Whether figures by photograph are of one repeat of several.
    is_repeated: bool,
    people_chart: Option<String>,
    reliability_chart: Option<String>,
    calibration: Vec<String>,
    times: Vec<TimeRow>,
    is_diagnosed: bool,
    causes: Vec<CauseRow>,
    silent: Vec<String>,
    skipped: Vec<String>,
    origins: Vec<Tile>,
    recipe: String,
    command: String,
}

#[derive(Debug, Serialize)]
struct FoldRow {
    fold: usize,
    accuracy: String,
    top5: String,
    macro_f1: String,
    loss: String,
    epochs: usize,
    best: String,
    images: String,
    time: String,
}

/// The learning curves of a fold.
#[derive(Debug, Serialize)]
struct Curves {
    fold: usize,
    svg: String,
}

#[derive(Debug, Serialize)]
struct ConfusionRow {
    identity: String,
    predicted: String,
    count: usize,
    held_out: usize,
    face: Option<String>,
    other_face: Option<String>,
}

#[derive(Debug, Serialize)]
struct MistakeRow {
    image: String,
    /// The last part of `image`: the folder says who it is.
    file: String,
    identity: String,
    predicted: String,
    probability: String,
    rank: usize,
    face: Option<String>,
}

#[derive(Debug, Serialize)]
struct TimeRow {
    stage: String,
    epochs: usize,
    an_epoch: String,
    in_all: String,
    memory: String,
}

impl Section {
    /// What there is to say of a run; faces where they are there.
    ///
    /// # Errors
    ///
    /// [`Error::Preprocess`] if faces cannot be read.
    pub(super) fn of(
        run: &ReportedRun,
        faces: Option<&Faces>,
        data: Option<&Faces>,
    ) -> Result<Self, Error> {
        let rows: Vec<&PredictedImage> = run.predictions_once().collect();
        let face = |row: &PredictedImage| match faces {
            Some(faces) => faces.address(&row.image),
            None => Ok(None),
        };
        let confusions = confusions(&rows, CONFUSIONS)
            .into_iter()
            .map(|it| {
                Ok(ConfusionRow {
                    identity: it.identity.to_owned(),
                    predicted: it.predicted.to_owned(),
                    count: it.count,
                    held_out: it.held_out,
                    face: face(it.surest)?,
                    other_face: it.other.map(face).transpose()?.flatten(),
                })
            })
            .collect::<Result<_, Error>>()?;
        let mistakes = mistakes(&rows, MISTAKES)
            .into_iter()
            .map(|row| {
                Ok(MistakeRow {
                    image: row.image.clone(),
                    file: row.image.rsplit('/').next().unwrap_or_default().to_owned(),
                    identity: row.identity.clone(),
                    predicted: row.predicted.clone(),
                    probability: percent(row.probability, 1),
                    rank: row.rank_of_truth,
                    face: face(row)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        let photographs = data.map_or_else(BTreeMap::new, Faces::photographs);
        let bins = people_bins(rows.iter().copied(), &photographs);
        let calibration = reliability(rows.iter().copied());
        let empty = Diagnosis::default();
        let diagnosis = run.diagnosis.as_ref().unwrap_or(&empty);
        let curves = run.begun().into_iter().filter_map(|fold| {
            Some(Curves { fold, svg: curves::chart(fold, &run.epochs_of(fold))? })
        });
        Ok(Self {
            name: run.name.clone(),
            level: level(diagnosis, run.summary.as_ref()),
            verdict: verdict(run, diagnosis),
            progress: progress(run),
            tiles: run.summary.as_ref().map(tiles).unwrap_or_default(),
            folds_chart: run.summary.as_ref().map(folds::chart),
            baselines: run.summary.as_ref().map_or("", baselines),
            is_repeated: 1 < run.identity.repeats.get(),
            is_diagnosed: run.diagnosis.is_some(),
            folds: run.summary.as_ref().map(fold_rows).unwrap_or_default(),
            curves: curves.collect(),
            confusions,
            mistakes,
            // Without the whole set it is not known how many photographs people have.
            people_chart: (!bins.is_empty() && !photographs.is_empty())
                .then(|| people::chart(&bins)),
            reliability_chart: calibration.as_ref().map(reliability::chart),
            calibration: calibration.map_or_else(Vec::new, |it| calibrations(run, it.error)),
            times: time_rows(run),
            causes: causes(diagnosis),
            silent: diagnosis
                .silent
                .iter()
                .map(|(check, it)| format!("{} ({})", check.name(), short(it.value)))
                .collect(),
            skipped: diagnosis
                .skipped
                .iter()
                .map(|(check, why)| format!("{}: {why}", check.name()))
                .collect(),
            origins: origins(run),
            recipe: run.identity.recipe.clone(),
            command: command(run),
        })
    }
}

/// What the frozen base's rules in the chart of folds are, or why there are none.
fn baselines(summary: &Summary) -> &'static str {
    match (summary.baselines.nearest_mean, summary.baselines.linear_probe) {
        (None, _) => {
            "What the frozen base alone can do is not known here: its features are not kept. Once a run of \
             linear-probe on the same set and weights has kept them, this run's command finds it out and trains \
             nothing anew."
        }
        (Some(_), None) => "Nearest mean: who has the nearest mean features of the frozen base.",
        (Some(_), Some(_)) => {
            "Nearest mean: who has the nearest mean features of the frozen base. Ridge probe: a linear classifier \
             on them, solved by ridge regression. Neither trains the network."
        }
    }
}

/// A share in percent; no line breaks before the sign.
pub(super) fn percent(share: f64, decimals: usize) -> String {
    format!("{:.decimals$}\u{a0}%", 100.0 * share)
}

fn level(diagnosis: &Diagnosis, summary: Option<&Summary>) -> &'static str {
    match diagnosis.causes.first().map(diagnosis::Cause::level) {
        Some(level @ (Level::Error | Level::Warning)) => level_word(level),
        _ if summary.is_none() || diagnosis.silent.is_empty() => "note",
        _ => "good",
    }
}

/// Two sentences: how good it is beside what costs nothing, and why it is not better.
fn verdict(run: &ReportedRun, diagnosis: &Diagnosis) -> Vec<String> {
    let first = match &run.summary {
        None => "No fold is done yet.".to_owned(),
        Some(summary) => {
            let caveat = caveat(summary);
            let nearest = summary.baselines.nearest_mean.map_or_else(String::new, |nearest| {
                format!(", the nearest mean features of the frozen base {}", percent(nearest, 1))
            });
            let probe = summary.baselines.linear_probe.map_or_else(String::new, |probe| {
                format!(", a linear classifier on the frozen base {}", percent(probe, 1))
            });
            format!(
                "The network recognizes {} of held-out photographs{caveat}; chance gives {}, naming \
                 the commonest person {}{nearest}{probe}.",
                percent(summary.accuracy.mean, 1),
                percent(summary.baselines.chance, 1),
                percent(summary.baselines.majority, 1),
            )
        }
    };
    let second = match diagnosis.causes.first() {
        Some(cause) if cause.level() == Level::Error => {
            format!("Most likely cause: {}", cause.finding.verdict)
        }
        Some(cause) if cause.level() == Level::Warning => {
            format!("First to look at: {}", cause.finding.verdict)
        }
        _ if diagnosis.silent.is_empty() => "It has not been diagnosed.".to_owned(),
        _ if run.summary.is_none() => "Nothing was found so far.".to_owned(),
        _ => "Nothing was found that keeps it from learning.".to_owned(),
    };
    vec![first, second]
}

/// What an accuracy is worth less for.
fn caveat(summary: &Summary) -> &'static str {
    if summary.carries_weights_over() {
        " (one model goes through all folds and has been trained on them in earlier ones: no measure of \
         new photographs)"
    } else if summary.chosen_on_validation {
        " (at each fold's best epoch, chosen on these photographs: optimistic)"
    } else {
        ""
    }
}

/// Where a run stands that is not whole; none of one that is.
fn progress(run: &ReportedRun) -> Option<String> {
    let (done, folds) = (run.folds_done(), run.num_folds());
    let is_begun = run.begun().len() > done;
    if !run.is_running && run.ended_by.is_none() && done == folds {
        return None;
    }
    let last = match run.epochs.last() {
        None => "No epoch has ended yet.".to_owned(),
        Some(epoch) => format!(
            "The last epoch that ended is number {} of stage {} in fold {}.",
            epoch.epoch, epoch.stage, epoch.fold
        ),
    };
    let done = format!("{done} of {folds} folds are done");
    Some(match &run.ended_by {
        Some(error) => format!("This run has ended: {error}. {done}. {last}"),
        None if run.is_running => {
            format!("This run went on when the page was written: {done}. {last}")
        }
        None if is_begun || run.epochs.is_empty() => {
            format!("This run has stopped here: {done}. {last}")
        }
        None => format!("{done}, and no other is begun."),
    })
}

fn fold_rows(summary: &Summary) -> Vec<FoldRow> {
    let row = |fold: &crate::run::FoldSummary| FoldRow {
        fold: fold.fold,
        accuracy: percent(fold.accuracy, 2),
        top5: percent(fold.top5_accuracy, 2),
        macro_f1: percent(fold.macro_f1, 2),
        loss: format!("{:.4}", fold.loss),
        epochs: fold.epochs,
        best: format!(
            "{} {}: {}",
            fold.best_stage,
            fold.best_epoch,
            percent(fold.best_accuracy, 2)
        ),
        images: format!(
            "{} + {} | {}",
            fold.train_images.saturating_sub(fold.inner_images),
            fold.inner_images,
            fold.validation_images
        ),
        time: duration(fold.seconds),
    };
    summary.folds.iter().map(row).collect()
}

/// What the probabilities are worth, and what a temperature makes of them.
fn calibrations(run: &ReportedRun, error: f64) -> Vec<String> {
    let mut words = vec![format!(
        "Expected calibration error {}: the mean distance between how sure and how often right, over \
         {DEFAULT_BINS} bins of all held-out photographs.",
        percent(error, 1)
    )];
    let fitted: Vec<_> = run
        .summary
        .iter()
        .flat_map(|summary| &summary.folds)
        .filter_map(|fold| fold.calibration)
        .collect();
    if !fitted.is_empty() {
        let count = fitted.len() as f64;
        let mean = |value: &dyn Fn(&crate::run::Calibration) -> f64| {
            fitted.iter().map(value).sum::<f64>() / count
        };
        words.push(format!(
            "Logits divided by {:.2} (a temperature fitted on photographs that only steer, mean over {} folds) \
             bring that of a single fold from {} to {} in the mean.",
            mean(&|it| it.temperature.get()),
            fitted.len(),
            percent(mean(&|it| it.before.expected_calibration_error), 1),
            percent(mean(&|it| it.after.expected_calibration_error), 1),
        ));
    }
    words
}

fn time_rows(run: &ReportedRun) -> Vec<TimeRow> {
    stage_times(&run.epochs)
        .into_iter()
        .map(|time| TimeRow {
            stage: time.stage.to_owned(),
            epochs: time.epochs,
            an_epoch: duration(time.seconds / time.epochs as f64),
            in_all: duration(time.seconds),
            memory: time.memory_bytes.map_or_else(
                || "not known".to_owned(),
                |bytes| format!("{:.2} GiB", bytes as f64 / (1_u64 << 30) as f64),
            ),
        })
        .collect()
}
