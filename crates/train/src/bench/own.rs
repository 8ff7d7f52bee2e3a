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
use preprocess::{Crop, Settings};

use super::Case;
use crate::{
    Error,
    loss::{LossKind, loss},
    optimizer::{Adam, Optimizer, OptimizerConfig},
};

/// The people of the question's run.
pub(super) const NUM_CLASSES: u32 = 311;

/// Side of the images, in pixels.
const SIDE: usize = 224;

/// VGG16 of the published size with the question's head.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    widths: Widths::VGG16,
    side_px: SIDE,
    classifier: Some(Classifier { head: Head::Seed, num_classes: NUM_CLASSES as usize }),
};

/// Does what is asked for on stdin, a case a line, and answers with the seconds it took; `peak` with the most memory that
/// this process has held, in bytes.
///
/// # Errors
///
/// Whatever the network or the disk reports.
pub fn serve() -> Result<(), Error> {
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
    for line in stdin().lock().lines() {
        let line = line.map_err(failed)?;
        if line == "peak" {
            answer(kernels::machine::peak_memory().to_string())?;
            continue;
        }
        let (name, folder) = line.split_once(' ').unwrap_or((&line, ""));
        let case: Case =
            name.parse().map_err(|problem| Error::Peer { name: "ours".to_owned(), problem })?;
        let seconds = if case == Case::Prepare {
            prepare(Path::new(folder))?
        } else {
            let bench = match &mut bench {
                Some(bench) => bench,
                None => bench.insert(Bench::new()?),
            };
            bench.run(case)?
        };
        answer(seconds.to_string())?;
    }
    Ok(())
}

/// Prepares a folder of faces into a temporary one.
fn prepare(faces: &Path) -> Result<f64, Error> {
    let folder = tempfile::tempdir()
        .map_err(|source| Error::Write { path: std::env::temp_dir(), source })?;
    let settings = Settings {
        min_faces: "6".parse().expect("a number"),
        crop: Crop::Whole,
        side: "224".parse().expect("a side"),
        max_skipped_share: "0.05".parse().expect("a share"),
        max_photograph_pixels: "50000000".parse().expect("a number"),
    };
    let start = Instant::now();
    preprocess::prepare(faces, &folder.path().join("set"), &settings, &ProgressBar::hidden())?;
    Ok(start.elapsed().as_secs_f64())
}

/// A network from random weights, on the CPU.
struct Bench {
    network: Vgg16,
    optimizer: Optimizer,
}

impl Bench {
    fn new() -> Result<Self, Error> {
        let tensors = ARCHITECTURE
            .parameters()
            .into_iter()
            .map(|spec| {
                let drawn = initial(&spec, Initializer::HeUniform, 1, &Device::Cpu)?;
                Ok((spec.name, drawn))
            })
            .collect::<Result<_, model::Error>>()?;
        Ok(Self {
            network: Vgg16::new(ARCHITECTURE, tensors, &Device::Cpu)?,
            optimizer: Optimizer::new(OptimizerConfig::Adam(Adam::default())),
        })
    }

    /// Does the work once and returns its wall time in seconds; drawing the inputs is not a part of it.
    fn run(&mut self, case: Case) -> Result<f64, Error> {
        let (Some(stretch), Some(images)) = (case.stretch(), case.images()) else {
            unreachable!("the network does all cases but one")
        };
        let cut_after = |layer| ARCHITECTURE.cut_after(layer);
        let from = stretch.from.map_or(Ok(Cut::IMAGES), cut_after)?;
        let to = cut_after(stretch.to)?;
        let layers = self.network.layers().iter();
        let names: BTreeSet<String> = layers
            .filter(|layer| !layer.parameters().is_empty() && stretch.learns(&layer.name))
            .map(|layer| layer.name.clone())
            .collect();
        self.network.set_trainable(&names)?;
        let inputs = inputs(images, &ARCHITECTURE.shape_at(from)?)?;
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
                self.optimizer.step(&self.network.variables(), &gradients, 1e-4)?;
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
        (0..).step_by(37).map(|label: u32| label % NUM_CLASSES).take(images).collect();
    Ok(Tensor::from_vec(labels, images, &Device::Cpu)?)
}
