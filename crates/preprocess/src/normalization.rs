//! Pixels to what a network's weights expect: channel order and channel means.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Which channel means are subtracted; the channel order is BGR and the scale 0-255 for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// VGGFace's VGG16.
    VggfaceV1,
    /// `VGGFace2`'s `ResNet50` and `SENet50`.
    VggfaceV2,
    /// ImageNet's VGG16, "caffe" mode in Keras.
    Imagenet,
    /// torchvision's VGG16 for ImageNet, once `convert-weights` has turned it to these pixels.
    Torchvision,
    /// No subtraction; still BGR, 0-255.
    None,
}

impl Normalization {
    /// All of them, by name.
    pub const NAMED: [(&'static str, Self); 5] = [
        ("vggface-v1", Self::VggfaceV1),
        ("vggface-v2", Self::VggfaceV2),
        ("imagenet", Self::Imagenet),
        ("torchvision", Self::Torchvision),
        ("none", Self::None),
    ];

    /// The means that are subtracted, in the order blue, green, red.
    ///
    /// # Source
    ///
    /// keras-vggface bee3537, `utils.py`, `preprocess_input` versions 1 and 2;
    /// keras-applications, `imagenet_utils.py`, mode `caffe`; torchvision 0.29.2,
    /// `transforms/_presets.py`, whose means of 0.485, 0.456 and 0.406 are of 255 here.
    pub fn bgr_means(self) -> [f32; 3] {
        match self {
            Self::VggfaceV1 => [93.5940, 104.7624, 129.1863],
            Self::VggfaceV2 => [91.4953, 103.8827, 131.0912],
            Self::Imagenet => [103.939, 116.779, 123.68],
            Self::Torchvision => [103.53, 116.28, 123.675],
            Self::None => [0.0; 3],
        }
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMED.into_iter().find(|(_, value)| value == self);
        formatter.write_str(named.expect("every normalization has a name").0)
    }
}

impl FromStr for Normalization {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::NAMED.into_iter().find(|(name, _)| *name == text).map(|(_, value)| value).ok_or_else(
            || Error::Setting {
                name: "normalization",
                found: format!("`{text}`"),
                expected: "vggface-v1, vggface-v2, imagenet, torchvision or none",
            },
        )
    }
}

/// Reverses the channels and subtracts their means.
///
/// # Shapes
///
/// - `rgb`: `(3, rows, columns)`, RGB planes, 0-255, u8 as stored or f32 as augmented
/// - `output`: `(3, rows, columns)`, f32, BGR planes, pixel minus channel mean
///
/// # Panics
///
/// If the two lengths differ or are no multiple of three.
pub fn normalize<P: Copy + Into<f32>>(normalization: Normalization, rgb: &[P], output: &mut [f32]) {
    assert_eq!(rgb.len(), output.len(), "an image keeps its size when it is normalized");
    assert!(rgb.len().is_multiple_of(3), "an image has three channels");
    let plane = rgb.len() / 3;
    if plane == 0 {
        return;
    }
    let bgr = rgb.chunks_exact(plane).rev();
    for ((source, target), mean) in
        bgr.zip(output.chunks_exact_mut(plane)).zip(normalization.bgr_means())
    {
        for (pixel, value) in source.iter().zip(target) {
            *value = (*pixel).into() - mean;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "normalizing is one exact operation")]
    fn reverses_channels_and_subtracts_the_means() {
        let rgb: [u8; 6] = [255, 0, 100, 101, 7, 8];
        let mut output = [0.0; 6];
        normalize(Normalization::VggfaceV1, &rgb, &mut output);
        let expected = [
            7.0 - 93.5940,
            8.0 - 93.5940,
            100.0 - 104.7624,
            101.0 - 104.7624,
            255.0 - 129.1863,
            0.0 - 129.1863_f32,
        ];
        assert_eq!(output, expected);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "normalizing is one exact operation")]
    fn none_only_reverses_channels() {
        let mut output = [0.0; 3];
        normalize(Normalization::None, &[1_u8, 2, 3], &mut output);
        assert_eq!(output, [3.0, 2.0, 1.0]);
    }

    #[test]
    fn every_name_reads_back() {
        for (name, value) in Normalization::NAMED {
            assert_eq!(value.to_string(), name);
            assert_eq!(name.parse::<Normalization>().unwrap(), value);
            assert_eq!(serde_json::to_string(&value).unwrap(), format!("\"{name}\""));
        }
    }

    #[test]
    fn refuses_an_unknown_name() {
        let error = "vggface".parse::<Normalization>().unwrap_err();
        assert!(matches!(error, Error::Setting { name: "normalization", .. }));
    }
}
