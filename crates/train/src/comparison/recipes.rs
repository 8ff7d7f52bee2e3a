//! Several recipes over the same folds: each an ordinary run, one after the other.

use std::path::Path;

use super::{Baseline, ComparedRun, Report, StoppedRun, runs::check_names};
use crate::{
    Error,
    report::{self, FacesShown, write_report},
    training::{self, Config, Interrupt},
    whole_file::write_whole,
};

/// The names of the runs of these recipes: a built-in recipe's own, a file's without `.toml`.
///
/// # Errors
///
/// [`Error::TooFewRuns`] of fewer than two, [`Error::EqualNames`] if two are called the same.
pub fn recipe_names(recipes: &[String]) -> Result<Vec<String>, Error> {
    let names: Vec<String> = recipes.iter().map(|recipe| name(recipe)).collect();
    check_names(&names)?;
    Ok(names)
}

/// What a run by this recipe is called: the end of a file's path, without `.toml`.
pub(super) fn name(recipe: &str) -> String {
    let path = Path::new(recipe);
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    let name = if is_toml { path.file_stem() } else { path.file_name() };
    name.map_or_else(|| recipe.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Trains what is not there yet of these runs, one after the other, and compares them.
///
/// Each is an ordinary run into its own folder, `out` and its name, and so goes on from where it was
/// broken off; what lies under the lowest trainable layer is found in the cache by those that come
/// later. A run whose loss leaves the numbers is a result too: it is reported as stopped, with the
/// folds that it has done, and the others go on. `out` has `comparison.json` in the end.
///
/// # Errors
///
/// Before the first step: [`Error::TooFewRuns`], [`Error::EqualNames`], [`Error::UnknownBaseline`],
/// [`Error::Output`] if `out` is itself a run, and what [`training::run`] refuses of data, weights,
/// recipes, folds and device. Later what stops a run, but for a loss that is no number where
/// another run has done a fold; folds that are done are kept.
///
/// # Panics
///
/// If a configuration's folder has no name.
pub fn compare_recipes(
    configs: &[Config],
    out: &Path,
    baseline: &Baseline,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    let names: Vec<String> = configs.iter().map(run_name).collect();
    check_names(&names)?;
    baseline.place_in(&names)?;
    if out.join("run.json").exists() {
        let problem = "is itself a run, expected a folder for runs; choose another --out";
        return Err(Error::Output { path: out.to_owned(), problem: problem.to_owned() });
    }
    for config in configs {
        training::check(config)?;
    }
    if let Some((name, other)) = other_split(&names, configs) {
        tracing::warn!(
            "{name} and {other} bring different splits, so there will be no paired difference; \
             --split gives all the same"
        );
    }
    let mut stopped = Vec::new();
    let mut first_cause = None;
    for (index, (name, config)) in names.iter().zip(configs).enumerate() {
        tracing::info!("recipe {name}, {} of {}", index + 1, names.len());
        match training::run(config, interrupt) {
            Ok(_) => {}
            Err(cause @ (Error::NonFiniteLoss { .. } | Error::NonFiniteValidationLoss { .. })) => {
                tracing::warn!("recipe {name} is stopped: {cause}");
                stopped.push(StoppedRun { name: name.clone(), problem: cause.to_string() });
                first_cause.get_or_insert(cause);
            }
            Err(error) => return Err(error),
        }
    }
    let first_name = names[0].clone();
    let mut runs = Vec::new();
    for (name, config) in names.into_iter().zip(configs) {
        let is_stopped = stopped.iter().any(|run| run.name == name);
        match ComparedRun::read(name, &config.out) {
            Ok(run) => runs.push(run),
            // It was stopped in its first fold.
            Err(Error::NoRun { .. }) if is_stopped => {}
            Err(error) => return Err(error),
        }
    }
    if let (true, Some(cause)) = (runs.is_empty(), first_cause) {
        return Err(cause);
    }
    let report = Report::new(&runs, stopped, &baseline.among(&runs, &first_name))?;
    write_whole(&out.join("comparison.json"), report.to_json().as_bytes())?;
    write_page(configs, out);
    Ok(report)
}

/// Writes the page over all runs; what keeps it from being written is a warning.
fn write_page(configs: &[Config], out: &Path) {
    let page = report::Report {
        runs: configs.iter().map(|config| config.out.clone()).collect(),
        data: configs.first().map(|config| config.data.clone()),
        faces: configs.first().map_or(FacesShown::Shown, |config| config.faces),
        ended_by: None,
    };
    let path = out.join("report.html");
    match write_report(&page, &path) {
        Ok(_) => tracing::info!("report: {}", path.display()),
        Err(error) => {
            tracing::warn!("no report over the runs: {:#}", anyhow::Error::from(error));
        }
    }
}

/// The first recipe, and one that draws its folds in another way.
fn other_split<'n>(names: &'n [String], configs: &[Config]) -> Option<(&'n str, &'n str)> {
    let split = |index: usize| configs[index].recipe.split;
    let other = (1..configs.len()).find(|&index| split(index) != split(0))?;
    Some((&names[0], &names[other]))
}

fn run_name(config: &Config) -> String {
    let name = config.out.file_name().expect("a run's folder has a name");
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(recipes: &[&str]) -> Result<Vec<String>, Error> {
        recipe_names(&recipes.iter().map(|&recipe| recipe.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_file_is_called_by_its_stem() {
        let found = names(&["naive", "my.toml", "recipes/other.v2.toml", "recipes/plain"]).unwrap();
        assert_eq!(found, ["naive", "my", "other.v2", "plain"]);
    }

    #[test]
    fn equal_names_and_fewer_than_two_are_refused() {
        let equal = names(&["two-stage", "mine/two-stage.toml"]);
        assert!(matches!(equal, Err(Error::EqualNames { name }) if name == "two-stage"));
        assert!(matches!(names(&["naive"]), Err(Error::TooFewRuns { found: 1 })));
        assert!(matches!(names(&[]), Err(Error::TooFewRuns { found: 0 })));
    }
}
