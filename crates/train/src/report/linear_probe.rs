//! What a linear classifier on the same frozen base reaches, where such a run is on the page.

use model::{Architecture, Head, Widths};

use super::run::ReportedRun;
use crate::{
    comparison::other_folds,
    recipe::{Recipe, Stage},
    run::Summary,
};

/// What a run is to be held against.
#[derive(Debug, Clone, Copy)]
pub(super) enum LinearProbe {
    /// The mean accuracy of a linear classifier over the folds that the run has, 0 to 1.
    Reaches(f64),
    /// The run is a linear classifier itself.
    Itself,
    /// No run on the page is one over the same folds, from the same weights, with all that this has.
    NotThere,
}

impl LinearProbe {
    /// That of a run among those of the page.
    pub(super) fn of(run: &ReportedRun, runs: &[ReportedRun]) -> Self {
        if is_linear_probe(run) {
            return Self::Itself;
        }
        let over = |probe: &ReportedRun| over(run.summary.as_ref()?, probe.summary.as_ref()?);
        runs.iter()
            .filter(|run| is_linear_probe(run))
            .find_map(over)
            .map_or(Self::NotThere, Self::Reaches)
    }

    /// Its accuracy, where it is another run's.
    pub(super) fn accuracy(self) -> Option<f64> {
        match self {
            Self::Reaches(accuracy) => Some(accuracy),
            Self::Itself | Self::NotThere => None,
        }
    }

    /// What is to be said of it under the chart.
    pub(super) fn note(self) -> &'static str {
        match self {
            Self::Reaches(_) => {
                "Linear probe: a linear classifier on the frozen base, over the same folds."
            }
            Self::Itself => "This run is a linear probe: a linear classifier on the frozen base.",
            Self::NotThere => {
                "A run of the recipe linear-probe over the same folds would stand here as well, where both are \
                 reported on one page."
            }
        }
    }
}

fn is_linear_probe(run: &ReportedRun) -> bool {
    let Ok(recipe) = Recipe::parse(&run.name, &run.identity.recipe) else { return false };
    // Which layers there are does not depend on sizes.
    let classifier = Some(recipe.classifier(1));
    let layers = Architecture { widths: Widths::VGG16, side_px: 224, classifier }.layers();
    let trains_last_alone =
        |stage: &Stage| stage.trainable(&layers).is_ok_and(|trained| trained.iter().eq(["fc8"]));
    recipe.head == Head::Linear && recipe.stages.iter().all(trains_last_alone)
}

fn over(summary: &Summary, probe: &Summary) -> Option<f64> {
    if probe.weights.sha256 != summary.weights.sha256 || other_folds(summary, probe).is_some() {
        return None;
    }
    let accuracy = |fold: usize| Some(probe.folds.iter().find(|it| it.fold == fold)?.accuracy);
    let sum: f64 = summary.folds.iter().map(|fold| accuracy(fold.fold)).sum::<Option<f64>>()?;
    Some(sum / summary.folds.len() as f64)
}
