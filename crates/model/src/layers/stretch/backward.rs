//! The backward pass of a stretch, a part of the batch at a time.

use candle_core::{Result, Tensor};
use kernels::blocked::{self, BlockedShape, mask_gradient, unpool_gradient};
use kernels::buffers::Buffer;
use kernels::convolution::{self, Before};

use super::{Images, Kept, LayerOutput, NAME, Part, Stretch, StretchLayer, parts};
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
            let grad_output = part.slice(grad_output, batch);
            let grad_plain = grad_plain.as_mut().map(|grad| part.slice_mut(grad, batch));
            let way = WayBack { stretch: self, part, first, kept };
            with_values(plain, NAME, |plain| {
                let plain = part.slice(plain, batch);
                way.backward(plain, grad_output, &mut gradients, grad_plain)
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

    /// Adds what some images contribute.
    fn add_gradients(
        &self,
        some: Part,
        images: Images<'_>,
        grad: &[f32],
        LayerGradients { weights, bias }: &mut LayerGradients,
    ) -> Result<()> {
        let (shape, channels) = (some.of(self.shape), self.convolved_shape()?.channels);
        match images {
            Images::Plain(images) => {
                convolution::image_backward_weights(shape, channels, images, grad, weights, bias);
            }
            Images::Blocked(images) => {
                convolution::backward_weights(shape, channels, images, grad, weights, bias);
            }
        }
        Ok(())
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
    /// Adds these images' gradients of the parameters.
    fn backward(
        &self,
        plain: &[f32],
        grad_output: &[f32],
        gradients: &mut [Option<LayerGradients>],
        grad_plain: Option<&mut [f32]>,
    ) -> Result<()> {
        let stretch = self.stretch;
        let mut grad = self.last_gradient(grad_output)?;
        for group in stretch.groups()?.iter().rev() {
            let lowest = group.layers.start.max(self.first);
            if group.layers.end <= lowest {
                break;
            }
            let mut before = None;
            if lowest > self.first || grad_plain.is_some() {
                let shape = self.part.of(self.shape_before(lowest)?);
                before = Some(stretch.buffers.values.take(shape.len()));
            }
            for some in parts(self.part.images, group.images) {
                let plain = some.slice(plain, self.part.images);
                let mut passing: Option<Buffer<f32>> = None;
                for index in (lowest..group.layers.end).rev() {
                    let whole = some.slice(&grad, self.part.images);
                    let grad = passing.as_deref().unwrap_or(whole);
                    let recomputed = self.recomputed_input(index, some, plain)?;
                    let kept = self.kept.input(index);
                    let kept = kept.map(|images| some.slice(images, self.part.images));
                    let input = recomputed.as_deref().or(kept);
                    if let Some(gradients) = &mut gradients[index - self.first] {
                        let images = input.map_or(Images::Plain(plain), Images::Blocked);
                        stretch.layers[index].add_gradients(some, images, grad, gradients)?;
                    }
                    if index > lowest {
                        let len = some.of(self.shape_before(index)?).len();
                        let mut before = stretch.buffers.values.take(len);
                        self.gradient_before(index, some, input, grad, &mut before)?;
                        passing = Some(before);
                    } else if let Some(before) = before.as_deref_mut() {
                        let before = some.slice_mut(before, self.part.images);
                        self.gradient_before(index, some, input, grad, before)?;
                    }
                }
            }
            if let Some(before) = before {
                grad = before;
            }
        }
        if let Some(grad_plain) = grad_plain {
            blocked::unblock(self.part.of(stretch.layers[0].shape), &grad, grad_plain);
        }
        Ok(())
    }

    /// The gradient of the last layer's sums.
    fn last_gradient(&self, grad_output: &[f32]) -> Result<Buffer<f32>> {
        let Stretch { layers, output, buffers, .. } = self.stretch;
        let last = layers.len() - 1;
        let (convolved, written) =
            (self.part.of(layers[last].convolved_shape()?), self.part.of(*output));
        let mut blocked = buffers.values.take(written.len());
        blocked::block(written, grad_output, &mut blocked);
        let mut grad = buffers.values.take(convolved.len());
        if let Some(winners) = self.kept.layers[last].winners.as_deref() {
            unpool_gradient(convolved, winners, &blocked, &mut grad);
        } else {
            let output = self.kept.layers[last].output.as_deref();
            let output = output.expect("the output of a layer without a pool is kept");
            mask_gradient(convolved, output, &blocked, &mut grad);
        }
        Ok(grad)
    }

    /// What a layer read, if it is not kept but recomputed.
    fn recomputed_input(
        &self,
        index: usize,
        some: Part,
        plain: &[f32],
    ) -> Result<Option<Buffer<f32>>> {
        if !self.stretch.is_recomputed(index) {
            return Ok(None);
        }
        let Stretch { layers, buffers, .. } = self.stretch;
        let mut images = buffers.values.take(some.of(layers[index].shape).len());
        layers[0].forward(some, Images::Plain(plain), &mut images, None, buffers)?;
        Ok(Some(images))
    }

    /// The shape of the sums of the layer before, of the whole batch; of the lowest layer's images.
    fn shape_before(&self, index: usize) -> Result<BlockedShape> {
        match self.stretch.layers[self.first..index].last() {
            Some(before) => before.convolved_shape(),
            None => Ok(self.stretch.layers[index].shape),
        }
    }

    /// The gradient of the sums of the layer before, or of the plain images, from that of a layer's sums, for some images
    /// of the part.
    fn gradient_before(
        &self,
        index: usize,
        some: Part,
        input: Option<&[f32]>,
        grad: &[f32],
        grad_before: &mut [f32],
    ) -> Result<()> {
        let layer = &self.stretch.layers[index];
        let before = match self.kept.layers[self.first..index].last() {
            None => Before::Nothing,
            Some(LayerOutput { winners: Some(winners), .. }) => Before::Pool {
                winners: some.slice(winners, self.part.images),
                shape: some.of(self.shape_before(index)?),
            },
            Some(LayerOutput { winners: None, .. }) => {
                Before::Activation(input.expect("only the first layer reads plain images"))
            }
        };
        let channels = layer.convolved_shape()?.channels;
        with_values(&layer.parameters.weights, NAME, |weights| {
            convolution::backward_images(
                some.of(layer.shape),
                channels,
                weights,
                grad,
                before,
                grad_before,
            );
        })
    }
}
