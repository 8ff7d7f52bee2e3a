//! What layers pass on: plain tensors, or on a CPU images in blocks of channels.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use kernels::blocked::{self, BlockedShape};

use super::{values, with_values};

/// The activations of a batch between two layers.
#[derive(Debug, Clone)]
pub(crate) enum Activations {
    /// `(batch, channels, rows, columns)` or `(batch, units)`.
    Plain(Tensor),
    /// [`BlockedShape::extents`], on a CPU.
    Blocked(Tensor, BlockedShape),
}

impl Activations {
    /// As a plain tensor.
    pub(crate) fn plain(self) -> Result<Tensor> {
        match self {
            Self::Plain(tensor) => Ok(tensor),
            Self::Blocked(tensor, shape) => tensor.apply_op1(Unblock(shape)),
        }
    }

    /// In blocks, on a CPU.
    pub(super) fn blocked(self) -> Result<(Tensor, BlockedShape)> {
        match self {
            Self::Blocked(tensor, shape) => Ok((tensor, shape)),
            Self::Plain(tensor) => {
                let (batch, channels, height, width) = tensor.dims4()?;
                let shape = BlockedShape { batch, channels, height, width };
                Ok((tensor.contiguous()?.apply_op1(Block(shape))?, shape))
            }
        }
    }
}

fn plain_shape(shape: BlockedShape) -> Shape {
    (shape.batch, shape.channels, shape.height, shape.width).into()
}

fn blocked_shape(shape: BlockedShape) -> Shape {
    shape.extents().to_vec().into()
}

/// Puts images into blocks.
struct Block(BlockedShape);

/// Takes images out of blocks.
struct Unblock(BlockedShape);

impl CustomOp1 for Block {
    fn name(&self) -> &'static str {
        "block"
    }

    fn cpu_fwd(&self, images: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let blocked = blocked::block(self.0, values(images, layout, self.name())?);
        Ok((CpuStorage::F32(blocked), blocked_shape(self.0)))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let grad = with_values(&grad, self.name(), |grad| blocked::unblock(self.0, grad))?;
        Ok(Some(Tensor::from_vec(grad, plain_shape(self.0), &Device::Cpu)?))
    }
}

impl CustomOp1 for Unblock {
    fn name(&self) -> &'static str {
        "unblock"
    }

    fn cpu_fwd(&self, images: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let plain = blocked::unblock(self.0, values(images, layout, self.name())?);
        Ok((CpuStorage::F32(plain), plain_shape(self.0)))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let grad = with_values(&grad, self.name(), |grad| blocked::block(self.0, grad))?;
        Ok(Some(Tensor::from_vec(grad, blocked_shape(self.0), &Device::Cpu)?))
    }
}
