//! A range test of a run that never starts.

use std::fs;

use train::{
    Error,
    rate_finder::{RateRange, Report, StageChoice, find_rate, picture, text},
    training::Interrupt,
};

use crate::support::{Bench, TWO_STAGES, narrow};

#[test]
fn the_same_seed_finds_the_same_rate_and_leaves_nothing() {
    let bench = Bench::new(4, 6);
    let config = bench.config(&narrow("linear", TWO_STAGES), "rates.svg");
    let range = RateRange::new(1e-6, 1.0, 20).unwrap();
    let find = |stage: &StageChoice| find_rate(&config, stage, range, &Interrupt::default());
    let head = find(&StageChoice::First).unwrap();
    // Four images a step of some sixteen: the steps go on through several passes.
    assert!((10..=20).contains(&head.points.len()), "{}", head.points.len());
    assert!(head.points.is_sorted_by(|a, b| a.learning_rate < b.learning_rate));
    assert_eq!(head, find(&StageChoice::First).unwrap());
    let said = text(&head);
    assert!(said.contains("learning_rate = ") && said.contains("the recipe has"), "{said}");
    assert!(picture(&head).starts_with("<svg"), "{}", picture(&head));
    let tail = find(&StageChoice::Named("fine-tune".to_owned())).unwrap();
    assert_eq!(tail.stage, "fine-tune");
    let left: Vec<_> = fs::read_dir(bench.path("")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "the data and its faces are all there is: {left:?}");
}

#[test]
fn kept_features_are_used_and_give_the_same_losses() {
    let bench = Bench::new(4, 6);
    let config = bench.config(&narrow("linear", TWO_STAGES), "run");
    let range = RateRange::new(1e-6, 1e-2, 10).unwrap();
    let find = || find_rate(&config, &StageChoice::First, range, &Interrupt::default()).unwrap();
    let from_images = find();
    train::training::run(&config, &Interrupt::default()).unwrap();
    let from_features = find();
    for (step, (a, b)) in from_images.points.iter().zip(&from_features.points).enumerate() {
        // The same arithmetic in batches of another size.
        assert!((a.loss - b.loss).abs() < 1e-5 * a.loss, "step {step}: {} and {}", a.loss, b.loss);
    }
    // With other values in the file the losses are others: they are read from there.
    for entry in fs::read_dir(bench.path("data-features")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let header =
            8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        bytes[header..].fill(0);
        fs::write(&path, bytes).unwrap();
    }
    let first = |report: &Report| report.points[0].loss;
    assert!((first(&find()) - first(&from_images)).abs() > 1e-3 * first(&from_images));
}

#[test]
fn what_cannot_be_tested_is_refused_beforehand() {
    let bench = Bench::new(3, 4);
    let mut config = bench.config(&narrow("linear", TWO_STAGES), "rates.svg");
    let range = RateRange::new(1e-6, 1.0, 10).unwrap();
    let stopped = Interrupt::default();
    stopped.raise();
    let error = find_rate(&config, &StageChoice::First, range, &stopped).unwrap_err();
    assert!(matches!(error, Error::InterruptedTrial) && !error.is_usage());
    config.out = bench.path("data/rates.svg");
    let error = find_rate(&config, &StageChoice::First, range, &stopped).unwrap_err();
    assert!(matches!(error, Error::Output { .. }), "{error}");
    config.out = bench.path("nowhere/rates.svg");
    let error = find_rate(&config, &StageChoice::First, range, &stopped).unwrap_err();
    assert!(matches!(error, Error::Output { .. }), "{error}");
}
