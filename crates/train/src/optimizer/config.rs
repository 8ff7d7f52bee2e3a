//! Which optimizer, with which settings, as a recipe says it.

use kernels::optimizer::{self as rules, Rule};
use serde::{Deserialize, Serialize};

use crate::setting::{DecayRate, Epsilon, L2Penalty, LearningRate, Threshold, WeightDecay};

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
    /// `weight_decay * learning_rate` of a weight is taken from it before each step.
    #[serde(skip_serializing_if = "WeightDecay::is_none")]
    pub weight_decay: WeightDecay,
    /// `l2` of a weight is added to its gradient, after clipping and before the moments: `PyTorch`'s `weight_decay`.
    #[serde(skip_serializing_if = "L2Penalty::is_none")]
    pub l2: L2Penalty,
    /// How large a gradient may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
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
    /// `weight_decay * learning_rate` of a weight is taken from it before each step.
    #[serde(skip_serializing_if = "WeightDecay::is_none")]
    pub weight_decay: WeightDecay,
    /// `l2` of a weight is added to its gradient, after clipping and before the moments: `PyTorch`'s `weight_decay`.
    #[serde(skip_serializing_if = "L2Penalty::is_none")]
    pub l2: L2Penalty,
    /// How large a gradient may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
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
    /// `weight_decay * learning_rate` of a weight is taken from it before each step.
    #[serde(skip_serializing_if = "WeightDecay::is_none")]
    pub weight_decay: WeightDecay,
    /// `l2` of a weight is added to its gradient, after clipping and before the moments: `PyTorch`'s `weight_decay`.
    #[serde(skip_serializing_if = "L2Penalty::is_none")]
    pub l2: L2Penalty,
    /// How large a gradient may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
}

/// How large a gradient may be: one of Keras's `clipnorm`, `clipvalue` and `global_clipnorm`.
///
/// In a recipe `clip = { norm = 1.0 }`, `{ value = 0.5 }` or `{ global_norm = 1.0 }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "RawClip")]
pub enum Clip {
    /// The Euclidean norm of each parameter's gradient.
    Norm(Threshold),
    /// The size of each element.
    Value(Threshold),
    /// The Euclidean norm of the gradients of all parameters together.
    GlobalNorm(Threshold),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { norm = 1.0 }")]
struct RawClip {
    norm: Option<Threshold>,
    value: Option<Threshold>,
    global_norm: Option<Threshold>,
}

impl TryFrom<RawClip> for Clip {
    type Error = &'static str;

    fn try_from(raw: RawClip) -> Result<Self, &'static str> {
        match (raw.norm, raw.value, raw.global_norm) {
            (Some(norm), None, None) => Ok(Clip::Norm(norm)),
            (None, Some(value), None) => Ok(Clip::Value(value)),
            (None, None, Some(norm)) => Ok(Clip::GlobalNorm(norm)),
            _ => Err("`clip` takes one of `norm`, `value` and `global_norm`"),
        }
    }
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

    /// How large a gradient may be.
    pub fn clip(&self) -> Option<Clip> {
        match self {
            OptimizerConfig::Adam(adam) => adam.clip,
            OptimizerConfig::Sgd(sgd) => sgd.clip,
            OptimizerConfig::RmsProp(rmsprop) => rmsprop.clip,
        }
    }

    /// The share of a weight, in learning rates, that a step takes from it.
    pub fn weight_decay(&self) -> f64 {
        match self {
            OptimizerConfig::Adam(adam) => adam.weight_decay,
            OptimizerConfig::Sgd(sgd) => sgd.weight_decay,
            OptimizerConfig::RmsProp(rmsprop) => rmsprop.weight_decay,
        }
        .get()
    }

    /// What of a weight is added to its gradient.
    pub fn l2(&self) -> f64 {
        match self {
            OptimizerConfig::Adam(adam) => adam.l2,
            OptimizerConfig::Sgd(sgd) => sgd.l2,
            OptimizerConfig::RmsProp(rmsprop) => rmsprop.l2,
        }
        .get()
    }

    /// How gradients move weights.
    pub(super) fn rule(&self) -> Rule {
        match self {
            OptimizerConfig::Adam(adam) => Rule::Adam(rules::Adam {
                beta_1: adam.beta_1.get(),
                beta_2: adam.beta_2.get(),
                epsilon: adam.epsilon.get(),
            }),
            OptimizerConfig::Sgd(sgd) => {
                Rule::Sgd(rules::Sgd { momentum: sgd.momentum.get(), nesterov: sgd.nesterov })
            }
            OptimizerConfig::RmsProp(rmsprop) => Rule::RmsProp(rules::RmsProp {
                rho: rmsprop.rho.get(),
                momentum: rmsprop.momentum.get(),
                epsilon: rmsprop.epsilon.get(),
            }),
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
            weight_decay: WeightDecay::new(0.0).expect("0 is allowed"),
            l2: L2Penalty::new(0.0).expect("0 is allowed"),
            clip: None,
        }
    }
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd {
            learning_rate: LearningRate::new(0.01).expect("0.01 is above 0"),
            momentum: DecayRate::new(0.0).expect("0 is below 1"),
            nesterov: false,
            weight_decay: WeightDecay::new(0.0).expect("0 is allowed"),
            l2: L2Penalty::new(0.0).expect("0 is allowed"),
            clip: None,
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
            weight_decay: WeightDecay::new(0.0).expect("0 is allowed"),
            l2: L2Penalty::new(0.0).expect("0 is allowed"),
            clip: None,
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
            "kind = \"rmsprop\", rho = 0.95, weight_decay = 1e-4",
            "kind = \"sgd\", l2 = 5e-4",
            "kind = \"adam\", clip = { norm = 1.0 }",
            "kind = \"sgd\", clip = { value = 0.5 }",
            "kind = \"adam\", clip = { global_norm = 2 }",
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
            ("sgd", "weight_decay", "-1e-4"),
            ("rmsprop", "l2", "nan"),
            ("adam", "clip", "{ norm = 0.0 }"),
        ] {
            let message = parsed(&format!("kind = \"{kind}\", {key} = {value}")).unwrap_err();
            let message = message.message();
            assert!(message.contains(key) && message.contains("expected"), "{message}");
        }
        assert!(parsed("kind = \"adam\", learning_rate = \"high\"").is_err());
    }

    #[test]
    fn clip_takes_one_threshold() {
        for (clip, expected) in [
            ("{ norm = 1.0, value = 2.0 }", "`clip` takes one of `norm`, `value` and"),
            ("{}", "`clip` takes one of"),
            ("{ nrm = 1.0 }", "unknown field `nrm`, expected one of `norm`, `value`"),
        ] {
            let error = parsed(&format!("kind = \"sgd\", clip = {clip}")).unwrap_err();
            assert!(error.message().contains(expected), "{error}");
        }
    }
}
