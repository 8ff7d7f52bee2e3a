//! Whole runs on synthetic faces with a narrow VGG16.

use std::{collections::BTreeSet, fs, num::NonZeroUsize};

use crate::support::{Bench, TWO_STAGES, epochs, narrow, records, steps, trained};
use train::{
    Error,
    diagnosis::{Check, Diagnosis},
    recipe::{HeadInit, Recipe},
    run::Summary,
    training::{Config, Interrupt, Keep, WeightsChoice, run},
};

fn train(config: &Config) -> Summary {
    run(config, &Interrupt::default()).unwrap()
}

#[test]
fn eight_faces_are_learned_by_heart() {
    let bench = Bench::new(4, 3);
    let stage = r#"
        [[stage]]
        name = "fit"
        train = ["*"]
        epochs = 60
        optimizer = { kind = "adam", learning_rate = 1e-3 }
        early_stopping = { monitor = "train_loss", patience = 60 }
    "#;
    let mut config = bench.config(&narrow("linear", stage), "run");
    config.selected = vec![0];
    config.recipe.batch_size = NonZeroUsize::new(8).unwrap();
    let summary = train(&config);
    assert_eq!(summary.folds[0].train_images, 8);
    let last = epochs(&config.out).pop().unwrap();
    assert!((last.train_accuracy - 1.0).abs() < f64::EPSILON, "{last:?}");
    assert!(last.train_loss < 0.1, "{last:?}");
}

#[test]
fn cached_features_give_the_losses_of_computing_afresh() {
    let bench = Bench::new(3, 4);
    let cached = bench.config(&narrow("linear", TWO_STAGES), "cached");
    // An augmentation that changes nothing sends every batch through the frozen layers.
    let stages = TWO_STAGES.replace("\n\n", "\naugment = {}\n\n") + "augment = {}\n";
    let afresh = bench.config(&narrow("linear", &stages), "afresh");
    assert!(afresh.recipe.stages.iter().all(|stage| stage.augment.is_some()));
    train(&cached);
    train(&afresh);
    let losses = |config: &Config| -> Vec<u32> {
        steps(&config.out).iter().map(|step| step.loss.to_bits()).collect()
    };
    assert!(!losses(&cached).is_empty());
    assert_eq!(losses(&cached), losses(&afresh));
    assert_eq!(trained(&cached.out, 0), trained(&afresh.out, 0));
}

#[test]
fn features_are_shared_by_runs() {
    let bench = Bench::new(3, 4);
    train(&bench.config(&narrow("linear", TWO_STAGES), "first"));
    let files = || -> BTreeSet<_> {
        let folder = fs::read_dir(bench.path("data-features")).unwrap();
        folder
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name(), entry.metadata().unwrap().modified().unwrap())
            })
            .collect()
    };
    let before = files();
    let names: Vec<_> = before.iter().map(|(name, _)| name.to_string_lossy()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("pool4-") && names[1].starts_with("pool5-"), "{names:?}");
    train(&bench.config(&narrow("bottleneck", &TWO_STAGES.replace("\"fc8\"", "\"fc*\"")), "next"));
    assert_eq!(files(), before);
}

#[test]
fn frozen_layers_are_bit_equal_after_training_and_the_others_are_not() {
    let bench = Bench::new(3, 4);
    let first = bench.config(&narrow("linear", TWO_STAGES), "first");
    train(&first);
    let before = trained(&first.out, 0);
    let mut config = bench.config(&narrow("linear", TWO_STAGES), "run");
    config.weights = WeightsChoice::File(first.out.join("fold-00/weights.safetensors"));
    config.recipe.widths = None;
    train(&config);
    for fold in 0..3 {
        for (name, bits) in trained(&config.out, fold) {
            let is_frozen = name.starts_with("conv") && !name.starts_with("conv5");
            assert_eq!(bits == before[&name], is_frozen, "{name}");
        }
    }
}

#[test]
fn a_layer_comes_from_the_file_whole_or_not_at_all() {
    let bench = Bench::new(3, 4);
    let stages = TWO_STAGES.replace("\"fc8\"", "\"fc*\"");
    let first = bench.config(&narrow("seed", &stages), "first");
    train(&first);
    let biases = trained(&first.out, 0)["fc8.bias"].clone();
    assert!(biases.iter().any(|&bias| f32::from_bits(bias) != 0.0));
    // Of another head, fc8 has other weights and as many biases; at this rate nothing moves.
    let stages = TWO_STAGES.replace("1e-4", "1e-30").replace("1e-5", "1e-30");
    let mut config = bench.config(&narrow("linear", &stages), "run");
    config.weights = WeightsChoice::File(first.out.join("fold-00/weights.safetensors"));
    config.recipe.head_init = HeadInit::Weights;
    train(&config);
    let biases = trained(&config.out, 0)["fc8.bias"].clone();
    assert!(biases.iter().all(|&bias| f32::from_bits(bias).abs() < 1e-20), "{biases:?}");
}

#[test]
fn every_fold_starts_from_equal_weights_unless_one_model_goes_through_all() {
    let bench = Bench::new(3, 4);
    let starts = |summary: &Summary| -> BTreeSet<String> {
        summary.folds.iter().map(|fold| fold.initial_sha256.clone()).collect()
    };
    let mut config = bench.config(&narrow("linear", TWO_STAGES), "fresh");
    assert_eq!(starts(&train(&config)).len(), 1);
    config.recipe.fresh_model_per_fold = false;
    config.out = bench.path("one-model");
    assert_eq!(starts(&train(&config)).len(), 3);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_does_not() {
    let bench = Bench::new(3, 4);
    let run_into = |out: &str, seed: u32| {
        let mut config = bench.config(&narrow("linear", TWO_STAGES), out);
        config.seed = seed;
        config.selected = vec![0];
        train(&config);
        (steps(&config.out), trained(&config.out, 0))
    };
    let first = run_into("a", 42);
    assert_eq!(first, run_into("b", 42));
    assert_ne!(first.0, run_into("c", 43).0);
}

#[test]
fn runs_of_different_folds_complete_one_another() {
    let bench = Bench::new(3, 4);
    let whole = bench.config(&narrow("linear", TWO_STAGES), "whole");
    let expected = train(&whole);
    let mut parts = bench.config(&narrow("linear", TWO_STAGES), "parts");
    for (folds, done) in [(vec![2], 1), (vec![0, 1], 3)] {
        parts.selected = folds;
        assert_eq!(train(&parts).folds.len(), done);
    }
    let found = train(&parts);
    for (found, expected) in found.folds.iter().zip(&expected.folds) {
        assert_eq!(found.fold, expected.fold);
        assert_eq!(found.accuracy.to_bits(), expected.accuracy.to_bits());
        assert_eq!(found.loss.to_bits(), expected.loss.to_bits());
    }
    assert_eq!(trained(&parts.out, 2), trained(&whole.out, 2));
}

#[test]
fn a_fold_that_was_broken_off_is_done_again_and_the_others_are_kept() {
    let bench = Bench::new(3, 4);
    let config = bench.config(&narrow("linear", TWO_STAGES), "run");
    train(&config);
    let whole = (records(&config.out).len(), trained(&config.out, 1));
    fs::remove_file(config.out.join("fold-01/result.json")).unwrap();
    fs::write(config.out.join("fold-01/weights.safetensors"), "torn").unwrap();
    let kept = fs::metadata(config.out.join("fold-00/result.json")).unwrap().modified().unwrap();
    assert_eq!(train(&config).folds.len(), 3);
    assert_eq!((records(&config.out).len(), trained(&config.out, 1)), whole);
    let again = fs::metadata(config.out.join("fold-00/result.json")).unwrap().modified().unwrap();
    assert_eq!(kept, again);
}

#[test]
fn an_interrupted_run_says_so_and_goes_on_later() {
    let bench = Bench::new(3, 4);
    let mut config = bench.config(&narrow("linear", TWO_STAGES), "run");
    config.selected = vec![0];
    train(&config);
    config.selected = Vec::new();
    let interrupt = Interrupt::default();
    interrupt.raise();
    assert!(matches!(run(&config, &interrupt), Err(Error::Interrupted { fold: 1 })));
    assert!(config.out.join("fold-00/result.json").exists());
    assert_eq!(train(&config).folds.len(), 3);
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_at_its_step() {
    let bench = Bench::new(3, 4);
    let stages = TWO_STAGES.replace("1e-5, momentum = 0.9", "1e30");
    let config = bench.config(&narrow("linear", &stages), "run");
    match run(&config, &Interrupt::default()) {
        Err(Error::NonFiniteLoss { fold: 0, stage, epoch: 1, step: 2, loss, .. }) => {
            assert_eq!(stage, "fine-tune");
            assert!(!loss.is_finite());
        }
        result => panic!("{result:?}"),
    }
    // Two epochs of two batches in the first stage, one step in the second.
    assert_eq!(steps(&config.out).len(), 5);
}

#[test]
fn held_out_losses_that_are_no_number_leave_no_result() {
    let bench = Bench::new(3, 4);
    // One step, whose own loss is sound: only the held-out images can show what it did.
    let stages = TWO_STAGES
        .replace("kind = \"adam\", learning_rate = 1e-4", "kind = \"sgd\", learning_rate = 1e300");
    let mut config = bench.config(&narrow("linear", &stages), "run");
    config.recipe.batch_size = NonZeroUsize::new(32).unwrap();
    match run(&config, &Interrupt::default()) {
        Err(Error::NonFiniteValidationLoss { fold: 0, epoch: 1, loss, .. }) => {
            assert!(!loss.is_finite());
        }
        result => panic!("{result:?}"),
    }
    assert_eq!(steps(&config.out).len(), 1);
    assert!(!config.out.join("fold-00/result.json").exists());
}

#[test]
fn a_lost_summary_comes_back() {
    let bench = Bench::new(3, 4);
    let config = bench.config(&narrow("linear", TWO_STAGES), "run");
    train(&config);
    let path = config.out.join("summary.json");
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    train(&config);
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn the_last_batch_may_be_smaller_and_every_image_is_seen_once() {
    let bench = Bench::new(3, 5);
    let mut config = bench.config(&narrow("linear", TWO_STAGES), "run");
    config.selected = vec![0];
    let summary = train(&config);
    // Ten images in batches of four: three steps an epoch, four epochs.
    assert_eq!(summary.folds[0].train_images, 10);
    assert_eq!(steps(&config.out).len(), 3 * 4);
}

#[test]
fn a_run_leaves_the_files_that_scripts_read() {
    let bench = Bench::new(3, 4);
    let config = bench.config(&narrow("linear", TWO_STAGES), "run");
    let summary = train(&config);
    let text = fs::read_to_string(config.out.join("recipe.toml")).unwrap();
    assert_eq!(Recipe::parse("resolved", &text).unwrap(), config.recipe);
    let text = fs::read_to_string(config.out.join("summary.json")).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let has = |value: &serde_json::Value, keys: &str| {
        for key in keys.split_whitespace() {
            assert!(value.get(key).is_some_and(|value| !value.is_null()), "{key} in {value}");
        }
    };
    has(&value, "format_version recipe split seed version device");
    has(&value["dataset"], "identities images sha256");
    has(&value["weights"], "path sha256");
    has(&value["accuracy"], "mean std standard_error");
    has(&value["baselines"], "chance majority");
    has(
        &value["folds"][0],
        "fold train_images validation_images epochs accuracy top5_accuracy macro_f1 loss \
         best_epoch best_accuracy seconds",
    );
    let text = fs::read_to_string(config.out.join("metrics.jsonl")).unwrap();
    let mut kinds = BTreeSet::new();
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        has(&record, "kind fold stage epoch");
        match record["kind"].as_str().unwrap() {
            "step" => has(&record, "step loss learning_rate"),
            "health" => has(&record, "predictions saturated_share dead_units blocks"),
            _ => has(
                &record,
                "learning_rate train_loss train_accuracy validation_loss validation_accuracy validation_top5 \
                 seconds",
            ),
        }
        kinds.insert(record["kind"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, ["epoch", "health", "step"].map(str::to_owned).into());
    let csv = fs::read_to_string(config.out.join("fold-00/predictions.csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("image,identity,label,predicted,probability,rank_of_truth"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), summary.folds[0].validation_images);
    let hits = rows.iter().filter(|row| row[1] == row[3]).count();
    let accuracy = hits as f64 / rows.len() as f64;
    assert!((accuracy - summary.folds[0].accuracy).abs() < 1e-12);
}

#[test]
fn each_image_is_held_out_once() {
    let bench = Bench::new(3, 4);
    let config = bench.config(&narrow("linear", TWO_STAGES), "run");
    train(&config);
    let mut images: Vec<String> = (0..3)
        .flat_map(|fold| {
            let path = config.out.join(format!("fold-{fold:02}/predictions.csv"));
            let csv = fs::read_to_string(path).unwrap();
            let image = |line: &str| line.split(',').next().unwrap().to_owned();
            csv.lines().skip(1).map(image).collect::<Vec<_>>()
        })
        .collect();
    images.sort();
    images.dedup();
    assert_eq!(images.len(), 12);
}

#[test]
fn a_fold_that_steers_itself_for_want_of_others_is_marked() {
    let bench = Bench::new(3, 4);
    let stages = TWO_STAGES.replace(
        "learning_rate = 1e-5, momentum = 0.9 }",
        "learning_rate = 1e-5 }\nearly_stopping = { patience = 1, restore_best_weights = true }",
    );
    let mut config =
        bench.config(&narrow("linear", &format!("inner_validation = 1e-6\n{stages}")), "run");
    config.selected = vec![0];
    let summary = train(&config);
    assert_eq!(summary.folds[0].inner_images, 0);
    assert!(summary.chosen_on_validation);
    let text = fs::read_to_string(config.out.join("diagnosis.json")).unwrap();
    let diagnosis: Diagnosis = serde_json::from_str(&text).unwrap();
    assert!(diagnosis.findings().any(|it| it.check == Check::ValidationReuse), "{text}");
    fs::remove_file(config.out.join("diagnosis.json")).unwrap();
    train(&config);
    let again = fs::read_to_string(config.out.join("diagnosis.json")).unwrap();
    assert_eq!(again, text, "it is written anew where a killed run has none");
}

#[test]
fn inner_images_steer_and_do_not_train() {
    let bench = Bench::new(3, 9);
    let stages = TWO_STAGES.replace(
        "epochs = 2\noptimizer = { kind = \"adam\", learning_rate = 1e-4 }",
        "epochs = 6\noptimizer = { kind = \"adam\", learning_rate = 1e-3 }\n\
         early_stopping = { monitor = \"validation_accuracy\", patience = 1, restore_best_weights = true }",
    );
    let recipe = narrow("linear", &format!("inner_validation = 0.34\n{stages}"));
    let mut config = bench.config(&recipe, "run");
    config.selected = vec![1];
    config.keep = Keep::LastAndBest;
    let summary = train(&config);
    let fold = &summary.folds[0];
    assert_eq!((fold.train_images, fold.inner_images, fold.validation_images), (18, 6, 9));
    assert!(!summary.chosen_on_validation);
    let calibration = fold.calibration.expect("six images steer, not all of them right");
    assert!((calibration.before.cross_entropy - fold.loss).abs() < 1e-6);
    // Twelve images in batches of four.
    let of_first = |step: &&train::run::StepRecord| step.stage == "head" && step.epoch == 1;
    assert_eq!(steps(&config.out).iter().filter(of_first).count(), 3);
    // Early stopping by the inner accuracy: its last epoch is the first without an improvement.
    let head: Vec<f64> = epochs(&config.out)
        .iter()
        .filter(|epoch| epoch.stage == "head")
        .map(|epoch| epoch.inner_accuracy.unwrap())
        .collect();
    let improves = |pair: &[f64]| pair[0] < pair[1];
    assert!(head.len() == 6 || !improves(&head[head.len() - 2..]), "{head:?}");
    assert!(head[..head.len() - 1].windows(2).all(improves), "{head:?}");
    let best = epochs(&config.out)
        .into_iter()
        .reduce(|best, next| if best.inner_accuracy < next.inner_accuracy { next } else { best })
        .unwrap();
    assert_eq!((&best.stage, best.epoch), (&fold.best_stage, fold.best_epoch));
    assert_eq!(best.validation_accuracy.to_bits(), fold.best_accuracy.to_bits());
    let at = |name: &str| config.out.join("fold-01").join(name);
    let file = model::WeightsFile::read(&at("best.safetensors")).unwrap();
    assert!(file.metadata().notes.is_empty());
    let last = model::WeightsFile::read(&at("weights.safetensors")).unwrap();
    let temperature: f64 = last.metadata().notes["temperature"].parse().unwrap();
    assert_eq!(temperature.to_bits(), calibration.temperature.get().to_bits());
}
