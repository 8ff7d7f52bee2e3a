//! VGG16 as data: one ordered list of layers from which everything else follows.
//!
//! Building, freezing, features, strict loading and conversion all read this list; nothing else
//! in the workspace describes the network.

use serde::{Deserialize, Serialize};

use crate::{DropoutRate, Error, HeadDropout};

/// Convolutions in each of the five blocks.
pub const CONVOLUTIONS_PER_BLOCK: [usize; 5] = [2, 2, 3, 3, 3];

/// The smallest side of an image that survives five poolings with something left to flatten to.
///
/// # Source
///
/// keras-vggface bee3537, `models.py`: `min_size=48` without the top.
pub const MIN_SIDE_PX: usize = 48;

/// How wide the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widths {
    /// Channels of each block's convolutions.
    pub blocks: [usize; 5],
    /// Units of `fc6` and `fc7` in the heads [`Head::Seed`] and [`Head::Vggface`].
    pub fc: usize,
}

impl Widths {
    /// VGG16 as published.
    pub const VGG16: Self = Self { blocks: [64, 128, 256, 512, 512], fc: 4096 };
}

/// What follows `pool5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// `fc6` (`ReLU`), `fc8`: the head of the question this project answers.
    Seed,
    /// `fc6` (`ReLU`), `fc7` (`ReLU`), `fc8`: VGGFace's own.
    Vggface,
    /// `fc6` (256, `ReLU`), `dropout6` (0.5), `fc8`: the Keras blog's.
    Bottleneck,
    /// `fc8` alone.
    Linear,
}

/// A head, the number of identities it tells apart, and what it drops in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classifier {
    head: Head,
    num_classes: usize,
    dropout: HeadDropout,
}

impl Classifier {
    /// A head with its usual dropout; `num_classes` are the rows of `fc8`.
    pub const fn new(head: Head, num_classes: usize) -> Self {
        Self { head, num_classes, dropout: HeadDropout::Usual }
    }

    /// The same with this dropout behind `fc6` and `fc7`, after their `ReLU`. A rate of 0 leaves no layer of
    /// dropout. Parameters, their names and what evaluation gives do not depend on it.
    ///
    /// # Errors
    ///
    /// [`Error::NothingToDrop`] if the head is [`Head::Linear`] and a rate is given, be it 0.
    ///
    /// # Source
    ///
    /// Parkhi et al., Deep Face Recognition (BMVC 2015), who train VGGFace with a rate of 0.5 at both places.
    pub fn with_dropout(self, dropout: HeadDropout) -> Result<Self, Error> {
        match (self.head, dropout) {
            (Head::Linear, HeadDropout::Rate(_)) => Err(Error::NothingToDrop),
            _ => Ok(Self { dropout, ..self }),
        }
    }

    /// Which layers.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Rows of `fc8`.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// The share that is dropped behind each hidden layer.
    fn rate(&self) -> DropoutRate {
        match (self.dropout, self.head) {
            (HeadDropout::Rate(rate), _) => rate,
            (HeadDropout::Usual, Head::Bottleneck) => DropoutRate::HALF,
            (HeadDropout::Usual, _) => DropoutRate::NONE,
        }
    }

    /// Number and units of each hidden layer, in order.
    fn hidden(&self, fc: usize) -> Vec<(u8, usize)> {
        match self.head {
            Head::Seed => vec![(6, fc)],
            Head::Vggface => vec![(6, fc), (7, fc)],
            Head::Bottleneck => vec![(6, BOTTLENECK_UNITS)],
            Head::Linear => Vec::new(),
        }
    }
}

/// A network of this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    /// Channels and units.
    pub widths: Widths,
    /// Side of the square images, in pixels; at least [`MIN_SIDE_PX`].
    pub side_px: usize,
    /// The head, or `None` for the backbone alone (up to `pool5`).
    pub classifier: Option<Classifier>,
}

/// Whether a dense layer ends in a `ReLU`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0), with gradient 0 at 0.
    Relu,
    /// Nothing: the layer gives logits.
    Identity,
}

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LayerKind {
    /// 3x3, stride 1, padding 1, with bias and `ReLU`: `(batch, in, h, w)` to `(batch, out, h, w)`.
    Convolution {
        /// Channels in.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
    },
    /// 2x2, stride 2; an odd last row or column is dropped, as with Keras's `valid` padding.
    MaxPool,
    /// Affine, after flattening in (channel, row, column) order.
    Dense {
        /// Features in.
        in_features: usize,
        /// Features out.
        out_features: usize,
        /// What follows.
        activation: Activation,
    },
    /// Inverted dropout in training, nothing in evaluation.
    Dropout {
        /// Share of units set to zero.
        rate: f32,
    },
}

/// A named step of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// VGGFace's name: `conv1_1` .. `conv5_3`, `pool1` .. `pool5`, `fc6`, `dropout6`, `fc7`, `dropout7`, `fc8`.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Shape of its output for one image: `[channels, rows, columns]` or `[units]`.
    pub output_shape: Vec<usize>,
}

/// A parameter's name and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSpec {
    /// `conv1_1.weight`, `conv1_1.bias`, ...
    pub name: String,
    /// `(out, in, 3, 3)` for a convolution, `(out, in)` for a dense layer, `(out)` for a bias.
    pub shape: Vec<usize>,
}

impl Layer {
    /// The layer's parameters: weight, then bias; none for pooling and dropout.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let (weight, units) = match self.kind {
            LayerKind::Convolution { in_channels, out_channels } => {
                (vec![out_channels, in_channels, 3, 3], out_channels)
            }
            LayerKind::Dense { in_features, out_features, .. } => {
                (vec![out_features, in_features], out_features)
            }
            LayerKind::MaxPool | LayerKind::Dropout { .. } => return Vec::new(),
        };
        vec![
            ParameterSpec { name: format!("{}.weight", self.name), shape: weight },
            ParameterSpec { name: format!("{}.bias", self.name), shape: vec![units] },
        ]
    }
}

impl Architecture {
    /// Every layer from the image to the logits.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        let mut side = self.side_px;
        let mut channels = 3;
        for (block, (&width, &count)) in
            self.widths.blocks.iter().zip(&CONVOLUTIONS_PER_BLOCK).enumerate()
        {
            for convolution in 1..=count {
                layers.push(Layer {
                    name: format!("conv{}_{convolution}", block + 1),
                    kind: LayerKind::Convolution { in_channels: channels, out_channels: width },
                    output_shape: vec![width, side, side],
                });
                channels = width;
            }
            side /= 2;
            layers.push(Layer {
                name: format!("pool{}", block + 1),
                kind: LayerKind::MaxPool,
                output_shape: vec![channels, side, side],
            });
        }
        let mut features = channels * side * side;
        let mut dense = |name: String, units: usize, activation| {
            let kind = LayerKind::Dense { in_features: features, out_features: units, activation };
            features = units;
            Layer { name, kind, output_shape: vec![units] }
        };
        if let Some(classifier) = self.classifier {
            let rate = classifier.rate();
            for (number, units) in classifier.hidden(self.widths.fc) {
                layers.push(dense(format!("fc{number}"), units, Activation::Relu));
                if !rate.is_zero() {
                    layers.push(Layer {
                        name: format!("dropout{number}"),
                        kind: LayerKind::Dropout { rate: rate.as_f32() },
                        output_shape: vec![units],
                    });
                }
            }
            layers.push(dense("fc8".to_owned(), classifier.num_classes, Activation::Identity));
        }
        layers
    }

    /// Every parameter, in the layers' order.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        self.layers().iter().flat_map(Layer::parameters).collect()
    }
}

/// Units of the Keras blog's hidden layer.
const BOTTLENECK_UNITS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn count(architecture: &Architecture) -> usize {
        architecture.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let with = |classifier| Architecture { widths: Widths::VGG16, side_px: 224, classifier };
        assert_eq!(count(&with(None)), 14_714_688);
        let vggface = Classifier::new(Head::Vggface, 2622);
        assert_eq!(count(&with(Some(vggface))), 145_002_878);
        let seed = Classifier::new(Head::Seed, 311);
        assert_eq!(count(&with(Some(seed))), 118_753_399);
    }

    #[test]
    fn dropout_follows_each_hidden_layer_and_changes_no_parameter() {
        let with = |classifier| Architecture {
            widths: Widths { blocks: [2; 5], fc: 4 },
            side_px: 48,
            classifier: Some(classifier),
        };
        let rate = |rate| HeadDropout::Rate(DropoutRate::new(rate).unwrap());
        let hidden = |classifier: Classifier| -> Vec<String> {
            let layers = with(classifier).layers().into_iter().skip(18);
            layers
                .map(|layer| match layer.kind {
                    LayerKind::Dropout { rate } => format!("{} {rate}", layer.name),
                    _ => layer.name,
                })
                .collect()
        };
        for (head, dropout, expected) in [
            (Head::Seed, HeadDropout::Usual, "fc6 fc8"),
            (Head::Seed, rate(0.25), "fc6 dropout6 0.25 fc8"),
            (Head::Vggface, HeadDropout::Usual, "fc6 fc7 fc8"),
            (Head::Vggface, rate(0.5), "fc6 dropout6 0.5 fc7 dropout7 0.5 fc8"),
            (Head::Bottleneck, HeadDropout::Usual, "fc6 dropout6 0.5 fc8"),
            (Head::Bottleneck, rate(0.25), "fc6 dropout6 0.25 fc8"),
            (Head::Bottleneck, rate(0.0), "fc6 fc8"),
        ] {
            let classifier = Classifier::new(head, 3).with_dropout(dropout).unwrap();
            assert_eq!(hidden(classifier).join(" "), expected);
            let usual = with(Classifier::new(head, 3));
            assert_eq!(with(classifier).parameters(), usual.parameters());
        }
        let refused = Classifier::new(Head::Linear, 3).with_dropout(rate(0.5));
        assert!(matches!(refused, Err(Error::NothingToDrop)));
    }

    #[test]
    fn smallest_side_leaves_one_pixel() {
        let architecture =
            Architecture { widths: Widths::VGG16, side_px: MIN_SIDE_PX, classifier: None };
        assert_eq!(architecture.layers().last().unwrap().output_shape, [512, 1, 1]);
    }
}
