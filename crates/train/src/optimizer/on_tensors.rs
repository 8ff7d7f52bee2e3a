//! A step as tensor arithmetic: the way on every device but the CPU.

use candle_core::{Result, Tensor, Var};
use kernels::optimizer::{Adam, RmsProp, Rule, Sgd, Step};

use super::Moments;

/// Applies `gradient` to `variable`, by the formulas of [`kernels::optimizer`].
pub(super) fn apply(
    step: Step,
    variable: &Var,
    gradient: &Tensor,
    moments: &mut Moments<Tensor>,
) -> Result<()> {
    let mut gradient = (gradient * step.gradient_scale)?;
    if step.clip_value.is_finite() {
        gradient = clamped(&gradient, step.clip_value)?;
    }
    let weights = variable.as_detached_tensor();
    if step.l2 > 0.0 {
        gradient = (gradient + (&weights * step.l2)?)?;
    }
    let mut change = match step.rule {
        Rule::Adam(rule) => adam(rule, step, &gradient, moments),
        Rule::Sgd(rule) => sgd(rule, step, &gradient, moments),
        Rule::RmsProp(rule) => rmsprop(rule, step, &gradient, moments),
    }?;
    if step.weight_decay > 0.0 {
        change = (change - (&weights * (step.weight_decay * step.learning_rate))?)?;
    }
    variable.set(&(weights + change)?)
}

/// Not further from zero than `limit`; NaN stays, which candle's `clamp` turns into a bound on some devices.
fn clamped(gradient: &Tensor, limit: f64) -> Result<Tensor> {
    let limits = gradient.affine(0.0, limit)?;
    let below = gradient.gt(limit)?.where_cond(&limits, gradient)?;
    below.lt(-limit)?.where_cond(&limits.neg()?, &below)
}

/// The sum of a gradient's squares.
pub(super) fn squared_norm(gradient: &Tensor) -> Result<f64> {
    Ok(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?.into())
}

fn adam(
    rule: Adam,
    step: Step,
    gradient: &Tensor,
    moments: &mut Moments<Tensor>,
) -> Result<Tensor> {
    let Moments { momentum, velocity } = moments;
    *momentum = approach(momentum, gradient, 1.0 - rule.beta_1)?;
    *velocity = approach(velocity, &gradient.sqr()?, 1.0 - rule.beta_2)?;
    let denominator = (velocity.sqrt()? + rule.epsilon)?;
    (&*momentum * -rule.step_size(step.learning_rate, step.number))? / denominator
}

fn sgd(rule: Sgd, step: Step, gradient: &Tensor, moments: &mut Moments<Tensor>) -> Result<Tensor> {
    let downhill = (gradient * -step.learning_rate)?;
    if rule.momentum == 0.0 {
        return Ok(downhill);
    }
    let momentum = &mut moments.momentum;
    *momentum = ((&*momentum * rule.momentum)? + &downhill)?;
    if rule.nesterov {
        return (&*momentum * rule.momentum)? + downhill;
    }
    Ok(momentum.clone())
}

fn rmsprop(
    rule: RmsProp,
    step: Step,
    gradient: &Tensor,
    moments: &mut Moments<Tensor>,
) -> Result<Tensor> {
    let Moments { momentum, velocity } = moments;
    *velocity = approach(velocity, &gradient.sqr()?, 1.0 - rule.rho)?;
    let denominator = (&*velocity + rule.epsilon)?.sqrt()?;
    let downhill = ((gradient * -step.learning_rate)? / denominator)?;
    if rule.momentum == 0.0 {
        return Ok(downhill);
    }
    *momentum = ((&*momentum * rule.momentum)? + downhill)?;
    Ok(momentum.clone())
}

/// Moves a running mean by `share` of its way to `value`.
fn approach(mean: &Tensor, value: &Tensor, share: f64) -> Result<Tensor> {
    mean + ((value - mean)? * share)?
}
