//! 3x3 convolutions, stride 1, padding 1, each with bias and `ReLU` and the pool behind it, one after
//! the other.

use candle_core::{Device, Result, Tensor};

use super::{Buffers, Parameters, max_pool, relu, stretch};

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
pub(crate) fn convolutions(
    images: &Tensor,
    layers: Vec<(Parameters, Pooling)>,
    buffers: &Buffers,
) -> Result<Tensor> {
    match images.device() {
        Device::Cpu => stretch::on_cpu(images, layers, buffers),
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
