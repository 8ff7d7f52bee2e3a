//! The rate of each parameter: one for all, less of it the further a layer lies from the head.

use std::collections::BTreeMap;

use model::{Layer, LayerKind};

use crate::setting::BlockDecay;

/// The rates of one step.
///
/// # Example
///
/// ```
/// use train::optimizer::LearningRates;
///
/// assert_eq!(LearningRates::equal(0.1).of("fc8.weight"), 0.1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRates<'a> {
    /// The rate of layers whose factor is 1.
    pub base: f64,
    /// What the others' is multiplied by.
    pub factors: &'a RateFactors,
}

/// What the rate is multiplied by, by layer; 1 for those that are not named.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateFactors(BTreeMap<String, f64>);

static EQUAL: RateFactors = RateFactors(BTreeMap::new());

impl LearningRates<'static> {
    /// One rate for all layers.
    pub fn equal(base: f64) -> Self {
        LearningRates { base, factors: &EQUAL }
    }
}

impl LearningRates<'_> {
    /// The rate of a parameter, such as `conv5_3.weight`.
    pub fn of(&self, parameter: &str) -> f64 {
        self.base * self.factors.of(parameter)
    }
}

impl RateFactors {
    /// The head's layers keep the rate, block 5 has `decay` of it, block 4 `decay` of that, and block 1 `decay^5`.
    ///
    /// `layers` are those of [`model::Architecture::layers`].
    ///
    /// # Source
    ///
    /// Howard and Ruder, Universal Language Model Fine-tuning (ACL 2018), section 3.2, discriminative
    /// fine-tuning, with blocks of one resolution as its layers.
    pub fn per_block(layers: &[Layer], decay: BlockDecay) -> Self {
        let mut factor = 1.0;
        let mut factors = BTreeMap::new();
        for layer in layers.iter().rev() {
            match layer.kind {
                // From the head down, a block begins with its pool.
                LayerKind::MaxPool => factor *= decay.get(),
                LayerKind::Convolution { .. } => {
                    factors.insert(layer.name.clone(), factor);
                }
                LayerKind::Dense { .. } | LayerKind::Dropout { .. } => {}
            }
        }
        Self(factors)
    }

    /// The factor of a parameter, such as `conv5_3.weight`.
    pub fn of(&self, parameter: &str) -> f64 {
        let layer = parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer);
        self.0.get(layer).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use model::{Architecture, Classifier, Head, Widths};

    use super::*;

    #[test]
    fn each_block_decays_from_the_one_above_it() {
        let architecture = Architecture {
            widths: Widths::VGG16,
            side_px: 224,
            classifier: Some(Classifier::new(Head::Bottleneck, 3)),
        };
        let factors = RateFactors::per_block(&architecture.layers(), BlockDecay::new(0.5).unwrap());
        let rates = LearningRates { base: 0.25, factors: &factors };
        for (parameter, factor) in [
            ("fc8.weight", 1.0),
            ("fc6.bias", 1.0),
            ("conv5_3.weight", 0.5),
            ("conv5_1.bias", 0.5),
            ("conv4_3.weight", 0.25),
            ("conv3_1.weight", 0.125),
            ("conv2_2.weight", 0.0625),
            ("conv1_1.weight", 0.03125),
        ] {
            assert_eq!(factors.of(parameter).to_bits(), f64::to_bits(factor), "{parameter}");
            assert_eq!(rates.of(parameter).to_bits(), f64::to_bits(0.25 * factor), "{parameter}");
        }
    }

    #[test]
    fn a_decay_of_one_leaves_the_rates_equal() {
        let architecture = Architecture {
            widths: Widths { blocks: [2; 5], fc: 4 },
            side_px: 48,
            classifier: None,
        };
        let factors = RateFactors::per_block(&architecture.layers(), BlockDecay::new(1.0).unwrap());
        for spec in architecture.parameters() {
            assert_eq!(factors.of(&spec.name).to_bits(), 1.0_f64.to_bits());
        }
    }
}
