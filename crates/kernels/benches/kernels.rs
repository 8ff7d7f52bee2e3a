//! Each kernel on each of VGG16's shapes, eight images a call, images a second:
//! `cargo bench -p kernels --bench kernels`.

mod shapes;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::activation::Activation;
use kernels::buffers::BufferStore;
use kernels::convolution::{self, Before};
use kernels::dense::{self, DenseShape};
use kernels::optimizer::{Adam, DenseGradient, Gradient, Moments, Rule, Step};
use shapes::{CONVOLUTIONS, images, numbers};

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

const BATCH: usize = 8;

fn convolutions(criterion: &mut Criterion) {
    for (name, channels, out_channels, side) in CONVOLUTIONS {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(BATCH as u64)).sample_size(10);
        let shape = images(BATCH, channels, side);
        let written = images(BATCH, out_channels, side);
        let store = BufferStore::default();
        let filled = |length| {
            let mut buffer = store.take(length);
            buffer.fill(0.5);
            buffer
        };
        let (input, grad) = (filled(shape.len()), filled(written.len()));
        let mut output = filled(shape.len().max(written.len()));
        let mut winners = vec![0; written.pooled().winners_len()];
        let (weights, bias) = (numbers(out_channels * channels * 9), numbers(out_channels));
        group.bench_function("forward", |bencher| {
            let output = &mut output[..written.len()];
            bencher.iter(|| convolution::forward(shape, &input, &weights, &bias, output));
        });
        group.bench_function("forward_pooled", |bencher| {
            let output = &mut output[..written.pooled().len()];
            bencher.iter(|| {
                convolution::forward_pooled(shape, &input, &weights, &bias, output, &mut winners);
            });
        });
        group.bench_function("backward_images", |bencher| {
            let output = &mut output[..shape.len()];
            let before = Before::Activation(&input);
            bencher.iter(|| {
                convolution::backward_images(shape, out_channels, &weights, &grad, before, output);
            });
        });
        let (mut grad_weights, mut grad_bias) = (vec![0.0; weights.len()], vec![0.0; bias.len()]);
        group.bench_function("backward_weights", |bencher| {
            bencher.iter(|| {
                convolution::backward_weights(
                    shape,
                    out_channels,
                    &input,
                    &grad,
                    &mut grad_weights,
                    &mut grad_bias,
                );
            });
        });
    }
}

fn first_convolution(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conv1_1");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(10);
    let (shape, written) = (images(BATCH, 3, 224), images(BATCH, 64, 224));
    let (plain, grad) = (numbers(shape.plain_len()), numbers(written.len()));
    let (weights, bias) = (numbers(64 * 27), numbers(64));
    let mut output = vec![0.0; written.len()];
    group.bench_function("forward", |bencher| {
        bencher.iter(|| {
            convolution::image_forward(shape, &plain, &weights, &bias, &mut output);
        });
    });
    let (mut grad_weights, mut grad_bias) = (vec![0.0; weights.len()], vec![0.0; 64]);
    group.bench_function("backward_weights", |bencher| {
        bencher.iter(|| {
            convolution::image_backward_weights(
                shape,
                64,
                &plain,
                &grad,
                &mut grad_weights,
                &mut grad_bias,
            );
        });
    });
}

fn head(criterion: &mut Criterion) {
    const IMAGES: usize = 32;
    let adam = Rule::Adam(Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 });
    let step = Step::new(adam, 1e-4, 3);
    for (name, in_features, out_features) in [("fc6", 25_088, 4096), ("fc7", 4096, 4096)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(IMAGES as u64)).sample_size(10);
        let shape = DenseShape { batch: IMAGES, in_features, out_features };
        let (inputs, grad_output) = (numbers(shape.inputs_len()), numbers(shape.output_len()));
        let (mut weights, bias) = (numbers(shape.weights_len()), numbers(out_features));
        let mut output = vec![0.0; shape.output_len()];
        group.bench_function("forward", |bencher| {
            let activation = Activation::Relu;
            bencher.iter(|| {
                dense::forward(shape, &inputs, &weights, &bias, activation, &mut output);
            });
        });
        let mut grad_inputs = vec![0.0; shape.inputs_len()];
        group.bench_function("backward_inputs", |bencher| {
            bencher.iter(|| {
                dense::backward_inputs(shape, &weights, &grad_output, &mut grad_inputs);
            });
        });
        let mut gradient = vec![0.0; shape.weights_len()];
        group.bench_function("backward_weights", |bencher| {
            bencher.iter(|| dense::backward_weights(shape, &inputs, &grad_output, &mut gradient));
        });
        let (mut first, mut second) = (gradient.clone(), vec![1.0; shape.weights_len()]);
        group.bench_function("adam", |bencher| {
            bencher.iter(|| {
                let moments = Moments { momentum: &mut first, velocity: &mut second };
                step.apply(Gradient::Whole(&gradient), &mut weights, moments);
            });
        });
        let factors = DenseGradient { shape, inputs: &inputs, grad_output: &grad_output };
        group.bench_function("adam_dense", |bencher| {
            bencher.iter(|| {
                let moments = Moments { momentum: &mut first, velocity: &mut second };
                step.apply(Gradient::Dense(factors), &mut weights, moments);
            });
        });
    }
}

criterion_group!(benches, convolutions, first_convolution, head);
criterion_main!(benches);
