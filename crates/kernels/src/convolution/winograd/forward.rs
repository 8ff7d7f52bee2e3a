//! The convolution, and the gradient of its images, which is a convolution with rotated filters.

use rayon::prelude::*;

use super::POINTS;
use super::filters::Filters;
use super::tiles::{Grid, Images, transform_input, write_output};
use crate::activation::Activation;
use crate::convolution::ConvolutionShape;
use crate::matrix::{Update, multiply};
use crate::scratch::{SharedSlice, with_buffers};

/// Most output channels of a task; each more block transforms the input once more.
const TASK_CHANNELS: usize = 256;

pub(in crate::convolution) fn forward(
    shape: ConvolutionShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    activation: Activation,
    output: &mut [f32],
) {
    let images = Images { values: images, channels: shape.in_channels };
    let filters = Filters::upright(shape, weights);
    convolve(grid(shape), images, &filters, |channel| (bias[channel], activation), output);
}

pub(in crate::convolution) fn backward_images(
    shape: ConvolutionShape,
    weights: &[f32],
    grad_output: &[f32],
    grad_images: &mut [f32],
) {
    let grads = Images { values: grad_output, channels: shape.out_channels };
    let filters = Filters::rotated(shape, weights);
    convolve(grid(shape), grads, &filters, |_| (0.0, Activation::Identity), grad_images);
}

fn grid(shape: ConvolutionShape) -> Grid {
    Grid::new(shape.batch, shape.height, shape.width)
}

fn convolve(
    grid: Grid,
    images: Images<'_>,
    filters: &Filters,
    finish: impl Fn(usize) -> (f32, Activation) + Sync,
    output: &mut [f32],
) {
    let channels = filters.written();
    let output = SharedSlice::new(output);
    let tiles = task_tiles(images.channels);
    let tasks: Vec<_> = (0..channels)
        .step_by(TASK_CHANNELS)
        .flat_map(|first| grid.chunks(tiles).into_iter().map(move |chunk| (first, chunk)))
        .collect();
    tasks.into_par_iter().for_each(|(first, chunk)| {
        let written = TASK_CHANNELS.min(channels - first);
        let lengths = [
            chunk.transformed_len(images.channels),
            chunk.transformed_len(written),
            chunk.scratch_len(),
        ];
        with_buffers(lengths, |[inputs, sums, scratch]| {
            let (input_stride, sum_stride) =
                (chunk.point_stride(images.channels), chunk.point_stride(written));
            let row_stride = chunk.layout(1).row_stride;
            for channel in 0..images.channels {
                let inputs = &mut inputs[channel * row_stride..];
                transform_input(images, channel, &chunk, scratch, inputs, input_stride);
            }
            for point in 0..POINTS {
                multiply(
                    filters.matrix(point, first, written),
                    (&inputs[point * input_stride..], chunk.layout(images.channels)),
                    (&mut sums[point * sum_stride..], chunk.layout(written)),
                    Update::Overwrite,
                );
            }
            for channel in 0..written {
                let sums = &sums[channel * row_stride..];
                let target = (&output, channels, first + channel);
                // SAFETY: tasks differ in chunk or in channels.
                unsafe {
                    write_output(
                        sums,
                        sum_stride,
                        &chunk,
                        finish(first + channel),
                        scratch,
                        target,
                    );
                }
            }
        });
    });
}

/// Tiles that a task aims at. Many make products wide and spare reading the filters; but with few channels, where the
/// products are cheap, it matters more that the transformed tiles stay near the second cache.
fn task_tiles(channels: usize) -> usize {
    if channels <= 64 { 56 } else { 112 }
}
