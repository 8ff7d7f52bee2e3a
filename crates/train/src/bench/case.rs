//! What is measured, and our way to do it.

use std::{collections::BTreeSet, str::FromStr, time::Instant};

use candle_core::{Device, Tensor};
use model::{Architecture, Classifier, Cut, Head, Initializer, Mode, Vgg16, Widths, initial};
use serde::Serialize;

use crate::{
    Error,
    loss::{LossKind, loss},
    optimizer::{Adam, Optimizer, OptimizerConfig},
};

/// The people of the question's run.
const NUM_CLASSES: u32 = 311;

/// Side of the images, in pixels.
const SIDE: usize = 224;

/// A part of the work, on a batch of images of 224 px.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// The backbone forward, one image.
    Forward1,
    /// Eight images.
    Forward8,
    /// 32 images.
    Forward32,
    /// The backbone forward and backward, all gradients of its parameters, eight images.
    Step8,
    /// The last block and a linear head from `pool4` features, forward and backward, 32 images.
    LastBlock32,
    /// The question's head from `pool5` features: forward, backward, Adam; 32 images.
    Head32,
    /// The question's whole step: backbone and head, forward, backward, Adam; 32 images.
    Whole32,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Forward1,
        Self::Forward8,
        Self::Forward32,
        Self::Step8,
        Self::LastBlock32,
        Self::Head32,
        Self::Whole32,
    ];

    /// Its name, for the command line and for peers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward1 => "forward-1",
            Self::Forward8 => "forward-8",
            Self::Forward32 => "forward-32",
            Self::Step8 => "step-8",
            Self::LastBlock32 => "last-block-32",
            Self::Head32 => "head-32",
            Self::Whole32 => "whole-32",
        }
    }

    /// Images of a repetition.
    pub fn images(self) -> usize {
        match self {
            Self::Forward1 => 1,
            Self::Forward8 | Self::Step8 => 8,
            _ => 32,
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|case| case.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|case| case.name()).collect();
            format!("`{name}` is no case, expected one of {}", known.join(", "))
        })
    }
}

/// A network of the published size from random weights, on the CPU.
pub struct Bench {
    network: Vgg16,
    optimizer: Optimizer,
}

impl Bench {
    /// Draws the weights.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] if there is no room for them.
    pub fn new() -> Result<Self, Error> {
        let architecture = Architecture {
            widths: Widths::VGG16,
            side_px: SIDE,
            classifier: Some(Classifier { head: Head::Seed, num_classes: NUM_CLASSES as usize }),
        };
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
            optimizer: Optimizer::new(OptimizerConfig::Adam(Adam::default())),
        })
    }

    /// Does the work once and returns its wall time in seconds; drawing the inputs is not a part of it.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] or [`Error::Tensor`] if the arithmetic fails.
    pub fn run(&mut self, case: Case) -> Result<f64, Error> {
        let architecture = *self.network.architecture();
        let (pool4, pool5) = (architecture.cut_after("pool4")?, architecture.cut_after("pool5")?);
        let end = architecture.end();
        let (from, to, trainable): (Cut, Cut, fn(&str) -> bool) = match case {
            Case::Forward1 | Case::Forward8 | Case::Forward32 => (Cut::IMAGES, pool5, |_| false),
            Case::Step8 => (Cut::IMAGES, pool5, |name| name.starts_with("conv")),
            Case::LastBlock32 => (pool4, pool5, |name| name.starts_with("conv5")),
            Case::Head32 => (pool5, end, |name| name.starts_with("fc")),
            Case::Whole32 => (Cut::IMAGES, end, |_| true),
        };
        let layers = self.network.layers().iter();
        let names: BTreeSet<String> = layers
            .filter(|layer| !layer.parameters().is_empty() && trainable(&layer.name))
            .map(|layer| layer.name.clone())
            .collect();
        self.network.set_trainable(&names)?;
        let inputs = inputs(case.images(), &architecture.shape_at(from)?)?;
        let mode = if names.is_empty() { Mode::Eval } else { Mode::Train { dropout_seed: 1 } };
        let start = Instant::now();
        let outputs = self.network.forward(from, to, &inputs, mode)?;
        if !names.is_empty() {
            let is_classified = to == end;
            let loss = if is_classified {
                loss(LossKind::CrossEntropy, &outputs, &labels(case.images())?)?
            } else {
                outputs.sum_all()?
            };
            let gradients = self.network.gradients(&loss)?;
            if is_classified {
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
