//! Which normalization of pixels the weights expect, and how that is known.

use std::fmt;
use std::path::Path;

use preprocess::Normalization;

use crate::reader::SourceMetadata;
use crate::recognition::Naming;
use crate::{Error, Pixels};

/// How a normalization was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormalizationReason {
    /// The caller asked for it.
    Asked,
    /// The source's metadata say so.
    Source,
    /// torchvision's networks subtract torchvision's means.
    Pixels,
    /// The layers carry the names of Keras's own VGG16, which was trained on ImageNet.
    Naming,
    /// Nothing speaks for another.
    Default,
}

impl fmt::Display for NormalizationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "as asked for with --normalization",
            Self::Source => "as the source says",
            Self::Pixels => "the means that go with torchvision's pixels",
            Self::Naming => "since layers named block1_conv1 are those of Keras's ImageNet VGG16",
            Self::Default => {
                "the default; set --normalization if the network was trained otherwise"
            }
        })
    }
}

/// The furthest that a mean may be from a known one to be the same, in grey values.
const SAME_MEAN: f32 = 0.01;

/// Decides on a normalization: what the source says, what was asked for, what its pixels or names
/// suggest, or VGGFace's.
pub(crate) fn decide(
    path: &Path,
    asked: Option<Normalization>,
    source: &SourceMetadata,
    pixels: Pixels,
    naming: Naming,
) -> Result<(Normalization, NormalizationReason), Error> {
    let by_means = source.bgr_means.map(|found| (found, by_means(found)));
    let said = source.normalization.or(by_means.and_then(|(_, known)| known));
    match (asked, said, by_means) {
        (Some(expected), Some(found), _) if expected != found => {
            Err(Error::NormalizationConflict { path: path.to_owned(), expected, found })
        }
        (_, Some(found), _) => Ok((found, NormalizationReason::Source)),
        (Some(asked), None, _) => Ok((asked, NormalizationReason::Asked)),
        (None, None, Some((found, _))) => Err(Error::UnknownMeans { path: path.to_owned(), found }),
        (None, None, None) => Ok(match (pixels, naming) {
            (Pixels::Torchvision, _) => (Normalization::Torchvision, NormalizationReason::Pixels),
            (_, Naming::Keras) => (Normalization::Imagenet, NormalizationReason::Naming),
            _ => (Normalization::VggfaceV1, NormalizationReason::Default),
        }),
    }
}

/// The normalization that subtracts these means.
fn by_means(bgr_means: [f32; 3]) -> Option<Normalization> {
    let is_same = |normalization: Normalization| {
        let pairs = normalization.bgr_means().into_iter().zip(bgr_means);
        pairs.into_iter().all(|(known, found)| (known - found).abs() < SAME_MEAN)
    };
    Normalization::NAMED.into_iter().map(|(_, value)| value).find(|&it| is_same(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    use NormalizationReason as Reason;

    #[test]
    fn source_goes_before_request_and_request_before_names() {
        let decided = |asked, said, pixels, naming| {
            let source = SourceMetadata { normalization: said, ..SourceMetadata::default() };
            decide(Path::new("weights.h5"), asked, &source, pixels, naming)
        };
        let (v2, imagenet) = (Some(Normalization::VggfaceV2), Some(Normalization::Imagenet));
        let bgr = Pixels::Bgr;
        let cases = [
            (None, None, bgr, Naming::Vggface, Normalization::VggfaceV1, Reason::Default),
            (None, None, bgr, Naming::Order, Normalization::VggfaceV1, Reason::Default),
            (None, None, bgr, Naming::Torchvision, Normalization::VggfaceV1, Reason::Default),
            (
                None,
                None,
                Pixels::Torchvision,
                Naming::Torchvision,
                Normalization::Torchvision,
                Reason::Pixels,
            ),
            (None, None, bgr, Naming::Keras, Normalization::Imagenet, Reason::Naming),
            (v2, None, bgr, Naming::Keras, Normalization::VggfaceV2, Reason::Asked),
            (None, v2, bgr, Naming::Vggface, Normalization::VggfaceV2, Reason::Source),
            (v2, v2, bgr, Naming::Vggface, Normalization::VggfaceV2, Reason::Source),
        ];
        for (asked, said, pixels, naming, normalization, reason) in cases {
            assert_eq!(decided(asked, said, pixels, naming).unwrap(), (normalization, reason));
        }
        let conflict = decided(v2, imagenet, bgr, Naming::Vggface);
        assert!(matches!(conflict, Err(Error::NormalizationConflict { .. })));
    }

    #[test]
    fn means_name_their_normalization() {
        let decided = |asked, means| {
            let source = SourceMetadata { bgr_means: Some(means), ..SourceMetadata::default() };
            decide(Path::new("vgg_face.mat"), asked, &source, Pixels::Rgb, Naming::Vggface)
        };
        let vggface = [93.594, 104.762_4, 129.186_3];
        let found = decided(None, vggface).unwrap();
        assert_eq!(found, (Normalization::VggfaceV1, NormalizationReason::Source));
        let reversed = [129.186_3, 104.762_4, 93.594];
        assert!(matches!(decided(None, reversed), Err(Error::UnknownMeans { .. })));
        let asked = Some(Normalization::VggfaceV1);
        assert_eq!(decided(asked, reversed).unwrap().1, NormalizationReason::Asked);
    }
}
