//! The convolutions of VGG16 one by one, each kernel alone.

use kernels::{
    blocked::BlockedShape,
    buffers::BufferStore,
    convolution::{
        Before, backward_images, backward_weights, backward_weights_products, forward,
        forward_pooled, forward_products, image_backward_weights, image_forward,
    },
    machine::least_seconds,
};
use model::{Cut, Layer, LayerKind};
use serde::Serialize;

use super::{bound::forward_flop, own::ARCHITECTURE, refuse_interrupted};
use crate::{Error, training::Interrupt};

/// Times of one convolution's kernels, in seconds; the least of several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerTimes {
    /// The layer's name.
    pub name: String,
    /// Multiplications and additions of the products of each kernel.
    pub flop: f64,
    /// Forward, with activation, and with the pool if one follows.
    pub forward: f64,
    /// Gradient of the images, through the activation or pool before; the first layer needs none.
    pub backward_images: Option<f64>,
    /// Gradients of weights and bias.
    pub backward_weights: f64,
    /// The products of `forward` without the transforms around them; the first layer has none of its own.
    pub forward_products: Option<f64>,
    /// Those of `backward_weights`.
    pub backward_weights_products: Option<f64>,
}

/// Measures all convolutions on a batch, each kernel once to warm up and then `repetitions` times.
///
/// # Errors
///
/// [`Error::InterruptedTrial`] after Ctrl-C.
///
/// # Panics
///
/// Never: the architecture has the cuts between its layers.
pub fn layers(
    batch: usize,
    repetitions: usize,
    interrupt: &Interrupt,
) -> Result<Vec<LayerTimes>, Error> {
    let layers = ARCHITECTURE.layers();
    let is_convolution = |layer: &&Layer| matches!(layer.kind, LayerKind::Convolution { .. });
    let progress = terminal::bar("layers", terminal::Unit::Things("convolutions"));
    progress.set_length(layers.iter().filter(is_convolution).count() as u64);
    let mut times = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let LayerKind::Convolution { out_channels, .. } = layer.kind else { continue };
        let shape = ARCHITECTURE.shape_at(Cut::before(index)).expect("the cut is in the network");
        let blocked = BlockedShape { batch, channels: shape[0], height: shape[1], width: shape[2] };
        let is_pool = |layer: Option<&Layer>| {
            layer.is_some_and(|layer| matches!(layer.kind, LayerKind::MaxPool))
        };
        let before = match index.checked_sub(1) {
            None => LayerBefore::None,
            Some(before) if is_pool(layers.get(before)) => LayerBefore::Pool,
            Some(_) => LayerBefore::Convolution,
        };
        let is_pooled = is_pool(layers.get(index + 1));
        let [forward, backward_images, backward_weights] =
            kernels_alone(blocked, out_channels, before, is_pooled, repetitions);
        let alone = (index > 0).then(|| products_alone(blocked, out_channels, repetitions));
        times.push(LayerTimes {
            name: layer.name.clone(),
            flop: batch as f64 * forward_flop(layer.kind, &shape),
            forward,
            backward_images: (index > 0).then_some(backward_images),
            backward_weights,
            forward_products: alone.map(|[forward, _]| forward),
            backward_weights_products: alone.map(|[_, backward_weights]| backward_weights),
        });
        progress.inc(1);
        refuse_interrupted(interrupt)?;
    }
    progress.finish_and_clear();
    Ok(times)
}

/// Times of the products of forward and of the gradient of weights.
fn products_alone(shape: BlockedShape, out_channels: usize, repetitions: usize) -> [f64; 2] {
    let weights = vec![0.5; out_channels * shape.channels * 9];
    [
        least_seconds(repetitions, || forward_products(shape, out_channels, &weights)),
        least_seconds(repetitions, || backward_weights_products(shape, out_channels)),
    ]
}

/// What lies before a convolution.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LayerBefore {
    /// It reads plain images.
    None,
    Convolution,
    Pool,
}

/// Times of the three kernels of a convolution.
fn kernels_alone(
    shape: BlockedShape,
    out_channels: usize,
    before: LayerBefore,
    is_pooled: bool,
    repetitions: usize,
) -> [f64; 3] {
    let written = BlockedShape { channels: out_channels, ..shape };
    let unpooled = BlockedShape { height: 2 * shape.height, width: 2 * shape.width, ..shape };
    let shape_before = if before == LayerBefore::Pool { unpooled } else { shape };
    let reads_plain = before == LayerBefore::None;
    let store = BufferStore::default();
    let filled = |length, value| {
        let mut buffer = store.take(length);
        buffer.fill(value);
        buffer
    };
    let weights: Vec<f32> = (0..out_channels * shape.channels * 9)
        .map(|index| ((index * 7919 % 2003) as f32 - 1001.0) / 1001.0)
        .collect();
    let bias = vec![0.5; out_channels];
    let images = filled(if reads_plain { shape.plain_len() } else { shape.len() }, 0.5);
    let grad = filled(written.len(), 0.25);
    let mut output = filled(written.len().max(shape_before.len()), 0.0);
    let mut winners = vec![0; written.pooled().winners_len()];
    let winners_before = vec![0; shape.winners_len()];
    let forward = least_seconds(repetitions, || {
        let output = &mut output[..if is_pooled { written.pooled() } else { written }.len()];
        if reads_plain {
            image_forward(shape, &images, &weights, &bias, output);
        } else if is_pooled {
            forward_pooled(shape, &images, &weights, &bias, output, &mut winners);
        } else {
            forward(shape, &images, &weights, &bias, output);
        }
    });
    let backward_images = if reads_plain {
        0.0
    } else {
        let output = &mut output[..shape_before.len()];
        let before = match before {
            LayerBefore::Pool => Before::Pool { winners: &winners_before, shape: shape_before },
            LayerBefore::Convolution | LayerBefore::None => Before::Activation(&images),
        };
        least_seconds(repetitions, || {
            backward_images(shape, out_channels, &weights, &grad, before, output);
        })
    };
    let mut grad_weights = vec![0.0; weights.len()];
    let mut grad_bias = vec![0.0; bias.len()];
    let kernel = if reads_plain { image_backward_weights } else { backward_weights };
    let backward_weights = least_seconds(repetitions, || {
        kernel(shape, out_channels, &images, &grad, &mut grad_weights, &mut grad_bias);
    });
    [forward, backward_images, backward_weights]
}
