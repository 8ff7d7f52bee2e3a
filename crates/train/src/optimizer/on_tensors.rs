//! A step as tensor arithmetic: the way on every device but the CPU, and there for the settings
//! that the kernels lack.

use candle_core::{Result, Tensor, Var};

use super::{Adam, Moments, OptimizerConfig, RmsProp, Sgd, Step};

/// Applies `gradient` to `variable`, by the formulas of [`kernels::optimizer`].
pub(super) fn apply(
    config: &OptimizerConfig,
    step: Step,
    variable: &Var,
    gradient: &Tensor,
    moments: &mut Moments<Tensor>,
) -> Result<()> {
    let change = match config {
        OptimizerConfig::Adam(settings) => adam(settings, step, gradient, moments),
        OptimizerConfig::Sgd(settings) => sgd(settings, step, gradient, moments),
        OptimizerConfig::RmsProp(settings) => rmsprop(settings, step, gradient, moments),
    }?;
    variable.set(&(variable.as_tensor() + change)?)
}

fn adam(
    adam: &Adam,
    step: Step,
    gradient: &Tensor,
    moments: &mut Moments<Tensor>,
) -> Result<Tensor> {
    let Moments { momentum, velocity } = moments;
    let (beta_1, beta_2) = (adam.beta_1.get(), adam.beta_2.get());
    *momentum = approach(momentum, gradient, 1.0 - beta_1)?;
    *velocity = approach(velocity, &gradient.sqr()?, 1.0 - beta_2)?;
    let steps = f64::from(step.number);
    let correction = (1.0 - beta_2.powf(steps)).sqrt() / (1.0 - beta_1.powf(steps));
    let denominator = (velocity.sqrt()? + adam.epsilon.get())?;
    (&*momentum * (-step.learning_rate * correction))? / denominator
}

fn sgd(sgd: &Sgd, step: Step, gradient: &Tensor, moments: &mut Moments<Tensor>) -> Result<Tensor> {
    let downhill = (gradient * -step.learning_rate)?;
    let decay = sgd.momentum.get();
    if decay == 0.0 {
        return Ok(downhill);
    }
    let momentum = &mut moments.momentum;
    *momentum = ((&*momentum * decay)? + &downhill)?;
    if sgd.nesterov {
        return (&*momentum * decay)? + downhill;
    }
    Ok(momentum.clone())
}

fn rmsprop(
    rmsprop: &RmsProp,
    step: Step,
    gradient: &Tensor,
    moments: &mut Moments<Tensor>,
) -> Result<Tensor> {
    let Moments { momentum, velocity } = moments;
    *velocity = approach(velocity, &gradient.sqr()?, 1.0 - rmsprop.rho.get())?;
    let denominator = (&*velocity + rmsprop.epsilon.get())?.sqrt()?;
    let downhill = ((gradient * -step.learning_rate)? / denominator)?;
    let decay = rmsprop.momentum.get();
    if decay == 0.0 {
        return Ok(downhill);
    }
    *momentum = ((&*momentum * decay)? + downhill)?;
    Ok(momentum.clone())
}

/// Moves a running mean by `share` of its way to `value`.
fn approach(mean: &Tensor, value: &Tensor, share: f64) -> Result<Tensor> {
    mean + ((value - mean)? * share)?
}
