//! Initial values of new layers, from Keras's initializers and our own streams.

use candle_core::{Device, Tensor};

use crate::stream::{Purpose, Uniform};
use crate::{Error, ParameterSpec};

/// How a new weight is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initializer {
    /// Uniform in ±sqrt(6 / (`fan_in` + `fan_out`)): Keras's default for dense and convolution.
    GlorotUniform,
    /// Uniform in ±sqrt(6 / `fan_in`): keeps the variance through `ReLU`, for a whole new network.
    HeUniform,
}

impl Initializer {
    /// The bound of the uniform distribution.
    fn limit(self, fans: Fans) -> f64 {
        match self {
            Self::GlorotUniform => (6.0 / (fans.incoming + fans.outgoing) as f64).sqrt(),
            Self::HeUniform => (6.0 / fans.incoming as f64).sqrt(),
        }
    }
}

/// Draws a parameter; a bias, which has one axis, is zero.
///
/// The values depend on the seed, the parameter's name and its shape, not on what else is drawn
/// or in which order.
///
/// # Errors
///
/// [`Error::Tensor`] if the device has no room.
///
/// # Source
///
/// Keras 2.2.4 and 3, `initializers`: `VarianceScaling` with `distribution="uniform"`; the fans
/// of a convolution are its receptive field times its channels. Values differ from Keras's for
/// want of its generator, the distribution does not.
pub fn initial(
    spec: &ParameterSpec,
    initializer: Initializer,
    seed: u64,
    device: &Device,
) -> Result<Tensor, Error> {
    let count = spec.shape.iter().product();
    let values = match Fans::of(&spec.shape) {
        None => vec![0.0; count],
        Some(fans) => {
            #[expect(clippy::cast_possible_truncation, reason = "a limit below 3 fits f32")]
            let limit = initializer.limit(fans) as f32;
            let mut stream = Uniform::new(Purpose::InitialValues, seed, &spec.name);
            (0..count).map(|_| (2.0 * stream.draw() - 1.0) * limit).collect()
        }
    };
    Ok(Tensor::from_vec(values, spec.shape.as_slice(), device)?)
}

/// How many values a unit reads, and how many read it.
#[derive(Debug, Clone, Copy)]
struct Fans {
    incoming: usize,
    outgoing: usize,
}

impl Fans {
    /// The fans of a weight `(out, in, ..)`, or `None` for a bias `(out)`.
    fn of(shape: &[usize]) -> Option<Self> {
        match shape {
            [outputs, inputs, receptive_field @ ..] => {
                let receptive_field: usize = receptive_field.iter().product();
                Some(Self {
                    incoming: inputs * receptive_field,
                    outgoing: outputs * receptive_field,
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Initializer::{GlorotUniform, HeUniform};

    fn spec(name: &str, shape: &[usize]) -> ParameterSpec {
        ParameterSpec { name: name.to_owned(), shape: shape.to_vec() }
    }

    fn draw(spec: &ParameterSpec, initializer: Initializer, seed: u64) -> Vec<f32> {
        let tensor = initial(spec, initializer, seed, &Device::Cpu).unwrap();
        assert_eq!(tensor.dims(), spec.shape);
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn limit(initializer: Initializer, shape: &[usize]) -> f64 {
        initializer.limit(Fans::of(shape).unwrap())
    }

    #[test]
    fn limits_are_those_of_keras() {
        // The question's own layers, from spec: fc6 (25088 -> 4096) and fc8 (4096 -> 311).
        assert!((limit(GlorotUniform, &[4096, 25088]) - 0.014_338_5).abs() < 5e-8);
        assert!((limit(GlorotUniform, &[311, 4096]) - 0.036_898_1).abs() < 5e-8);
        // conv2_1: 9 * (64 + 128) values.
        assert!((limit(GlorotUniform, &[128, 64, 3, 3]) - (6.0 / 1728.0_f64).sqrt()).abs() < 1e-12);
        assert!((limit(HeUniform, &[128, 64, 3, 3]) - (6.0 / 576.0_f64).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn values_are_uniform_within_the_limits() {
        for initializer in [GlorotUniform, HeUniform] {
            let shape = [64, 32, 3, 3];
            let values = draw(&spec("conv1_2.weight", &shape), initializer, 42);
            let count = values.len() as f64;
            let limit = limit(initializer, &shape);
            let scaled: Vec<f64> = values.iter().map(|&value| f64::from(value) / limit).collect();
            // A uniform variable in ±1 has mean 0, variance 1/3 and fourth moment 1/5; the
            // bounds are four standard errors of each moment's estimate.
            let moment = |power| scaled.iter().map(|value| value.powi(power)).sum::<f64>() / count;
            assert!(moment(1).abs() < 4.0 * (1.0 / 3.0 / count).sqrt());
            assert!((moment(2) - 1.0 / 3.0).abs() < 4.0 * (4.0 / 45.0 / count).sqrt());
            assert!((moment(4) - 1.0 / 5.0).abs() < 4.0 * (16.0 / 225.0 / count).sqrt());
            let largest = scaled.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            assert!(0.999 < largest && largest < 1.0 + 1e-6, "{largest}");
        }
    }

    #[test]
    fn values_depend_on_seed_and_name_only() {
        let fc6 = spec("fc6.weight", &[8, 12]);
        let fc8 = spec("fc8.weight", &[8, 12]);
        let base = draw(&fc6, GlorotUniform, 1);
        assert_ne!(base, draw(&fc8, GlorotUniform, 1));
        assert_ne!(base, draw(&fc6, GlorotUniform, 2));
        assert_eq!(base, draw(&fc6, GlorotUniform, 1), "an order of drawing shows");
    }

    #[test]
    fn biases_are_zero() {
        assert_eq!(draw(&spec("fc6.bias", &[5]), HeUniform, 7), [0.0; 5]);
    }
}
