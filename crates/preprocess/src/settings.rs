//! What shapes a prepared set: who is kept, which part of a photograph, at which size.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// How photographs become a prepared set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// People with fewer usable photographs are left out.
    pub min_faces: NonZeroUsize,
    /// The part of each photograph that is kept.
    pub crop: Crop,
    /// The side of the prepared images.
    pub side: Side,
    /// The share of the photographs that may be unusable before the run fails.
    pub max_skipped_share: Share,
    /// Photographs with more pixels are skipped undecoded: a guard against decompression bombs.
    pub max_photograph_pixels: NonZeroU64,
}

/// A number in 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

impl Share {
    /// What test-time crops keep of the side.
    pub(crate) const NINE_TENTHS: Self = Self(0.9);

    /// The number itself.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = Error;

    fn try_from(share: f64) -> Result<Self, Error> {
        if (0.0..=1.0).contains(&share) {
            return Ok(Self(share));
        }
        Err(Error::Setting {
            name: "share",
            found: share.to_string(),
            expected: "a number from 0 to 1",
        })
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl FromStr for Share {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let share = text.parse::<f64>().map_err(|_| Error::Setting {
            name: "share",
            found: format!("`{text}`"),
            expected: "a number from 0 to 1",
        })?;
        Self::try_from(share)
    }
}

/// The side of prepared images, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Side(u32);

impl Side {
    /// The side VGG16 was trained at.
    pub const VGG16: Self = Self(224);

    /// Five poolings need 32 pixels; keras-vggface asks for at least 48, and so do we.
    const MIN_PX: u32 = 48;
    /// An image of this side takes 50 MB, more than any network here has use for.
    const MAX_PX: u32 = 4096;

    /// The side in pixels.
    pub fn px(self) -> usize {
        self.0 as usize
    }

    /// Bytes of one prepared image, `(3, side, side)` in u8.
    pub fn image_bytes(self) -> usize {
        3 * self.px() * self.px()
    }
}

impl TryFrom<u32> for Side {
    type Error = Error;

    fn try_from(side_px: u32) -> Result<Self, Error> {
        if (Self::MIN_PX..=Self::MAX_PX).contains(&side_px) {
            return Ok(Self(side_px));
        }
        Err(Error::Setting {
            name: "side",
            found: side_px.to_string(),
            expected: "48 to 4096 pixels",
        })
    }
}

impl From<Side> for u32 {
    fn from(side: Side) -> Self {
        side.0
    }
}

impl FromStr for Side {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let side_px = text.parse::<u32>().map_err(|_| Error::Setting {
            name: "side",
            found: format!("`{text}`"),
            expected: "48 to 4096 pixels",
        })?;
        Self::try_from(side_px)
    }
}

/// The part of a photograph that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Crop {
    /// All of it, squeezed to a square as keras-vggface's examples do.
    Whole,
    /// A central square whose side is this share of the shorter side, at least one pixel.
    Center(Share),
}

impl fmt::Display for Crop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => formatter.write_str("whole"),
            Self::Center(share) => write!(formatter, "center={}", share.get()),
        }
    }
}

impl FromStr for Crop {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "whole" {
            return Ok(Self::Whole);
        }
        text.strip_prefix("center=")
            .and_then(|share| share.parse::<Share>().ok())
            .filter(|share| share.get() > 0.0)
            .map(Self::Center)
            .ok_or_else(|| Error::Setting {
                name: "crop",
                found: format!("`{text}`"),
                expected: "`whole` or `center=` with a share above 0 and up to 1, as `center=0.6`",
            })
    }
}

impl TryFrom<String> for Crop {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Crop> for String {
    fn from(crop: Crop) -> Self {
        crop.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_read_back_as_written() {
        for text in ["whole", "center=0.6", "center=1"] {
            assert_eq!(text.parse::<Crop>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_crops_that_keep_nothing_or_too_much() {
        for text in ["center=0", "center=1.5", "center=NaN", "center=", "centre=0.5", "middle"] {
            let refused = text.parse::<Crop>();
            assert!(matches!(refused, Err(Error::Setting { name: "crop", .. })), "{text}");
        }
    }

    #[test]
    fn refuses_sides_that_five_poolings_leave_nothing_of() {
        assert!(matches!(Side::try_from(47), Err(Error::Setting { name: "side", .. })));
        assert_eq!(Side::try_from(48).unwrap().px(), 48);
        assert!("4097".parse::<Side>().is_err());
        assert!("-1".parse::<Side>().is_err());
    }

    #[test]
    fn refuses_shares_outside_zero_to_one() {
        for text in ["-0.1", "1.1", "NaN", "half"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
