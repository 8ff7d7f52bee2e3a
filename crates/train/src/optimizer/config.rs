//! Which optimizer, with which settings, as a recipe says it.

use serde::{Deserialize, Serialize};

use crate::setting::{DecayRate, Epsilon, LearningRate};

/// An optimizer and its settings; Keras's names and defaults.
///
/// # Example
///
/// ```
/// use train::optimizer::OptimizerConfig;
///
/// let config: OptimizerConfig = toml::from_str("kind = \"sgd\"\nmomentum = 0.9")?;
/// assert_eq!(config.learning_rate(), 0.01);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Steps of about the learning rate, whatever the gradient's size.
    Adam(Adam),
    /// Steps along the gradient, with momentum if wanted.
    Sgd(Sgd),
    /// Gradients over the root of their running mean square.
    RmsProp(RmsProp),
}

/// Settings of Adam.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// The step size at the start.
    pub learning_rate: LearningRate,
    /// What the mean gradient keeps at each step.
    pub beta_1: DecayRate,
    /// What the mean squared gradient keeps at each step.
    pub beta_2: DecayRate,
    /// Added to the root of the mean squared gradient before its bias is corrected.
    pub epsilon: Epsilon,
}

/// Settings of stochastic gradient descent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// The step size at the start.
    pub learning_rate: LearningRate,
    /// What the velocity keeps at each step; 0 for none.
    pub momentum: DecayRate,
    /// Whether a step looks one velocity ahead.
    pub nesterov: bool,
}

/// Settings of `RMSprop`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    /// The step size at the start.
    pub learning_rate: LearningRate,
    /// What the mean squared gradient keeps at each step.
    pub rho: DecayRate,
    /// What the sum of steps keeps at each step; 0 for none.
    pub momentum: DecayRate,
    /// Added to the mean squared gradient, under the root.
    pub epsilon: Epsilon,
}

impl OptimizerConfig {
    /// The step size at the start.
    pub fn learning_rate(&self) -> f64 {
        match self {
            OptimizerConfig::Adam(adam) => adam.learning_rate,
            OptimizerConfig::Sgd(sgd) => sgd.learning_rate,
            OptimizerConfig::RmsProp(rmsprop) => rmsprop.learning_rate,
        }
        .get()
    }

    /// Whether a step needs the sum or mean of earlier gradients.
    pub(super) fn needs_momentum(&self) -> bool {
        match self {
            OptimizerConfig::Adam(_) => true,
            OptimizerConfig::Sgd(sgd) => sgd.momentum.get() > 0.0,
            OptimizerConfig::RmsProp(rmsprop) => rmsprop.momentum.get() > 0.0,
        }
    }

    /// Whether a step needs the mean of earlier squared gradients.
    pub(super) fn needs_velocity(&self) -> bool {
        match self {
            OptimizerConfig::Adam(_) | OptimizerConfig::RmsProp(_) => true,
            OptimizerConfig::Sgd(_) => false,
        }
    }
}

impl Default for Adam {
    fn default() -> Self {
        Adam {
            learning_rate: LearningRate::new(1e-3).expect("1e-3 is above 0"),
            beta_1: DecayRate::new(0.9).expect("0.9 is below 1"),
            beta_2: DecayRate::new(0.999).expect("0.999 is below 1"),
            epsilon: Epsilon::new(1e-7).expect("1e-7 is above 0"),
        }
    }
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd {
            learning_rate: LearningRate::new(0.01).expect("0.01 is above 0"),
            momentum: DecayRate::new(0.0).expect("0 is below 1"),
            nesterov: false,
        }
    }
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp {
            learning_rate: LearningRate::new(1e-3).expect("1e-3 is above 0"),
            rho: DecayRate::new(0.9).expect("0.9 is below 1"),
            momentum: DecayRate::new(0.0).expect("0 is below 1"),
            epsilon: Epsilon::new(1e-7).expect("1e-7 is above 0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<OptimizerConfig, toml::de::Error> {
        /// The form in which a recipe holds it.
        #[derive(Deserialize)]
        struct Stage {
            optimizer: OptimizerConfig,
        }
        toml::from_str::<Stage>(&format!("optimizer = {{ {text} }}")).map(|stage| stage.optimizer)
    }

    #[test]
    fn defaults_are_those_of_keras() {
        for (short, long) in [
            (
                "kind = \"adam\"",
                "kind = \"adam\", learning_rate = 0.001, beta_1 = 0.9, beta_2 = 0.999, \
                 epsilon = 1e-7",
            ),
            (
                "kind = \"sgd\"",
                "kind = \"sgd\", learning_rate = 0.01, momentum = 0, nesterov = false",
            ),
            (
                "kind = \"rmsprop\"",
                "kind = \"rmsprop\", learning_rate = 0.001, rho = 0.9, momentum = 0.0, \
                 epsilon = 1e-7",
            ),
        ] {
            assert_eq!(parsed(short).unwrap(), parsed(long).unwrap());
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in [
            "kind = \"adam\", learning_rate = 1e-4",
            "kind = \"sgd\", momentum = 0.9, nesterov = true",
            "kind = \"rmsprop\", rho = 0.95",
        ] {
            let config = parsed(text).unwrap();
            let written = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<OptimizerConfig>(&written).unwrap(), config);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        for (kind, key) in [("adam", "momentum"), ("sgd", "beta_1"), ("rmsprop", "nesterov")] {
            let message = parsed(&format!("kind = \"{kind}\", {key} = 0.5")).unwrap_err();
            let message = message.message();
            assert!(message.contains(&format!("unknown field `{key}`")), "{message}");
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_by_name() {
        let message = parsed("kind = \"adamw\"").unwrap_err();
        assert!(message.message().contains("`adamw`"), "{message}");
        assert!(parsed("learning_rate = 1e-4").unwrap_err().message().contains("`kind`"));
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (kind, key, value) in [
            ("adam", "learning_rate", "0"),
            ("adam", "beta_2", "1.0"),
            ("sgd", "momentum", "-0.9"),
            ("rmsprop", "rho", "inf"),
            ("rmsprop", "epsilon", "0.0"),
        ] {
            let message = parsed(&format!("kind = \"{kind}\", {key} = {value}")).unwrap_err();
            let message = message.message();
            assert!(message.contains(key) && message.contains("expected"), "{message}");
        }
        assert!(parsed("kind = \"adam\", learning_rate = \"high\"").is_err());
    }
}
