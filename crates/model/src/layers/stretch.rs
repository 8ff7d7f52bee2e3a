//! Convolutions one after the other on a CPU, as one operation: between them images stay in the blocks of
//! channels that the kernels work on, and nothing is kept or computed that no gradient needs.

mod backward;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};
use kernels::blocked::{self, BlockedShape};
use kernels::buffers::{Buffer, BufferStore};
use kernels::convolution::{self, FEW_CHANNELS};

use super::{Parameters, Pooling, values, with_values};

/// Where activations are kept, and gradients of activations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers {
    values: BufferStore<f32>,
    winners: BufferStore<u8>,
}

/// Runs a stretch of convolutions.
pub(super) fn on_cpu(
    images: &Tensor,
    layers: Vec<(Parameters, Pooling)>,
    buffers: &Buffers,
) -> Result<Tensor> {
    let (batch, channels, height, width) = images.dims4()?;
    let mut shape = BlockedShape { batch, channels, height, width };
    let mut of_stretch = Vec::with_capacity(layers.len());
    for (mut parameters, pooling) in layers {
        parameters.weights = parameters.weights.contiguous()?;
        parameters.bias = parameters.bias.contiguous()?;
        let layer = StretchLayer { parameters, pooling, shape };
        shape = layer.output_shape()?;
        of_stretch.push(layer);
    }
    // The operation enters the graph by what it is applied to: one tracked parameter stands for all.
    let learning = of_stretch.iter().find(|layer| layer.parameters.track_op());
    let Some(entry) = learning.or(of_stretch.first()) else { return Ok(images.clone()) };
    let entry = if entry.parameters.weights.track_op() {
        entry.parameters.weights.clone()
    } else {
        entry.parameters.bias.clone()
    };
    let first_kept = if images.track_op() {
        Some(0)
    } else {
        of_stretch.iter().position(|layer| layer.parameters.track_op())
    };
    let buffers = buffers.clone();
    let kept = OnceLock::new();
    let stretch = Stretch { layers: of_stretch, first_kept, output: shape, kept, buffers };
    images.contiguous()?.apply_op2(&entry, stretch)
}

/// A convolution of a stretch.
struct StretchLayer {
    parameters: Parameters,
    pooling: Pooling,
    /// Of its input.
    shape: BlockedShape,
}

/// Convolutions one after the other on a CPU, made for one use.
struct Stretch {
    layers: Vec<StretchLayer>,
    /// The lowest layer that a gradient reaches.
    first_kept: Option<usize>,
    output: BlockedShape,
    /// What the backward pass needs of the layers from `first_kept` on.
    kept: OnceLock<Kept>,
    buffers: Buffers,
}

/// Activations that the backward pass reads.
struct Kept {
    /// Inputs of the layers; of the first layer of the stretch, if it reads plain images, none.
    inputs: Vec<Option<Buffer<f32>>>,
    /// Of each layer with a pool.
    winners: Vec<Option<Buffer<u8>>>,
    /// The last layer's, if it has no pool.
    output: Option<Buffer<f32>>,
}

const NAME: &str = "convolutions";

impl StretchLayer {
    fn convolved_shape(&self) -> Result<BlockedShape> {
        Ok(BlockedShape { channels: self.parameters.bias.dim(0)?, ..self.shape })
    }

    fn output_shape(&self) -> Result<BlockedShape> {
        let shape = self.convolved_shape()?;
        Ok(match self.pooling {
            Pooling::None => shape,
            Pooling::Max => shape.pooled(),
        })
    }

    /// Whether it reads plain images, being the first and of few channels.
    fn reads_plain(&self, index: usize) -> bool {
        index == 0 && self.shape.channels <= FEW_CHANNELS
    }

    /// Runs the layer, on plain images if there are no others.
    fn forward(
        &self,
        plain: &[f32],
        images: Option<&[f32]>,
        buffers: &Buffers,
    ) -> Result<(Buffer<f32>, Option<Buffer<u8>>)> {
        let Parameters { weights, bias, .. } = &self.parameters;
        let (convolved, written) = (self.convolved_shape()?, self.output_shape()?);
        let mut output = buffers.values.take(written.len());
        let mut winners = match self.pooling {
            Pooling::None => None,
            Pooling::Max => Some(buffers.winners.take(written.winners_len())),
        };
        with_values(weights, NAME, |weights| {
            with_values(bias, NAME, |bias| match (images, &mut winners) {
                (None, None) => {
                    convolution::image_forward(self.shape, plain, weights, bias, &mut output);
                }
                (None, Some(winners)) => {
                    let mut full = buffers.values.take(convolved.len());
                    convolution::image_forward(self.shape, plain, weights, bias, &mut full);
                    blocked::pool(convolved, &full, &mut output, winners);
                }
                (Some(images), None) => {
                    convolution::forward(self.shape, images, weights, bias, &mut output);
                }
                (Some(images), Some(winners)) => convolution::forward_pooled(
                    self.shape,
                    images,
                    weights,
                    bias,
                    &mut output,
                    winners,
                ),
            })
        })??;
        Ok((output, winners))
    }
}

impl Stretch {
    fn forward(&self, plain: &[f32]) -> Result<Vec<f32>> {
        let first = &self.layers[0];
        let mut images = (!first.reads_plain(0)).then(|| {
            let mut images = self.buffers.values.take(first.shape.len());
            blocked::block(first.shape, plain, &mut images);
            images
        });
        let mut kept = Kept { inputs: Vec::new(), winners: Vec::new(), output: None };
        for (index, layer) in self.layers.iter().enumerate() {
            let (output, winners) = layer.forward(plain, images.as_deref(), &self.buffers)?;
            let input = images.replace(output);
            if self.first_kept.is_some_and(|first| first <= index) {
                kept.inputs.push(input);
                kept.winners.push(winners);
            }
        }
        let images = images.expect("a stretch has at least one layer");
        let mut output = vec![0.0; self.output.plain_len()];
        blocked::unblock(self.output, &images, &mut output);
        if self.first_kept.is_some() {
            if self.layers.last().is_some_and(|layer| layer.pooling == Pooling::None) {
                kept.output = Some(images);
            }
            if self.kept.set(kept).is_err() {
                unreachable!("the operation is made for one use");
            }
        }
        Ok(output)
    }
}

impl CustomOp2 for Stretch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        images: &CpuStorage,
        images_layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let output = self.forward(values(images, images_layout, NAME)?)?;
        let BlockedShape { batch, channels, height, width } = self.output;
        Ok((CpuStorage::F32(output), (batch, channels, height, width).into()))
    }

    fn bwd(
        &self,
        images: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad_output = grad_output.contiguous()?;
        let grad_images =
            with_values(&grad_output, NAME, |grad_output| self.backward(images, grad_output))??;
        let as_tensor = |grad| Tensor::from_vec(grad, images.shape(), &Device::Cpu);
        Ok((grad_images.map(as_tensor).transpose()?, None))
    }
}
