//! The gradient of the weights: `G^T [sum over tiles of (B^T d B) (A y A^T)] G`.

use rayon::prelude::*;

use super::POINTS;
use super::filters::{self, adjoint_row};
use super::tiles::{Chunk, Grid, Images, transform_grad_output, transform_input};
use crate::convolution::ConvolutionShape;
use crate::matrix::{Layout, Update, multiply};
use crate::scratch::with_buffers;

/// Tiles whose sum is worth a task of its own: with fewer, the transform of the sum weighs too much.
const MIN_PART_TILES: usize = 256;

/// Most parts that the tiles are split into.
const MAX_PARTS: usize = 16;

/// Most output channels of a task.
const TASK_CHANNELS: usize = 128;

pub(in crate::convolution) fn backward_weights(
    shape: ConvolutionShape,
    images: &[f32],
    grad_output: &[f32],
    grad_weights: &mut [f32],
) {
    let ConvolutionShape { in_channels, out_channels, .. } = shape;
    let images = Images { values: images, channels: in_channels };
    let grads = Images { values: grad_output, channels: out_channels };
    let chunks = Grid::new(shape.batch, shape.height, shape.width).chunks(chunk_tiles(in_channels));
    let tiles: usize = chunks.iter().map(Chunk::tiles).sum();
    let channel_blocks = out_channels.div_ceil(TASK_CHANNELS);
    // The split follows from the shape alone, so that the order of additions does too.
    let parts = (tiles / MIN_PART_TILES).clamp(1, MAX_PARTS.div_ceil(channel_blocks));
    let part_chunks = chunks.len().div_ceil(parts);
    let tasks: Vec<_> = (0..out_channels)
        .step_by(TASK_CHANNELS)
        .flat_map(|first| chunks.chunks(part_chunks).map(move |chunks| (first, chunks)))
        .collect();
    let partial: Vec<(usize, Vec<f32>)> = tasks
        .into_par_iter()
        .map(|(first, chunks)| {
            let channels = TASK_CHANNELS.min(out_channels - first);
            (first, partial_gradient(images, grads, (first, channels), chunks))
        })
        .collect();
    grad_weights.fill(0.0);
    for (first, part) in partial {
        for (grad, part) in grad_weights[first * in_channels * 9..].iter_mut().zip(part) {
            *grad += part;
        }
    }
}

/// The gradient of the filters of some output channels, summed over some chunks.
fn partial_gradient(
    images: Images<'_>,
    grads: Images<'_>,
    (first, channels): (usize, usize),
    chunks: &[Chunk],
) -> Vec<f32> {
    let in_channels = images.channels;
    let row_len = filters::row_len(in_channels);
    let mut gradient = vec![0.0; channels * in_channels * 9];
    let largest = &chunks[0];
    let lengths = [
        channels * row_len,
        largest.transformed_len(in_channels),
        largest.transformed_len(channels),
        largest.scratch_len(),
    ];
    with_buffers(lengths, |[sums, inputs, outputs, scratch]| {
        for (index, chunk) in chunks.iter().enumerate() {
            let (input_stride, output_stride) =
                (chunk.point_stride(in_channels), chunk.point_stride(channels));
            let row_stride = chunk.layout(1).row_stride;
            for channel in 0..in_channels {
                let inputs = &mut inputs[channel * row_stride..];
                transform_input(images, channel, chunk, scratch, inputs, input_stride);
            }
            for channel in 0..channels {
                let outputs = &mut outputs[channel * row_stride..];
                transform_grad_output(
                    grads,
                    first + channel,
                    chunk,
                    scratch,
                    outputs,
                    output_stride,
                );
            }
            let update = if index == 0 { Update::Overwrite } else { Update::Add };
            for point in 0..POINTS {
                multiply(
                    (&outputs[point * output_stride..], chunk.layout(channels)),
                    (&inputs[point * input_stride..], chunk.layout(in_channels).transposed()),
                    (
                        &mut sums[point * filters::point_stride(in_channels)..],
                        Layout::by_rows(channels, in_channels, row_len),
                    ),
                    update,
                );
            }
        }
        for (sums, gradient) in
            sums.chunks_exact(row_len).zip(gradient.chunks_exact_mut(in_channels * 9))
        {
            adjoint_row(sums, gradient);
        }
    });
    gradient
}

/// Tiles that are transformed and multiplied at a time. Many spare reading and writing the sums; but with few channels,
/// where the products are cheap, it matters more that the transformed tiles stay near the second cache.
fn chunk_tiles(in_channels: usize) -> usize {
    if in_channels <= 64 { 56 } else { 224 }
}
