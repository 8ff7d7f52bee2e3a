//! Convolution on blocked activations against the plain one and against finite differences, pooling against its definition.

mod random;

use kernels::blocked::{self, BlockedShape, CLIPPED};
use kernels::convolution;
use kernels::convolution::plain::{self, PlainShape};
use proptest::prelude::*;
use random::{assert_close, normal, widened};

/// Largest error relative to the output's root mean square, as in `convolution.rs`.
const TOLERANCE: f64 = 4e-5;

fn check(shape: BlockedShape, out_channels: usize, seed: u64) {
    let BlockedShape { batch, channels, height, width } = shape;
    let plain_shape = PlainShape { batch, in_channels: channels, out_channels, height, width };
    let images = normal(seed, plain_shape.images_len());
    let weights = normal(seed + 1, plain_shape.weights_len());
    let bias = normal(seed + 2, out_channels);
    let grad = normal(seed + 3, plain_shape.output_len());
    let written = BlockedShape { channels: out_channels, ..shape };
    let blocked_images = blocked::block(shape, &images);
    let blocked_grad = blocked::block(written, &grad);
    assert_eq!(blocked::unblock(shape, &blocked_images), images);

    let sums = plain::forward(plain_shape, &widened(&images), &widened(&weights), &widened(&bias));
    let expected: Vec<f64> = sums.iter().map(|&sum| sum.max(0.0)).collect();
    let output = convolution::forward(shape, &blocked_images, &weights, &bias);
    assert_close("output", &blocked::unblock(written, &output), &expected, TOLERANCE);
    assert_border_is_zero(written, &output);
    let direct = convolution::image_forward(shape, &images, &weights, &bias);
    assert_close("direct", &blocked::unblock(written, &direct), &expected, TOLERANCE);
    assert_border_is_zero(written, &direct);

    let expected = plain::backward_images(plain_shape, &widened(&weights), &widened(&grad));
    let found = convolution::backward_images(shape, out_channels, &weights, &blocked_grad);
    assert_close("grad_images", &blocked::unblock(shape, &found), &expected, TOLERANCE);
    assert_border_is_zero(shape, &found);

    let (expected_weights, expected_bias) =
        plain::backward_weights(plain_shape, &widened(&images), &widened(&grad));
    let (found, found_bias) =
        convolution::backward_weights(shape, out_channels, &blocked_images, &blocked_grad);
    assert_close("grad_weights", &found, &expected_weights, TOLERANCE);
    assert_close("grad_bias", &found_bias, &expected_bias, TOLERANCE);
    let (found, found_bias) =
        convolution::image_backward_weights(shape, out_channels, &images, &blocked_grad);
    assert_close("direct grad_weights", &found, &expected_weights, TOLERANCE);
    assert_close("direct grad_bias", &found_bias, &expected_bias, TOLERANCE);

    check_pooling(shape, written, &blocked_images, (&weights, &bias), &output, seed);
}

/// The pooled convolution is the convolution, pooled; its gradient goes to the winners.
fn check_pooling(
    shape: BlockedShape,
    written: BlockedShape,
    images: &[f32],
    (weights, bias): (&[f32], &[f32]),
    output: &[f32],
    seed: u64,
) {
    let pooled = written.pooled();
    let (values, winners) = convolution::forward_pooled(shape, images, weights, bias);
    assert_border_is_zero(pooled, &values);
    let (plain_output, found) =
        (blocked::unblock(written, output), blocked::unblock(pooled, &values));
    let grad_pooled = normal(seed + 4, pooled.plain_len());
    let mut expected_grad = vec![0.0; written.plain_len()];
    let window = |index: usize| {
        let (plane, rest) =
            (index / (pooled.height * pooled.width), index % (pooled.height * pooled.width));
        let (y, x) = (rest / pooled.width, rest % pooled.width);
        let corner = plane * written.height * written.width + 2 * y * written.width + 2 * x;
        [corner, corner + 1, corner + written.width, corner + written.width + 1]
    };
    for (index, &value) in found.iter().enumerate() {
        let of_window = window(index);
        let largest = of_window.iter().map(|&at| plain_output[at]).fold(0.0, f32::max);
        assert_eq!(value.to_bits(), largest.to_bits(), "{index}");
        if largest > 0.0 {
            let is_largest = |at: &usize| plain_output[*at].to_bits() == largest.to_bits();
            let winner = of_window.into_iter().find(is_largest).expect("it is one of the four");
            expected_grad[winner] = grad_pooled[index];
        }
    }
    let grad = blocked::unpool_gradient(written, &winners, &blocked::block(pooled, &grad_pooled));
    assert_eq!(blocked::unblock(written, &grad), expected_grad);
    assert!(winners.iter().all(|&winner| winner <= CLIPPED));
}

fn assert_border_is_zero(shape: BlockedShape, images: &[f32]) {
    assert_eq!(blocked::block(shape, &blocked::unblock(shape, images)), images);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_the_plain_convolution(
        batch in 1..4_usize, channels in 1..40_usize, out_channels in 1..40_usize,
        height in 1..14_usize, width in 1..14_usize, seed in 0..u64::MAX - 8
    ) {
        check(BlockedShape { batch, channels, height, width }, out_channels, seed);
    }
}

/// Shapes that take every way: tiles shared and not, more than one chunk, pairs that are not full.
#[test]
fn agrees_with_the_plain_convolution_over_several_tasks() {
    for (batch, channels, out_channels, height, width) in [
        (5, 150, 49, 15, 13),
        (3, 17, 7, 50, 61),
        (1, 8, 3, 3, 300),
        (2, 260, 33, 14, 14),
        (9, 130, 70, 6, 6),
        (5, 150, 150, 40, 40),
    ] {
        check(BlockedShape { batch, channels, height, width }, out_channels, 7);
    }
}

#[test]
fn masked_gradients_pass_where_the_output_is_positive_or_nan() {
    let shape = BlockedShape { batch: 1, channels: 1, height: 1, width: 4 };
    let output = blocked::block(shape, &[0.0, 1.0, f32::NAN, -0.0]);
    let grad = blocked::block(shape, &[1.0, 2.0, 3.0, 4.0]);
    let masked = blocked::mask_gradient(shape, &output, &grad);
    assert_eq!(blocked::unblock(shape, &masked), [0.0, 2.0, 3.0, 0.0]);
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for (channels, out_channels, side) in [(20, 40, 30), (150, 70, 14), (150, 150, 56)] {
        let shape = BlockedShape { batch: 3, channels, height: side, width: side };
        let written = BlockedShape { channels: out_channels, ..shape };
        let images = blocked::block(shape, &normal(1, shape.plain_len()));
        let weights = normal(2, out_channels * channels * 9);
        let bias = normal(3, out_channels);
        let grad = blocked::block(written, &normal(4, written.plain_len()));
        let run = || {
            let (grad_weights, grad_bias) =
                convolution::backward_weights(shape, out_channels, &images, &grad);
            [
                convolution::forward(shape, &images, &weights, &bias),
                convolution::forward_pooled(shape, &images, &weights, &bias).0,
                convolution::backward_images(shape, out_channels, &weights, &grad),
                grad_weights,
                grad_bias,
            ]
        };
        let one = random::with_threads(1, run);
        for threads in [2, 3] {
            assert!(random::with_threads(threads, run) == one, "{threads} threads");
        }
    }
}

#[test]
fn plain_gradients_are_those_of_the_plain_convolution() {
    let shape = PlainShape { batch: 2, in_channels: 2, out_channels: 3, height: 4, width: 3 };
    let images = widened(&normal(1, shape.images_len()));
    let weights = widened(&normal(2, shape.weights_len()));
    let bias = widened(&normal(3, shape.out_channels));
    let direction = widened(&normal(4, shape.output_len()));
    let loss = |images: &[f64], weights: &[f64], bias: &[f64]| -> f64 {
        let output = plain::forward(shape, images, weights, bias);
        output.iter().zip(&direction).map(|(value, grad)| value * grad).sum()
    };
    let (grad_weights, grad_bias) = plain::backward_weights(shape, &images, &direction);
    let grad_images = plain::backward_images(shape, &weights, &direction);
    random::assert_gradient(&grad_images, &images, |images| loss(images, &weights, &bias));
    random::assert_gradient(&grad_weights, &weights, |weights| loss(&images, weights, &bias));
    random::assert_gradient(&grad_bias, &bias, |bias| loss(&images, &weights, bias));
}

#[test]
fn nan_reaches_every_output_that_depends_on_it() {
    let shape = BlockedShape { batch: 1, channels: 9, height: 9, width: 9 };
    let written = BlockedShape { channels: 2, ..shape };
    let plain_shape = PlainShape { batch: 1, in_channels: 9, out_channels: 2, height: 9, width: 9 };
    let mut images = normal(1, shape.plain_len());
    images[9 * 4 + 5] = f32::NAN;
    let weights = normal(2, 2 * 9 * 9);
    let expected = plain::forward(plain_shape, &widened(&images), &widened(&weights), &[0.0; 2]);
    assert_eq!(expected.iter().filter(|value| value.is_nan()).count(), 18);
    let direct = convolution::image_forward(shape, &images, &weights, &[0.0; 2]);
    let blocked = convolution::forward(shape, &blocked::block(shape, &images), &weights, &[0.0; 2]);
    for output in [direct, blocked] {
        let output = blocked::unblock(written, &output);
        assert!(expected.iter().zip(&output).all(|(e, value)| !e.is_nan() || value.is_nan()));
    }
    let images = blocked::block(shape, &images);
    let pooled = convolution::forward_pooled(shape, &images, &weights, &[0.0; 2]).0;
    let pooled = blocked::unblock(written.pooled(), &pooled);
    for (index, value) in expected.iter().enumerate().filter(|(_, value)| value.is_nan()) {
        let (plane, y, x) = (index / 81, index % 81 / 9, index % 9);
        assert!(value.is_nan() && pooled[plane * 16 + y / 2 * 4 + x / 2].is_nan());
    }
}

#[test]
fn no_images_give_zero_gradients() {
    let shape = BlockedShape { batch: 0, channels: 8, height: 3, width: 3 };
    assert!(convolution::forward(shape, &[], &[0.0; 144], &[0.0; 2]).is_empty());
    assert!(convolution::backward_images(shape, 2, &[0.0; 144], &[]).is_empty());
    let (grad_weights, grad_bias) = convolution::backward_weights(shape, 2, &[], &[]);
    assert_eq!((grad_weights, grad_bias), (vec![0.0; 144], vec![0.0; 2]));
}
