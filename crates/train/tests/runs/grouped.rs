//! Near duplicates in a run: they stay on one side of a fold.

use std::{collections::BTreeMap, fs, path::Path};

use preprocess::Prepared;
use train::{
    Error,
    diagnosis::{Check, Depth, Remedy, diagnose},
    folds::SplitKind,
    training::{Config, Interrupt, WeightsChoice, run},
};

use crate::support::{Bench, narrow};

const PROBE: &str = "[[stage]]\nname = \"probe\"\nfreeze = [\"conv*\"]\ntrain = [\"fc8\"]\n\
                     epochs = 1\noptimizer = { kind = \"adam\" }";

/// Four people with six photographs, each of which is there a second time in another file.
fn bench_with_copies() -> Bench {
    let bench = Bench::new(4, 6);
    for person in fs::read_dir(bench.path("data-faces")).unwrap() {
        for photograph in fs::read_dir(person.unwrap().path()).unwrap() {
            let path = photograph.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            // Decoders do not read on behind an image's end, but a digest does.
            bytes.push(0);
            let name = path.file_name().unwrap().to_str().unwrap();
            fs::write(path.with_file_name(format!("copy-of-{name}")), bytes).unwrap();
        }
    }
    bench.prepare_again("data", "48".parse().unwrap());
    bench
}

fn grouped(bench: &Bench, out: &str) -> Config {
    let mut config = bench.config(&narrow("linear", PROBE), out);
    config.recipe.split = SplitKind::Grouped;
    config
}

/// How many of the copies were held out by another fold than their original.
fn parted(out: &Path) -> usize {
    let mut fold_of = BTreeMap::new();
    for fold in 0..3 {
        let csv = fs::read_to_string(out.join(format!("fold-{fold:02}/predictions.csv"))).unwrap();
        for line in csv.lines().skip(1) {
            fold_of.insert(line.split(',').next().unwrap().to_owned(), fold);
        }
    }
    let copies = fold_of.iter().filter(|(image, _)| image.contains("copy-of-"));
    copies.filter(|(image, fold)| fold_of[&image.replace("copy-of-", "")] != **fold).count()
}

/// Eight people with six photographs, each of which is there a second time, cut out of the first.
fn bench_with_cuts() -> Bench {
    let bench = Bench::new(8, 6);
    for person in fs::read_dir(bench.path("data-faces")).unwrap() {
        for photograph in fs::read_dir(person.unwrap().path()).unwrap() {
            let path = photograph.unwrap().path();
            let whole = image::open(&path).unwrap();
            let side = whole.width();
            let cut = whole.crop_imm(side / 24, side / 24, side - side / 12, side - side / 12);
            let name = path.file_name().unwrap().to_str().unwrap();
            let cut = cut.resize_exact(side, side, image::imageops::FilterType::Triangle);
            cut.save(path.with_file_name(format!("copy-of-{name}"))).unwrap();
        }
    }
    bench.prepare_again("data", "48".parse().unwrap());
    bench
}

/// Makes of the set what was prepared before near duplicates were looked for.
fn forget_near_duplicates(set: &Path) {
    let path = set.join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["counts"].as_object_mut().unwrap().remove("near_duplicates").unwrap();
    for image in manifest["images"].as_array_mut().unwrap() {
        image.as_object_mut().unwrap().remove("duplicate_of");
    }
    fs::write(&path, manifest.to_string()).unwrap();
}

/// The share of held-out photographs with a near copy in training, by the base's features.
fn near_copies(config: &Config) -> f64 {
    let diagnosis = diagnose(config, Depth::Steps, &Interrupt::default()).unwrap();
    let found = diagnosis.findings().find(|finding| finding.check == Check::NearDuplicates);
    let silent = || diagnosis.silent.iter().find(|(check, _)| *check == Check::NearDuplicates);
    match (found, silent()) {
        (Some(finding), None) => {
            assert_eq!(finding.remedy, Remedy::command("--split grouped"));
            finding.measurement.value
        }
        (None, Some((_, measurement))) => measurement.value,
        unclear => panic!("{unclear:?}"),
    }
}

#[test]
fn a_grouped_split_keeps_together_what_the_base_takes_for_copies() {
    let bench = bench_with_cuts();
    let prepared = Prepared::open(&bench.path("data")).unwrap();
    assert_eq!(prepared.manifest().counts.near_duplicates, Some(0));
    let random = grouped(&bench, "random");
    run(&random, &Interrupt::default()).unwrap();

    let mut config = grouped(&bench, "pretrained");
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("base/synthetic-narrow.safetensors");
    config.weights = WeightsChoice::File(base);
    config.recipe.widths = None;
    run(&config, &Interrupt::default()).unwrap();
    // Not all cuts are as near as copies must be, but none that is near is parted.
    assert!(parted(&bench.path("pretrained")) < parted(&bench.path("random")));
    assert!(near_copies(&config) <= 0.0);
    config.recipe.split = SplitKind::Stratified;
    assert!(0.1 < near_copies(&config));

    // The same command goes on where all is done, by the features that are kept.
    config.recipe.split = SplitKind::Grouped;
    run(&config, &Interrupt::default()).unwrap();
}

#[test]
fn what_stops_a_grouped_run_does_so_before_features_are_computed() {
    let bench = Bench::new(4, 6);
    let mut config = grouped(&bench, "run");
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("base/synthetic-narrow.safetensors");
    config.weights = WeightsChoice::File(base);
    config.recipe.widths = None;
    let features = bench.path("data-features");

    let mut recipe = config.recipe.clone();
    recipe.stages[0].freeze = vec!["conv1_*".parse().unwrap()];
    let result = run(&Config { recipe, ..config.clone() }, &Interrupt::default());
    assert!(matches!(result, Err(Error::Recipe { .. })), "{result:?}");
    assert!(!features.exists());

    fs::create_dir(bench.path("run")).unwrap();
    fs::write(bench.path("run/thesis.tex"), "precious").unwrap();
    let result = run(&config, &Interrupt::default());
    assert!(matches!(result, Err(Error::Output { .. })), "{result:?}");
    assert!(!features.exists());

    config.out = bench.path("other");
    run(&config, &Interrupt::default()).unwrap();
    assert!(features.exists());

    fs::remove_dir_all(&features).unwrap();
    config.seed += 1;
    let result = run(&config, &Interrupt::default());
    assert!(matches!(result, Err(Error::OtherRun { what: "the seed", .. })), "{result:?}");
    assert!(!features.exists());
}

#[test]
fn a_grouped_split_keeps_near_duplicates_on_one_side() {
    let bench = bench_with_copies();
    let prepared = Prepared::open(&bench.path("data")).unwrap();
    assert_eq!(prepared.manifest().counts.near_duplicates, Some(24));
    run(&grouped(&bench, "new"), &Interrupt::default()).unwrap();
    assert_eq!(parted(&bench.path("new")), 0);

    // An older set knows of copies to the byte alone, of which there are none.
    forget_near_duplicates(&bench.path("data"));
    let old = grouped(&bench, "old");
    run(&old, &Interrupt::default()).unwrap();
    assert!(0 < parted(&bench.path("old")));

    // Its folds and those by groups do not go together.
    let refused = run(&Config { out: bench.path("new"), ..old }, &Interrupt::default());
    match refused {
        Err(Error::OtherRun { what, .. }) => assert_eq!(what, "the near duplicates' SHA-256"),
        result => panic!("{result:?}"),
    }
}
