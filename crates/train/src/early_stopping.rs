//! Ends a stage when a metric stops improving, and says which epoch's weights are the best.

use serde::{Deserialize, Serialize};

use crate::{
    monitor::Monitor,
    setting::{Baseline, MinDelta},
};

/// When a stage ends before its last epoch; Keras's names and defaults.
///
/// # Example
///
/// ```
/// use train::early_stopping::{Decision, EarlyStopping, EarlyStoppingState};
///
/// let config: EarlyStopping = toml::from_str("patience = 1")?;
/// let mut state = EarlyStoppingState::new(config);
/// assert_eq!(state.observe(0.7), Decision::Improved);
/// assert_eq!(state.observe(0.7), Decision::Stop);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table such as { patience = 2 }")]
pub struct EarlyStopping {
    /// The metric that is watched.
    pub monitor: Monitor,
    /// How much better than the best a value must be to count.
    pub min_delta: MinDelta,
    /// Epochs in a row without improvement before the stage ends; 0 acts as 1.
    pub patience: u32,
    /// An improvement that does not beat this value, too, does not calm the patience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Whether the stage ends with the weights of its best epoch rather than of its last, also
    /// when it ran to its full length.
    pub restore_best_weights: bool,
    /// First epochs that are not looked at.
    pub start_from_epoch: u32,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        EarlyStopping {
            monitor: Monitor::ValidationLoss,
            min_delta: MinDelta::new(0.0).expect("0 is finite and not negative"),
            patience: 0,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
        }
    }
}

/// What an epoch's metric means for the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on; this epoch's weights are the best so far, so keep them if they are to be restored.
    Improved,
    /// Go on.
    Continue,
    /// End the stage; this epoch's weights are not the best.
    Stop,
}

/// What [`EarlyStopping`] remembers between the epochs of a stage.
///
/// # Source
///
/// keras 3.15.1, `callbacks/early_stopping.py`: patience also runs while values improve without
/// beating the baseline, a stop needs an epoch without improvement, and the first epoch never
/// stops. NaN differs: it never counts as an improvement, where Keras takes a NaN of the first
/// epoch for the best value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStoppingState {
    config: EarlyStopping,
    best: Option<f64>,
    wait: u32,
    epochs_seen: u32,
}

impl EarlyStoppingState {
    /// The state before a stage's first epoch.
    pub fn new(config: EarlyStopping) -> Self {
        EarlyStoppingState { config, best: None, wait: 0, epochs_seen: 0 }
    }

    /// Takes note of an epoch's metric, once for each epoch, and says how to go on.
    ///
    /// Reports a `value` that is NaN.
    pub fn observe(&mut self, value: f64) -> Decision {
        let config = self.config;
        let epoch = self.epochs_seen;
        self.epochs_seen += 1;
        if epoch < config.start_from_epoch {
            return Decision::Continue;
        }
        self.wait += 1;
        let improves = |best| config.monitor.improves(value, config.min_delta, best);
        if improves(self.best) {
            self.best = Some(value);
            let baseline = config.baseline.map(Baseline::get);
            if improves(baseline) {
                self.wait = 0;
            }
            return Decision::Improved;
        }
        if config.patience <= self.wait && epoch > 0 { Decision::Stop } else { Decision::Continue }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<EarlyStopping, toml::de::Error> {
        toml::from_str(text)
    }

    fn decisions(text: &str, values: &[f64]) -> Vec<Decision> {
        let mut state = EarlyStoppingState::new(parsed(text).unwrap());
        values.iter().map(|&value| state.observe(value)).collect()
    }

    #[test]
    fn defaults_are_those_of_keras() {
        let text = "monitor = \"validation_loss\"\nmin_delta = 0\npatience = 0\n\
                    restore_best_weights = false\nstart_from_epoch = 0";
        assert_eq!(parsed(text).unwrap(), parsed("").unwrap());
    }

    #[test]
    fn writes_what_it_reads() {
        let text = "monitor = \"validation_accuracy\"\npatience = 3\nbaseline = 0.2";
        for config in [parsed(text).unwrap(), parsed("").unwrap()] {
            assert_eq!(parsed(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let message = parsed("restore_weights = true").unwrap_err().to_string();
        assert!(message.contains("restore_weights"), "{message}");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for text in ["min_delta = -0.1", "baseline = inf"] {
            let message = parsed(text).unwrap_err().to_string();
            let key = text.split(' ').next().unwrap();
            assert!(message.contains(&format!("`{key}` is ")), "{message}");
        }
        assert!(parsed("patience = 1.5").is_err());
    }

    #[test]
    fn stops_after_patience_epochs() {
        use Decision::{Continue, Improved, Stop};
        let found = decisions("patience = 2", &[1.0, 0.9, 0.95, 0.9]);
        assert_eq!(found, [Improved, Improved, Continue, Stop]);
    }

    #[test]
    fn nan_is_no_improvement_and_the_next_number_is() {
        use Decision::{Continue, Improved, Stop};
        assert_eq!(decisions("patience = 5", &[f64::NAN, 3.0]), [Continue, Improved]);
        assert_eq!(decisions("patience = 2", &[f64::NAN, f64::NAN]), [Continue, Stop]);
    }

    #[test]
    fn goes_on_from_a_written_state() {
        let mut state = EarlyStoppingState::new(parsed("patience = 2").unwrap());
        state.observe(1.0);
        state.observe(1.0);
        let json = serde_json::to_string(&state).unwrap();
        let mut read: EarlyStoppingState = serde_json::from_str(&json).unwrap();
        assert_eq!(read, state);
        assert_eq!(read.observe(1.0), Decision::Stop);
    }
}
