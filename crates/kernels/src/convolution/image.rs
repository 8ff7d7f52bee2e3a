//! The first convolution, of images of few channels, such as BGR: directly, from plain images to blocked ones.

use rayon::prelude::*;

use super::TAPS;
use crate::blocked::{BlockedShape, bias_gradient, clear_outside};
use crate::lanes::{LANES, Lanes, for_each_cpu};
use crate::scratch::{SharedSlice, with_buffers};

/// Convolves plain images of at least one channel, adds the bias and clips at zero.
///
/// # Shapes
///
/// - `images`: `(batch, channels, height, width)` of `shape`
/// - `weights`: `(out, channels, 3, 3)`; `bias`: `(out)`
/// - `output`: [`BlockedShape::extents`] of as many channels as there are biases; what was in it does not matter
///
/// # Panics
///
/// If a slice has another length.
pub fn image_forward(
    shape: BlockedShape,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    output: &mut [f32],
) {
    assert_eq!(images.len(), shape.plain_len(), "images");
    assert_eq!(weights.len(), bias.len() * shape.channels * TAPS, "weights");
    let written = BlockedShape { channels: bias.len(), ..shape };
    assert_eq!(output.len(), written.len(), "output");
    assert!(shape.channels > 0, "images without channels");
    clear_outside(written, [written.height, written.width], output);
    if images.is_empty() || output.is_empty() {
        return;
    }
    let taps = shape.channels * TAPS;
    let lanes = written.blocks() * LANES;
    // `(taps, blocks, 16)`, and a row of biases.
    let mut packed = vec![0.0; (taps + 1) * lanes];
    for (out, weights) in weights.chunks_exact(taps).enumerate() {
        for (tap, &weight) in weights.iter().enumerate() {
            packed[tap * lanes + out] = weight;
        }
        packed[taps * lanes + out] = bias[out];
    }
    let target = SharedSlice::new(output);
    (0..shape.batch * shape.height).into_par_iter().for_each(|row| {
        let (image, y) = (row / shape.height, row % shape.height);
        let line = padded_line(shape);
        with_buffers([shape.channels * 3 * line], |[lines]| {
            gather_lines(shape, images, image, y, lines);
            // SAFETY: `lines` has three padded lines of each channel, `packed` a filter for each lane and block, and each
            // task writes its own line of the output.
            unsafe { convolve_line(shape, written, lines, &packed, image, y, target.start()) }
        });
    });
}

/// Adds the gradients of weights and bias, from that of the sums before the activation.
///
/// # Shapes
///
/// - `images`: `(batch, channels, height, width)` of `shape`
/// - `grad`: [`BlockedShape::extents`] of `shape` with `out_channels`
/// - `grad_weights`: `(out, channels, 3, 3)`; `grad_bias`: `(out)`
///
/// # Panics
///
/// If a slice has another length.
pub fn image_backward_weights(
    shape: BlockedShape,
    out_channels: usize,
    images: &[f32],
    grad: &[f32],
    grad_weights: &mut [f32],
    grad_bias: &mut [f32],
) {
    let grad_shape = BlockedShape { channels: out_channels, ..shape };
    assert_eq!(images.len(), shape.plain_len(), "images");
    assert_eq!(grad.len(), grad_shape.len(), "grad");
    let taps = shape.channels * TAPS;
    assert_eq!(grad_weights.len(), out_channels * taps, "grad_weights");
    let blocks = grad_shape.blocks();
    // One sum for each image and block, so that the order of additions does not follow the threads.
    let parts: Vec<Vec<f64>> = (0..shape.batch * blocks)
        .into_par_iter()
        .map(|part| {
            let (image, block) = (part / blocks, part % blocks);
            let mut sums = vec![0.0; taps * LANES];
            let mut of_line = vec![0.0; taps * LANES];
            with_buffers([shape.channels * 3 * padded_line(shape)], |[lines]| {
                for y in 0..shape.height {
                    gather_lines(shape, images, image, y, lines);
                    let grads = &grad[grad_shape.row(image, block, y)..][..shape.width * LANES];
                    // SAFETY: `lines` has three padded lines of each channel, `grads` a whole line, and `of_line` sixteen
                    // lanes for each tap.
                    unsafe { gradient_of_line(shape, lines, grads, &mut of_line) }
                    for (sum, value) in sums.iter_mut().zip(&of_line) {
                        *sum += f64::from(*value);
                    }
                }
            });
            sums
        })
        .collect();
    let mut sums = vec![0.0_f64; blocks * LANES * taps];
    for (part, values) in parts.iter().enumerate() {
        let block = part % blocks;
        for (tap, lane) in (0..taps).flat_map(|tap| (0..LANES).map(move |lane| (tap, lane))) {
            sums[(block * LANES + lane) * taps + tap] += values[tap * LANES + lane];
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "gradients are f32, their sums were not")]
    for (grad, sum) in grad_weights.iter_mut().zip(sums) {
        *grad += sum as f32;
    }
    bias_gradient(grad_shape, grad, grad_bias);
}

/// Floats of a line of an image with a zero on each side.
fn padded_line(shape: BlockedShape) -> usize {
    shape.width + 2
}

/// Copies the lines above, at and below row `y` of each channel, zeros beyond the image.
fn gather_lines(shape: BlockedShape, images: &[f32], image: usize, y: usize, lines: &mut [f32]) {
    let (width, area) = (shape.width, shape.height * shape.width);
    for (index, line) in lines.chunks_exact_mut(padded_line(shape)).enumerate() {
        let (channel, below) = (index / 3, index % 3);
        line.fill(0.0);
        if let Some(row) = (y + below).checked_sub(1).filter(|&row| row < shape.height) {
            let first = (image * shape.channels + channel) * area + row * width;
            line[1..=width].copy_from_slice(&images[first..first + width]);
        }
    }
}

for_each_cpu! {
    unsafe fn convolve_line<L: Lanes>(
        shape: BlockedShape,
        written: BlockedShape,
        lines: &[f32],
        packed: &[f32],
        image: usize,
        y: usize,
        output: *mut f32,
    ) {
        for block in 0..written.blocks() {
            let mut is_channel = [1.0; LANES];
            if let Some(beyond) = is_channel.get_mut(written.channels - block * LANES..) {
                beyond.fill(0.0);
            }
            for (first, pixels) in crate::matrix::even_parts(shape.width, L::TILES) {
                // SAFETY: the caller's.
                unsafe {
                    let to = output.add(written.row(image, block, y) + first * LANES);
                    let lines = lines.as_ptr().add(first);
                    let packed = packed.as_ptr().add(block * LANES);
                    let stride = written.blocks() * LANES;
                    crate::matrix::with_rows!(
                        pixels,
                        convolve_pixels::<L, 1>(
                            shape.channels,
                            padded_line(shape),
                            lines,
                            packed,
                            stride,
                            &is_channel,
                            to
                        )
                    );
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn convolve_pixels<L: Lanes, const PIXELS: usize, const _ONE: usize>(
    channels: usize,
    line: usize,
    lines: *const f32,
    packed: *const f32,
    stride: usize,
    is_channel: &[f32; LANES],
    to: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [L::load(packed.add(channels * TAPS * stride)); PIXELS];
        for channel in 0..channels {
            for tap in 0..TAPS {
                let weights = L::load(packed.add((channel * TAPS + tap) * stride));
                let from = lines.add((channel * 3 + tap / 3) * line + tap % 3);
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    *sum = L::splat(*from.add(pixel)).mul_add(weights, *sum);
                }
            }
        }
        // What fills the last block up stays zero, also where the image is infinite.
        let is_channel = L::load(is_channel.as_ptr());
        for (pixel, sum) in sums.into_iter().enumerate() {
            sum.rectified().passed(is_channel).store(to.add(pixel * LANES));
        }
    }
}

for_each_cpu! {
    unsafe fn gradient_of_line<L: Lanes>(
        shape: BlockedShape,
        lines: &[f32],
        grads: &[f32],
        sums: &mut [f32],
    ) {
        let line = padded_line(shape);
        for channel in 0..shape.channels {
            // SAFETY: the caller's.
            unsafe {
                let mut partial = [L::splat(0.0); TAPS];
                let from = lines.as_ptr().add(channel * 3 * line);
                for pixel in 0..shape.width {
                    let grad = L::load(grads.as_ptr().add(pixel * LANES));
                    for (tap, partial) in partial.iter_mut().enumerate() {
                        let value = L::splat(*from.add(tap / 3 * line + tap % 3 + pixel));
                        *partial = value.mul_add(grad, *partial);
                    }
                }
                for (tap, partial) in partial.into_iter().enumerate() {
                    partial.store(sums.as_mut_ptr().add((channel * TAPS + tap) * LANES));
                }
            }
        }
    }
}
