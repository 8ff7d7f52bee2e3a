//! The forward pass of a stretch, a part of the batch at a time.

use candle_core::Result;
use kernels::blocked::{self, BlockedShape};
use kernels::buffers::Buffer;
use kernels::convolution;

use super::{Buffers, Group, Images, Kept, LayerOutput, NAME, Part, Stretch, StretchLayer, parts};
use crate::layers::{Parameters, Pooling, with_values};

impl Stretch {
    /// Runs the plain images through; returns the last layer's output, plain too.
    pub(super) fn forward(&self, plain: &[f32]) -> Result<Vec<f32>> {
        let batch = self.output.batch;
        let mut output = vec![0.0; self.output.plain_len()];
        let mut kept = Vec::new();
        for part in self.parts()? {
            let plain = part.slice(plain, batch);
            kept.extend(self.forward_part(part, plain, part.slice_mut(&mut output, batch))?);
        }
        if self.first_kept.is_some() && self.kept.set(kept).is_err() {
            unreachable!("the operation is made for one use");
        }
        Ok(output)
    }

    /// Runs a part of the batch through; gives what its backward pass needs, if there will be one.
    fn forward_part(&self, part: Part, plain: &[f32], output: &mut [f32]) -> Result<Option<Kept>> {
        let first = &self.layers[0];
        let images = (!first.reads_plain(0)).then(|| {
            let shape = part.of(first.shape);
            let mut images = self.buffers.values.take(shape.len());
            blocked::block(shape, plain, &mut images);
            images
        });
        let mut kept = Kept { images, layers: Vec::new() };
        for group in self.groups()? {
            let start = group.layers.start;
            for index in group.layers.clone() {
                let is_last = index + 1 == group.layers.end;
                kept.layers.push(self.room(index, part, is_last)?);
            }
            for some in parts(part.images, group.images) {
                self.forward_group(&group, part, some, plain, &mut kept)?;
            }
            if let Some(before) = start.checked_sub(1)
                && !self.keeps_output(before)
            {
                kept.layers[before].output = None;
            }
        }
        let last = self.layers.len() - 1;
        let made = &mut kept.layers[last];
        let images = made.output.take().expect("the last layer's output is whole");
        blocked::unblock(part.of(self.output), &images, output);
        if self.keeps_output(last) {
            made.output = Some(images);
        }
        if self.first_kept.is_none_or(|first| first > 0) {
            kept.images = None;
        }
        Ok(self.first_kept.map(|_| kept))
    }

    /// Room for what a layer makes of a part of the batch: where that is kept, or the next group reads it.
    fn room(&self, index: usize, part: Part, is_last: bool) -> Result<LayerOutput> {
        let written = part.of(self.layers[index].output_shape()?);
        let has_pool = self.layers[index].pooling == Pooling::Max;
        let Buffers { values, winners } = &self.buffers;
        let keeps_output = is_last || self.keeps_output(index);
        let keeps_winners = has_pool && self.keeps_winners(index);
        Ok(LayerOutput {
            output: keeps_output.then(|| values.take(written.len())),
            winners: keeps_winners.then(|| winners.take(written.winners_len())),
        })
    }

    /// Runs some images of a part through a group of layers.
    fn forward_group(
        &self,
        group: &Group,
        part: Part,
        some: Part,
        plain: &[f32],
        kept: &mut Kept,
    ) -> Result<()> {
        let plain = some.slice(plain, part.images);
        let Buffers { values, winners: bytes } = &self.buffers;
        // What the layer before made, where it is not kept.
        let mut passing: Option<Buffer<f32>> = None;
        for index in group.layers.clone() {
            let layer = &self.layers[index];
            let written = some.of(layer.output_shape()?);
            let (before, made) = kept.layers.split_at_mut(index);
            let whole = match before.last() {
                Some(made) => made.output.as_deref(),
                None => kept.images.as_deref(),
            };
            let whole = whole.map(|whole| some.slice(whole, part.images));
            let images = passing.as_deref().or(whole).map_or(Images::Plain(plain), Images::Blocked);

            let LayerOutput { output, winners } = &mut made[0];
            let mut new_output = output.is_none().then(|| values.take(written.len()));
            let whole = output.as_deref_mut().map(|whole| some.slice_mut(whole, part.images));
            let output = new_output.as_deref_mut().or(whole).expect("one of them is there");
            let mut new_winners = (layer.pooling == Pooling::Max && winners.is_none())
                .then(|| bytes.take(written.winners_len()));
            let whole = winners.as_deref_mut().map(|whole| some.slice_mut(whole, part.images));
            let winners = new_winners.as_deref_mut().or(whole);
            layer.forward(some, images, output, winners, &self.buffers)?;
            passing = new_output;
        }
        Ok(())
    }
}

impl StretchLayer {
    /// Runs some images through the layer. With a pool there are winners to write.
    pub(super) fn forward(
        &self,
        some: Part,
        images: Images<'_>,
        output: &mut [f32],
        winners: Option<&mut [u8]>,
        buffers: &Buffers,
    ) -> Result<()> {
        let Parameters { weights, bias, .. } = &self.parameters;
        let shape = some.of(self.shape);
        let convolved: BlockedShape = some.of(self.convolved_shape()?);
        with_values(weights, NAME, |weights| {
            with_values(bias, NAME, |bias| match (images, winners) {
                (Images::Plain(images), None) => {
                    convolution::image_forward(shape, images, weights, bias, output);
                }
                (Images::Plain(images), Some(winners)) => {
                    let mut full = buffers.values.take(convolved.len());
                    convolution::image_forward(shape, images, weights, bias, &mut full);
                    blocked::pool(convolved, &full, output, winners);
                }
                (Images::Blocked(images), None) => {
                    convolution::forward(shape, images, weights, bias, output);
                }
                (Images::Blocked(images), Some(winners)) => {
                    convolution::forward_pooled(shape, images, weights, bias, output, winners);
                }
            })
        })?
    }
}
