//! The plateau schedule and early stopping against traces of Keras's callbacks.

#![expect(clippy::unwrap_used, reason = "what a golden file lacks fails its test")]

use serde::Deserialize;
use serde_json::{Value, json};
use train::{
    early_stopping::{Decision, EarlyStopping, EarlyStoppingState},
    schedule::{PlateauState, ReduceOnPlateau},
};

#[derive(Deserialize)]
struct Golden {
    reduce_lr: Vec<Plateau>,
    early_stopping: Vec<Stopping>,
}

#[derive(Deserialize)]
struct Plateau {
    args: Value,
    lr0: f64,
    trace: Vec<PlateauEpoch>,
}

#[derive(Deserialize)]
struct PlateauEpoch {
    /// `None` stands for NaN.
    value: Option<f64>,
    lr_after: f64,
    wait: u32,
    cooldown: u32,
    best: Option<f64>,
}

#[derive(Deserialize)]
struct Stopping {
    args: Value,
    trace: Vec<StoppingEpoch>,
    weights_epoch_after: usize,
    best_epoch: usize,
}

#[derive(Deserialize)]
struct StoppingEpoch {
    value: f64,
    wait: u32,
    stop: bool,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/keras_callbacks_optimizers.json")).unwrap()
}

/// Keras's arguments under our names; the direction is the metric's own.
fn renamed(args: &Value) -> Value {
    let mut renamed = args.clone();
    let keys = renamed.as_object_mut().unwrap();
    keys.remove("mode");
    if let Some(lowest) = keys.remove("min_lr") {
        keys.insert("min_learning_rate".to_owned(), lowest);
    }
    let monitor = args["monitor"].as_str().unwrap().replace("val_", "validation_");
    keys.insert("monitor".to_owned(), json!(monitor));
    renamed
}

fn plateau(case: &Plateau) -> PlateauState {
    let config: ReduceOnPlateau = serde_json::from_value(renamed(&case.args)).unwrap();
    PlateauState::new(config)
}

#[test]
fn plateau_schedule_is_that_of_keras() {
    let mut compared = 0;
    for case in golden().reduce_lr {
        if case.trace[0].value.is_none() {
            // The trace that starts with NaN: see the next test.
            continue;
        }
        let mut state = plateau(&case);
        let mut learning_rate = case.lr0;
        for (epoch, expected) in case.trace.iter().enumerate() {
            learning_rate = state.observe(expected.value.unwrap_or(f64::NAN), learning_rate);
            let name = format!("{}, epoch {epoch}", case.args);
            // The traces were made with f64 rates, so that equality is exact.
            assert_eq!(learning_rate.to_bits(), expected.lr_after.to_bits(), "{name}");
            let inside = serde_json::to_value(&state).unwrap();
            assert_eq!(inside["wait"], expected.wait, "{name}");
            assert_eq!(inside["cooldown_left"], expected.cooldown, "{name}");
            assert_eq!(inside["best"], json!(expected.best), "{name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 6);
}

/// The one trace in which we differ: Keras takes the NaN of the first epoch for its best value and
/// so starts to wait at the second epoch; we take no NaN for an improvement and wait from the
/// first. Each reduction comes one epoch earlier, and nothing else changes.
#[test]
fn a_first_epoch_of_nan_is_counted_where_keras_does_not() {
    let cases = golden().reduce_lr;
    let [case] = &cases.iter().filter(|case| case.trace[0].value.is_none()).collect::<Vec<_>>()[..]
    else {
        panic!("expected one trace that starts with NaN");
    };
    assert!(case.trace.iter().all(|epoch| epoch.value.is_none()));
    let mut state = plateau(case);
    let mut learning_rate = case.lr0;
    for expected_one_epoch_later in &case.trace[1..] {
        learning_rate = state.observe(f64::NAN, learning_rate);
        assert_eq!(learning_rate.to_bits(), expected_one_epoch_later.lr_after.to_bits());
        let inside = serde_json::to_value(&state).unwrap();
        assert_eq!(inside["wait"], expected_one_epoch_later.wait);
        assert_eq!(inside["best"], Value::Null);
    }
}

#[test]
fn early_stopping_is_that_of_keras() {
    for case in golden().early_stopping {
        let config: EarlyStopping = serde_json::from_value(renamed(&case.args)).unwrap();
        let mut state = EarlyStoppingState::new(config);
        let mut best_epoch = 0;
        for (epoch, expected) in case.trace.iter().enumerate() {
            let decision = state.observe(expected.value);
            let name = format!("{}, epoch {epoch}", case.args);
            assert_eq!(decision == Decision::Stop, expected.stop, "{name}");
            assert_eq!(serde_json::to_value(&state).unwrap()["wait"], expected.wait, "{name}");
            if decision == Decision::Improved {
                best_epoch = epoch;
            }
        }
        assert_eq!(best_epoch, case.best_epoch, "{}", case.args);
        let last_epoch = case.trace.len() - 1;
        let ends_with = if config.restore_best_weights { best_epoch } else { last_epoch };
        assert_eq!(ends_with, case.weights_epoch_after, "{}", case.args);
    }
}
