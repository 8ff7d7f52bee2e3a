//! Recipes over the same folds, and runs that are there, side by side.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use train::{
    Error,
    comparison::{
        Baseline, ComparedRun, Comparison, PairOutcome, Report, Verdict, compare_recipes,
        read_runs, table,
    },
    diagnosis::{Check, Diagnosis, Finding, Level, Measurement, Outcome, Remedy},
    run::Summary,
    training::{Config, Interrupt, run},
};

use crate::support::{Bench, TWO_STAGES, narrow};

const PROBE: &str = "[[stage]]\nname = \"probe\"\nfreeze = [\"conv*\"]\ntrain = [\"fc8\"]\n\
                     epochs = 1\noptimizer = { kind = \"adam\" }";

/// Two narrow recipes, `probe` and `tuned`, over three folds into `out`.
fn configs(bench: &Bench, out: &str) -> [Config; 2] {
    [
        bench.config(&narrow("linear", PROBE), &format!("{out}/probe")),
        bench.config(&narrow("linear", TWO_STAGES), &format!("{out}/tuned")),
    ]
}

fn compare(configs: &[Config], out: &Path, interrupt: &Interrupt) -> Result<Report, Error> {
    compare_recipes(configs, out, &Baseline::First, interrupt)
}

fn summary(run: &Path) -> Summary {
    serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
}

/// All of a report but its times.
fn without_times(mut report: Report) -> Report {
    for row in &mut report.runs {
        (row.seconds, row.seconds_a_fold) = (0.0, 0.0);
    }
    report
}

#[test]
fn two_recipes_over_three_folds_are_compared_by_their_summaries() {
    let bench = Bench::new(3, 5);
    let out = bench.path("out");
    let report = compare(&configs(&bench, "out"), &out, &Interrupt::default()).unwrap();
    let read = |name: &str| {
        let run = ComparedRun::read(name.to_owned(), &out.join(name)).unwrap();
        assert_eq!(run.summary, summary(&out.join(name)));
        // The base is random, and frozen at first.
        assert!(matches!(run.verdict, Verdict::Found { check: Check::RandomBase, .. }));
        run
    };
    let (probe, tuned) = (read("probe"), read("tuned"));
    let expected = Comparison::of(&probe.scores(), &tuned.scores()).unwrap();
    assert_eq!(expected.folds, [0, 1, 2]);
    assert_eq!(report.against_baseline("tuned"), Some(&PairOutcome::Paired(expected)));
    assert_eq!(report, Report::new(&[probe, tuned], Vec::new(), &Baseline::First).unwrap());
    let written = fs::read_to_string(out.join("comparison.json")).unwrap();
    assert_eq!(written, report.to_json());
    assert_eq!(table(&report).lines().filter(|line| line.contains(" 3/3 ")).count(), 2);
    let features = fs::read_dir(bench.path("data-features")).unwrap().count();
    assert_eq!(features, 2, "pool5 for both recipes, pool4 for the second stage");
}

#[test]
fn a_comparison_that_was_broken_off_goes_on() {
    let bench = Bench::new(3, 5);
    let whole = compare(&configs(&bench, "whole"), &bench.path("whole"), &Interrupt::default());
    let out = bench.path("broken");
    let parts = configs(&bench, "broken");
    // Broken off in the second fold of the second recipe.
    run(&parts[0], &Interrupt::default()).unwrap();
    run(&Config { selected: vec![0], ..parts[1].clone() }, &Interrupt::default()).unwrap();
    let interrupt = Interrupt::default();
    interrupt.raise();
    let broken = compare(&parts, &out, &interrupt);
    assert!(matches!(broken, Err(Error::Interrupted { fold: 1 })), "{broken:?}");
    assert!(!out.join("comparison.json").exists(), "it is written whole or not at all");
    let done = fs::metadata(out.join("probe/fold-02/result.json")).unwrap().modified().unwrap();
    let report = compare(&parts, &out, &Interrupt::default()).unwrap();
    let again = fs::metadata(out.join("probe/fold-02/result.json")).unwrap().modified().unwrap();
    assert_eq!(again, done, "what is done is not trained again");
    assert_eq!(without_times(report), without_times(whole.unwrap()));
}

#[test]
fn a_recipe_whose_loss_is_no_number_is_a_result_and_the_others_go_on() {
    let bench = Bench::new(3, 5);
    let mut both = configs(&bench, "out");
    both[0].recipe = train::recipe::Recipe::parse(
        "hot",
        &narrow(
            "linear",
            &TWO_STAGES.replace("\"adam\", learning_rate = 1e-4", "\"sgd\", learning_rate = 1e38"),
        ),
    )
    .unwrap();
    let report = compare(&both, &bench.path("out"), &Interrupt::default()).unwrap();
    assert_eq!(report.stopped.len(), 1, "{report:?}");
    assert_eq!(report.stopped[0].name, "probe");
    assert!(report.stopped[0].problem.contains("loss is"), "{report:?}");
    let rows: Vec<&str> = report.runs.iter().map(|row| row.name.as_str()).collect();
    assert_eq!((rows, report.baseline.as_str()), (vec!["tuned"], "tuned"));
}

#[test]
fn what_can_be_known_beforehand_stops_no_recipe_halfway() {
    let bench = Bench::new(3, 5);
    let out = bench.path("out");
    let mut both = configs(&bench, "out");
    both[1].recipe.stages[1].warmup = Some(toml::from_str("epochs = 2").unwrap());
    let result = compare(&both, &out, &Interrupt::default());
    match result {
        Err(Error::Recipe { problem, .. }) => {
            assert!(problem.contains("stage `fine-tune` `warmup` takes"), "{problem}");
        }
        result => panic!("{result:?}"),
    }
    assert!(!out.exists(), "the first recipe has not begun");
    let mut both = configs(&bench, "out");
    both[1].selected = vec![3];
    let result = compare(&both, &out, &Interrupt::default());
    assert!(matches!(result, Err(Error::FoldOutOfRange { fold: 3, .. })), "{result:?}");
    assert!(!out.exists(), "the first recipe has not begun");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("run.json"), "{}").unwrap();
    let result = compare(&configs(&bench, "out"), &out, &Interrupt::default());
    assert!(matches!(result, Err(Error::Output { .. })), "{result:?}");
}

/// Runs the program on the bench's data.
fn program(bench: &Bench, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.args(arguments).current_dir(bench.path("")).env("RUST_LOG", "error").output().unwrap()
}

#[test]
fn the_program_trains_recipes_and_reads_runs_that_are_there() {
    let bench = Bench::new(3, 5);
    fs::write(bench.path("probe.toml"), narrow("linear", PROBE)).unwrap();
    fs::write(bench.path("tuned.toml"), narrow("linear", TWO_STAGES)).unwrap();
    let trained = program(
        &bench,
        &[
            "--recipes",
            "probe.toml,tuned.toml",
            "--data",
            "data",
            "--weights",
            "random",
            "--out",
            "out",
            "--folds",
            "3",
            "--fold",
            "0",
            "--fold",
            "2",
            "--device",
            "cpu",
        ],
    );
    let text = String::from_utf8(trained.stdout).unwrap();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    assert_eq!(text.lines().filter(|line| line.contains(" 2/3 ")).count(), 2, "{text}");
    let read = program(&bench, &["out/tuned/", "out/probe", "--json"]);
    let report: Report = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!((report.baseline.as_str(), report.runs.len()), ("out/tuned", 2));
    let of_recipes: Report =
        serde_json::from_str(&fs::read_to_string(bench.path("out/comparison.json")).unwrap())
            .unwrap();
    assert_eq!(report.runs[1].accuracy, of_recipes.runs[0].accuracy);
}

#[test]
fn the_programs_refusals_name_what_is_missing() {
    let bench = Bench::empty();
    fs::create_dir(bench.path("empty")).unwrap();
    let recipes = |names: &'static str| {
        vec!["--recipes", names, "--data", "data", "--weights", "random", "--out", "out"]
    };
    for (arguments, words) in [
        (vec![], "--recipes"),
        (vec!["--recipes", "naive,low-rate"], "--data"),
        (recipes("naive"), "found 1 to compare"),
        (recipes("naive,two-stages"), "`two-stages`"),
        (recipes("naive,mine/naive.toml"), "two runs are called `naive`"),
        (vec!["empty"], "found 1 to compare"),
        (vec!["empty", "nowhere"], "summary.json is not there"),
        (vec!["nowhere", "empty"], "nowhere is no run with results: the folder"),
        (vec!["empty", "empty/"], "two runs are called `empty`"),
        (vec!["empty", "nowhere", "--folds", "3"], "cannot be used with"),
        (vec!["empty", "nowhere", "--recipe", "naive"], "unexpected argument"),
    ] {
        let output = program(&bench, &arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        // A run that is not there is no wrong call.
        let code = if words.contains("not there") || words.contains("no run") { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
}

#[test]
fn a_runs_diagnosis_is_its_verdict_and_broken_files_are_named() {
    let bench = Bench::new(3, 5);
    let out = bench.path("out");
    compare(&configs(&bench, "out"), &out, &Interrupt::default()).unwrap();
    let finding = Finding {
        check: Check::BaseRate,
        level: Level::Warning,
        verdict: "The rate is high.".to_owned(),
        measurement: Measurement::at_most("share", 0.1, 0.04),
        remedy: Remedy::advice("Lower it."),
    };
    let diagnosis = Diagnosis::new(vec![Outcome::Found(finding)]);
    let path = out.join("tuned/diagnosis.json");
    fs::write(&path, serde_json::to_string(&diagnosis).unwrap()).unwrap();
    fs::remove_file(out.join("probe/diagnosis.json")).unwrap();
    let folders = [out.join("probe"), out.join("tuned")];
    let runs = read_runs(&folders).unwrap();
    let twice = [folders[0].clone(), folders[0].join("../probe")];
    assert!(matches!(read_runs(&twice), Err(Error::EqualNames { .. })), "{twice:?}");
    assert_eq!(runs[0].verdict, Verdict::NotDiagnosed);
    assert_eq!(runs[1].verdict.to_string(), "warning: The rate is high.");
    fs::write(&path, "{").unwrap();
    assert!(matches!(read_runs(&folders), Err(Error::Format { path: found, .. }) if found == path));
    let path = out.join("probe/summary.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"format_version\": 1", "\"format_version\": 9")).unwrap();
    assert!(matches!(read_runs(&folders), Err(Error::Format { path: found, .. }) if found == path));
}
