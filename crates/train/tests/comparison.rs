//! Made-up runs side by side: rows, pairs, and the table that shows them.
#![expect(clippy::unwrap_used, reason = "a test's setup may panic as the test itself may")]

use std::num::NonZeroUsize;

use train::{
    Error,
    comparison::{
        Baseline, ComparedRun, Comparison, Evidence, PairOutcome, Report, StoppedRun, Verdict,
        table,
    },
    diagnosis::{Check, Level},
    folds::SplitKind,
    run::{DatasetSummary, FoldSummary, RunDescription, Summary, WeightsSummary},
};

/// A run of ten images a fold, by a recipe of its own name, with these accuracies.
fn run(name: &str, split: SplitKind, accuracies: &[f64]) -> ComparedRun {
    let fold = |(fold, &accuracy)| FoldSummary {
        fold,
        train_images: 35,
        validation_images: 10,
        epochs: 2,
        accuracy,
        top5_accuracy: 0.9,
        macro_f1: 0.5,
        loss: 1.0,
        best_stage: "head".to_owned(),
        best_epoch: 1,
        best_accuracy: accuracy,
        inner_images: 0,
        calibration: None,
        nearest_mean_accuracy: None,
        linear_probe_accuracy: None,
        majority_accuracy: 0.25,
        initial_sha256: "same".to_owned(),
        seconds: 1.5,
        device: "cpu".to_owned(),
        version: "0.1.0".to_owned(),
    };
    let description = RunDescription {
        recipe: name.to_owned(),
        dataset: DatasetSummary { identities: 4, images: 50, sha256: "d".to_owned() },
        weights: WeightsSummary {
            path: "w.safetensors".to_owned(),
            sha256: "w".to_owned(),
            normalization: "imagenet".to_owned(),
        },
        split,
        num_folds: 5,
        repeats: NonZeroUsize::MIN,
        seed: 42,
        groups_sha256: None,
        restores_best: false,
    };
    let folds = accuracies.iter().enumerate().map(fold).collect();
    let summary = Summary::new(description, folds);
    ComparedRun { name: name.to_owned(), summary, verdict: Verdict::NotDiagnosed }
}

fn stratified(name: &str, accuracies: &[f64]) -> ComparedRun {
    run(name, SplitKind::Stratified, accuracies)
}

fn report(runs: &[ComparedRun]) -> Report {
    Report::new(runs, Vec::new(), &Baseline::First).unwrap()
}

#[test]
fn the_table_has_a_line_a_run_and_says_what_has_no_difference() {
    let mut naive = run("naive", SplitKind::Contiguous, &[0.1, 0.2]);
    naive.summary.folds[1].initial_sha256 = "other".to_owned();
    naive.verdict = Verdict::Found {
        check: Check::BaseRate,
        level: Level::Error,
        text: "The rate is too high.".to_owned(),
    };
    let mut tuned = stratified("a-recipe-with-quite-a-long-name", &[0.6, 0.9, 0.8]);
    tuned.verdict = Verdict::NothingFound;
    tuned.summary.chosen_on_validation = true;
    let runs = [stratified("probe", &[0.5, 0.6, 0.6, 0.7]), tuned, naive];
    let stopped = StoppedRun { name: "fast".to_owned(), problem: "the loss is NaN".to_owned() };
    let report = Report::new(&runs, vec![stopped], &Baseline::First).unwrap();
    let expected = "\
4 people, 50 photographs, chance 25.00 %; 5 folds, seed 42; differences are to probe, in percentage points
run                              split       folds  accuracy %  std. error  top-5 %  s a fold  s in all  difference      95 % interval       p
probe                            stratified    4/5       60.00        4.08    90.00       1.5       6.0    baseline
a-recipe-with-quite-a-long-name  stratified    3/5       76.67        8.82    90.00       1.5       4.5      +20.00   -12.86 to +52.86  0.1201
naive                            contiguous    2/5       15.00        5.00    90.00       1.5       3.0           -  the split differs       -
probe: not diagnosed
a-recipe-with-quite-a-long-name: nothing found
naive: error: The rate is too high.
note: a-recipe-with-quite-a-long-name and probe: the difference is over the 3 folds that both have
note: naive and probe have other folds, so no difference is given: the split is contiguous and stratified; train both with one --split
note: a-recipe-with-quite-a-long-name: each fold's best epoch, chosen on its own held-out photographs: optimistic
note: naive: its folds started from different weights, as where one model goes through all; it may have trained on what it is measured on
note: interval and p are of the corrected resampled t-test (Nadeau and Bengio), which knows that folds share training images; where the interval holds 0, the folds do not tell the two runs apart
stopped: fast: the loss is NaN
";
    let found = table(&report);
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected);
}

#[test]
fn differences_are_those_of_the_statistics_over_whole_training_sets() {
    let runs = [stratified("one", &[0.5, 0.6, 0.5]), stratified("other", &[0.6, 0.8, 0.7])];
    let expected = Comparison::of(&runs[0].scores(), &runs[1].scores()).unwrap();
    assert!(matches!(expected.evidence, Evidence::Tested(_)));
    // A fold trains on 35 images and holds 5 back: its training set has all 40.
    assert!(runs[0].scores().iter().all(|score| score.train_images == 40));
    assert_eq!(report(&runs).against_baseline("other"), Some(&PairOutcome::Paired(expected)));
}

#[test]
fn every_two_runs_are_a_pair_and_the_baseline_is_first_in_its_own() {
    let runs = ["a", "b", "c"].map(|name| stratified(name, &[0.5, 0.7]));
    let report = Report::new(&runs, Vec::new(), &Baseline::Named("b".to_owned())).unwrap();
    let pairs: Vec<(&str, &str)> =
        report.pairs.iter().map(|pair| (pair.first.as_str(), pair.second.as_str())).collect();
    assert_eq!(pairs, [("b", "a"), ("b", "c"), ("a", "c")]);
    let names: Vec<&str> = report.runs.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"], "rows stay as they were given");
    assert_eq!(report.against_baseline("b"), None);
    let read: Report = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(read, report);
}

#[test]
fn a_baseline_that_is_not_there_is_refused() {
    let runs = [stratified("a", &[0.5]), stratified("b", &[0.5])];
    let result = Report::new(&runs, Vec::new(), &Baseline::Named("c".to_owned()));
    match result {
        Err(Error::UnknownBaseline { name, known }) => {
            assert_eq!((name.as_str(), known.as_str()), ("c", "a, b"));
        }
        result => panic!("{result:?}"),
    }
}

#[test]
fn whatever_decides_the_folds_must_agree() {
    let one = stratified("one", &[0.5, 0.7]);
    let change = |change: fn(&mut Summary)| {
        let mut other = stratified("other", &[0.6, 0.9]);
        change(&mut other.summary);
        match report(&[one.clone(), other]).pairs.remove(0).outcome {
            PairOutcome::OtherFolds { what, first, second } => {
                assert_ne!(first, second);
                what
            }
            outcome => panic!("{outcome:?}"),
        }
    };
    assert_eq!(change(|run| run.dataset.sha256.push('e')), "the data set");
    assert_eq!(change(|run| run.split = SplitKind::Shuffled), "the split");
    assert_eq!(change(|run| run.num_folds = 6), "the number of folds");
    let twice = |run: &mut Summary| run.repeats = NonZeroUsize::new(2).unwrap();
    assert_eq!(change(twice), "the number of repeats");
    assert_eq!(change(|run| run.seed = 43), "the seed");
}

#[test]
fn folds_without_a_partner_or_spread_have_no_test() {
    let mut later = stratified("later", &[0.5]);
    later.summary.folds[0].fold = 1;
    let runs = [stratified("first", &[0.5]), stratified("same", &[0.7]), later];
    let text = table(&report(&runs));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[3].contains("+20.00       one fold  -"), "{text}");
    assert!(lines[4].contains("not paired"), "{text}");
    assert!(text.contains("no fold in common"), "{text}");
    assert!(!text.contains("t-test"), "{text}");
    let equal = [stratified("first", &[0.5, 0.6]), stratified("same", &[0.5, 0.6])];
    assert!(table(&report(&equal)).contains("+0.00      no spread  -"));
}

#[test]
fn runs_that_are_not_called_as_their_recipes_say_both_and_weights_may_differ() {
    let mut other = stratified("two-stage", &[0.6, 0.9]);
    other.name = "runs/mine".to_owned();
    other.summary.weights.sha256 = "v".to_owned();
    let text = table(&report(&[stratified("naive", &[0.5, 0.7]), other]));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("run        recipe     split"), "{text}");
    assert!(lines[3].starts_with("runs/mine  two-stage  stratified"), "{text}");
    assert!(text.contains("note: the runs started from different weights files"), "{text}");
}

#[test]
fn grouped_folds_of_other_groups_are_other_folds() {
    let of = |name: &str, groups: &str| {
        let mut run = run(name, SplitKind::Grouped, &[0.5, 0.6, 0.5]);
        run.summary.groups_sha256 = Some(groups.to_owned());
        run
    };
    let outcome = |runs: [ComparedRun; 2]| report(&runs).against_baseline("b").cloned().unwrap();
    let other = outcome([of("a", "one"), of("b", "two")]);
    assert!(matches!(other, PairOutcome::OtherFolds { what, .. } if what == "near duplicates"));
    let same = outcome([of("a", "one"), of("b", "one")]);
    assert!(matches!(same, PairOutcome::Paired(_)), "{same:?}");
}
