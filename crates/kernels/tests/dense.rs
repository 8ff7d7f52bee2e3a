//! The fast dense layer against the plain one and against finite differences.

mod random;

use kernels::activation::Activation;
use kernels::dense::{self, DenseShape, plain};
use proptest::prelude::*;
use random::{assert_close, assert_same, normal, widened};

/// Largest error relative to the root mean square: that of a plain f32 sum of a few hundred terms, with a factor of two.
const TOLERANCE: f64 = 1e-5;

fn check(shape: DenseShape, seed: u64) {
    let inputs = normal(seed, shape.inputs_len());
    let weights = normal(seed + 1, shape.weights_len());
    let bias = normal(seed + 2, shape.out_features);
    let grad_output = normal(seed + 3, shape.output_len());
    let (wide_inputs, wide_weights) = (widened(&inputs), widened(&weights));
    let wide_grad = widened(&grad_output);

    let mut output = vec![f32::NAN; shape.output_len()];
    dense::forward(shape, &inputs, &weights, &bias, Activation::Identity, &mut output);
    let expected = plain::forward(shape, &wide_inputs, &wide_weights, &widened(&bias));
    assert_close("output", &output, &expected, TOLERANCE);
    let mut rectified = vec![f32::NAN; shape.output_len()];
    dense::forward(shape, &inputs, &weights, &bias, Activation::Relu, &mut rectified);
    assert_same("rectified", &rectified, &random::rectified(&output));

    let mut grad_inputs = vec![f32::NAN; shape.inputs_len()];
    dense::backward_inputs(shape, &weights, &grad_output, &mut grad_inputs);
    let expected = plain::backward_inputs(shape, &wide_weights, &wide_grad);
    assert_close("grad_inputs", &grad_inputs, &expected, TOLERANCE);

    let mut grad_weights = vec![f32::NAN; shape.weights_len()];
    let mut grad_bias = vec![f32::NAN; shape.out_features];
    dense::backward_weights(shape, &inputs, &grad_output, &mut grad_weights);
    dense::bias_gradient(shape, &grad_output, &mut grad_bias);
    let (expected_weights, expected_bias) =
        plain::backward_weights(shape, &wide_inputs, &wide_grad);
    assert_close("grad_weights", &grad_weights, &expected_weights, TOLERANCE);
    assert_close("grad_bias", &grad_bias, &expected_bias, TOLERANCE);
}

/// More than one block of either kind of feature, the last of them not full.
const LARGE: DenseShape = DenseShape { batch: 33, in_features: 1801, out_features: 137 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_the_plain_layer(
        batch in 1..40_usize,
        in_features in 1..300_usize,
        out_features in 1..140_usize,
        seed in 0..u64::MAX - 8,
    ) {
        check(DenseShape { batch, in_features, out_features }, seed);
    }
}

#[test]
fn agrees_with_the_plain_layer_over_several_tasks() {
    check(LARGE, 7);
}

#[test]
fn plain_gradients_are_those_of_the_plain_layer() {
    let shape = DenseShape { batch: 3, in_features: 4, out_features: 5 };
    let inputs = widened(&normal(1, shape.inputs_len()));
    let weights = widened(&normal(2, shape.weights_len()));
    let bias = widened(&normal(3, shape.out_features));
    let direction = widened(&normal(4, shape.output_len()));
    let loss = |inputs: &[f64], weights: &[f64], bias: &[f64]| -> f64 {
        let output = plain::forward(shape, inputs, weights, bias);
        output.iter().zip(&direction).map(|(value, grad)| value * grad).sum()
    };
    let (grad_weights, grad_bias) = plain::backward_weights(shape, &inputs, &direction);
    let grad_inputs = plain::backward_inputs(shape, &weights, &direction);
    random::assert_gradient(&grad_inputs, &inputs, |inputs| loss(inputs, &weights, &bias));
    random::assert_gradient(&grad_weights, &weights, |weights| loss(&inputs, weights, &bias));
    random::assert_gradient(&grad_bias, &bias, |bias| loss(&inputs, &weights, bias));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let run = || {
        let inputs = normal(1, LARGE.inputs_len());
        let weights = normal(2, LARGE.weights_len());
        let bias = normal(3, LARGE.out_features);
        let grad_output = normal(4, LARGE.output_len());
        let mut output = vec![0.0; LARGE.output_len()];
        dense::forward(LARGE, &inputs, &weights, &bias, Activation::Relu, &mut output);
        let mut grad_inputs = vec![0.0; LARGE.inputs_len()];
        dense::backward_inputs(LARGE, &weights, &grad_output, &mut grad_inputs);
        let mut grad_weights = vec![0.0; LARGE.weights_len()];
        let mut grad_bias = vec![0.0; LARGE.out_features];
        dense::backward_weights(LARGE, &inputs, &grad_output, &mut grad_weights);
        dense::bias_gradient(LARGE, &grad_output, &mut grad_bias);
        [output, grad_inputs, grad_weights, grad_bias]
    };
    let one = random::with_threads(1, run);
    for threads in [2, 3] {
        let several = random::with_threads(threads, run);
        for (several, one) in several.iter().zip(&one) {
            assert_same(&format!("{threads} threads"), several, one);
        }
    }
}

#[test]
fn empty_sides_give_zeros() {
    let shape = DenseShape { batch: 0, in_features: 2, out_features: 1 };
    let (mut grad_weights, mut grad_bias) = ([f32::NAN; 2], [f32::NAN]);
    dense::backward_weights(shape, &[], &[], &mut grad_weights);
    dense::bias_gradient(shape, &[], &mut grad_bias);
    assert_same("grad_weights", &grad_weights, &[0.0; 2]);
    assert_same("grad_bias", &grad_bias, &[0.0]);
}
