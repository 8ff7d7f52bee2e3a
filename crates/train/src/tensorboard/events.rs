//! A run's records as event files, one for each stage of each fold.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;

use super::{
    hyper_parameters::{end, start},
    messages::{Event, Histogram, Image, Metadata, Shown, Summary, Value, What},
    record::write_record,
};
use crate::{
    Error,
    recipe::Recipe,
    run::{EpochRecord, HealthRecord, Record, StepRecord},
};

/// A picture beside its words.
pub struct Picture {
    /// What is said of it: the end of its tag.
    pub words: String,
    /// As JPEG.
    pub jpeg: Vec<u8>,
    /// Its side in pixels.
    pub side_px: u32,
}

/// The event files of a run that lasts.
pub struct EventFolder<'a> {
    path: PathBuf,
    recipe: &'a Recipe,
    /// The name of the files of this process, behind those of earlier ones.
    file_name: String,
    /// The folders that have one.
    begun: BTreeSet<String>,
    /// The one that was written to last, and the name of its folder.
    open: Option<(String, File)>,
}

impl<'a> EventFolder<'a> {
    /// Files of a run that begins or goes on. One that goes on has further files beside its first ones,
    /// as TensorFlow's writers do, so that a TensorBoard that is open follows it. What a run that was
    /// killed had told beyond its last checkpoint it tells again, with the same numbers.
    pub fn new(path: &Path, recipe: &'a Recipe) -> Self {
        // TensorBoard takes a file for one of its own by the word in its name, and reads in their order.
        let file_name = format!("events.out.tfevents.{:020.9}", now());
        Self { path: path.to_owned(), recipe, file_name, begun: BTreeSet::new(), open: None }
    }

    /// Appends what a record says.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        match record {
            Record::Step(step) => {
                let StepRecord { fold, stage, step, loss, learning_rate, .. } = step;
                #[expect(clippy::cast_possible_truncation, reason = "TensorBoard shows f32")]
                let values = [("step/loss", *loss), ("step/learning_rate", *learning_rate as f32)];
                self.write(*fold, stage, *step, scalars(&values))
            }
            Record::Epoch(epoch) => {
                self.write(epoch.fold, &epoch.stage, epoch.epoch, scalars(&of_epoch(epoch)))
            }
            Record::Health(health) => {
                self.write(health.fold, &health.stage, health.epoch, of_health(health))
            }
        }
    }

    /// Appends pictures of a fold's last stage.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails.
    pub fn pictures(
        &mut self,
        fold: usize,
        stage: &str,
        epoch: usize,
        pictures: Vec<Picture>,
    ) -> Result<(), Error> {
        let value = |(place, picture): (usize, Picture)| {
            let side = i32::try_from(picture.side_px).unwrap_or(i32::MAX);
            Value {
                tag: format!("mistakes/{:02} {}", place + 1, picture.words),
                metadata: None,
                shown: Some(Shown::Image(Image {
                    height: side,
                    width: side,
                    colorspace: 3,
                    encoded_image_string: picture.jpeg,
                })),
            }
        };
        let values = pictures.into_iter().enumerate().map(value).collect();
        self.write(fold, stage, epoch, values)
    }

    /// Says that a stage of a fold has come to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if the disk fails.
    pub fn end(&mut self, fold: usize, stage: &str) -> Result<(), Error> {
        self.write(fold, stage, 0, vec![end(now())])
    }

    fn write(
        &mut self,
        fold: usize,
        stage: &str,
        step: usize,
        values: Vec<Value>,
    ) -> Result<(), Error> {
        let name = self.folder_name(fold, stage);
        let folder = self.path.join(&name);
        let failed = |source| Error::Write { path: folder.clone(), source };
        let mut file = match self.open.take() {
            Some((open, file)) if open == name => file,
            _ => {
                fs::create_dir_all(&folder).map_err(failed)?;
                let path = folder.join(&self.file_name);
                File::options().create(true).append(true).open(path).map_err(failed)?
            }
        };
        if self.begun.insert(name.clone()) {
            append(&mut file, 0, What::FileVersion("brain.Event:2".to_owned())).map_err(failed)?;
            let begun = start(self.recipe, stage, &name, now());
            append(&mut file, 0, What::Summary(Summary { value: vec![begun] })).map_err(failed)?;
        }
        append(&mut file, step, What::Summary(Summary { value: values })).map_err(failed)?;
        self.open = Some((name, file));
        Ok(())
    }

    /// The folder of a fold's stage: `fold-00/1-head`. Stages are numbered, so that they stand in
    /// their order and those whose names differ in signs alone have folders of their own.
    fn folder_name(&self, fold: usize, stage: &str) -> String {
        let place = self.recipe.stages.iter().position(|it| it.name == stage);
        let is_plain = |it: char| it.is_alphanumeric() || "-_ ".contains(it);
        let plain: String = stage.chars().map(|it| if is_plain(it) { it } else { '_' }).collect();
        format!("fold-{fold:02}/{}-{plain}", place.map_or(0, |place| place + 1))
    }
}

/// Writes one event at once, so that a reader never meets half of one for long.
fn append(file: &mut File, step: usize, what: What) -> std::io::Result<()> {
    let step = i64::try_from(step).expect("steps are counted");
    let event = Event { wall_time: now(), step, what: Some(what) };
    let mut record = Vec::new();
    write_record(&mut record, &event.encode_to_vec())?;
    file.write_all(&record)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn scalars(values: &[(&str, f32)]) -> Vec<Value> {
    values
        .iter()
        .map(|&(tag, value)| Value {
            tag: tag.to_owned(),
            metadata: None,
            shown: Some(Shown::Scalar(value)),
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "TensorBoard shows f32")]
fn of_epoch(epoch: &EpochRecord) -> Vec<(&'static str, f32)> {
    let known = [
        ("loss/train", epoch.train_loss),
        ("loss/validation", epoch.validation_loss),
        ("accuracy/train", epoch.train_accuracy),
        ("accuracy/validation", epoch.validation_accuracy),
        ("accuracy/validation_top5", epoch.validation_top5),
        ("learning_rate", epoch.learning_rate),
        ("seconds", epoch.seconds),
    ];
    let inner = [("loss/inner", epoch.inner_loss), ("accuracy/inner", epoch.inner_accuracy)];
    let inner = inner.into_iter().filter_map(|(tag, value)| Some((tag, value?)));
    known.into_iter().chain(inner).map(|(tag, value)| (tag, value as f32)).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "TensorBoard shows f32")]
fn of_health(health: &HealthRecord) -> Vec<Value> {
    let mut values = scalars(&[
        ("health/top_share", health.predictions.top_share as f32),
        ("health/saturated_share", health.saturated_share as f32),
    ]);
    let named = health
        .blocks
        .iter()
        .flat_map(|block| {
            [
                (format!("update_ratio/{}", block.block), block.update_ratio),
                (format!("gradient_norm/{}", block.block), block.gradient_norm),
            ]
        })
        .chain(
            health
                .dead_units
                .iter()
                .map(|(layer, share)| (format!("health/dead_units_{layer}"), *share)),
        )
        .chain(health.feature_cka.map(|cka| ("health/feature_cka".to_owned(), cka)));
    values.extend(named.map(|(tag, value)| Value {
        tag,
        metadata: None,
        shown: Some(Shown::Scalar(value as f32)),
    }));
    let ratios = health.blocks.iter().map(|block| block.update_ratio);
    let ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
    if !ratios.is_empty() {
        values.push(Value {
            tag: "update_ratios".to_owned(),
            metadata: Some(Metadata {
                plugin_data: None,
                summary_description:
                    "How far the epoch's first step moved each block, over its length".to_owned(),
            }),
            shown: Some(Shown::Histogram(histogram(&ratios))),
        });
    }
    values
}

/// Numbers of at least 0, counted in buckets whose limits grow by a tenth, as TensorFlow's do; empty
/// ones below and above them are left out.
///
/// # Source
///
/// TensorFlow 2.21, `core/lib/histogram/histogram.cc`: limits from 1e-12 on, each 1.1 times the one before.
fn histogram(values: &[f64]) -> Histogram {
    let (min, max) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), &it| (min.min(it), max.max(it)));
    let mut limits = vec![1e-12];
    while limits[limits.len() - 1] < max {
        limits.push(1.1 * limits[limits.len() - 1]);
    }
    let bucket_of = |value: f64| limits.partition_point(|&limit| limit < value);
    let first = bucket_of(min).saturating_sub(1);
    let mut bucket = vec![0.0; limits.len() - first];
    for &value in values {
        bucket[bucket_of(value) - first] += 1.0;
    }
    Histogram {
        min,
        max,
        num: values.len() as f64,
        sum: values.iter().sum(),
        sum_squares: values.iter().map(|value| value * value).sum(),
        bucket_limit: limits.split_off(first),
        bucket,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_every_number_once() {
        let found = histogram(&[1e-3, 1.05e-3, 0.5, 0.0]);
        assert_eq!(found.bucket.len(), found.bucket_limit.len());
        assert!((found.bucket.iter().sum::<f64>() - 4.0).abs() < 1e-12);
        assert!(found.bucket_limit.is_sorted() && found.bucket_limit[0] <= 1.1e-12);
        let last = found.bucket_limit[found.bucket_limit.len() - 1];
        assert!((0.5..0.56).contains(&last), "{last}");
        let high = histogram(&[3.0, 4.0]);
        assert!(high.bucket_limit[0] < 3.0 && high.bucket.len() < 8, "{high:?}");
    }

    #[test]
    fn a_run_that_goes_on_writes_beside_its_first_files_and_stages_stand_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut recipe = Recipe::builtin("two-stage").unwrap();
        recipe.stages[0].name = "a.b".to_owned();
        recipe.stages[1].name = "a/b".to_owned();
        let files = |stage: &str| {
            let path = folder.path().join("fold-03").join(stage);
            fs::read_dir(path).map_or(0, Iterator::count)
        };
        for process in 1..=2 {
            let mut events = EventFolder::new(folder.path(), &recipe);
            for stage in ["a.b", "a/b", "a.b"] {
                events.end(3, stage).unwrap();
            }
            assert_eq!((files("1-a_b"), files("2-a_b")), (process, process));
        }
    }
}
