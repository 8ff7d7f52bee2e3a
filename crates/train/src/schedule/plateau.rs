//! The learning rate over epochs: reduced when a metric stops improving.

use serde::{Deserialize, Serialize};

use crate::{
    monitor::{Monitor, single},
    setting::{Factor, MinDelta, MinLearningRate},
};

/// When and by how much the learning rate is reduced; Keras's names and defaults.
///
/// # Example
///
/// ```
/// use train::schedule::{PlateauState, ReduceOnPlateau};
///
/// let config: ReduceOnPlateau = toml::from_str("monitor = \"validation_loss\"\npatience = 1")?;
/// let mut state = PlateauState::new(config);
/// assert_eq!(state.observe(0.7, 0.5), 0.5);
/// assert_eq!(state.observe(0.7, 0.5), 0.05);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table such as { patience = 2 }")]
pub struct ReduceOnPlateau {
    /// The metric that is watched.
    pub monitor: Monitor,
    /// What the rate is multiplied by.
    pub factor: Factor,
    /// Epochs in a row without improvement before a reduction; 0 acts as 1.
    pub patience: u32,
    /// How much better than the best a value must be to count.
    pub min_delta: MinDelta,
    /// Epochs after a reduction in which none is counted; the last of them counts again, as in
    /// Keras.
    pub cooldown: u32,
    /// Where reductions end.
    pub min_learning_rate: MinLearningRate,
}

impl Default for ReduceOnPlateau {
    fn default() -> Self {
        ReduceOnPlateau {
            monitor: Monitor::ValidationLoss,
            factor: Factor::new(0.1).expect("0.1 lies between 0 and 1"),
            patience: 10,
            min_delta: MinDelta::new(1e-4).expect("1e-4 is finite and not negative"),
            cooldown: 0,
            min_learning_rate: MinLearningRate::new(0.0).expect("0 is finite and not negative"),
        }
    }
}

/// What [`ReduceOnPlateau`] remembers between the epochs of a stage.
///
/// # Source
///
/// keras 3.15.1, `callbacks/reduce_lr_on_plateau.py`. NaN differs: it never counts as an
/// improvement, where Keras takes a NaN of the first epoch for the best value. The rate is f64
/// here and f32 in Keras; whether it has come down to the lowest is decided in f32, as there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlateauState {
    config: ReduceOnPlateau,
    best: Option<f64>,
    wait: u32,
    cooldown_left: u32,
}

impl PlateauState {
    /// The state before a stage's first epoch.
    pub fn new(config: ReduceOnPlateau) -> Self {
        PlateauState { config, best: None, wait: 0, cooldown_left: 0 }
    }

    /// Takes note of an epoch's metric and returns the rate for the next epoch.
    ///
    /// Reports a `value` that is NaN.
    pub fn observe(&mut self, value: f64, learning_rate: f64) -> f64 {
        let config = self.config;
        if self.cooldown_left > 0 {
            self.cooldown_left -= 1;
            self.wait = 0;
        }
        if config.monitor.improves(value, config.min_delta, self.best) {
            self.best = Some(value);
            self.wait = 0;
            return learning_rate;
        }
        if self.cooldown_left > 0 {
            return learning_rate;
        }
        self.wait += 1;
        let lowest = config.min_learning_rate.get();
        if self.wait < config.patience || single(learning_rate) <= single(lowest) {
            return learning_rate;
        }
        self.wait = 0;
        self.cooldown_left = config.cooldown;
        (learning_rate * config.factor.get()).max(lowest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<ReduceOnPlateau, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn defaults_are_those_of_keras() {
        let config = parsed("").unwrap();
        assert_eq!(config, ReduceOnPlateau::default());
        let text = "monitor = \"validation_loss\"\nfactor = 0.1\npatience = 10\nmin_delta = 1e-4\n\
                    cooldown = 0\nmin_learning_rate = 0";
        assert_eq!(parsed(text).unwrap(), config);
    }

    #[test]
    fn writes_what_it_reads() {
        let config = parsed("monitor = \"validation_top5\"\npatience = 2").unwrap();
        assert_eq!(parsed(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let message = parsed("min_lr = 1e-6").unwrap_err().to_string();
        assert!(message.contains("min_lr"), "{message}");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for text in ["factor = 1.0", "factor = 0", "min_delta = -1e-4", "min_learning_rate = nan"] {
            let message = parsed(text).unwrap_err().to_string();
            let key = text.split(' ').next().unwrap();
            assert!(message.contains(&format!("`{key}` is ")), "{message}");
        }
        assert!(parsed("patience = -1").is_err());
        assert!(parsed("monitor = \"val_loss\"").is_err());
    }

    #[test]
    fn the_best_value_survives_a_reduction() {
        let mut state = PlateauState::new(parsed("patience = 1").unwrap());
        let is_reduced = [1.0, 2.0, 1.5].map(|loss| state.observe(loss, 0.1) < 0.1);
        assert_eq!(is_reduced, [false, true, true]);
    }

    #[test]
    fn goes_on_from_a_written_state() {
        let mut state = PlateauState::new(parsed("patience = 2\ncooldown = 1").unwrap());
        state.observe(1.0, 0.1);
        state.observe(1.0, 0.1);
        let json = serde_json::to_string(&state).unwrap();
        let mut read: PlateauState = serde_json::from_str(&json).unwrap();
        assert_eq!(read, state);
        assert!(read.observe(1.0, 0.1) < 0.1);
    }

    proptest! {
        #[test]
        fn rates_never_rise_and_stay_above_the_lowest(
            values in prop::collection::vec(prop_oneof![Just(f64::NAN), 0.0..2.0_f64], 1..60),
            factor in 0.01..0.99_f64,
            patience in 0..4_u32,
            cooldown in 0..4_u32,
            lowest in 0.0..0.1_f64,
        ) {
            let mut state = PlateauState::new(ReduceOnPlateau {
                monitor: Monitor::ValidationAccuracy,
                factor: Factor::new(factor).unwrap(),
                patience,
                cooldown,
                min_learning_rate: MinLearningRate::new(lowest).unwrap(),
                ..ReduceOnPlateau::default()
            });
            let mut learning_rate = 0.1;
            for value in values {
                let next = state.observe(value, learning_rate);
                prop_assert!(lowest <= next && next <= learning_rate);
                learning_rate = next;
            }
        }
    }
}
