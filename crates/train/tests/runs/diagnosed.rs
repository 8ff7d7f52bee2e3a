//! A run that is diagnosed before it starts.

use std::path::Path;

use model::{WeightsFile, weights};
use train::{
    diagnosis::{Check, Depth, Diagnosis, diagnose},
    folds::SplitKind,
    loss::LossKind,
    training::{Interrupt, WeightsChoice},
};

use crate::support::{Bench, narrow};

const PROBE: &str = "[[stage]]\nname = \"probe\"\nfreeze = [\"conv*\"]\ntrain = [\"fc8\"]\n\
                     epochs = 1\noptimizer = { kind = \"adam\" }";

fn checks(diagnosis: &Diagnosis) -> Vec<Check> {
    diagnosis.findings().map(|finding| finding.check).collect()
}

#[test]
fn every_check_finds_is_silent_or_says_why_it_was_skipped() {
    let bench = Bench::new(4, 6);
    let mut config = bench.config(&narrow("linear", PROBE), "run");
    config.recipe.split = SplitKind::Contiguous;
    config.recipe.fresh_model_per_fold = false;
    let diagnosis = diagnose(&config, Depth::Steps, &Interrupt::default()).unwrap();
    let found = checks(&diagnosis);
    // Contiguous thirds of four people with six photographs each leave someone without any in each.
    assert_eq!(found[..3], [Check::ModelPerFold, Check::Coverage, Check::RandomBase]);
    let skipped = diagnosis.skipped.iter().map(|(check, _)| *check);
    let silent = diagnosis.silent.iter().map(|(check, _)| *check);
    let mut all: Vec<Check> = found.into_iter().chain(skipped).chain(silent).collect();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!((count, all), (Check::ALL.len(), Check::ALL.to_vec()), "each check speaks once");
    assert!(!bench.path("run").exists(), "a diagnosis writes nothing");
}

#[test]
fn a_cheap_diagnosis_does_not_run_the_network_and_says_so() {
    let bench = Bench::new(3, 4);
    let config = bench.config(&narrow("linear", PROBE), "run");
    let diagnosis = diagnose(&config, Depth::Cheap, &Interrupt::default()).unwrap();
    let is_skipped = |check| diagnosis.skipped.iter().any(|(skipped, _)| *skipped == check);
    assert!(is_skipped(Check::Presentation) && is_skipped(Check::FrozenBaseline));
    let text = train::diagnosis::text(&diagnosis);
    assert!(text.contains("frozen-baseline, loose-frames: it needs the network"), "{text}");
    assert!(!checks(&diagnosis).contains(&Check::Coverage), "{text}");
}

/// The checks that the page says look then.
fn looking(when: &str) -> Vec<String> {
    let page = include_str!("../../src/diagnosis/README.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let mut names: Vec<String> = rows
        .filter(|(_, rest)| rest.starts_with(&format!("{when} | ")))
        .map(|(name, _)| name.to_owned())
        .collect();
    names.sort();
    names
}

/// The checks that did not run for what they need.
fn wanting(diagnosis: &Diagnosis, words: &str) -> Vec<String> {
    let skipped = diagnosis.skipped.iter().filter(|(_, why)| why.contains(words));
    let mut names: Vec<String> = skipped.map(|(check, _)| check.name()).collect();
    names.sort();
    names
}

#[test]
fn the_page_says_when_each_check_looks() {
    let bench = Bench::new(3, 4);
    let config = bench.config(&narrow("linear", PROBE), "run");
    let cheap = diagnose(&config, Depth::Cheap, &Interrupt::default()).unwrap();
    assert_eq!(wanting(&cheap, "needs the network"), looking("network"));
    assert_eq!(wanting(&cheap, "needs the base's features"), looking("kept"));
    assert_eq!(wanting(&cheap, "needs epochs"), looking("epochs"));
    let mut steps = [looking("trial"), looking("steps")].concat();
    steps.sort();
    assert_eq!(wanting(&cheap, "step"), steps);
    let waiting = looking("network").len() + looking("kept").len() + looking("epochs").len();
    assert_eq!(looking("before").len(), Check::ALL.len() - waiting - steps.len());
}

#[test]
fn a_loss_that_is_never_a_number_is_not_taken_for_a_clipped_one() {
    let bench = Bench::new(3, 4);
    let mut config = bench.config(&narrow("linear", PROBE), "run");
    config.recipe.loss = LossKind::Keras22Clipped;
    config.recipe.widths = None;
    // With weights as large as these the logits are infinite on both sides.
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("base/synthetic-narrow.safetensors");
    let file = WeightsFile::read(&base).unwrap();
    let large =
        file.tensors().iter().map(|(name, tensor)| (name.clone(), (tensor * 1e30).unwrap()));
    let path = bench.path("large.safetensors");
    weights::write(&path, &large.collect(), file.metadata()).unwrap();
    config.weights = WeightsChoice::File(path);

    let diagnosis = diagnose(&config, Depth::Steps, &Interrupt::default()).unwrap();
    let found = checks(&diagnosis);
    assert!(found.contains(&Check::InitialLoss), "{found:?}");
    assert!(found.contains(&Check::OverfitBatch), "{found:?}");
    let skipped = diagnosis.skipped.iter().find(|(check, _)| *check == Check::ClippedSaturation);
    assert_eq!(skipped.unwrap().1, "no step's loss is a number");
}

#[test]
fn a_frozen_base_is_shown_large_images_small_and_many_people_twice() {
    let bench = Bench::empty();
    bench.prepare_at("data", 224, 60, 3);
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("base/synthetic-narrow.safetensors");
    let mut config = bench.config(&narrow("linear", PROBE), "run");
    config.recipe.widths = None;
    config.weights = WeightsChoice::File(base);
    let diagnosis = diagnose(&config, Depth::Steps, &Interrupt::default()).unwrap();
    let skipped: Vec<Check> = diagnosis.skipped.iter().map(|(check, _)| *check).collect();
    for check in
        [Check::FeatureSpread, Check::FrozenBaseline, Check::Presentation, Check::LooseFrames]
    {
        assert!(!skipped.contains(&check), "{check:?}");
    }
}
