use candle_core::Device;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    averaging: WeightAveraging,
    params: Vec<Vec<f32>>,
    averages: Vec<Vec<f32>>,
}

fn parsed(text: &str) -> Result<WeightAveraging, toml::de::Error> {
    toml::from_str(text)
}

fn ema(momentum: f64) -> WeightAverage {
    WeightAverage::new(parsed(&format!("kind = \"ema\"\nmomentum = {momentum:?}")).unwrap())
}

fn mean(from_epoch: usize) -> WeightAverage {
    WeightAverage::new(parsed(&format!("kind = \"mean\"\nfrom_epoch = {from_epoch}")).unwrap())
}

fn variable(values: &[f32]) -> Var {
    Var::new(values, &Device::Cpu).unwrap()
}

fn set(variable: &Var, values: &[f32]) {
    variable.set(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
}

fn values(variable: &Var) -> Vec<f32> {
    variable.to_vec1().unwrap()
}

fn averages(average: &WeightAverage, name: &str) -> Vec<f32> {
    average.state().unwrap().averages[name].to_vec()
}

/// Where steps are averaged and where epochs are.
fn take_in(average: &mut WeightAverage, time: usize, variables: &[(&str, &Var)]) {
    average.after_step(variables).unwrap();
    average.after_epoch(time, variables).unwrap();
}

fn golden() -> Vec<Case> {
    let golden = include_str!("../../tests/golden/weight_averages.json");
    serde_json::from_str::<Golden>(golden).unwrap().cases
}

fn assert_near(found: &[f32], expected: &[f32], config: WeightAveraging) {
    for (found, expected) in found.iter().zip(expected) {
        // Two roundings a step of values below 4, of which the average forgets some.
        let difference = (found - expected).abs();
        assert!(difference <= 4.0 * f32::EPSILON, "{config:?}: {found}, expected {expected}");
    }
}

#[test]
fn averages_are_those_of_keras_and_pytorch() {
    assert_eq!(golden().len(), 3);
    for Case { averaging, params, averages: expected } in golden() {
        let weights = variable(&params[0]);
        let mut average = WeightAverage::new(averaging);
        for (time, (params, expected)) in (1..).zip(params.iter().zip(&expected)) {
            set(&weights, params);
            take_in(&mut average, time, &[("fc8.bias", &weights)]);
            assert_near(&averages(&average, "fc8.bias"), expected, averaging);
        }
    }
}

#[test]
fn averages_on_tensors_are_those_of_keras_and_pytorch() {
    for Case { averaging, params, averages: expected } in golden() {
        let weights = variable(&params[0]);
        let mut average = WeightAverage::new(averaging);
        // The first time it takes the weights as they are; from there on a tensor goes on.
        take_in(&mut average, 1, &[("fc8.bias", &weights)]);
        let start = Average::OnTensor(Tensor::new(&*params[0], &Device::Cpu).unwrap());
        average.averages.insert("fc8.bias".to_owned(), start);
        for (time, (params, expected)) in (2..).zip(params.iter().zip(&expected).skip(1)) {
            set(&weights, params);
            take_in(&mut average, time, &[("fc8.bias", &weights)]);
            assert_near(&averages(&average, "fc8.bias"), expected, averaging);
        }
        average.swap(&[("fc8.bias", &weights)]).unwrap();
        assert_near(&values(&weights), &expected[5], averaging);
        assert_eq!(averages(&average, "fc8.bias"), params[5]);
    }
}

#[test]
fn a_mean_counts_from_its_epoch_on_and_all_epochs_alike() {
    let weights = variable(&[0.0]);
    let mut average = mean(3);
    for (epoch, value) in (1..).zip([100.0, 50.0, 1.0, 3.0, 8.0]) {
        set(&weights, &[value]);
        take_in(&mut average, epoch, &[("fc8.bias", &weights)]);
        assert_eq!(average.is_empty(), epoch < 3);
    }
    assert_eq!(averages(&average, "fc8.bias"), [4.0]);
}

#[test]
fn an_average_of_equal_weights_is_what_they_are() {
    let weights = variable(&[0.1, -3.0]);
    let mut average = ema(0.99);
    for step in 0..1000 {
        take_in(&mut average, step, &[("fc8.bias", &weights)]);
    }
    assert_near(&averages(&average, "fc8.bias"), &[0.1, -3.0], average.config);
}

#[test]
fn every_element_of_a_long_parameter_is_averaged_and_exchanged() {
    // Longer than a task, with an odd end.
    let length = (1 << 17) + 5;
    let weights = variable(&vec![1.0; length]);
    let mut average = ema(0.5);
    take_in(&mut average, 1, &[("fc6.weight", &weights)]);
    set(&weights, &vec![3.0; length]);
    take_in(&mut average, 2, &[("fc6.weight", &weights)]);
    average.swap(&[("fc6.weight", &weights)]).unwrap();
    assert_eq!(values(&weights), vec![2.0; length]);
    assert_eq!(averages(&average, "fc6.weight"), vec![3.0; length]);
    average.swap(&[("fc6.weight", &weights)]).unwrap();
    assert_eq!(values(&weights), vec![3.0; length]);
    assert_eq!(averages(&average, "fc6.weight"), vec![2.0; length]);
}

#[test]
fn before_the_first_average_nothing_is_exchanged() {
    let weights = variable(&[1.0]);
    mean(2).swap(&[("fc8.bias", &weights)]).unwrap();
    assert_eq!(values(&weights), [1.0]);
}

#[test]
fn goes_on_from_a_state_as_without_one() {
    for new in [|| ema(0.9), || mean(2)] {
        let weights = variable(&[0.0, 0.0]);
        let variables = [("fc8.bias", &weights)];
        let mut straight = new();
        let mut resumed = new();
        for time in 0..9_u8 {
            set(&weights, &[f32::from(time).sin(), f32::from(time).cos()]);
            take_in(&mut straight, time.into(), &variables);
            take_in(&mut resumed, time.into(), &variables);
            let state = resumed.state().unwrap();
            resumed = WeightAverage::restore(resumed.config, state, &variables).unwrap();
        }
        assert_eq!(resumed.state().unwrap(), straight.state().unwrap());
        assert!(!straight.is_empty());
    }
}

#[test]
fn a_variable_that_came_later_is_refused_by_name() {
    let (early, late) = (variable(&[1.0]), variable(&[1.0]));
    let mut average = ema(0.9);
    average.after_step(&[("fc8.bias", &early)]).unwrap();
    let both = [("fc8.bias", &early), ("fc7.bias", &late)];
    for result in [average.swap(&both), average.after_step(&both)] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::WeightAverage { ref name, .. } if name == "fc7.bias"));
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_by_name() {
    let weights = variable(&[1.0, 2.0]);
    let mut average = ema(0.9);
    average.after_step(&[("fc8.bias", &weights)]).unwrap();
    let short = variable(&[1.0]);
    for (variables, expected) in [
        (vec![("fc8.bias", &short)], "`fc8.bias` has 2 values, expected 1"),
        (vec![("fc8.bias", &weights), ("fc7.bias", &short)], "`fc7.bias` is missing after 1"),
        (vec![], "`fc8.bias` belongs to no variable"),
    ] {
        let state = average.state().unwrap();
        let error = WeightAverage::restore(average.config, state, &variables).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(matches!(error, Error::WeightAverage { .. }));
    }
}

#[test]
fn writes_what_it_reads_and_refuses_what_it_does_not_know() {
    for text in
        ["kind = \"ema\"", "kind = \"ema\"\nmomentum = 0.999", "kind = \"mean\"\nfrom_epoch = 4"]
    {
        let config = parsed(text).unwrap();
        assert_eq!(parsed(&toml::to_string(&config).unwrap()).unwrap(), config);
    }
    assert_eq!(
        parsed("kind = \"ema\"").unwrap(),
        parsed("kind = \"ema\"\nmomentum = 0.99").unwrap()
    );
    for (text, named) in [
        ("kind = \"ema\"\ndecay = 0.9", "`decay`"),
        ("kind = \"ema\"\nmomentum = 1.0", "`momentum`"),
        ("kind = \"mean\"", "`from_epoch`"),
        ("kind = \"mean\"\nfrom_epoch = 0", "nonzero"),
        ("kind = \"swa\"", "`swa`"),
    ] {
        let error = parsed(text).unwrap_err();
        assert!(error.message().contains(named), "{text}: {error}");
    }
}
