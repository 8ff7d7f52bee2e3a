//! The forward pass of a stretch, a part of the batch at a time.

use candle_core::Result;
use kernels::blocked::{self, BlockedShape};
use kernels::buffers::Buffer;
use kernels::convolution;

use super::{Buffers, Kept, NAME, Part, Stretch, StretchLayer};
use crate::layers::{Parameters, Pooling, with_values};

impl Stretch {
    /// Runs the plain images through; returns the last layer's output, plain too.
    pub(super) fn forward(&self, plain: &[f32]) -> Result<Vec<f32>> {
        let batch = self.output.batch;
        let mut output = vec![0.0; self.output.plain_len()];
        let mut kept = Vec::new();
        for part in self.parts()? {
            let plain = &plain[part.range(plain.len(), batch)];
            let range = part.range(output.len(), batch);
            kept.extend(self.forward_part(part, plain, &mut output[range])?);
        }
        if self.first_kept.is_some() && self.kept.set(kept).is_err() {
            unreachable!("the operation is made for one use");
        }
        Ok(output)
    }

    /// Runs a part of the batch through; gives what its backward pass needs, if there will be one.
    fn forward_part(&self, part: Part, plain: &[f32], output: &mut [f32]) -> Result<Option<Kept>> {
        let first = &self.layers[0];
        let mut images = (!first.reads_plain(0)).then(|| {
            let shape = part.of(first.shape);
            let mut images = self.buffers.values.take(shape.len());
            blocked::block(shape, plain, &mut images);
            images
        });
        let mut kept = Kept { inputs: Vec::new(), winners: Vec::new(), output: None };
        for (index, layer) in self.layers.iter().enumerate() {
            let (output, winners) = layer.forward(part, plain, images.as_deref(), &self.buffers)?;
            let input = images.replace(output);
            if self.first_kept.is_some_and(|first| first <= index) {
                kept.inputs.push(input.filter(|_| !self.is_recomputed(index)));
                kept.winners.push(winners);
            }
        }
        let images = images.expect("a stretch has at least one layer");
        blocked::unblock(part.of(self.output), &images, output);
        if self.layers.last().is_some_and(|layer| layer.pooling == Pooling::None) {
            kept.output = Some(images);
        }
        Ok(self.first_kept.map(|_| kept))
    }
}

impl StretchLayer {
    /// Runs the layer, on plain images if there are no others. Gives the winners too where it has a pool.
    pub(super) fn forward(
        &self,
        part: Part,
        plain: &[f32],
        images: Option<&[f32]>,
        buffers: &Buffers,
    ) -> Result<(Buffer<f32>, Option<Buffer<u8>>)> {
        let Parameters { weights, bias, .. } = &self.parameters;
        let shape = part.of(self.shape);
        let convolved: BlockedShape = part.of(self.convolved_shape()?);
        let written = part.of(self.output_shape()?);
        let mut output = buffers.values.take(written.len());
        let mut winners = match self.pooling {
            Pooling::None => None,
            Pooling::Max => Some(buffers.winners.take(written.winners_len())),
        };
        with_values(weights, NAME, |weights| {
            with_values(bias, NAME, |bias| match (images, &mut winners) {
                (None, None) => {
                    convolution::image_forward(shape, plain, weights, bias, &mut output);
                }
                (None, Some(winners)) => {
                    let mut full = buffers.values.take(convolved.len());
                    convolution::image_forward(shape, plain, weights, bias, &mut full);
                    blocked::pool(convolved, &full, &mut output, winners);
                }
                (Some(images), None) => {
                    convolution::forward(shape, images, weights, bias, &mut output);
                }
                (Some(images), Some(winners)) => {
                    convolution::forward_pooled(shape, images, weights, bias, &mut output, winners);
                }
            })
        })??;
        Ok((output, winners))
    }
}
