//! 2x2 maximum pooling whose gradient goes to one input of each window.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
use kernels::pooling::{self, PoolingShape};

use super::{values, with_values};

/// Takes the largest value of each 2x2 window; an odd last row or column is dropped.
///
/// The whole gradient of a window goes to its largest value, on ties to the first in row order,
/// as in cuDNN and PyTorch. A NaN in a window is its largest value.
///
/// # Shapes
///
/// - `images`: `(batch, channels, rows, columns)`, f32
/// - returns `(batch, channels, rows / 2, columns / 2)`
pub(crate) fn max_pool(images: &Tensor) -> Result<Tensor> {
    match images.device() {
        Device::Cpu => images.contiguous()?.apply_op1(MaxPool { argmax: OnceLock::new() }),
        _ => by_tensor_operations(images),
    }
}

/// The same by candle's operations: three comparisons of the four corners of all windows.
pub(super) fn by_tensor_operations(images: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = images.dims4()?;
    let (rows, columns) = (height / 2, width / 2);
    let windows = images
        .narrow(2, 0, 2 * rows)?
        .narrow(3, 0, 2 * columns)?
        .contiguous()?
        .reshape((batch * channels, rows, 2, columns, 2))?;
    let corner = |row, column| {
        windows
            .narrow(2, row, 1)?
            .narrow(4, column, 1)?
            .contiguous()?
            .reshape((batch, channels, rows, columns))
    };
    let mut largest = corner(0, 0)?;
    for (row, column) in [(0, 1), (1, 0), (1, 1)] {
        let candidate = corner(row, column)?;
        // Both comparisons are false where `largest` is NaN and `candidate` is a number.
        let is_larger = candidate.gt(&largest)?;
        let is_nan = candidate.ne(&candidate)?;
        largest = (is_larger + is_nan)?.where_cond(&candidate, &largest)?;
    }
    Ok(largest)
}

/// The operation on a CPU, made for one use.
struct MaxPool {
    /// Which of its window's four values each output is.
    argmax: OnceLock<Vec<u8>>,
}

impl MaxPool {
    const NAME: &'static str = "max_pool";

    fn shape(images: &Shape) -> Result<PoolingShape> {
        let (batch, channels, height, width) = images.dims4()?;
        Ok(PoolingShape { batch, channels, height, width })
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, images: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = Self::shape(layout.shape())?;
        let mut output = vec![0.0; shape.output_len()];
        let mut argmax = vec![0; shape.output_len()];
        let images = values(images, layout, Self::NAME)?;
        pooling::forward(shape, images, &mut output, &mut argmax);
        self.argmax.set(argmax).expect("the operation is made for one use");
        let PoolingShape { batch, channels, height, width } = shape;
        Ok((CpuStorage::F32(output), (batch, channels, height / 2, width / 2).into()))
    }

    fn bwd(&self, images: &Tensor, _: &Tensor, grad_output: &Tensor) -> Result<Option<Tensor>> {
        let grad_output = grad_output.contiguous()?;
        let argmax = self.argmax.get().expect("backward follows forward");
        let shape = Self::shape(images.shape())?;
        let mut grad_images = vec![0.0; images.elem_count()];
        with_values(&grad_output, Self::NAME, |grad_output| {
            pooling::backward(shape, grad_output, argmax, &mut grad_images);
        })?;
        Ok(Some(Tensor::from_vec(grad_images, images.shape(), &Device::Cpu)?))
    }
}
