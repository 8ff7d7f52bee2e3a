//! The range test itself: the stage's first steps, each at a higher rate.

use super::{Curve, End, RateRange, Report};
use crate::{
    Error,
    recipe::Recipe,
    training::{BaseFeatures, Config, FirstStep, FirstSteps, Interrupt, Materials, plan},
};

/// Which stage of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageChoice {
    /// The first.
    First,
    /// The one of this name.
    Named(String),
}

impl StageChoice {
    /// The stage's number, from 0.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownStage`] with those that there are.
    fn number(&self, recipe_name: &str, recipe: &Recipe) -> Result<usize, Error> {
        let Self::Named(name) = self else { return Ok(0) };
        let names: Vec<&str> = recipe.stages.iter().map(|stage| stage.name.as_str()).collect();
        names.iter().position(|other| other == name).ok_or_else(|| Error::UnknownStage {
            recipe: recipe_name.to_owned(),
            name: name.clone(),
            known: names.join(", "),
        })
    }
}

/// Finds out before the test that its picture would have no place.
fn refuse_lost_picture(config: &Config) -> Result<(), Error> {
    let problem =
        |text: &str| Err(Error::Output { path: config.out.clone(), problem: text.to_owned() });
    let folder = config.out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return problem("its folder is not there; make it, or choose another --out");
    }
    if preprocess::lies_in(&config.out, &config.data) {
        return problem(
            "lies in the prepared set, which holds nothing but itself; choose another --out",
        );
    }
    Ok(())
}

/// Takes a stage's first steps on the first fold that is asked for, from the run's initial weights,
/// each at a higher rate, until the loss diverges. The weights are dropped; nothing is written.
/// `config.out` is where the picture is to go.
///
/// # Errors
///
/// [`Error::UnknownStage`], [`Error::Output`] if the picture would have no place, what would keep the run from starting, and
/// [`Error::InterruptedTrial`] after Ctrl-C.
pub fn find_rate(
    config: &Config,
    stage: &StageChoice,
    range: RateRange,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    let number = stage.number(&config.recipe_name, &config.recipe)?;
    refuse_lost_picture(config)?;
    let materials = Materials::open(config, BaseFeatures::Kept)?;
    materials.prepared.verify()?;
    materials.start.report();
    let mut network = materials.start.network(&materials.device)?;
    let plans = plan(&config.recipe_name, &config.recipe, &mut network)?;
    let plan = &plans[number];
    tracing::info!("{}", plan.describe(&network));
    if 0 < number && !materials.start.initial.new.is_empty() {
        tracing::warn!(
            "stage `{}` starts here from a head that no earlier stage has trained, and the rate \
             found is one for that; train the stages before it, then give their weights \
             (--weights runs/x/fold-00/weights.safetensors) to a recipe with head_init = \"weights\"",
            plan.stage.name
        );
    }
    let steps = FirstSteps::new(config, &materials, plan, number, &network, interrupt)?;
    let progress =
        terminal::bar(format!("stage {}", plan.stage.name), terminal::Unit::Things("rates"));
    progress.set_length(range.steps() as u64);
    let mut curve = Curve::default();
    steps.take(&mut network, range.rates(), |learning_rate, FirstStep { loss, .. }| {
        progress.set_message(format!("rate {learning_rate:.1e}, loss {loss:.4}"));
        progress.inc(1);
        curve.push(learning_rate, loss)
    })?;
    progress.finish_and_clear();
    let report = Report {
        recipe: config.recipe_name.clone(),
        stage: plan.stage.name.clone(),
        fold: steps.fold().index,
        seed: config.seed,
        images_per_step: config.recipe.batch_size.get() * plan.stage.accumulate.get(),
        range,
        optimizer: plan.stage.optimizer,
        end: End::Completed,
        suggestion: None,
        fall: None,
        points: Vec::new(),
    };
    Ok(report.with_curve(&curve))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_found_by_its_name_and_a_wrong_one_is_told_the_right_ones() {
        let recipe = Recipe::builtin("two-stage").unwrap();
        let number = |choice: StageChoice| choice.number("two-stage", &recipe);
        assert_eq!(number(StageChoice::First).unwrap(), 0);
        assert_eq!(number(StageChoice::Named("fine-tune".to_owned())).unwrap(), 1);
        let error = number(StageChoice::Named("tail".to_owned())).unwrap_err();
        assert!(matches!(&error, Error::UnknownStage { known, .. } if known == "head, fine-tune"));
        assert!(error.is_usage());
    }
}
