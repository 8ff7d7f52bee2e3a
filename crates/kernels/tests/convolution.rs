//! The fast convolution against the plain one and against finite differences.

mod random;

use kernels::activation::Activation;
use kernels::convolution::{self, ConvolutionShape, plain};
use proptest::prelude::*;
use random::{assert_close, assert_same, normal, widened};

/// Largest error relative to the output's root mean square. Winograd's F(4x4, 3x3) in f32 with these points stays within
/// 2e-5 over millions of outputs of VGG16's shapes; sums of few channels have a smaller root mean square at times.
const TOLERANCE: f64 = 4e-5;

fn shapes() -> impl Strategy<Value = ConvolutionShape> {
    (1..4_usize, 1..13_usize, 1..12_usize, 1..20_usize, 1..20_usize).prop_map(
        |(batch, in_channels, out_channels, height, width)| ConvolutionShape {
            batch,
            in_channels,
            out_channels,
            height,
            width,
        },
    )
}

/// Shapes that take more than one task, block of channels or part of a sum, and none that fills its last.
const LARGE: [ConvolutionShape; 4] = [
    ConvolutionShape { batch: 5, in_channels: 9, out_channels: 259, height: 13, width: 15 },
    ConvolutionShape { batch: 3, in_channels: 17, out_channels: 7, height: 50, width: 61 },
    ConvolutionShape { batch: 1, in_channels: 8, out_channels: 3, height: 3, width: 500 },
    ConvolutionShape { batch: 2, in_channels: 3, out_channels: 10, height: 45, width: 470 },
];

fn check(shape: ConvolutionShape, seed: u64) {
    let images = normal(seed, shape.images_len());
    let weights = normal(seed + 1, shape.weights_len());
    let bias = normal(seed + 2, shape.out_channels);
    let grad_output = normal(seed + 3, shape.output_len());
    let (wide_images, wide_weights) = (widened(&images), widened(&weights));
    let wide_grad = widened(&grad_output);

    let expected = plain::forward(shape, &wide_images, &wide_weights, &widened(&bias));
    let mut output = vec![f32::NAN; shape.output_len()];
    convolution::forward(shape, &images, &weights, &bias, Activation::Identity, &mut output);
    assert_close("output", &output, &expected, TOLERANCE);
    let mut rectified = vec![f32::NAN; shape.output_len()];
    convolution::forward(shape, &images, &weights, &bias, Activation::Relu, &mut rectified);
    assert_same("rectified", &rectified, &random::rectified(&output));

    let mut grad_images = vec![f32::NAN; shape.images_len()];
    convolution::backward_images(shape, &weights, &grad_output, &mut grad_images);
    let expected = plain::backward_images(shape, &wide_weights, &wide_grad);
    assert_close("grad_images", &grad_images, &expected, TOLERANCE);

    let mut grad_weights = vec![f32::NAN; shape.weights_len()];
    let mut grad_bias = vec![f32::NAN; shape.out_channels];
    convolution::backward_weights(shape, &images, &grad_output, &mut grad_weights, &mut grad_bias);
    let (expected_weights, expected_bias) =
        plain::backward_weights(shape, &wide_images, &wide_grad);
    assert_close("grad_weights", &grad_weights, &expected_weights, TOLERANCE);
    assert_close("grad_bias", &grad_bias, &expected_bias, TOLERANCE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn agrees_with_the_plain_convolution(shape in shapes(), seed in 0..u64::MAX - 8) {
        check(shape, seed);
    }
}

#[test]
fn agrees_with_the_plain_convolution_over_several_tasks() {
    for shape in LARGE {
        check(shape, 7);
    }
}

#[test]
fn plain_gradients_are_those_of_the_plain_convolution() {
    let shape = ConvolutionShape { batch: 2, in_channels: 2, out_channels: 3, height: 4, width: 3 };
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
fn bits_do_not_depend_on_the_number_of_threads() {
    let run = |shape: ConvolutionShape| {
        let images = normal(1, shape.images_len());
        let weights = normal(2, shape.weights_len());
        let bias = normal(3, shape.out_channels);
        let grad_output = normal(4, shape.output_len());
        let mut output = vec![0.0; shape.output_len()];
        convolution::forward(shape, &images, &weights, &bias, Activation::Relu, &mut output);
        let mut grad_images = vec![0.0; shape.images_len()];
        convolution::backward_images(shape, &weights, &grad_output, &mut grad_images);
        let mut grad_weights = vec![0.0; shape.weights_len()];
        let mut grad_bias = vec![0.0; shape.out_channels];
        convolution::backward_weights(
            shape,
            &images,
            &grad_output,
            &mut grad_weights,
            &mut grad_bias,
        );
        [output, grad_images, grad_weights, grad_bias]
    };
    for shape in LARGE {
        let one = random::with_threads(1, || run(shape));
        for threads in [2, 3] {
            let several = random::with_threads(threads, || run(shape));
            for (several, one) in several.iter().zip(&one) {
                assert_same(&format!("{shape:?}, {threads} threads"), several, one);
            }
        }
    }
}

#[test]
fn nan_reaches_every_output_that_depends_on_it() {
    for in_channels in [3, 9] {
        let shape =
            ConvolutionShape { batch: 1, in_channels, out_channels: 2, height: 9, width: 9 };
        let mut images = normal(1, shape.images_len());
        images[9 * 4 + 5] = f32::NAN;
        let weights = normal(2, shape.weights_len());
        let mut output = vec![0.0; shape.output_len()];
        convolution::forward(shape, &images, &weights, &[0.0; 2], Activation::Relu, &mut output);
        let expected = plain::forward(shape, &widened(&images), &widened(&weights), &[0.0; 2]);
        assert_eq!(expected.iter().filter(|value| value.is_nan()).count(), 18);
        assert!(expected.iter().zip(&output).all(|(e, value)| !e.is_nan() || value.is_nan()));
    }
}

#[test]
fn no_images_give_zero_gradients() {
    let shape = ConvolutionShape { batch: 0, in_channels: 8, out_channels: 2, height: 3, width: 3 };
    let (mut grad_weights, mut grad_bias) = ([f32::NAN; 144], [f32::NAN; 2]);
    convolution::forward(shape, &[], &[0.0; 144], &[0.0; 2], Activation::Relu, &mut []);
    convolution::backward_images(shape, &[0.0; 144], &[], &mut []);
    convolution::backward_weights(shape, &[], &[], &mut grad_weights, &mut grad_bias);
    assert_same("grad_weights", &grad_weights, &[0.0; 144]);
    assert_same("grad_bias", &grad_bias, &[0.0; 2]);
}
