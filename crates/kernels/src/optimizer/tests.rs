use super::*;
use crate::dense::{self, DenseShape};
use crate::lanes::{Cpu, as_on};

/// A few roundings of values near 1.
const TOLERANCE: f32 = 3e-7;

const ADAM: Rule = Rule::Adam(Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 });

fn sgd(momentum: f64, nesterov: bool) -> Rule {
    Rule::Sgd(Sgd { momentum, nesterov })
}

fn rmsprop(momentum: f64) -> Rule {
    Rule::RmsProp(RmsProp { rho: 0.9, momentum, epsilon: 1e-7 })
}

fn rules() -> [Rule; 6] {
    [ADAM, sgd(0.0, false), sgd(0.9, false), sgd(0.9, true), rmsprop(0.0), rmsprop(0.9)]
}

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| (((at + seed) * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
}

/// Parameters and what is remembered of them.
#[derive(Clone, Debug, PartialEq)]
struct Trained {
    weights: Vec<f32>,
    momentum: Vec<f32>,
    velocity: Vec<f32>,
}

impl Trained {
    fn new(weights: &[f32]) -> Self {
        let zeros = vec![0.0; weights.len()];
        Self { weights: weights.to_vec(), momentum: zeros.clone(), velocity: zeros }
    }

    fn step(&mut self, step: Step, gradient: Gradient<'_>) {
        let (mut momentum, mut velocity) = (&mut self.momentum[..], &mut self.velocity[..]);
        if !step.rule.needs_momentum() {
            momentum = &mut [];
        }
        if !step.rule.needs_velocity() {
            velocity = &mut [];
        }
        step.apply(gradient, &mut self.weights, Moments { momentum, velocity });
    }
}

#[track_caller]
fn assert_near(found: f32, expected: f32) {
    assert!((found - expected).abs() < TOLERANCE, "{found}, expected {expected}");
}

#[test]
fn adam_adds_epsilon_before_the_correction() {
    let mut trained = Trained::new(&[0.0, 0.0]);
    trained.step(Step::new(ADAM, 1e-3, 1), Gradient::Whole(&[2.0, 1e-6]));
    assert_near(trained.weights[0], -1e-3);
    // alpha = 3.162278e-4, m = 1e-7, sqrt(v) = 3.162278e-8; added after the correction, epsilon would give 9.1e-4.
    assert_near(trained.weights[1], -2.402_53e-4);
    trained.step(Step::new(ADAM, 1e-3, 2), Gradient::Whole(&[-1.0, 0.0]));
    assert_near(trained.momentum[0], 0.08);
    assert_near(trained.velocity[0], 0.004_996);
    // alpha = 1e-3 sqrt(0.001999) / 0.19 = 2.353169e-4.
    assert_near(trained.weights[0], -1e-3 - 2.353_169e-4 * 0.08 / 0.070_682_4);
}

#[test]
fn sgd_keeps_the_learning_rate_in_the_velocity() {
    let mut trained = Trained::new(&[1.0]);
    trained.step(Step::new(sgd(0.9, false), 0.1, 1), Gradient::Whole(&[0.5]));
    assert_near(trained.weights[0], 0.95);
    trained.step(Step::new(sgd(0.9, false), 0.01, 2), Gradient::Whole(&[0.5]));
    assert_near(trained.momentum[0], -0.05);
    assert_near(trained.weights[0], 0.9);
}

#[test]
fn nesterov_looks_one_step_ahead() {
    let mut trained = Trained::new(&[1.0]);
    trained.step(Step::new(sgd(0.9, true), 0.1, 1), Gradient::Whole(&[0.5]));
    assert_near(trained.weights[0], 0.905);
    trained.step(Step::new(sgd(0.9, true), 0.1, 2), Gradient::Whole(&[0.5]));
    assert_near(trained.weights[0], 0.7695);
}

#[test]
fn rmsprop_adds_epsilon_under_the_root() {
    let mut trained = Trained::new(&[1.0, 0.0]);
    trained.step(Step::new(rmsprop(0.0), 1e-3, 1), Gradient::Whole(&[2.0, 1e-4]));
    assert_near(trained.velocity[0], 0.4);
    assert_near(trained.weights[0], 0.996_837_7);
    assert_near(trained.weights[1], -3.146_59e-4);
}

#[test]
fn rmsprop_sums_its_steps_with_momentum() {
    let mut trained = Trained::new(&[1.0]);
    trained.step(Step::new(rmsprop(0.5), 1e-3, 1), Gradient::Whole(&[2.0]));
    // 1e-3 * 2 / sqrt(0.4)
    assert_near(trained.momentum[0], -3.162_278e-3);
    trained.step(Step::new(rmsprop(0.5), 1e-3, 2), Gradient::Whole(&[0.0]));
    assert_near(trained.weights[0], 1.0 - 3.162_278e-3 * 1.5);
}

#[test]
fn a_gradient_is_scaled_then_clipped_and_weights_decay_before_the_step() {
    let step = Step {
        gradient_scale: 0.5,
        clip_value: 1.0,
        weight_decay: 0.1,
        ..Step::new(sgd(0.0, false), 0.5, 1)
    };
    let mut trained = Trained::new(&[1.0; 4]);
    trained.step(step, Gradient::Whole(&[1.0, 4.0, -4.0, f32::NAN]));
    // 1 - 0.1 * 0.5 is left of each weight.
    assert_near(trained.weights[0], 0.95 - 0.25);
    assert_near(trained.weights[1], 0.95 - 0.5);
    assert_near(trained.weights[2], 0.95 + 0.5);
    assert!(trained.weights[3].is_nan());
}

#[test]
fn the_l2_term_follows_clipping_and_enters_the_moments() {
    let step = Step { clip_value: 1.0, l2: 0.5, ..Step::new(sgd(0.9, false), 0.1, 1) };
    let mut trained = Trained::new(&[2.0, -2.0]);
    trained.step(step, Gradient::Whole(&[3.0, 0.5]));
    // Gradients of 1 + 0.5 * 2 and 0.5 - 0.5 * 2.
    assert_near(trained.momentum[0], -0.2);
    assert_near(trained.momentum[1], 0.05);
    assert_near(trained.weights[0], 1.8);
    assert_near(trained.weights[1], -1.95);
}

#[test]
fn every_element_of_a_long_slice_is_updated_alike() {
    let length = 2 * TASK_LEN + 5;
    for rule in rules() {
        let mut trained = Trained::new(&vec![1.0; length]);
        trained.step(Step::new(rule, 1e-3, 1), Gradient::Whole(&vec![1.0; length]));
        let first = trained.weights[0];
        assert!(trained.weights.iter().all(|weight| weight.to_bits() == first.to_bits()));
        assert!(first < 1.0, "{rule:?}");
    }
}

#[test]
fn factors_give_the_bits_of_the_whole_gradient() {
    for (batch, in_features, out_features) in
        [(32, 1100, 70), (3, 5, 2), (0, 40, 30), (7, 33, 1), (130, 40, 30)]
    {
        let shape = DenseShape { batch, in_features, out_features };
        let inputs = numbers(shape.inputs_len(), 1);
        let grad_output = numbers(shape.output_len(), 2);
        let factors = DenseGradient { shape, inputs: &inputs, grad_output: &grad_output };
        let start = Trained::new(&numbers(shape.weights_len(), 3));
        for (rule, cpu) in
            rules().into_iter().flat_map(|rule| [(rule, Cpu::Portable), (rule, Cpu::detected())])
        {
            let of = |is_in_factors: bool| {
                let mut trained = start.clone();
                let mut whole = vec![0.0; start.weights.len()];
                dense::backward_weights(shape, &inputs, &grad_output, &mut whole);
                for number in 1..4 {
                    let step = Step {
                        gradient_scale: 0.7,
                        clip_value: 2.0,
                        l2: 0.3,
                        weight_decay: 1e-2,
                        ..Step::new(rule, 1e-3, number)
                    };
                    trained.step(
                        step,
                        if is_in_factors {
                            Gradient::Dense(factors)
                        } else {
                            Gradient::Whole(&whole)
                        },
                    );
                }
                trained
            };
            let (found, expected) = (as_on(cpu, || of(true)), as_on(cpu, || of(false)));
            assert_eq!(found, expected, "{rule:?}, {shape:?}, {cpu:?}");
        }
    }
}

#[test]
fn all_cpus_take_the_same_step() {
    let mut gradient = numbers(1000, 1);
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40];
    gradient[5..11].copy_from_slice(&special);
    for (rule, cpu) in
        rules().into_iter().flat_map(|rule| Cpu::all().into_iter().map(move |cpu| (rule, cpu)))
    {
        let stepped = || {
            let mut trained = Trained::new(&numbers(1000, 2));
            let step = Step {
                gradient_scale: 0.9,
                clip_value: 0.5,
                l2: 0.3,
                weight_decay: 1e-2,
                ..Step::new(rule, 1e-3, 1)
            };
            trained.step(step, Gradient::Whole(&gradient));
            let Trained { weights, momentum, velocity } = trained;
            // NaN may have any bits.
            let bits = |value: f32| if value.is_nan() { u32::MAX } else { value.to_bits() };
            [weights, momentum, velocity].concat().into_iter().map(bits).collect::<Vec<u32>>()
        };
        assert_eq!(as_on(cpu, stepped), stepped(), "{rule:?}, {cpu:?}");
    }
}

#[test]
fn the_norm_of_factors_is_that_of_the_whole_gradient() {
    for (batch, in_features, out_features) in [(32, 1100, 70), (1, 5, 2), (0, 4, 3), (7, 33, 1)] {
        let shape = DenseShape { batch, in_features, out_features };
        let inputs = numbers(shape.inputs_len(), 1);
        let grad_output = numbers(shape.output_len(), 2);
        let factors = DenseGradient { shape, inputs: &inputs, grad_output: &grad_output };
        let mut whole = vec![0.0; shape.weights_len()];
        dense::backward_weights(shape, &inputs, &grad_output, &mut whole);
        let expected = Gradient::Whole(&whole).squared_norm();
        let plain: f64 = whole.iter().map(|&value| f64::from(value).powi(2)).sum();
        assert!((expected - plain).abs() <= 1e-12 * plain, "{expected} {plain}");
        let found = Gradient::Dense(factors).squared_norm();
        // The whole gradient's elements are rounded to f32.
        assert!((found - expected).abs() <= 1e-6 * expected, "{shape:?}: {found} {expected}");
    }
}
