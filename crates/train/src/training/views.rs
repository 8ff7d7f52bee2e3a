//! What others read of a run while it lasts: its page, tables for Keras's users, TensorBoard's events.
//!
//! All of it is made from the run's records and can be made again: what keeps it from being written is
//! a warning, for training is worth more.

use std::path::PathBuf;

use preprocess::Prepared;

use super::{Config, live_report::LiveReport};
use crate::{
    Error,
    metrics::Prediction,
    report::{FacesShown, face_jpeg},
    run::{EpochRecord, Record, fold_path, keras_csv, read_identity},
    tensorboard::{EventFolder, Picture},
    whole_file::write_quickly,
};

/// Photographs of a fold that TensorBoard shows, at most.
const PICTURES: usize = 12;

/// The views of a run that lasts.
pub(crate) struct Views<'a> {
    out: PathBuf,
    faces: FacesShown,
    report: LiveReport,
    /// None once they could not be written.
    events: Option<EventFolder<'a>>,
}

impl<'a> Views<'a> {
    /// Views of a run by this configuration.
    pub(crate) fn new(config: &'a Config) -> Self {
        let places = read_identity(&config.out).ok().and_then(|identity| identity.places);
        let begun_without = places.is_some_and(|places| places.no_faces);
        Self {
            out: config.out.clone(),
            faces: if begun_without { FacesShown::LeftOut } else { config.faces },
            report: LiveReport::new(config),
            events: Some(EventFolder::new(&config.out.join("tensorboard"), &config.recipe)),
        }
    }

    /// A record has been written.
    pub(crate) fn recorded(&mut self, record: &Record) {
        self.tell(|events| events.append(record));
    }

    /// An epoch has ended; `epochs` are all of its fold.
    pub(crate) fn epoch_ended(&mut self, epochs: &[EpochRecord]) {
        if let Some(last) = epochs.last() {
            let path = fold_path(&self.out, last.fold).join("metrics.csv");
            warned(write_quickly(&path, keras_csv(epochs).as_bytes()));
        }
        self.report.after_epoch();
    }

    /// A stage of a fold has ended.
    pub(crate) fn stage_ended(&mut self, fold: usize, stage: &str) {
        self.tell(|events| events.end(fold, stage));
    }

    /// A fold has ended, in this epoch, by these predictions of images of the prepared set.
    pub(crate) fn predicted(
        &mut self,
        last: &EpochRecord,
        prepared: &Prepared,
        images: &[usize],
        predictions: &[Prediction],
    ) {
        if self.faces == FacesShown::LeftOut {
            return;
        }
        // Mistakes first, the surest of all first; where they are few, what is recognized.
        let mut shown: Vec<(usize, &Prediction)> =
            images.iter().copied().zip(predictions).collect();
        shown.sort_by(|(_, one), (_, other)| {
            let is_right = |prediction: &Prediction| prediction.rank_of_truth == 1;
            let surest = other.probability.total_cmp(&one.probability);
            is_right(one).cmp(&is_right(other)).then(surest)
        });
        let name = |label: u32| prepared.identities()[label as usize].as_str();
        let picture = |(image, prediction): (usize, &Prediction)| -> Result<Picture, Error> {
            let (jpeg, side_px) = face_jpeg(prepared, image)?;
            let sure = 100.0 * prediction.probability;
            let truth = name(prediction.label);
            let words = if prediction.rank_of_truth == 1 {
                format!("{truth} recognized, {sure:.1} % sure")
            } else {
                format!("{truth} taken for {}, {sure:.1} % sure", name(prediction.predicted))
            };
            Ok(Picture { words, jpeg, side_px })
        };
        let pictures = shown.into_iter().take(PICTURES).map(picture).collect::<Result<_, _>>();
        let Some(pictures) = warned(pictures) else { return };
        self.tell(|events| events.pictures(last.fold, &last.stage, last.epoch, pictures));
    }

    /// A fold has been written down as done.
    pub(crate) fn fold_ended(&mut self) {
        self.report.after_epoch();
    }

    fn tell(&mut self, what: impl FnOnce(&mut EventFolder<'a>) -> Result<(), Error>) {
        let Some(events) = &mut self.events else { return };
        if warned(what(events)).is_none() {
            self.events = None;
        }
    }
}

fn warned<T>(result: Result<T, Error>) -> Option<T> {
    let warn = |error| {
        tracing::warn!("training goes on without a view of it: {:#}", anyhow::Error::from(error));
    };
    result.map_err(warn).ok()
}
