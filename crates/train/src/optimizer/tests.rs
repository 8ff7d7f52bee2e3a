use candle_core::Device;
use model::{Layer, LayerKind};
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::setting::BlockDecay;

#[derive(Deserialize)]
struct Golden {
    adam: Vec<Trace>,
    sgd: Vec<Trace>,
    rmsprop: Vec<Trace>,
}

#[derive(Deserialize)]
struct Trace {
    args: Value,
    init: Vec<f32>,
    #[serde(rename = "trace")]
    steps: Vec<TraceStep>,
}

#[derive(Deserialize)]
struct TraceStep {
    grad: Vec<f32>,
    param: Vec<f32>,
}

/// Every trace with the configuration that it was made with.
fn golden() -> Vec<(OptimizerConfig, Trace)> {
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/keras_callbacks_optimizers.json"))
            .unwrap();
    let kinds = [("adam", golden.adam), ("sgd", golden.sgd), ("rmsprop", golden.rmsprop)];
    kinds
        .into_iter()
        .flat_map(|(kind, traces)| traces.into_iter().map(move |trace| (kind, trace)))
        .map(|(kind, trace)| {
            let mut settings = trace.args.clone();
            settings["kind"] = kind.into();
            (serde_json::from_value(settings).unwrap(), trace)
        })
        .collect()
}

fn variable(values: &[f32]) -> Var {
    Var::new(values, &Device::Cpu).unwrap()
}

fn values(variable: &Var) -> Vec<f32> {
    variable.to_vec1().unwrap()
}

/// One gradient.
fn gradients(name: &str, gradient: &[f32]) -> BTreeMap<String, Gradient> {
    BTreeMap::from([(name.to_owned(), whole(gradient))])
}

fn whole(gradient: &[f32]) -> Gradient {
    Gradient::Whole(Tensor::new(gradient, &Device::Cpu).unwrap())
}

/// Follows a trace from a state that has seen nothing.
fn assert_follows(config: &OptimizerConfig, trace: &Trace, mut state: ParameterState) {
    let variable = variable(&trace.init);
    for (number, expected) in (1..).zip(&trace.steps) {
        let step = Step::new(config.rule(), config.learning_rate(), number);
        state.apply(step, &variable, &whole(&expected.grad)).unwrap();
        for (index, (found, expected)) in values(&variable).iter().zip(&expected.param).enumerate()
        {
            // A last digit of the largest values: Keras's bias corrections are that far off.
            let difference = (found - expected).abs();
            assert!(
                difference <= f32::EPSILON,
                "{config:?}, step {number}, {index}: {found} is {difference:e} off {expected}"
            );
        }
    }
}

#[test]
fn tensor_steps_are_those_of_keras() {
    for (config, trace) in golden() {
        let state = ParameterState::on_tensors(config.rule(), &variable(&trace.init)).unwrap();
        assert_follows(&config, &trace, state);
    }
}

#[test]
fn steps_on_the_cpu_are_those_of_keras() {
    for (config, trace) in golden() {
        let state = ParameterState::new(config.rule(), &variable(&trace.init)).unwrap();
        assert!(matches!(state, ParameterState::InPlace(_)));
        assert_follows(&config, &trace, state);
    }
}

#[test]
fn goes_by_the_rate_of_the_step() {
    let weights = variable(&[1.0]);
    let mut optimizer = Optimizer::new(OptimizerConfig::Sgd(Sgd::default()));
    optimizer
        .step(
            &[("fc8.weight", &weights)],
            &gradients("fc8.weight", &[1.0]),
            LearningRates::equal(0.5),
        )
        .unwrap();
    assert_eq!(values(&weights), [0.5]);
}

#[test]
fn a_parameter_without_gradient_is_named_before_any_moves() {
    let (with, without) = (variable(&[1.0]), variable(&[1.0]));
    let mut optimizer = Optimizer::new(OptimizerConfig::Sgd(Sgd::default()));
    let variables = [("fc6.weight", &with), ("fc7.weight", &without)];
    let error = optimizer
        .step(&variables, &gradients("fc6.weight", &[1.0]), LearningRates::equal(0.5))
        .unwrap_err();
    assert!(matches!(error, Error::NoGradient { name } if name == "fc7.weight"));
    assert_eq!(values(&with), [1.0]);
}

#[test]
fn a_transposed_gradient_lands_on_the_right_elements() {
    let weights = Var::new(&[[0_f32, 0.0, 0.0], [0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
    let gradient = Tensor::new(&[[1_f32, 4.0], [2.0, 5.0], [3.0, 6.0]], &Device::Cpu).unwrap();
    let config: OptimizerConfig =
        toml::from_str("kind = \"sgd\"\nlearning_rate = 1.0\nmomentum = 0.9").unwrap();
    let mut state = ParameterState::new(config.rule(), &weights).unwrap();
    let step = Step::new(config.rule(), 1.0, 1);
    let gradient = Gradient::Whole(gradient.t().unwrap());
    state.apply(step, &weights, &gradient).unwrap();
    let found: Vec<Vec<f32>> = weights.to_vec2().unwrap();
    assert_eq!(found, [[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]);
}

#[test]
fn a_gradient_of_another_shape_is_refused() {
    let weights = Var::new(&[[0_f32, 0.0, 0.0], [0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
    let rule = OptimizerConfig::Sgd(Sgd::default()).rule();
    let mut state = ParameterState::new(rule, &weights).unwrap();
    let error = state.apply(Step::new(rule, 1.0, 1), &weights, &whole(&[1.0; 6])).unwrap_err();
    assert!(error.to_string().contains("[6], expected"), "{error}");
    assert_eq!(weights.to_vec2::<f32>().unwrap(), [[0.0; 3]; 2]);
}

#[test]
fn a_gradient_in_factors_moves_weights_as_the_whole_one_does() {
    let tensor = |rows: usize, columns: usize| {
        let values: Vec<f32> = (0..rows * columns).map(|at| (at % 7) as f32 - 3.0).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    };
    let product = Gradient::Product { inputs: tensor(4, 5), grad_output: tensor(4, 3) };
    let whole = Gradient::Whole(product.to_tensor().unwrap());
    for kind in [
        "\"adam\"",
        "\"sgd\"",
        "\"sgd\"\nmomentum = 0.9",
        "\"rmsprop\"",
        "\"rmsprop\"\nmomentum = 0.9",
    ] {
        let config: OptimizerConfig =
            toml::from_str(&format!("kind = {kind}\nlearning_rate = 0.01")).unwrap();
        let moved = |gradient: &Gradient| {
            let weights = Var::from_tensor(&tensor(3, 5)).unwrap();
            let mut state = ParameterState::new(config.rule(), &weights).unwrap();
            for number in 1..4 {
                let step = Step::new(config.rule(), 0.01, number);
                state.apply(step, &weights, gradient).unwrap();
            }
            weights.to_vec2::<f32>().unwrap()
        };
        assert_eq!(moved(&product), moved(&whole), "{kind}");
        assert_ne!(moved(&product), tensor(3, 5).to_vec2::<f32>().unwrap(), "{kind}");
    }
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    optimizer: OptimizerConfig,
    init: BTreeMap<String, Vec<f32>>,
    #[serde(rename = "trace")]
    steps: Vec<CaseStep>,
}

#[derive(Deserialize)]
struct CaseStep {
    grad: BTreeMap<String, Vec<f32>>,
    param: BTreeMap<String, Vec<f32>>,
}

#[test]
fn clipping_and_weight_decay_are_those_of_keras() {
    assert_cases_follow(include_str!("../../tests/golden/keras_clipping.json"));
}

#[test]
fn an_l2_term_is_the_weight_decay_of_pytorch() {
    assert_cases_follow(include_str!("../../tests/golden/pytorch_l2.json"));
}

#[track_caller]
fn assert_cases_follow(golden: &str) {
    let golden: Cases = serde_json::from_str(golden).unwrap();
    assert_eq!(golden.cases.len(), 7);
    for Case { optimizer: config, init, steps } in golden.cases {
        let mut optimizer = Optimizer::new(config);
        let vars: BTreeMap<_, _> =
            init.iter().map(|(name, values)| (name.as_str(), variable(values))).collect();
        let variables: Vec<_> = vars.iter().map(|(name, var)| (*name, var)).collect();
        for (number, expected) in steps.iter().enumerate() {
            let gradients = expected
                .grad
                .iter()
                .map(|(name, gradient)| (name.clone(), whole(gradient)))
                .collect();
            let rates = LearningRates::equal(config.learning_rate());
            optimizer.step(&variables, &gradients, rates).unwrap();
            for (name, var) in &vars {
                for (found, expected) in values(var).iter().zip(&expected.param[*name]) {
                    // A few roundings of values of order 1.
                    let difference = (found - expected).abs();
                    assert!(
                        difference <= 4.0 * f32::EPSILON,
                        "{config:?}, {name}, step {number}: {found}, expected {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn each_layer_goes_by_its_own_rate() {
    let layer = |name: &str| Layer {
        name: name.to_owned(),
        kind: LayerKind::Convolution { in_channels: 1, out_channels: 1 },
        output_shape: vec![1, 1, 1],
    };
    let pool = Layer { kind: LayerKind::MaxPool, ..layer("pool5") };
    let layers = [layer("conv5_3"), pool];
    let factors = RateFactors::per_block(&layers, BlockDecay::new(0.5).unwrap());
    let (base, head) = (variable(&[1.0]), variable(&[1.0]));
    let variables = [("conv5_3.bias", &base), ("fc8.bias", &head)];
    let gradients = ["conv5_3.bias", "fc8.bias"].map(|name| (name.to_owned(), whole(&[1.0])));
    let config: OptimizerConfig = toml::from_str("kind = \"sgd\"\nweight_decay = 0.5").unwrap();
    let rates = LearningRates { base: 0.5, factors: &factors };
    Optimizer::new(config).step(&variables, &BTreeMap::from(gradients), rates).unwrap();
    // The rate also scales what is taken from the weight.
    assert_eq!((values(&base), values(&head)), (vec![0.625], vec![0.25]));
}

#[test]
fn tensor_steps_scale_clip_and_decay_as_those_in_place_do() {
    let rule = OptimizerConfig::Sgd(Sgd::default()).rule();
    let step = Step {
        gradient_scale: 0.5,
        clip_value: 1.0,
        l2: 0.25,
        weight_decay: 0.125,
        ..Step::new(rule, 0.5, 1)
    };
    let moved = |mut state: ParameterState| {
        let weights = variable(&[1.0, 1.0, -2.0]);
        state.apply(step, &weights, &whole(&[1.0, 4.0, -4.0])).unwrap();
        values(&weights)
    };
    let weights = variable(&[1.0, 1.0, -2.0]);
    let on_tensors = moved(ParameterState::on_tensors(rule, &weights).unwrap());
    assert_eq!(on_tensors, moved(ParameterState::in_place(rule, &weights)));
    assert_eq!(on_tensors, [0.5625, 0.3125, -1.125]);
    let gradient = whole(&[3.0, -4.0]);
    let on_tensors = on_tensors::squared_norm(&gradient.to_tensor().unwrap()).unwrap();
    assert_eq!((in_place::squared_norm(&gradient).unwrap(), on_tensors), (25.0, 25.0));
}
