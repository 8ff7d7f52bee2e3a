//! Convolution of images of few channels, such as BGR: patches unrolled into the columns of a matrix.

use std::ops::Range;

use rayon::prelude::*;

use super::ConvolutionShape;
use crate::activation::{Activation, finish};
use crate::matrix::{Layout, Update, multiply};
use crate::scratch::{SharedSlice, with_buffers};

/// Pixels that a task aims at: their patches and outputs stay in the second cache.
const TASK_PIXELS: usize = 448;

/// Partial sums of the weights' gradient, a task each; more than the threads that a small layer can use.
const MAX_PARTS: usize = 16;

pub(super) fn forward(
    shape: ConvolutionShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    activation: Activation,
    output: &mut [f32],
) {
    let inner = shape.in_channels * 9;
    let output = SharedSlice::new(output);
    strips(shape).into_par_iter().for_each(|strip| {
        let pixels = strip.pixels(shape);
        with_buffers([inner * pixels, shape.out_channels * pixels], |[patches, sums]| {
            unroll(shape, images, &strip, patches);
            multiply(
                (weights, Layout::by_rows(shape.out_channels, inner, inner)),
                (patches, Layout::by_rows(inner, pixels, pixels)),
                (sums, Layout::by_rows(shape.out_channels, pixels, pixels)),
                Update::Overwrite,
            );
            for (channel, sums) in sums.chunks_exact_mut(pixels).enumerate() {
                finish(sums, bias[channel], activation);
                let first = strip.offset(shape, shape.out_channels, channel);
                // SAFETY: strips differ in image or rows, so no two tasks write the same pixels.
                unsafe { output.range_mut(first..first + pixels) }.copy_from_slice(sums);
            }
        });
    });
}

pub(super) fn backward_weights(
    shape: ConvolutionShape,
    images: &[f32],
    grad_output: &[f32],
    grad_weights: &mut [f32],
) {
    let inner = shape.in_channels * 9;
    let strips = strips(shape);
    // The number of parts follows from the shape alone, so that the order of additions does too.
    let parts: Vec<Vec<f32>> = strips
        .par_chunks(strips.len().div_ceil(MAX_PARTS))
        .map(|strips| {
            let mut part = vec![0.0; grad_weights.len()];
            for strip in strips {
                let pixels = strip.pixels(shape);
                with_buffers([inner * pixels], |[patches]| {
                    unroll(shape, images, strip, patches);
                    multiply(
                        (
                            &grad_output[strip.offset(shape, shape.out_channels, 0)..],
                            Layout::by_rows(shape.out_channels, pixels, shape.plane_len()),
                        ),
                        (patches, Layout::by_rows(inner, pixels, pixels).transposed()),
                        (&mut part, Layout::by_rows(shape.out_channels, inner, inner)),
                        Update::Add,
                    );
                });
            }
            part
        })
        .collect();
    grad_weights.fill(0.0);
    for part in parts {
        for (grad, part) in grad_weights.iter_mut().zip(part) {
            *grad += part;
        }
    }
}

/// Some whole rows of one image.
struct Strip {
    image: usize,
    rows: Range<usize>,
}

impl Strip {
    fn pixels(&self, shape: ConvolutionShape) -> usize {
        self.rows.len() * shape.width
    }

    /// Where the strip begins in one channel of images of `channels` channels.
    fn offset(&self, shape: ConvolutionShape, channels: usize, channel: usize) -> usize {
        ((self.image * channels + channel) * shape.height + self.rows.start) * shape.width
    }
}

fn strips(shape: ConvolutionShape) -> Vec<Strip> {
    let rows = (TASK_PIXELS / shape.width).max(1);
    (0..shape.batch)
        .flat_map(|image| (0..shape.height).step_by(rows).map(move |start| (image, start)))
        .map(|(image, start)| Strip { image, rows: start..shape.height.min(start + rows) })
        .collect()
}

/// Writes, for each channel and place in the filter, the pixel under it at every pixel of the strip.
fn unroll(shape: ConvolutionShape, images: &[f32], strip: &Strip, patches: &mut [f32]) {
    let width = shape.width;
    let mut lines = patches.chunks_exact_mut(width);
    for channel in 0..shape.in_channels {
        let first = (strip.image * shape.in_channels + channel) * shape.plane_len();
        let plane = &images[first..first + shape.plane_len()];
        for (row, column) in (0..9).map(|at| (at / 3, at % 3)) {
            for y in strip.rows.clone() {
                let line = lines.next().expect("patches hold 9 lines a channel and row");
                let above = (y + row).checked_sub(1).filter(|&above| above < shape.height);
                let Some(source) = above.map(|above| &plane[above * width..][..width]) else {
                    line.fill(0.0);
                    continue;
                };
                match column {
                    0 => {
                        line[0] = 0.0;
                        line[1..].copy_from_slice(&source[..width - 1]);
                    }
                    1 => line.copy_from_slice(source),
                    _ => {
                        line[..width - 1].copy_from_slice(&source[1..]);
                        line[width - 1] = 0.0;
                    }
                }
            }
        }
    }
}
