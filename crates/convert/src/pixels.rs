//! Which pixels a source's network takes, and `conv1_1` turned to the pixels that are used here.

use std::fmt;
use std::path::Path;

use crate::reader::SourceMetadata;
use crate::recognition::Naming;
use crate::{Error, Format};

/// The pixels that a network takes, before channel means are subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Pixels {
    /// Blue, green, red, 0 to 255, as here: Caffe, Keras, and this project's own files.
    Bgr,
    /// Red, green, blue, 0 to 255: MatConvNet, and what was made from its files.
    Rgb,
    /// Red, green, blue, 0 to 1, less ImageNet's means, over its standard deviations: torchvision.
    Torchvision,
}

/// How the pixels are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelsReason {
    /// The caller said so.
    Asked,
    /// All files of this format, or made by this program, have them.
    Format,
    /// The layers carry the names of a published network that has them.
    Naming,
}

/// Standard deviations of ImageNet's red, green and blue, of 1.
///
/// # Source
///
/// torchvision 0.29.2, `transforms/_presets.py`, `ImageClassification`; its means are
/// `preprocess::Normalization::Torchvision`.
const STANDARD_DEVIATIONS: [f64; 3] = [0.229, 0.224, 0.225];

impl Pixels {
    /// Turns `conv1_1.weight`, `(out, 3, 3, 3)`, to blue, green, red, 0 to 255.
    ///
    /// That is exact up to the rounding of a weight: channels that are zero at the border stay
    /// zero, since the means are the ones that the source's network subtracts.
    pub(crate) fn turn(self, conv1_1: &mut [f32]) {
        const PLACES: usize = 9;
        if self == Self::Bgr {
            return;
        }
        for kernel in conv1_1.chunks_exact_mut(3 * PLACES) {
            if self == Self::Torchvision {
                let channels = kernel.chunks_exact_mut(PLACES).zip(STANDARD_DEVIATIONS);
                for (channel, standard_deviation) in channels {
                    for weight in channel {
                        *weight = scaled(*weight, standard_deviation);
                    }
                }
            }
            let (red, rest) = kernel.split_at_mut(PLACES);
            red.swap_with_slice(&mut rest[PLACES..]);
        }
    }
}

/// A weight for pixels of 255 in place of one for standardised pixels.
#[expect(clippy::cast_possible_truncation, reason = "rounded once, to the nearest f32")]
fn scaled(weight: f32, standard_deviation: f64) -> f32 {
    (f64::from(weight) / (255.0 * standard_deviation)) as f32
}

/// Decides which pixels the source's network takes: what was asked for, what is so for every file
/// of the format, what the names suggest, or nothing.
///
/// # Errors
///
/// [`Error::UnknownPixels`] where nothing says which.
pub(crate) fn decide(
    path: &Path,
    asked: Option<Pixels>,
    format: Format,
    source: &SourceMetadata,
    naming: Naming,
) -> Result<(Pixels, PixelsReason), Error> {
    if let Some(asked) = asked {
        // What says which normalization it expects was made by this program, and is turned.
        if source.normalization.is_some() && source.pixels.is_some_and(|said| said != asked) {
            return Err(Error::Unconvertible {
                path: path.to_owned(),
                reason: format!("it takes bgr already, not {asked}; leave `--pixels` out"),
            });
        }
        return Ok((asked, PixelsReason::Asked));
    }
    if let Some(pixels) = source.pixels {
        return Ok((pixels, PixelsReason::Format));
    }
    match naming {
        Naming::Torchvision => Ok((Pixels::Torchvision, PixelsReason::Naming)),
        Naming::Vggface => Ok((Pixels::Rgb, PixelsReason::Naming)),
        Naming::Keras => Ok((Pixels::Bgr, PixelsReason::Naming)),
        Naming::Order => Err(Error::UnknownPixels { path: path.to_owned(), format }),
    }
}

impl fmt::Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bgr => "bgr",
            Self::Rgb => "rgb",
            Self::Torchvision => "torchvision",
        })
    }
}

impl fmt::Display for PixelsReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "as asked for with --pixels",
            Self::Format => {
                "as published files of this kind have it; set --pixels if yours was trained otherwise"
            }
            Self::Naming => {
                "as in the published network with these layer names; set --pixels if yours was \
                 trained otherwise"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One kernel: red weights 1, green 2, blue 3.
    fn kernel() -> Vec<f32> {
        [[1.0; 9], [2.0; 9], [3.0; 9]].concat()
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "weights that are only moved keep their bits")]
    fn channels_are_reversed_and_scaled() {
        let turned = |pixels: Pixels| {
            let mut kernel = kernel();
            pixels.turn(&mut kernel);
            [kernel[0], kernel[9], kernel[18]]
        };
        assert_eq!(turned(Pixels::Bgr), [1.0, 2.0, 3.0]);
        assert_eq!(turned(Pixels::Rgb), [3.0, 2.0, 1.0]);
        let expected = [3.0 / (255.0 * 0.225), 2.0 / (255.0 * 0.224), 1.0 / (255.0 * 0.229)];
        for (found, expected) in turned(Pixels::Torchvision).into_iter().zip(expected) {
            // Rounding to f32 is off by 6e-8 of a value at most.
            let difference = (f64::from(found) - expected).abs();
            assert!(difference < 1e-7 * expected, "{found} {expected}");
        }
    }

    #[test]
    fn request_goes_before_format_and_format_before_names() {
        let decided = |asked, said, naming| {
            let source = SourceMetadata { pixels: said, ..SourceMetadata::default() };
            decide(Path::new("vgg.pth"), asked, Format::PytorchArchive, &source, naming)
        };
        let (bgr, rgb) = (Some(Pixels::Bgr), Some(Pixels::Rgb));
        let cases = [
            (rgb, bgr, Naming::Order, Pixels::Rgb, PixelsReason::Asked),
            (None, bgr, Naming::Torchvision, Pixels::Bgr, PixelsReason::Format),
            (None, None, Naming::Torchvision, Pixels::Torchvision, PixelsReason::Naming),
            (None, None, Naming::Vggface, Pixels::Rgb, PixelsReason::Naming),
            (None, None, Naming::Keras, Pixels::Bgr, PixelsReason::Naming),
        ];
        for (asked, said, naming, pixels, reason) in cases {
            assert_eq!(decided(asked, said, naming).unwrap(), (pixels, reason));
        }
        let unknown = decided(None, None, Naming::Order);
        assert!(matches!(unknown, Err(Error::UnknownPixels { .. })));
    }
}
