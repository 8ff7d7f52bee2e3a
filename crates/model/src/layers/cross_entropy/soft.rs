//! Softmax cross-entropy of logits to targets between labels.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use kernels::cross_entropy::soft::{self, SoftTarget};

use super::super::{values, with_values};

/// The loss of each image: the weighted sum of its two labels' cross-entropies, each to the label smoothed.
///
/// A label smoothed by `s` is `1 - s` times the label and `s / num_classes` on every class. What a weight of 0 would
/// multiply is not looked at.
///
/// # Shapes
///
/// - `logits`: `(batch, num_classes)`, f32, before softmax
/// - `targets`: one an image, labels below `num_classes`
/// - `smoothing`: at least 0 and below 1
/// - returns `(batch,)`, f32
///
/// # Errors
///
/// Those of candle, if shapes or types are others or a label is no class.
pub fn soft_cross_entropy(
    logits: &Tensor,
    targets: Vec<SoftTarget>,
    smoothing: f32,
) -> Result<Tensor> {
    check(logits, &targets)?;
    match logits.device() {
        Device::Cpu => logits.contiguous()?.apply_op1(SoftCrossEntropy { targets, smoothing }),
        _ => by_tensor_operations(logits, &targets, smoothing),
    }
}

/// The same by candle's operations.
pub(in crate::layers) fn by_tensor_operations(
    logits: &Tensor,
    targets: &[SoftTarget],
    smoothing: f32,
) -> Result<Tensor> {
    let device = logits.device();
    let shape = (targets.len(), 2);
    let labels: Vec<u32> = targets.iter().flat_map(|target| target.labels).collect();
    let weights: Vec<f32> = targets.iter().flat_map(|target| target.weights).collect();
    let labels = Tensor::from_vec(labels, shape, device)?;
    let weights = Tensor::from_vec(weights, shape, device)?;
    let mass = weights.sum(1)?;
    let distances = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let sums = distances.exp()?.sum(1)?;
    let at_labels = distances.gather(&labels, 1)?;
    // Zero times the distance of a logit that is minus infinity would be NaN.
    let at_labels = weights.eq(0_f32)?.where_cond(&at_labels.zeros_like()?, &at_labels)?;
    let at_labels = ((at_labels * weights)?.sum(1)? * f64::from(1.0 - smoothing))?;
    let losses = ((sums.log()? * &mass)? - at_labels)?;
    if smoothing == 0.0 {
        return Ok(losses);
    }
    losses - ((distances.mean(1)? * mass)? * f64::from(smoothing))?
}

fn check(logits: &Tensor, targets: &[SoftTarget]) -> Result<()> {
    let (batch, classes) = logits.dims2()?;
    if targets.len() != batch {
        bail!("{} targets for {batch} images", targets.len());
    }
    let mut labels = targets.iter().flat_map(|target| target.labels);
    match labels.find(|&label| classes <= label as usize) {
        Some(label) => bail!("a label is {label}, expected one below {classes}"),
        None => Ok(()),
    }
}

/// The operation on a CPU.
struct SoftCrossEntropy {
    targets: Vec<SoftTarget>,
    smoothing: f32,
}

impl SoftCrossEntropy {
    const NAME: &'static str = "soft_cross_entropy";
}

impl CustomOp1 for SoftCrossEntropy {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, classes) = layout.shape().dims2()?;
        let logits = values(logits, layout, Self::NAME)?;
        let mut losses = vec![0.0; batch];
        soft::forward(classes, self.smoothing, logits, &self.targets, &mut losses);
        Ok((CpuStorage::F32(losses), batch.into()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad_losses: &Tensor) -> Result<Option<Tensor>> {
        let (_, classes) = logits.dims2()?;
        let grad_losses = grad_losses.contiguous()?;
        let mut grad = vec![0.0; logits.elem_count()];
        with_values(logits, Self::NAME, |logits| {
            with_values(&grad_losses, Self::NAME, |grad_losses| {
                let (targets, smoothing) = (&self.targets, self.smoothing);
                soft::backward(classes, smoothing, logits, targets, grad_losses, &mut grad);
            })
        })??;
        Ok(Some(Tensor::from_vec(grad, logits.shape(), &Device::Cpu)?))
    }
}
