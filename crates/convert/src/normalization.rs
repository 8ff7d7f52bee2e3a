//! Which normalization of pixels the weights expect, and how that is known.

use std::fmt;
use std::path::Path;

use crate::Error;
use crate::reader::SourceMetadata;
use crate::recognition::Naming;

/// A normalization, in `preprocess`'s words; all take BGR, 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Normalization {
    /// Less VGGFace's channel means: keras-vggface's version 1.
    VggfaceV1,
    /// Less `VGGFace2`'s channel means: keras-vggface's version 2.
    VggfaceV2,
    /// Less ImageNet's channel means, as for Keras's own VGG16.
    Imagenet,
    /// Nothing subtracted.
    None,
}

/// How a normalization was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormalizationReason {
    /// The caller asked for it.
    Asked,
    /// The source's metadata say so.
    Source,
    /// The layers carry the names of Keras's own VGG16, which was trained on ImageNet.
    Naming,
    /// Nothing speaks for another.
    Default,
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VggfaceV1 => "vggface-v1",
            Self::VggfaceV2 => "vggface-v2",
            Self::Imagenet => "imagenet",
            Self::None => "none",
        })
    }
}

impl fmt::Display for NormalizationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "as asked for with --normalization",
            Self::Source => "as the source's metadata say",
            Self::Naming => "since layers named block1_conv1 are those of Keras's ImageNet VGG16",
            Self::Default => {
                "the default; set --normalization if the network was trained otherwise"
            }
        })
    }
}

/// Decides on a normalization: what the source says, what was asked for, what the names suggest,
/// or VGGFace's.
pub(crate) fn decide(
    path: &Path,
    asked: Option<Normalization>,
    source: &SourceMetadata,
    naming: Naming,
) -> Result<(Normalization, NormalizationReason), Error> {
    match (asked, source.normalization, naming) {
        (Some(expected), Some(found), _) if expected != found => {
            Err(Error::NormalizationConflict { path: path.to_owned(), expected, found })
        }
        (_, Some(found), _) => Ok((found, NormalizationReason::Source)),
        (Some(asked), None, _) => Ok((asked, NormalizationReason::Asked)),
        (None, None, Naming::Keras) => Ok((Normalization::Imagenet, NormalizationReason::Naming)),
        (None, None, Naming::Vggface | Naming::Order) => {
            Ok((Normalization::VggfaceV1, NormalizationReason::Default))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_goes_before_request_and_request_before_names() {
        let decided = |asked, said, naming| {
            let source = SourceMetadata { normalization: said, ..SourceMetadata::default() };
            decide(Path::new("weights.h5"), asked, &source, naming)
        };
        let (v2, imagenet) = (Some(Normalization::VggfaceV2), Some(Normalization::Imagenet));
        let cases = [
            (None, None, Naming::Vggface, Normalization::VggfaceV1, NormalizationReason::Default),
            (None, None, Naming::Order, Normalization::VggfaceV1, NormalizationReason::Default),
            (None, None, Naming::Keras, Normalization::Imagenet, NormalizationReason::Naming),
            (v2, None, Naming::Keras, Normalization::VggfaceV2, NormalizationReason::Asked),
            (None, v2, Naming::Vggface, Normalization::VggfaceV2, NormalizationReason::Source),
            (v2, v2, Naming::Vggface, Normalization::VggfaceV2, NormalizationReason::Source),
        ];
        for (asked, said, naming, normalization, reason) in cases {
            assert_eq!(decided(asked, said, naming).unwrap(), (normalization, reason));
        }
        let conflict = decided(v2, imagenet, Naming::Vggface);
        assert!(matches!(conflict, Err(Error::NormalizationConflict { .. })));
    }

    #[test]
    fn display_is_what_the_command_line_takes() {
        use clap::ValueEnum;
        for normalization in Normalization::value_variants() {
            let parsed = Normalization::from_str(&normalization.to_string(), false).unwrap();
            assert_eq!(parsed, *normalization);
        }
    }
}
