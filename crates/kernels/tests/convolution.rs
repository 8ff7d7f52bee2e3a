//! Convolution on blocked activations against the plain one and against finite differences, pooling against its definition.

mod random;

use kernels::blocked::{self, BlockedShape, CLIPPED};
use kernels::convolution::plain::{self, PlainShape};
use kernels::convolution::{self, Before};
use proptest::prelude::*;
use random::{assert_close, normal, widened};

/// Largest error relative to the output's root mean square, as in `convolution.rs`.
const TOLERANCE: f64 = 4e-5;

/// What `write` writes over.
fn written(length: usize, write: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut values = vec![f32::NAN; length];
    write(&mut values);
    values
}

fn block(shape: BlockedShape, images: &[f32]) -> Vec<f32> {
    written(shape.len(), |to| blocked::block(shape, images, to))
}

fn unblock(shape: BlockedShape, images: &[f32]) -> Vec<f32> {
    written(shape.plain_len(), |to| blocked::unblock(shape, images, to))
}

fn forward(shape: BlockedShape, images: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
    let convolved = BlockedShape { channels: bias.len(), ..shape };
    written(convolved.len(), |to| convolution::forward(shape, images, weights, bias, to))
}

fn image_forward(shape: BlockedShape, images: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
    let convolved = BlockedShape { channels: bias.len(), ..shape };
    written(convolved.len(), |to| convolution::image_forward(shape, images, weights, bias, to))
}

fn forward_pooled(
    shape: BlockedShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
) -> (Vec<f32>, Vec<u8>) {
    let pooled = BlockedShape { channels: bias.len(), ..shape }.pooled();
    let mut winners = vec![u8::MAX; pooled.winners_len()];
    let output = written(pooled.len(), |to| {
        convolution::forward_pooled(shape, images, weights, bias, to, &mut winners);
    });
    (output, winners)
}

fn backward_images(
    shape: BlockedShape,
    out_channels: usize,
    weights: &[f32],
    grad: &[f32],
    before: Before<'_>,
) -> Vec<f32> {
    let length = match before {
        Before::Nothing | Before::Activation(_) => shape.len(),
        Before::Pool { shape, .. } => shape.len(),
    };
    written(length, |to| {
        convolution::backward_images(shape, out_channels, weights, grad, before, to);
    })
}

/// A way to compute the gradients of weights and bias: by blocks, or directly.
type WeightsKernel = fn(BlockedShape, usize, &[f32], &[f32], &mut [f32], &mut [f32]);

fn backward_weights(
    kernel: WeightsKernel,
    shape: BlockedShape,
    out_channels: usize,
    images: &[f32],
    grad: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let mut grad_bias = vec![0.0; out_channels];
    let mut grad_weights = vec![0.0; out_channels * shape.channels * 9];
    kernel(shape, out_channels, images, grad, &mut grad_weights, &mut grad_bias);
    (grad_weights, grad_bias)
}

fn check(shape: BlockedShape, out_channels: usize, seed: u64) {
    let BlockedShape { batch, channels, height, width } = shape;
    let plain_shape = PlainShape { batch, in_channels: channels, out_channels, height, width };
    let images = normal(seed, plain_shape.images_len());
    let weights = normal(seed + 1, plain_shape.weights_len());
    let bias = normal(seed + 2, out_channels);
    let grad = normal(seed + 3, plain_shape.output_len());
    let convolved = BlockedShape { channels: out_channels, ..shape };
    let blocked_images = block(shape, &images);
    let blocked_grad = block(convolved, &grad);
    assert_eq!(unblock(shape, &blocked_images), images);

    let sums = plain::forward(plain_shape, &widened(&images), &widened(&weights), &widened(&bias));
    let expected: Vec<f64> = sums.iter().map(|&sum| sum.max(0.0)).collect();
    let output = forward(shape, &blocked_images, &weights, &bias);
    assert_close("output", &unblock(convolved, &output), &expected, TOLERANCE);
    assert_border_is_zero(convolved, &output);
    let direct = image_forward(shape, &images, &weights, &bias);
    assert_close("direct", &unblock(convolved, &direct), &expected, TOLERANCE);
    assert_border_is_zero(convolved, &direct);

    let expected = plain::backward_images(plain_shape, &widened(&weights), &widened(&grad));
    let found = backward_images(shape, out_channels, &weights, &blocked_grad, Before::Nothing);
    assert_close("grad_images", &unblock(shape, &found), &expected, TOLERANCE);
    assert_border_is_zero(shape, &found);
    check_before(shape, &blocked_images, &found, |before| {
        backward_images(shape, out_channels, &weights, &blocked_grad, before)
    });

    let (expected_weights, expected_bias) =
        plain::backward_weights(plain_shape, &widened(&images), &widened(&grad));
    for (name, kernel, images) in [
        ("blocked", convolution::backward_weights as WeightsKernel, &blocked_images),
        ("direct", convolution::image_backward_weights, &images),
    ] {
        let (found, found_bias) =
            backward_weights(kernel, shape, out_channels, images, &blocked_grad);
        assert_close(&format!("{name} grad_weights"), &found, &expected_weights, TOLERANCE);
        assert_close(&format!("{name} grad_bias"), &found_bias, &expected_bias, TOLERANCE);
    }

    check_pooling(shape, convolved, &blocked_images, (&weights, &bias), &output, seed);
}

/// A gradient that goes on through an activation, or a pool, is the gradient of the images taken through it.
fn check_before(
    shape: BlockedShape,
    images: &[f32],
    grad_images: &[f32],
    backward: impl Fn(Before<'_>) -> Vec<f32>,
) {
    let expected =
        written(shape.len(), |to| blocked::mask_gradient(shape, images, grad_images, to));
    assert_eq!(backward(Before::Activation(images)), expected);
    let winners: Vec<u8> = (0..=CLIPPED).cycle().take(shape.winners_len()).collect();
    for odd in [0, 1] {
        let shape =
            BlockedShape { height: 2 * shape.height + odd, width: 2 * shape.width + odd, ..shape };
        let expected = written(shape.len(), |to| {
            blocked::unpool_gradient(shape, &winners, grad_images, to);
        });
        assert_eq!(backward(Before::Pool { winners: &winners, shape }), expected);
    }
}

/// The pooled convolution is the convolution, pooled; its gradient goes to the winners.
fn check_pooling(
    shape: BlockedShape,
    convolved: BlockedShape,
    images: &[f32],
    (weights, bias): (&[f32], &[f32]),
    output: &[f32],
    seed: u64,
) {
    let pooled = convolved.pooled();
    let (values, winners) = forward_pooled(shape, images, weights, bias);
    assert_border_is_zero(pooled, &values);
    let (plain_output, found) = (unblock(convolved, output), unblock(pooled, &values));
    let grad_pooled = normal(seed + 4, pooled.plain_len());
    let mut expected_grad = vec![0.0; convolved.plain_len()];
    let window = |index: usize| {
        let (plane, rest) =
            (index / (pooled.height * pooled.width), index % (pooled.height * pooled.width));
        let (y, x) = (rest / pooled.width, rest % pooled.width);
        let corner = plane * convolved.height * convolved.width + 2 * y * convolved.width + 2 * x;
        [corner, corner + 1, corner + convolved.width, corner + convolved.width + 1]
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
    let grad = written(convolved.len(), |to| {
        blocked::unpool_gradient(convolved, &winners, &block(pooled, &grad_pooled), to);
    });
    assert_eq!(unblock(convolved, &grad), expected_grad);
    assert!(winners.iter().all(|&winner| winner <= CLIPPED));
}

fn assert_border_is_zero(shape: BlockedShape, images: &[f32]) {
    assert_eq!(block(shape, &unblock(shape, images)), images);
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
        (6, 150, 150, 40, 40),
        (1, 260, 260, 6, 6),
    ] {
        check(BlockedShape { batch, channels, height, width }, out_channels, 7);
    }
}

#[test]
fn masked_gradients_pass_where_the_output_is_positive_or_nan() {
    let shape = BlockedShape { batch: 1, channels: 1, height: 1, width: 4 };
    let output = block(shape, &[0.0, 1.0, f32::NAN, -0.0]);
    let grad = block(shape, &[1.0, 2.0, 3.0, 4.0]);
    let masked = written(shape.len(), |to| blocked::mask_gradient(shape, &output, &grad, to));
    assert_eq!(unblock(shape, &masked), [0.0, 2.0, 3.0, 0.0]);
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for (channels, out_channels, side) in [(20, 40, 30), (150, 70, 14), (150, 150, 56)] {
        let shape = BlockedShape { batch: 3, channels, height: side, width: side };
        let convolved = BlockedShape { channels: out_channels, ..shape };
        let images = block(shape, &normal(1, shape.plain_len()));
        let weights = normal(2, out_channels * channels * 9);
        let bias = normal(3, out_channels);
        let grad = block(convolved, &normal(4, convolved.plain_len()));
        let run = || {
            let (grad_weights, grad_bias) = backward_weights(
                convolution::backward_weights,
                shape,
                out_channels,
                &images,
                &grad,
            );
            [
                forward(shape, &images, &weights, &bias),
                forward_pooled(shape, &images, &weights, &bias).0,
                backward_images(shape, out_channels, &weights, &grad, Before::Nothing),
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
    let convolved = BlockedShape { channels: 2, ..shape };
    let plain_shape = PlainShape { batch: 1, in_channels: 9, out_channels: 2, height: 9, width: 9 };
    let mut images = normal(1, shape.plain_len());
    images[9 * 4 + 5] = f32::NAN;
    let weights = normal(2, 2 * 9 * 9);
    let expected = plain::forward(plain_shape, &widened(&images), &widened(&weights), &[0.0; 2]);
    assert_eq!(expected.iter().filter(|value| value.is_nan()).count(), 18);
    let direct = image_forward(shape, &images, &weights, &[0.0; 2]);
    let blocked = forward(shape, &block(shape, &images), &weights, &[0.0; 2]);
    for output in [direct, blocked] {
        let output = unblock(convolved, &output);
        assert!(expected.iter().zip(&output).all(|(e, value)| !e.is_nan() || value.is_nan()));
    }
    let images = block(shape, &images);
    let pooled = forward_pooled(shape, &images, &weights, &[0.0; 2]).0;
    let pooled = unblock(convolved.pooled(), &pooled);
    for (index, value) in expected.iter().enumerate().filter(|(_, value)| value.is_nan()) {
        let (plane, y, x) = (index / 81, index % 81 / 9, index % 9);
        assert!(value.is_nan() && pooled[plane * 16 + y / 2 * 4 + x / 2].is_nan());
    }
}

#[test]
fn no_images_give_zero_gradients() {
    let shape = BlockedShape { batch: 0, channels: 8, height: 3, width: 3 };
    assert!(forward(shape, &[], &[0.0; 144], &[0.0; 2]).is_empty());
    assert!(backward_images(shape, 2, &[0.0; 144], &[], Before::Nothing).is_empty());
    let (grad_weights, grad_bias) =
        backward_weights(convolution::backward_weights, shape, 2, &[], &[]);
    assert_eq!((grad_weights, grad_bias), (vec![0.0; 144], vec![0.0; 2]));
}

#[test]
fn images_without_pixels_leave_gradients_as_they_are() {
    for (channels, out_channels) in [(16, 16), (128, 128)] {
        for (height, width) in [(0, 5), (5, 0)] {
            let shape = BlockedShape { batch: 1, channels, height, width };
            let grad_shape = BlockedShape { channels: out_channels, ..shape };
            // Scratch of a kernel before, which must not show.
            let full = BlockedShape { height: 9, width: 9, ..shape };
            let full_grad = BlockedShape { channels: out_channels, ..full };
            let weights = normal(1, out_channels * channels * 9);
            let images = block(full, &normal(2, full.plain_len()));
            let grad = block(full_grad, &normal(3, full_grad.plain_len()));
            let kernel = convolution::backward_weights;
            backward_weights(kernel, full, out_channels, &images, &grad);
            let (images, grad) = (vec![0.0; shape.len()], vec![0.0; grad_shape.len()]);
            let (found, _) = backward_weights(kernel, shape, out_channels, &images, &grad);
            assert!(found.iter().all(|&gradient| gradient == 0.0));
            let output = forward(shape, &images, &weights, &vec![1.0; out_channels]);
            assert!(output.iter().all(|&value| value == 0.0));
        }
    }
}
