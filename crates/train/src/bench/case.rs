//! What is measured.

use std::str::FromStr;

use serde::Serialize;

/// A part of the work, on a batch of images of 224 px.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Case {
    /// The backbone forward, one image.
    Forward1,
    /// Eight images.
    Forward8,
    /// 32 images.
    Forward32,
    /// The backbone forward and backward, all gradients of its parameters, eight images.
    Step8,
    /// The last block from `pool4` features, forward and backward, 32 images.
    LastBlock32,
    /// The question's head from `pool5` features: forward, backward, Adam; 32 images.
    Head32,
    /// A step of the second of two stages: last block and head from `pool4` features, Adam; 32 images.
    StageTwo32,
    /// The question's whole step: backbone and head, forward, backward, Adam; 32 images.
    Whole32,
    /// Preparing a folder of faces, all people with at least six photographs.
    Prepare,
    /// Reading 32 prepared images as a training step does.
    Read32,
    /// Reading and augmenting them as the recipe `bottleneck` does.
    Augment32,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Forward1,
        Self::Forward8,
        Self::Forward32,
        Self::Step8,
        Self::LastBlock32,
        Self::Head32,
        Self::StageTwo32,
        Self::Whole32,
        Self::Prepare,
        Self::Read32,
        Self::Augment32,
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
            Self::StageTwo32 => "stage-two-32",
            Self::Whole32 => "whole-32",
            Self::Prepare => "prepare",
            Self::Read32 => "read-32",
            Self::Augment32 => "augment-32",
        }
    }

    /// What it reads, besides the random inputs of a part of the network.
    pub fn reads(self) -> Reads {
        match self {
            Self::Prepare => Reads::Photographs,
            Self::Read32 | Self::Augment32 => Reads::PreparedSet,
            _ => Reads::Nothing,
        }
    }

    /// Images of a repetition; of a folder as many as it has.
    pub fn images(self) -> Option<usize> {
        match self {
            Self::Forward1 => Some(1),
            Self::Forward8 | Self::Step8 => Some(8),
            Self::Prepare => None,
            _ => Some(32),
        }
    }

    /// The part of the network that it runs.
    pub fn part(self) -> Option<Part> {
        match self {
            Self::Forward1 | Self::Forward8 | Self::Forward32 => Some(Part::Forward),
            Self::Step8 => Some(Part::Step),
            Self::LastBlock32 => Some(Part::LastBlock),
            Self::Head32 => Some(Part::Head),
            Self::StageTwo32 => Some(Part::StageTwo),
            Self::Whole32 => Some(Part::Whole),
            Self::Prepare | Self::Read32 | Self::Augment32 => None,
        }
    }
}

/// The folder that a case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// None.
    Nothing,
    /// One of photographs, a folder a person.
    Photographs,
    /// One that these were prepared into.
    PreparedSet,
}

/// A part of the network and what is done with it, for any number of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The backbone forward.
    Forward,
    /// The backbone forward and backward.
    Step,
    /// The last block from `pool4` features, forward and backward.
    LastBlock,
    /// The question's head from `pool5` features, with Adam.
    Head,
    /// Last block and head from `pool4` features, with Adam.
    StageTwo,
    /// Backbone and head, with Adam.
    Whole,
}

impl Part {
    /// Its name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Step => "step",
            Self::LastBlock => "last-block",
            Self::Head => "head",
            Self::StageTwo => "stage-two",
            Self::Whole => "whole",
        }
    }

    /// Where it begins and ends, and what learns.
    pub(super) fn stretch(self) -> Stretch {
        let (from, to, learning): (_, _, &[&str]) = match self {
            Self::Forward => (None, "pool5", &[]),
            Self::Step => (None, "pool5", &["conv"]),
            Self::LastBlock => (Some("pool4"), "pool5", &["conv5"]),
            Self::Head => (Some("pool5"), "fc8", &["fc"]),
            Self::StageTwo => (Some("pool4"), "fc8", &["conv5", "fc"]),
            Self::Whole => (None, "fc8", &["conv", "fc"]),
        };
        Stretch { from, to, learning }
    }
}

/// Layers of the network, and which of them learn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// The layer before it, if it does not begin with the images.
    pub(super) from: Option<&'static str>,
    /// The last layer that it runs.
    pub(super) to: &'static str,
    /// What the names of the layers that learn begin with.
    learning: &'static [&'static str],
}

impl Stretch {
    pub(super) fn learns(&self, layer: &str) -> bool {
        self.learning.iter().any(|prefix| layer.starts_with(prefix))
    }

    /// Whether it ends with the classes: then an optimizer takes a step, and otherwise gradients are all.
    pub(super) fn is_classified(&self) -> bool {
        self.to == "fc8"
    }
}

impl From<Case> for &'static str {
    fn from(case: Case) -> Self {
        case.name()
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
