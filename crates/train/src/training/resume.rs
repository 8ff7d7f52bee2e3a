//! Where a fold's training begins: at its checkpoint, at the end of the fold before, or anew.

use model::Vgg16;

use super::{Config, plan::StagePlan, session::Session, state::FoldState};
use crate::{Error, features::network_sha256, folds::Fold, run::RunFolder};

/// A fold that is to be trained.
pub(crate) struct Resume<'a> {
    pub(crate) config: &'a Config,
    pub(crate) plans: &'a [StagePlan<'a>],
    pub(crate) folder: &'a RunFolder,
    pub(crate) fold: &'a Fold,
}

impl Resume<'_> {
    /// Where the fold stands. Sets the network's weights where it has begun, or where one model goes
    /// through all folds and the one before was trained by another process; `last` is what this
    /// process has trained before, of such a model.
    ///
    /// # Errors
    ///
    /// [`Error::OtherCheckpoint`], [`Error::Format`] or [`Error::Read`] if the checkpoint cannot be
    /// taken up, [`Error::Output`] if that of the fold before is needed and not there.
    pub(crate) fn state(
        &self,
        network: &mut Vgg16,
        last: Option<FoldState>,
        session: &mut Session<'_>,
    ) -> Result<FoldState, Error> {
        let Self { config, plans, folder, fold } = self;
        folder.clean_fold_folder(fold.index)?;
        let is_one_model = !config.recipe.fresh_model_per_fold;
        let before = self.before().filter(|_| is_one_model);
        if let Some(state) = session.checkpoints.read(fold.index, network, plans)? {
            let stage = plans.get(state.progress.stage).map_or("end", |plan| &plan.stage.name);
            let records = state.progress.records;
            tracing::info!(fold = fold.index, stage, records, "going on from a checkpoint");
            if let Some(before) = before {
                session.checkpoints.remove(before)?;
            }
            return Ok(state);
        }
        let last = match (last, before) {
            (Some(last), _) => Some(last),
            (None, Some(before)) => Some(self.left_by(before, network, session)?),
            (None, None) => None,
        };
        let initial_sha256 = network_sha256(network)?;
        Ok(match last {
            Some(last) => last.next(fold.index, initial_sha256, &config.recipe.stages),
            None => FoldState::new(fold.index, initial_sha256, plans.len()),
        })
    }

    /// The one model of all folds as an earlier one has left it.
    fn left_by(
        &self,
        before: usize,
        network: &mut Vgg16,
        session: &mut Session<'_>,
    ) -> Result<FoldState, Error> {
        let Some(last) = session.checkpoints.read(before, network, self.plans)? else {
            return Err(Error::Output {
                path: self.config.out.clone(),
                problem: format!(
                    "holds fold {before} of this run, whose recipe takes one model through all \
                     folds, but not that model: the checkpoint is not there; choose another --out"
                ),
            });
        };
        session.checkpoints.supersede(before);
        Ok(last)
    }

    /// The last fold that is done, of those before this one.
    fn before(&self) -> Option<usize> {
        self.folder.done().range(..self.fold.index).next_back().map(|(&fold, _)| fold)
    }
}
