//! Where a layer's backward pass leaves the gradient of a parameter.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor};

use crate::Gradient;

/// A place for the gradient of one parameter, shared by the network and the operations of a pass.
///
/// Candle adds every gradient to a tensor of zeros that it makes first: two passes over memory more
/// than the 103 million weights of `fc6` need. The CPU's operations leave gradients here instead.
#[derive(Debug, Clone, Default)]
pub(crate) struct GradientSlot(Arc<Mutex<Option<Gradient>>>);

impl GradientSlot {
    /// Adds to what is there.
    pub(crate) fn add(&self, gradient: Gradient) -> Result<()> {
        // The lock is not held while gradients are added up: that is work for all threads.
        let gradient = match self.take() {
            Some(earlier) => earlier.plus(&gradient)?,
            None => gradient,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
        Ok(())
    }

    /// Takes what is there.
    pub(crate) fn take(&self) -> Option<Gradient> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A layer's parameters as they take part in a pass, and where their gradients go.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    /// Tracked if the layer learns.
    pub(crate) weights: Tensor,
    /// Likewise.
    pub(crate) bias: Tensor,
    /// Of the weights.
    pub(crate) weights_slot: GradientSlot,
    /// Of the bias.
    pub(crate) bias_slot: GradientSlot,
}

impl Parameters {
    /// Whether a gradient of any of them is asked for.
    pub(crate) fn track_op(&self) -> bool {
        self.weights.track_op() || self.bias.track_op()
    }

    /// Leaves the gradients; that of the bias in its shape.
    pub(super) fn add_gradients(&self, weights: Gradient, bias: Vec<f32>) -> Result<()> {
        self.weights_slot.add(weights)?;
        let bias = Tensor::from_vec(bias, self.bias.shape(), self.bias.device())?;
        self.bias_slot.add(Gradient::Whole(bias))
    }
}
