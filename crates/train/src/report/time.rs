//! What the stages took.

use crate::run::EpochRecord;

/// What a stage took, over the folds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StageTime<'a> {
    pub(super) stage: &'a str,
    /// Epochs that are done.
    pub(super) epochs: usize,
    /// Wall time of them all.
    pub(super) seconds: f64,
    /// The most memory that the process has held while one of them lasted.
    pub(super) memory_bytes: Option<u64>,
}

/// Each stage's time, in the order in which stages first come.
pub(super) fn stage_times(epochs: &[EpochRecord]) -> Vec<StageTime<'_>> {
    let mut times: Vec<StageTime<'_>> = Vec::new();
    for epoch in epochs {
        let place = times.iter().position(|time| time.stage == epoch.stage).unwrap_or_else(|| {
            times.push(StageTime {
                stage: &epoch.stage,
                epochs: 0,
                seconds: 0.0,
                memory_bytes: None,
            });
            times.len() - 1
        });
        times[place].epochs += 1;
        times[place].seconds += epoch.seconds;
        times[place].memory_bytes = times[place].memory_bytes.max(epoch.memory_bytes);
    }
    times
}

/// A time in words: `3.2 s`, `4 min 5 s`, `2 h 3 min`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a run's seconds")]
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::curves::tests::epoch, *};

    #[test]
    fn stages_are_summed_over_folds() {
        let epochs = [epoch(0, "head", 1, 1.0), epoch(0, "tail", 1, 1.0), epoch(1, "head", 1, 1.0)];
        let times = stage_times(&epochs);
        assert_eq!((times[0].stage, times[0].epochs, times[0].seconds), ("head", 2, 3.0));
        assert_eq!(times[1].stage, "tail");
    }

    #[test]
    fn durations_are_in_words() {
        assert_eq!([3.21, 245.0, 7384.0].map(duration), ["3.2 s", "4 min 5 s", "2 h 3 min"]);
    }
}
