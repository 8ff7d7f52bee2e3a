//! The arithmetic of each kind of layer; the one place that asks on which device it runs.
//!
//! On a CPU the crate `kernels` computes values and gradients, as candle's custom operations.
//! On other devices candle's own operations do, put together so that they have the same
//! gradients: candle's `max_pool2d` passes back a quarter of the gradient, and its `relu` has
//! gradient 1 at 0. Neither is used.

use candle_core::{CpuStorage, Error, Layout, Result, Storage, Tensor};

mod convolutions;
mod cross_entropy;
mod dense;
mod dropout;
mod gradient;
mod pooling;
mod stretch;

pub use cross_entropy::{cross_entropy, soft::soft_cross_entropy};

pub(crate) use convolutions::{Pooling, convolutions};
pub(crate) use dense::dense;
pub(crate) use dropout::dropout;
pub(crate) use gradient::{GradientSlot, Parameters};
pub(crate) use pooling::max_pool;
pub(crate) use stretch::Buffers;

/// max(x, 0) by candle's operations, with gradient 0 at 0, unlike `Tensor::relu`; NaN stays NaN.
fn relu(values: &Tensor) -> Result<Tensor> {
    values.le(0_f32)?.where_cond(&values.zeros_like()?, values)
}

/// A forward argument's values; every caller passes contiguous ones.
pub(crate) fn values<'a>(
    storage: &'a CpuStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => Err(Error::RequiresContiguous { op }),
    }
}

/// Runs `read` on the values of a contiguous tensor on the CPU, without copying them.
fn with_values<T>(tensor: &Tensor, op: &'static str, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(read(values(storage, layout, op)?)),
        _ => Err(Error::Msg(format!("{op} expects its tensors on the CPU"))),
    }
}

#[cfg(test)]
mod tests;
