//! Convolutions one after the other on a CPU, as one operation: between them images stay in the blocks of
//! channels that the kernels work on, and nothing is kept or computed that no gradient needs.

mod backward;
mod forward;

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};
use kernels::blocked::BlockedShape;
use kernels::buffers::{Buffer, BufferStore};
use kernels::convolution::FEW_CHANNELS;

use super::{Parameters, Pooling, values, with_values};

/// Elements of the largest activation that a part of the batch may have: enough images to share the work on the filters, few
/// enough that what is not kept weighs less than what is. Eight images of 224 px; tests go by parts of small ones too.
const PART_ELEMENTS: usize = if cfg!(test) { 60_000 } else { 27_000_000 };

/// Elements of the activation of one image above which only some images go through a layer at a time: those of the first
/// two blocks at 224 px, where room for what the whole part makes would be hundreds of MiB.
const LARGE_ELEMENTS: usize = if cfg!(test) { 5_000 } else { 1_000_000 };

/// Images that go through large layers at a time: work enough for some tens of threads. No number of threads, on which
/// rounding would depend.
const LARGE_IMAGES: usize = if cfg!(test) { 1 } else { 4 };

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
    /// What the backward pass needs, for each part of the batch.
    kept: OnceLock<Vec<Kept>>,
    buffers: Buffers,
}

/// Activations of a part of the batch, as far as they are needed.
struct Kept {
    /// The images in blocks; none where the first layer reads plain ones.
    images: Option<Buffer<f32>>,
    /// What each layer made.
    layers: Vec<LayerOutput>,
}

/// What a layer made of a part of the batch.
struct LayerOutput {
    output: Option<Buffer<f32>>,
    winners: Option<Buffer<u8>>,
}

impl Kept {
    /// What a layer read; none where that was plain images, or is not kept.
    fn input(&self, index: usize) -> Option<&[f32]> {
        match index.checked_sub(1) {
            None => self.images.as_deref(),
            Some(before) => self.layers[before].output.as_deref(),
        }
    }
}

/// Layers through which so many images go at a time.
struct Group {
    layers: Range<usize>,
    images: usize,
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

    /// Elements of what it makes of one image, before the pool.
    fn elements_of_image(&self) -> Result<usize> {
        Ok(BlockedShape { batch: 1, ..self.convolved_shape()? }.len())
    }

    /// Whether it reads plain images, being the first and of few channels.
    fn reads_plain(&self, index: usize) -> bool {
        index == 0 && self.shape.channels <= FEW_CHANNELS
    }
}

/// What a layer reads.
#[derive(Clone, Copy)]
enum Images<'a> {
    /// `(images, channels, rows, columns)`
    Plain(&'a [f32]),
    /// [`BlockedShape::extents`]
    Blocked(&'a [f32]),
}

/// Some images of the batch, which go through the stretch together.
#[derive(Clone, Copy)]
struct Part {
    first_image: usize,
    images: usize,
}

impl Part {
    /// Where these images lie in something that is there for all `images` of which they are a part.
    fn range(self, length: usize, images: usize) -> Range<usize> {
        let of_image = length / images;
        self.first_image * of_image..(self.first_image + self.images) * of_image
    }

    /// These of all `images`.
    fn slice<T>(self, whole: &[T], images: usize) -> &[T] {
        &whole[self.range(whole.len(), images)]
    }

    fn slice_mut<T>(self, whole: &mut [T], images: usize) -> &mut [T] {
        let range = self.range(whole.len(), images);
        &mut whole[range]
    }

    /// The shape of these images, from that of the batch.
    fn of(self, batch: BlockedShape) -> BlockedShape {
        BlockedShape { batch: self.images, ..batch }
    }
}

/// So many images in parts of at most `most`, or one, as even as they can be.
fn parts(images: usize, most: usize) -> Vec<Part> {
    let count = images.div_ceil(most.max(1));
    let starts = |part: usize| part * images / count;
    let part = |part| Part { first_image: starts(part), images: starts(part + 1) - starts(part) };
    (0..count).map(part).collect()
}

impl Stretch {
    /// The batch in parts.
    fn parts(&self) -> Result<Vec<Part>> {
        let mut largest = 1;
        for layer in &self.layers {
            largest = largest.max(layer.elements_of_image()?);
        }
        Ok(parts(self.output.batch, PART_ELEMENTS / largest))
    }

    /// The layers in groups: those that some images go through at a time, and those that take the whole part.
    fn groups(&self) -> Result<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let is_large = LARGE_ELEMENTS < layer.elements_of_image()?;
            let images = if is_large { LARGE_IMAGES } else { self.output.batch };
            match groups.last_mut() {
                Some(group) if group.images == images => group.layers.end = index + 1,
                _ => groups.push(Group { layers: index..index + 1, images }),
            }
        }
        Ok(groups)
    }

    /// Whether the backward pass reads what a layer made.
    fn keeps_output(&self, index: usize) -> bool {
        let Some(first) = self.first_kept else { return false };
        match self.layers.get(index + 1) {
            Some(_) => first <= index + 1 && !self.is_recomputed(index + 1),
            // Its pool's winners say enough.
            None => self.layers[index].pooling == Pooling::None,
        }
    }

    /// Whether the backward pass reads the winners of a layer's pool.
    fn keeps_winners(&self, index: usize) -> bool {
        self.first_kept.is_some_and(|first| first <= index)
    }

    /// Whether the backward pass computes the input of a layer anew: what a layer made of plain images weighs as much as
    /// all other activations of the first two blocks, and costs a hundredth of the pass.
    fn is_recomputed(&self, index: usize) -> bool {
        index == 1 && self.layers[0].reads_plain(0) && self.layers[0].pooling == Pooling::None
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
