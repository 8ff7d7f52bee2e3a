//! Inverted dropout with a mask that can be drawn again.

use candle_core::{Result, Tensor};

use crate::stream::{Purpose, Uniform};

/// Sets a share of the units to zero and scales the others by 1 / (1 - rate), so that the
/// expectation stays.
///
/// The mask depends on the seed, the layer's name and the shape alone. A caller that trains
/// passes another seed at each step.
///
/// # Shapes
///
/// - `inputs` and what is returned: any, f32
pub(crate) fn dropout(inputs: &Tensor, rate: f32, seed: u64, layer_name: &str) -> Result<Tensor> {
    let mut stream = Uniform::new(Purpose::Dropout, seed, layer_name);
    let kept = 1.0 / (1.0 - rate);
    let mask: Vec<f32> =
        (0..inputs.elem_count()).map(|_| if stream.draw() < rate { 0.0 } else { kept }).collect();
    inputs * Tensor::from_vec(mask, inputs.shape(), inputs.device())?
}
