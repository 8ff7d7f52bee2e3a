//! Our way to do a case, in a process of its own as peers have.

use std::{
    collections::BTreeSet,
    io::{BufRead, Write, stdin, stdout},
    path::Path,
    time::Instant,
};

use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use model::{Architecture, Classifier, Cut, Head, Initializer, Mode, Vgg16, Widths, initial};
use preprocess::{Crop, Normalization, Prepared, Settings};
use tempfile::TempDir;

use super::{Case, Part, Reads};
use crate::{
    Error,
    loss::{LossKind, loss},
    optimizer::{Adam, LearningRates, Optimizer, OptimizerConfig},
    recipe::Recipe,
    training::Inputs,
};

/// The people of the question's run.
pub(super) const NUM_CLASSES: u32 = 311;

/// Of all that are measured.
const FEWEST_CLASSES: u32 = 62;

/// Side of the images, in pixels.
const SIDE: usize = 224;

/// VGG16 of the published size with the question's head.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    widths: Widths::VGG16,
    side_px: SIDE,
    classifier: Some(Classifier::new(Head::Seed, NUM_CLASSES as usize)),
};

/// Does what is asked for on stdin, a case a line, and answers with the seconds it took; `peak` with the most memory that
/// this process has held, in bytes.
///
/// # Errors
///
/// Whatever the network or the disk reports.
///
/// # Panics
///
/// Never: cases of the network have a number of images.
pub fn serve() -> Result<(), Error> {
    // Who has started this ends it, with the end of its stdin, and its temporary files with it.
    ctrlc::set_handler(|| ())?;
    let failed = |error: std::io::Error| Error::Peer {
        name: "ours".to_owned(),
        problem: format!("standard input or output: {error}"),
    };
    let answer = |text: String| {
        let mut output = stdout().lock();
        writeln!(output, "{text}").and_then(|()| output.flush()).map_err(failed)
    };
    answer("ours".to_owned())?;
    let mut bench = None;
    let mut batches = 0;
    for line in stdin().lock().lines() {
        let line = line.map_err(failed)?;
        if line == "peak" {
            answer(kernels::machine::peak_memory().to_string())?;
            continue;
        }
        let (name, folder) = line.split_once(' ').unwrap_or((&line, ""));
        let case: Case =
            name.parse().map_err(|problem| Error::Peer { name: "ours".to_owned(), problem })?;
        let seconds = match (case.part(), case.reads()) {
            (Some(part), _) => {
                let bench = match &mut bench {
                    Some(bench) => bench,
                    None => bench.insert(Bench::new(ARCHITECTURE)?),
                };
                let images = case.images().expect("a case of the network has images");
                bench.run(part, images)?
            }
            (None, Reads::PreparedSet) => {
                batches += 1;
                read(case, Path::new(folder), batches)?
            }
            (None, _) => {
                let start = Instant::now();
                let made = prepare(Path::new(folder))?;
                let seconds = start.elapsed().as_secs_f64();
                // Removing it is no part of the work.
                drop(made);
                seconds
            }
        };
        answer(seconds.to_string())?;
    }
    Ok(())
}

/// Prepares a folder of faces as `cargo xtask prepare` does by default, into a temporary one: the
/// folder `set` in it.
///
/// # Errors
///
/// [`Error::Preprocess`] if it holds no faces, [`Error::Write`] if the disk fails.
///
/// # Panics
///
/// Never: the settings are in their ranges.
pub fn prepare(faces: &Path) -> Result<TempDir, Error> {
    let folder = tempfile::tempdir()
        .map_err(|source| Error::Write { path: std::env::temp_dir(), source })?;
    let settings = Settings {
        min_faces: "6".parse().expect("a number"),
        crop: Crop::Whole,
        side: "224".parse().expect("a side"),
        max_skipped_share: "0.05".parse().expect("a share"),
        max_photograph_pixels: "50000000".parse().expect("a number"),
    };
    preprocess::prepare(faces, &folder.path().join("set"), &settings, &ProgressBar::hidden())?;
    Ok(folder)
}

/// Reads the batch of this number from all over a prepared set; returns the seconds that it took.
fn read(case: Case, set: &Path, number: usize) -> Result<f64, Error> {
    let prepared = Prepared::open(set)?;
    let images = case.images().expect("a batch has so many");
    let indices: Vec<usize> =
        (0..images).map(|index| (number * images + index) * 7919 % prepared.len()).collect();
    let bottleneck = Recipe::builtin("bottleneck")?;
    let augmentation = bottleneck.stages.iter().find_map(|stage| stage.augment.as_ref());
    let augmentation = augmentation.expect("the recipe augments");
    let normalization = Normalization::VggfaceV1;
    let inputs = match case {
        Case::Augment32 => Inputs::augmented(&prepared, normalization, augmentation, 1),
        _ => Inputs::plain(&prepared, normalization),
    };
    let start = Instant::now();
    inputs.read(&indices, number, &Device::Cpu)?;
    Ok(start.elapsed().as_secs_f64())
}

/// A network from random weights, on the CPU.
pub(super) struct Bench {
    architecture: Architecture,
    network: Vgg16,
    optimizer: Optimizer,
}

impl Bench {
    pub(super) fn new(architecture: Architecture) -> Result<Self, Error> {
        let tensors = architecture
            .parameters()
            .into_iter()
            .map(|spec| {
                let drawn = initial(&spec, Initializer::HeUniform, 1, &Device::Cpu)?;
                Ok((spec.name, drawn))
            })
            .collect::<Result<_, model::Error>>()?;
        Ok(Self {
            network: Vgg16::new(architecture, tensors, &Device::Cpu)?,
            architecture,
            optimizer: Optimizer::new(OptimizerConfig::Adam(Adam::default())),
        })
    }

    /// Does the work once and returns its wall time in seconds; drawing the inputs is not a part of it.
    pub(super) fn run(&mut self, part: Part, images: usize) -> Result<f64, Error> {
        let stretch = part.stretch();
        let cut_after = |layer| self.architecture.cut_after(layer);
        let from = stretch.from.map_or(Ok(Cut::IMAGES), cut_after)?;
        let to = cut_after(stretch.to)?;
        let layers = self.network.layers().iter();
        let names: BTreeSet<String> = layers
            .filter(|layer| !layer.parameters().is_empty() && stretch.learns(&layer.name))
            .map(|layer| layer.name.clone())
            .collect();
        self.network.set_trainable(&names)?;
        let inputs = inputs(images, &self.architecture.shape_at(from)?)?;
        let labels = labels(images)?;
        let mode = if names.is_empty() { Mode::Eval } else { Mode::Train { dropout_seed: 1 } };
        let start = Instant::now();
        let outputs = self.network.forward(from, to, &inputs, mode)?;
        if !names.is_empty() {
            let loss = if stretch.is_classified() {
                loss(LossKind::CrossEntropy, &outputs, &labels)?
            } else {
                outputs.sum_all()?
            };
            let gradients = self.network.gradients(&loss)?;
            if stretch.is_classified() {
                let rates = LearningRates::equal(1e-4);
                self.optimizer.step(&self.network.variables(), &gradients, rates)?;
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Values between -1 and 1, the same always.
fn inputs(images: usize, shape: &[usize]) -> Result<Tensor, Error> {
    let count: usize = images * shape.iter().product::<usize>();
    let values: Vec<f32> =
        (0..count).map(|index| ((index * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect();
    let shape: Vec<usize> = std::iter::once(images).chain(shape.iter().copied()).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

fn labels(images: usize) -> Result<Tensor, Error> {
    let labels: Vec<u32> =
        (0..).step_by(37).map(|label: u32| label % FEWEST_CLASSES).take(images).collect();
    Ok(Tensor::from_vec(labels, images, &Device::Cpu)?)
}
