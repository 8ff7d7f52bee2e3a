//! 3x3 convolutions, stride 1, padding 1, each with bias and `ReLU` and the pool behind it, one after
//! the other.
//!
//! On a CPU a whole stretch of them is one operation: between them images stay in the blocks of
//! channels that the kernels work on, and nothing is kept or computed that no gradient needs.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};
use kernels::blocked::{self, BlockedShape, Winners, mask_gradient, unpool_gradient};
use kernels::convolution;

use super::{Parameters, max_pool, relu, values, with_values};

/// Up to so many channels, plain images are convolved as they are.
const FEW_CHANNELS: usize = 7;

/// What follows a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Nothing.
    None,
    /// 2x2 maximum pooling, as [`max_pool`] does.
    Max,
}

/// Convolves, adds the bias, clips at zero and pools, once for each layer.
///
/// # Shapes
///
/// - `images`: `(batch, channels, rows, columns)`, f32; weights `(out, in, 3, 3)`, biases `(out)`
/// - returns `(batch, out, rows, columns)` of the last layer, halved by each pool
pub(crate) fn convolutions(images: &Tensor, layers: Vec<(Parameters, Pooling)>) -> Result<Tensor> {
    match images.device() {
        Device::Cpu => on_cpu(images, layers),
        _ => layers.into_iter().try_fold(images.clone(), |images, (layer, pooling)| {
            let output = by_tensor_operations(&images, &layer.weights, &layer.bias)?;
            match pooling {
                Pooling::None => Ok(output),
                Pooling::Max => max_pool(&output),
            }
        }),
    }
}

/// One convolution by candle's operations.
pub(super) fn by_tensor_operations(
    images: &Tensor,
    weights: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let products = images.conv2d(weights, 1, 1, 1, 1)?;
    relu(&products.broadcast_add(&bias.reshape((1, (), 1, 1))?)?)
}

fn on_cpu(images: &Tensor, layers: Vec<(Parameters, Pooling)>) -> Result<Tensor> {
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
    let stretch = Stretch { layers: of_stretch, first_kept, output: shape, kept: OnceLock::new() };
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
}

/// Activations that the backward pass reads.
struct Kept {
    /// Inputs of the layers; of the first layer of the stretch, if it reads plain images, none.
    inputs: Vec<Vec<f32>>,
    /// Of each layer with a pool.
    winners: Vec<Winners>,
    /// The last layer's, if it has no pool.
    output: Vec<f32>,
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

    /// Runs the layer. `plain` are the images where it reads these.
    fn forward(&self, plain: Option<&[f32]>, images: &[f32]) -> Result<(Vec<f32>, Winners)> {
        let Parameters { weights, bias, .. } = &self.parameters;
        let shape = self.convolved_shape()?;
        with_values(weights, NAME, |weights| {
            with_values(bias, NAME, |bias| match (plain, self.pooling) {
                (Some(plain), Pooling::None) => {
                    (convolution::image_forward(self.shape, plain, weights, bias), Winners::new())
                }
                (Some(plain), Pooling::Max) => {
                    let output = convolution::image_forward(self.shape, plain, weights, bias);
                    blocked::pool(shape, &output)
                }
                (None, Pooling::None) => {
                    (convolution::forward(self.shape, images, weights, bias), Winners::new())
                }
                (None, Pooling::Max) => {
                    convolution::forward_pooled(self.shape, images, weights, bias)
                }
            })
        })?
    }
}

impl Stretch {
    fn forward(&self, plain: &[f32]) -> Result<Vec<f32>> {
        let first = &self.layers[0];
        let mut images =
            if first.reads_plain(0) { Vec::new() } else { blocked::block(first.shape, plain) };
        let mut kept = Kept { inputs: Vec::new(), winners: Vec::new(), output: Vec::new() };
        for (index, layer) in self.layers.iter().enumerate() {
            let (output, winners) =
                layer.forward(layer.reads_plain(index).then_some(plain), &images)?;
            let input = std::mem::replace(&mut images, output);
            if self.first_kept.is_some_and(|first| first <= index) {
                kept.inputs.push(input);
                kept.winners.push(winners);
            }
        }
        let output = blocked::unblock(self.output, &images);
        if self.first_kept.is_some() {
            if self.layers.last().is_some_and(|layer| layer.pooling == Pooling::None) {
                kept.output = images;
            }
            if self.kept.set(kept).is_err() {
                unreachable!("the operation is made for one use");
            }
        }
        Ok(output)
    }

    /// Leaves the gradients of the parameters in their slots; returns that of the plain images if it
    /// is asked for.
    fn backward(&self, plain: &Tensor, grad_output: &[f32]) -> Result<Option<Vec<f32>>> {
        let kept = self.kept.get().expect("backward follows forward");
        let first = self.first_kept.expect("something is tracked, or there is no backward pass");
        let mut grad_output = blocked::block(self.output, grad_output);
        for (index, layer) in self.layers.iter().enumerate().skip(first).rev() {
            let shape = layer.convolved_shape()?;
            let grad = match layer.pooling {
                Pooling::Max => unpool_gradient(shape, &kept.winners[index - first], &grad_output),
                Pooling::None => {
                    let output = kept.inputs.get(index - first + 1).unwrap_or(&kept.output);
                    mask_gradient(shape, output, &grad_output)
                }
            };
            drop(grad_output);
            if layer.parameters.track_op() {
                let (grad_weights, grad_bias) = if layer.reads_plain(index) {
                    with_values(plain, NAME, |plain| {
                        convolution::image_backward_weights(
                            layer.shape,
                            shape.channels,
                            plain,
                            &grad,
                        )
                    })?
                } else {
                    let images = &kept.inputs[index - first];
                    convolution::backward_weights(layer.shape, shape.channels, images, &grad)
                };
                layer.parameters.add_gradients(grad_weights, grad_bias)?;
            }
            if index == first && !plain.track_op() {
                return Ok(None);
            }
            grad_output = with_values(&layer.parameters.weights, NAME, |weights| {
                convolution::backward_images(layer.shape, shape.channels, weights, &grad)
            })?;
        }
        Ok(Some(blocked::unblock(self.layers[0].shape, &grad_output)))
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
