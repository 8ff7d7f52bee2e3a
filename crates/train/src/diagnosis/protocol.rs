//! What a recipe chooses that keeps a run from learning, or makes its figures too good.

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy},
};
use crate::{loss::LossKind, monitor::Monitor, recipe::Recipe};

/// Finds one model that goes through all folds.
pub fn model_per_fold(recipe: &Recipe, num_folds: usize) -> Outcome {
    let carried = if recipe.fresh_model_per_fold { 0 } else { num_folds.saturating_sub(1) };
    let measurement = Measurement::at_most(
        "folds that start from a model of the fold before",
        carried as f64,
        0.0,
    );
    Outcome::judge(Check::ModelPerFold, measurement, || {
        (
            Level::Error,
            format!(
                "One model goes through all {num_folds} folds: from the second on it has already \
                 trained on the photographs that it is measured on, and if it dies in the first it \
                 is dead in all."
            ),
            Remedy::recipe("fresh_model_per_fold", "true"),
        )
    })
}

/// Notes the clipped loss of Keras 2.2.
pub fn clipped_loss(recipe: &Recipe) -> Outcome {
    let clipped = f64::from(u8::from(recipe.loss == LossKind::Keras22Clipped));
    let measurement = Measurement::at_most("clipped losses", clipped, 0.0);
    Outcome::judge(Check::ClippedLoss, measurement, || {
        (
            Level::Warning,
            "Keras 2.2's cross-entropy has no gradient where the truth's probability is below \
             1e-7: a network that is once sure and wrong never recovers."
                .to_owned(),
            Remedy::recipe("loss", "\"cross-entropy\""),
        )
    })
}

/// Finds early stopping by the validation fold, whose figures are then optimistic.
/// `is_steered_by_fold`: whether it steers, for no training photographs are held back for that.
pub fn validation_reuse(recipe: &Recipe, is_steered_by_fold: bool) -> Outcome {
    let is_chosen = |monitor| !matches!(monitor, Monitor::TrainLoss | Monitor::TrainAccuracy);
    let chosen: Vec<_> = recipe
        .stages
        .iter()
        .filter(|_| is_steered_by_fold)
        .filter_map(|stage| stage.early_stopping.map(|stopping| (stage, stopping)))
        .filter(|(_, stopping)| is_chosen(stopping.monitor))
        .collect();
    let restores = chosen.iter().any(|(_, stopping)| stopping.restore_best_weights);
    let measurement = Measurement::at_most(
        "stages that end where the validation fold says",
        chosen.len() as f64,
        0.0,
    );
    Outcome::judge(Check::ValidationReuse, measurement, || {
        let names: Vec<String> =
            chosen.iter().map(|(stage, _)| format!("`{}`", stage.name)).collect();
        (
            if restores { Level::Warning } else { Level::Note },
            format!(
                "The validation fold decides when stage {} ends{}, and is then what the model is \
                 measured on: its accuracy is optimistic.",
                names.join(" and "),
                if restores { " and which weights are kept" } else { "" }
            ),
            Remedy::recipe("inner_validation", "0.1"),
        )
    })
}

/// Finds schedules that watch the training images. In which direction a metric is better follows
/// from its name here and cannot be wrong, as Keras's `mode` can.
pub fn monitors(recipe: &Recipe) -> Outcome {
    let watches = |monitor| matches!(monitor, Monitor::TrainLoss | Monitor::TrainAccuracy);
    let stages: Vec<String> = recipe
        .stages
        .iter()
        .filter(|stage| {
            stage.reduce_on_plateau.is_some_and(|plateau| watches(plateau.monitor))
                || stage.early_stopping.is_some_and(|stopping| watches(stopping.monitor))
        })
        .map(|stage| format!("`{}`", stage.name))
        .collect();
    let what = "stages whose schedule watches the training photographs";
    Outcome::judge(Check::Monitors, Measurement::at_most(what, stages.len() as f64, 0.0), || {
        (
            Level::Note,
            format!(
                "The schedule of stage {} watches the training photographs, which go on improving \
                 while the network only learns them by heart.",
                stages.join(" and ")
            ),
            Remedy::advice(
                "Give its reduce_on_plateau or early_stopping monitor = \"validation_loss\".",
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(line: &str) -> Recipe {
        let base = crate::recipe::Builtin::find("linear-probe").unwrap().text;
        Recipe::parse("r.toml", &format!("{base}\n{line}")).unwrap()
    }

    #[test]
    fn the_questions_recipe_is_found_and_the_default_is_not() {
        let naive = Recipe::builtin("naive").unwrap();
        assert_eq!(model_per_fold(&naive, 15).finding().unwrap().level, Level::Error);
        assert!(clipped_loss(&naive).finding().is_some());
        let sound = Recipe::builtin("two-stage").unwrap();
        assert!(model_per_fold(&sound, 15).finding().is_none());
        assert!(clipped_loss(&sound).finding().is_none());
        assert!(validation_reuse(&sound, true).finding().is_none());
        assert!(monitors(&sound).finding().is_none());
    }

    #[test]
    fn stopping_by_the_validation_fold_is_noted_and_restoring_warned_of() {
        let level = |line: &str| {
            let recipe = Recipe { inner_validation: None, ..with(line) };
            validation_reuse(&recipe, recipe.inner_validation.is_none())
                .finding()
                .map(|finding| finding.level)
        };
        let stop = "early_stopping = { monitor = \"validation_loss\", patience = 2";
        assert!(validation_reuse(&with(&format!("{stop} }}")), false).finding().is_none());
        assert_eq!(level(&format!("{stop} }}")), Some(Level::Note));
        assert_eq!(level(&format!("{stop}, restore_best_weights = true }}")), Some(Level::Warning));
        assert_eq!(level("early_stopping = { monitor = \"train_loss\", patience = 2 }"), None);
    }

    #[test]
    fn watching_training_photographs_is_noted() {
        let line = "early_stopping = { monitor = \"train_loss\", patience = 2 }";
        assert!(monitors(&with(line)).finding().unwrap().verdict.contains("`probe`"));
    }
}
