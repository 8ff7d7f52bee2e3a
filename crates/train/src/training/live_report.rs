//! `report.html` of a run, written while it lasts.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::Config;
use crate::{
    Error,
    report::{Report, write_report},
};

/// The share of a run's time that its page may take.
const SHARE: f64 = 0.02;

/// The page of a run that lasts.
pub(crate) struct LiveReport {
    report: Report,
    path: PathBuf,
    /// When it was written the last time.
    last: Option<Instant>,
    /// How long that took.
    cost: Duration,
}

impl LiveReport {
    /// The page in the folder of a run by this configuration.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            report: Report {
                runs: vec![config.out.clone()],
                data: Some(config.data.clone()),
                faces: config.faces,
                ended_by: None,
            },
            path: config.out.join("report.html"),
            last: None,
            cost: Duration::ZERO,
        }
    }

    /// Writes the page after an epoch, unless epochs are so short that it would take too much of
    /// their time.
    pub(crate) fn after_epoch(&mut self) {
        let is_worth_it = self
            .last
            .is_none_or(|last| self.cost.as_secs_f64() <= SHARE * last.elapsed().as_secs_f64());
        if is_worth_it {
            self.write();
        }
    }

    /// Writes the page of what is there when the run ends, by an error or well.
    pub(crate) fn at_end(&mut self, error: Option<&Error>) {
        self.report.ended_by = error.map(ToString::to_string);
        self.write();
    }

    /// Training is worth more than its page: what keeps it from being written is a warning.
    fn write(&mut self) {
        let start = Instant::now();
        if let Err(error) = write_report(&self.report, &self.path) {
            tracing::warn!("no report: {:#}", anyhow::Error::from(error));
        }
        self.cost = start.elapsed();
        self.last = Some(Instant::now());
    }
}
