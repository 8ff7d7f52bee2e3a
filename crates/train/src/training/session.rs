//! What a run keeps while it lasts: its log, its checkpoints, and what it has warned of.

use std::collections::BTreeSet;

use super::{checkpoints::Checkpoints, diagnosing::Diagnosing, overview::Overview, views::Views};
use crate::{
    Error,
    diagnosis::{Check, EpochsSeen, Level, RunContext, finding_line, of_epoch},
    run::{EpochRecord, HealthRecord, Record, RecordLog},
};

/// What a run keeps while it lasts.
pub(crate) struct Session<'a> {
    pub(crate) log: RecordLog,
    pub(crate) checkpoints: Checkpoints<'a>,
    pub(crate) views: Views<'a>,
    pub(crate) overview: Overview,
    pub(crate) diagnosing: Diagnosing,
    /// Checks that have spoken, by fold and stage.
    said: BTreeSet<(usize, String, Check)>,
}

impl<'a> Session<'a> {
    /// A session in which nothing has been said.
    pub(crate) fn new(
        log: RecordLog,
        checkpoints: Checkpoints<'a>,
        views: Views<'a>,
        overview: Overview,
        diagnosing: Diagnosing,
    ) -> Self {
        Self { log, checkpoints, views, overview, diagnosing, said: BTreeSet::new() }
    }

    /// Writes a record down.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails or is full.
    pub(crate) fn record(&mut self, record: &Record) -> Result<(), Error> {
        self.log.append(record)?;
        self.views.recorded(record);
        Ok(())
    }

    /// Warns of what an epoch shows, each thing once a stage, and puts it into the diagnosis, so that a run
    /// that will not learn is known by its first epoch. `before` are the fold's epochs before this one.
    pub(crate) fn watch(
        &mut self,
        context: &RunContext,
        before: &[EpochRecord],
        epoch: &EpochRecord,
        health: &HealthRecord,
    ) {
        let is_of_stage = |other: &&EpochRecord| other.stage == epoch.stage;
        let epochs: Vec<EpochRecord> =
            before.iter().filter(is_of_stage).chain([epoch]).cloned().collect();
        let RunContext { loss, ref new_blocks, ref counts, .. } = *context;
        let rate = context.rate(&epoch.stage);
        let seen = EpochsSeen { epochs: &epochs, rate, health, loss, new_blocks, counts };
        let mut is_new = false;
        for outcome in of_epoch(&seen) {
            let Some(finding) = outcome.finding() else { continue };
            let place = (epoch.fold, epoch.stage.clone(), finding.check);
            if finding.level != Level::Note && self.said.insert(place) {
                tracing::warn!("{}", finding_line(finding));
                is_new = true;
            }
        }
        if is_new {
            self.diagnosing.try_write();
        }
    }
}
