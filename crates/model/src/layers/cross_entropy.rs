//! Softmax cross-entropy of logits.

pub(super) mod soft;

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};
use kernels::cross_entropy;

use super::{values, with_values};

/// The loss of each image: minus the logarithm of the softmax at its label.
///
/// # Shapes
///
/// - `logits`: `(batch, num_classes)`, f32, before softmax
/// - `labels`: `(batch,)`, u32, below `num_classes`
/// - returns `(batch,)`, f32
///
/// # Errors
///
/// Those of candle, if shapes or types are others or a label is no class.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    match logits.device() {
        Device::Cpu => logits.contiguous()?.apply_op2(&labels.contiguous()?, CrossEntropy),
        _ => by_tensor_operations(logits, labels),
    }
}

/// The same by candle's operations.
pub(super) fn by_tensor_operations(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let distances = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let sums = distances.exp()?.sum(1)?;
    sums.log()? - distances.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?
}

/// The operation on a CPU.
struct CrossEntropy;

impl CrossEntropy {
    const NAME: &'static str = "cross_entropy";
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        logits_layout: &Layout,
        labels: &CpuStorage,
        labels_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, classes) = logits_layout.shape().dims2()?;
        let logits = values(logits, logits_layout, Self::NAME)?;
        let labels = labels_of(labels, labels_layout)?;
        if labels.len() != batch {
            bail!("{} labels for {batch} images", labels.len());
        }
        if let Some(label) = labels.iter().find(|&&label| classes <= label as usize) {
            bail!("a label is {label}, expected one below {classes}");
        }
        let mut losses = vec![0.0; batch];
        cross_entropy::forward(classes, logits, labels, &mut losses);
        Ok((CpuStorage::F32(losses), batch.into()))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        labels: &Tensor,
        _: &Tensor,
        grad_losses: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, classes) = logits.dims2()?;
        let labels = labels.to_vec1::<u32>()?;
        let grad_losses = grad_losses.contiguous()?;
        let mut grad = vec![0.0; logits.elem_count()];
        with_values(logits, Self::NAME, |logits| {
            with_values(&grad_losses, Self::NAME, |grad_losses| {
                cross_entropy::backward(classes, logits, &labels, grad_losses, &mut grad);
            })
        })??;
        Ok((Some(Tensor::from_vec(grad, logits.shape(), &Device::Cpu)?), None))
    }
}

fn labels_of<'a>(labels: &'a CpuStorage, layout: &Layout) -> Result<&'a [u32]> {
    layout.shape().dims1()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&labels.as_slice::<u32>()?[start..end]),
        None => bail!("labels are not contiguous"),
    }
}
