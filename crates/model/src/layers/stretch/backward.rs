//! The backward pass of a stretch, a part of the batch at a time.

use candle_core::{Result, Tensor};
use kernels::blocked::{self, BlockedShape, mask_gradient, unpool_gradient};
use kernels::buffers::Buffer;
use kernels::convolution::{self, Before};

use super::{Kept, NAME, Part, Stretch, StretchLayer};
use crate::Gradient;
use crate::layers::with_values;

/// Gradients of the parameters of a layer.
struct LayerGradients {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Stretch {
    /// Leaves the gradients of the parameters in their slots; returns that of the plain images if it
    /// is asked for.
    pub(super) fn backward(&self, plain: &Tensor, grad_output: &[f32]) -> Result<Option<Vec<f32>>> {
        let first = self.first_kept.expect("something is tracked, or there is no backward pass");
        let kept = self.kept.get().expect("backward follows forward");
        let learning = self.layers[first..].iter().map(StretchLayer::zero_gradients);
        let mut gradients: Vec<Option<LayerGradients>> = learning.collect();
        let mut grad_plain = plain.track_op().then(|| vec![0.0; plain.elem_count()]);
        let batch = self.output.batch;
        for (part, kept) in self.parts()?.into_iter().zip(kept) {
            let grad_output = &grad_output[part.range(grad_output.len(), batch)];
            let range = part.range(plain.elem_count(), batch);
            let grad_plain = grad_plain.as_mut().map(|grad| &mut grad[range.clone()]);
            let way = WayBack { stretch: self, part, first, kept };
            with_values(plain, NAME, |plain| {
                way.backward(&plain[range.clone()], grad_output, &mut gradients, grad_plain)
            })??;
        }
        for (layer, gradients) in self.layers[first..].iter().zip(gradients) {
            if let Some(LayerGradients { weights, bias }) = gradients {
                let parameters = &layer.parameters;
                let weights =
                    Tensor::from_vec(weights, parameters.weights.shape(), plain.device())?;
                parameters.add_gradients(Gradient::Whole(weights), bias)?;
            }
        }
        Ok(grad_plain)
    }
}

impl StretchLayer {
    /// Where its gradients are summed up, if it learns.
    fn zero_gradients(&self) -> Option<LayerGradients> {
        let zeros = |parameter: &Tensor| vec![0.0; parameter.elem_count()];
        let parameters = &self.parameters;
        parameters.track_op().then(|| LayerGradients {
            weights: zeros(&parameters.weights),
            bias: zeros(&parameters.bias),
        })
    }
}

/// A part of a batch on its way back.
#[derive(Clone, Copy)]
struct WayBack<'a> {
    stretch: &'a Stretch,
    part: Part,
    /// The lowest layer that a gradient reaches.
    first: usize,
    kept: &'a Kept,
}

impl WayBack<'_> {
    fn shape(&self, of_batch: BlockedShape) -> BlockedShape {
        self.part.of(of_batch)
    }

    /// What a layer read, if it is not kept but recomputed.
    fn recomputed_input(&self, index: usize, plain: &[f32]) -> Result<Option<Buffer<f32>>> {
        if !self.stretch.is_recomputed(index) {
            return Ok(None);
        }
        let Stretch { layers, buffers, .. } = self.stretch;
        Ok(Some(layers[0].forward(self.part, plain, None, buffers)?.0))
    }

    /// Adds these images' gradients of the parameters.
    fn backward(
        &self,
        plain: &[f32],
        grad_output: &[f32],
        gradients: &mut [Option<LayerGradients>],
        grad_plain: Option<&mut [f32]>,
    ) -> Result<()> {
        let layers = &self.stretch.layers;
        let mut grad = self.last_gradient(grad_output)?;
        for (index, layer) in layers.iter().enumerate().skip(self.first).rev() {
            let shape = self.shape(layer.shape);
            let recomputed = self.recomputed_input(index, plain)?;
            let kept = self.kept.inputs[index - self.first].as_deref();
            let input = recomputed.as_deref().or(kept);
            if let Some(LayerGradients { weights, bias }) = &mut gradients[index - self.first] {
                let channels = layer.convolved_shape()?.channels;
                let (kernel, images): (fn(_, _, &_, &_, &mut _, &mut _), _) = match input {
                    Some(images) => (convolution::backward_weights, images),
                    None => (convolution::image_backward_weights, plain),
                };
                kernel(shape, channels, images, &grad, weights.as_mut_slice(), bias.as_mut_slice());
            }
            if index > self.first || grad_plain.is_some() {
                grad = self.gradient_before(index, input, &grad)?;
            }
        }
        if let Some(grad_plain) = grad_plain {
            blocked::unblock(self.shape(layers[0].shape), &grad, grad_plain);
        }
        Ok(())
    }

    /// The gradient of the sums of the layer before, or of the plain images, from that of a layer's sums.
    fn gradient_before(
        &self,
        index: usize,
        input: Option<&[f32]>,
        grad: &[f32],
    ) -> Result<Buffer<f32>> {
        let layer = &self.stretch.layers[index];
        let shape = self.shape(layer.shape);
        let (before, shape_before) = if index == self.first {
            (Before::Nothing, shape)
        } else if let Some(winners) = self.kept.winners[index - 1 - self.first].as_deref() {
            let shape = self.shape(self.stretch.layers[index - 1].convolved_shape()?);
            (Before::Pool { winners, shape }, shape)
        } else {
            let images = input.expect("only the first layer reads plain images");
            (Before::Activation(images), shape)
        };
        let channels = layer.convolved_shape()?.channels;
        let mut grad_before = self.stretch.buffers.values.take(shape_before.len());
        with_values(&layer.parameters.weights, NAME, |weights| {
            convolution::backward_images(shape, channels, weights, grad, before, &mut grad_before);
        })?;
        Ok(grad_before)
    }

    /// The gradient of the last layer's sums.
    fn last_gradient(&self, grad_output: &[f32]) -> Result<Buffer<f32>> {
        let Stretch { layers, output, buffers, .. } = self.stretch;
        let last = layers.len() - 1;
        let (convolved, written) =
            (self.shape(layers[last].convolved_shape()?), self.shape(*output));
        let mut blocked = buffers.values.take(written.len());
        blocked::block(written, grad_output, &mut blocked);
        let mut grad = buffers.values.take(convolved.len());
        if let Some(winners) = self.kept.winners[last - self.first].as_deref() {
            unpool_gradient(convolved, winners, &blocked, &mut grad);
        } else {
            let output = self.kept.output.as_deref();
            let output = output.expect("the output of a layer without a pool is kept");
            mask_gradient(convolved, output, &blocked, &mut grad);
        }
        Ok(grad)
    }
}
