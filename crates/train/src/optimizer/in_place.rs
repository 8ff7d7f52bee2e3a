//! A step in place on the CPU, by the kernels: no tensor as large as a parameter is made.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor, Var, bail};
use kernels::dense::DenseShape;
use kernels::optimizer::{self as rules, DenseGradient, Step};
use model::Gradient;

use super::Moments;

/// Applies `gradient` to `variable`, both on the CPU.
pub(super) fn apply(
    step: Step,
    variable: &Var,
    gradient: &Gradient,
    moments: &mut Moments<Vec<f32>>,
) -> Result<()> {
    let operation = InPlace { step, moments: RefCell::new(moments) };
    match gradient {
        Gradient::Whole(gradient) => variable.inplace_op2(&gradient.contiguous()?, &operation),
        Gradient::Product { inputs, grad_output } => {
            let (inputs, grad_output) = (inputs.contiguous()?, grad_output.contiguous()?);
            variable.inplace_op3(&inputs, &grad_output, &operation)
        }
    }
}

/// The sum of a gradient's squares.
pub(super) fn squared_norm(gradient: &Gradient) -> Result<f64> {
    match gradient {
        Gradient::Whole(gradient) => with_values(&gradient.contiguous()?, |gradient, _| {
            Ok(rules::Gradient::Whole(gradient).squared_norm())
        }),
        Gradient::Product { inputs, grad_output } => {
            let (inputs, grad_output) = (inputs.contiguous()?, grad_output.contiguous()?);
            with_values(&inputs, |inputs, of_inputs| {
                with_values(&grad_output, |grad_output, of_output| {
                    let gradient = in_factors((inputs, of_inputs), (grad_output, of_output))?;
                    Ok(rules::Gradient::Dense(gradient).squared_norm())
                })
            })
        }
    }
}

/// The operation as candle wants it: it may change its first operand, and has no `&mut self` for
/// the moments.
struct InPlace<'a> {
    step: Step,
    moments: RefCell<&'a mut Moments<Vec<f32>>>,
}

impl InPlace<'_> {
    fn step(
        &self,
        variable: &mut CpuStorage,
        layout: &Layout,
        gradient: rules::Gradient<'_>,
    ) -> Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (variable, layout.contiguous_offsets())
        else {
            bail!("a variable is not contiguous f32, expected it as it was made")
        };
        let mut moments = self.moments.borrow_mut();
        let Moments { momentum, velocity } = &mut **moments;
        self.step.apply(gradient, &mut values[start..end], rules::Moments { momentum, velocity });
        Ok(())
    }
}

const NAME: &str = "optimizer-step";

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        variable_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let (found, expected) = (gradient_layout.shape(), variable_layout.shape());
        if found != expected {
            bail!("a gradient of shape {found:?}, expected its variable's {expected:?}");
        }
        let gradient = rules::Gradient::Whole(values(gradient, gradient_layout)?);
        self.step(variable, variable_layout, gradient)
    }
}

impl InplaceOp3 for InPlace<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        variable_layout: &Layout,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        grad_output: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<()> {
        let inputs = (values(inputs, inputs_layout)?, inputs_layout);
        let grad_output = (values(grad_output, grad_layout)?, grad_layout);
        let gradient = in_factors(inputs, grad_output)?;
        let DenseShape { in_features, out_features, .. } = gradient.shape;
        let found = variable_layout.shape().dims2()?;
        if found != (out_features, in_features) {
            bail!("a variable of shape {found:?}, expected ({out_features}, {in_features})");
        }
        self.step(variable, variable_layout, rules::Gradient::Dense(gradient))
    }
}

fn in_factors<'a>(
    (inputs, inputs_layout): (&'a [f32], &Layout),
    (grad_output, grad_layout): (&'a [f32], &Layout),
) -> Result<DenseGradient<'a>> {
    let (batch, in_features) = inputs_layout.shape().dims2()?;
    let (images, out_features) = grad_layout.shape().dims2()?;
    if images != batch {
        bail!("factors of {batch} and {images} images, expected one number of them");
    }
    let shape = DenseShape { batch, in_features, out_features };
    Ok(DenseGradient { shape, inputs, grad_output })
}

fn with_values<T>(tensor: &Tensor, work: impl FnOnce(&[f32], &Layout) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(values(storage, layout)?, layout),
        _ => bail!("a gradient does not lie on the CPU, expected it beside its variable"),
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a gradient is not contiguous, expected it as its caller made it"),
    }
}
