//! Wall time in laps.

use std::time::Instant;

/// Measures the time from lap to lap.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    last: Instant,
}

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self { last: Instant::now() }
    }

    /// Seconds since the last lap, or since the start.
    pub(crate) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        self.last = now;
        seconds
    }
}
