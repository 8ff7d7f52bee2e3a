//! That the loop does what plateau schedules, early stopping and augmentation say.

use crate::support::{Bench, epochs, narrow, steps, trained};
use train::{
    run::Summary,
    training::{Config, Interrupt, run},
};

fn train(config: &Config) -> Summary {
    run(config, &Interrupt::default()).unwrap()
}

/// A stage that trains the head, with more keys.
fn stage(epochs: usize, learning_rate: &str, more: &str) -> String {
    format!(
        "[[stage]]\nname = \"head\"\nfreeze = [\"conv*\"]\ntrain = [\"fc8\"]\nepochs = {epochs}\n\
         optimizer = {{ kind = \"adam\", learning_rate = {learning_rate} }}\n{more}\n"
    )
}

/// Nothing improves by as much as this.
const PLATEAU: &str = "reduce_on_plateau = { monitor = \"validation_accuracy\", factor = 0.1, \
                       patience = 1, min_delta = 2.0 }";

fn rates(config: &Config, fold: usize) -> Vec<f64> {
    let epochs = epochs(&config.out);
    epochs.iter().filter(|epoch| epoch.fold == fold).map(|epoch| epoch.learning_rate).collect()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 1e-12, "{found:e}, expected {expected:e}");
    }
}

#[test]
fn a_plateau_lowers_the_rate_of_the_steps_that_follow() {
    let bench = Bench::new(3, 4);
    let mut config = bench.config(&narrow("linear", &stage(4, "1e-4", PLATEAU)), "run");
    config.selected = vec![0];
    train(&config);
    // The first epoch is the best by definition; each later one is one too many.
    assert_close(&rates(&config, 0), &[1e-4, 1e-4, 1e-5, 1e-6]);
    for step in steps(&config.out) {
        let of_epoch = rates(&config, 0)[step.epoch - 1];
        assert_eq!(step.learning_rate.to_bits(), of_epoch.to_bits());
    }
}

#[test]
fn one_model_for_all_folds_keeps_its_optimizer() {
    let bench = Bench::new(3, 4);
    let recipe = narrow("linear", &stage(3, "1e-4", PLATEAU));
    let recipe = recipe.replace("fresh_model_per_fold = true", "fresh_model_per_fold = false");
    let mut config = bench.config(&recipe, "run");
    config.selected = vec![0, 1];
    train(&config);
    // As in Keras, where `fit` again makes new callbacks and keeps the optimizer.
    assert_close(&rates(&config, 0), &[1e-4, 1e-4, 1e-5]);
    assert_close(&rates(&config, 1), &[1e-6, 1e-6, 1e-7]);
}

#[test]
fn early_stopping_ends_the_stage_and_restores_the_best_epoch() {
    let bench = Bench::new(3, 4);
    let stopping = |restore: bool| {
        format!(
            "early_stopping = {{ monitor = \"validation_accuracy\", min_delta = 2.0, \
             patience = 2, restore_best_weights = {restore} }}"
        )
    };
    let run_into = |out: &str, epochs: usize, more: &str| {
        let mut config = bench.config(&narrow("linear", &stage(epochs, "1e-3", more)), out);
        config.selected = vec![0];
        (train(&config), config)
    };
    let (once, first) = run_into("first", 1, "");
    let (last, stopped) = run_into("stopped", 9, &stopping(false));
    let (best, restored) = run_into("restored", 9, &stopping(true));
    assert_eq!(epochs(&stopped.out).len(), 3);
    assert_eq!(epochs(&restored.out).len(), 3);
    assert!(trained(&restored.out, 0) == trained(&first.out, 0));
    assert!(trained(&stopped.out, 0) != trained(&first.out, 0));
    assert_eq!(best.folds[0].loss.to_bits(), once.folds[0].loss.to_bits());
    assert_ne!(last.folds[0].loss.to_bits(), once.folds[0].loss.to_bits());
    assert!(best.chosen_on_validation && !last.chosen_on_validation);
}

#[test]
fn augmentation_changes_what_is_trained_on_and_nothing_that_is_held_out() {
    let bench = Bench::new(3, 4);
    // A rate so low that no weight moves, so that only the images can differ.
    let run_into = |out: &str, more: &str| {
        let mut config = bench.config(&narrow("linear", &stage(1, "1e-30", more)), out);
        config.selected = vec![0];
        train(&config);
        config
    };
    let plain = run_into("plain", "");
    let changed = run_into("changed", "augment = { rotation_degrees = 30.0, zoom = 0.3 }");
    // A bias of zero becomes 1e-30, which is lost in a logit.
    let weights = |config: &Config| {
        let mut tensors = trained(&config.out, 0);
        tensors.retain(|name, _| name.ends_with(".weight"));
        tensors
    };
    assert!(weights(&plain) == weights(&changed));
    let train_losses = |config: &Config| -> Vec<u32> {
        steps(&config.out).iter().map(|step| step.loss.to_bits()).collect()
    };
    for (plain, changed) in train_losses(&plain).iter().zip(train_losses(&changed)) {
        assert_ne!(*plain, changed);
    }
    let validation = |config: &Config| epochs(&config.out)[0].validation_loss.to_bits();
    assert_eq!(validation(&plain), validation(&changed));
}
