//! Other ways to show a network the same pixels: channels reversed, and another scale.

use serde::{Deserialize, Serialize};

/// Which channel comes first, beside how the images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// As the images come.
    AsGiven,
    /// Red and blue exchanged, before the means are taken away.
    Reversed,
}

/// The scale of pixels, beside how the images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// As the images come.
    AsGiven,
    /// Divided by 255 before the means are taken away: 0 to 1 where 0 to 255 came.
    Divided,
    /// Times 255: 0 to 255 where 0 to 1 came.
    Multiplied,
}

/// A way to show a network pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presentation {
    /// Which channel comes first.
    pub channels: Channels,
    /// The scale.
    pub scale: Scale,
}

impl Presentation {
    /// As the images come.
    pub const AS_GIVEN: Self = Self { channels: Channels::AsGiven, scale: Scale::AsGiven };

    /// The four ways to show images whose pixels, means added back, reach `largest`: as they come
    /// first, then with channels reversed, then both in the other scale.
    pub fn candidates(largest: f32) -> [Self; 4] {
        let other = if largest <= LARGEST_UNIT { Scale::Multiplied } else { Scale::Divided };
        [
            Self::AS_GIVEN,
            Self { channels: Channels::Reversed, ..Self::AS_GIVEN },
            Self { scale: other, ..Self::AS_GIVEN },
            Self { channels: Channels::Reversed, scale: other },
        ]
    }

    /// Shows images this way.
    ///
    /// # Shapes
    ///
    /// - `images`: `(batch, 3, rows, columns)`, f32, pixel minus channel mean, changed in place
    /// - `pixels`: rows times columns
    /// - `means`: of the three channels, in their order
    ///
    /// # Panics
    ///
    /// If `images` is not of whole images.
    pub fn apply(self, images: &mut [f32], pixels: usize, means: [f32; 3]) {
        assert!(images.len().is_multiple_of(3 * pixels), "images are whole");
        for image in images.chunks_exact_mut(3 * pixels) {
            for (channel, mean) in image.chunks_exact_mut(pixels).zip(means) {
                for pixel in channel {
                    *pixel += mean;
                }
            }
            if self.channels == Channels::Reversed {
                let (first, rest) = image.split_at_mut(pixels);
                first.swap_with_slice(&mut rest[pixels..]);
            }
            let scale = match self.scale {
                Scale::AsGiven => 1.0,
                Scale::Divided => 1.0 / 255.0,
                Scale::Multiplied => 255.0,
            };
            for (channel, mean) in image.chunks_exact_mut(pixels).zip(means) {
                for pixel in channel {
                    *pixel = *pixel * scale - mean;
                }
            }
        }
    }

    /// In words, as the end of "the base tells people apart better with ".
    pub(crate) fn describe(self) -> &'static str {
        match (self.channels, self.scale) {
            (Channels::AsGiven, Scale::AsGiven) => "the pixels as they are",
            (Channels::Reversed, Scale::AsGiven) => "red and blue exchanged",
            (Channels::AsGiven, Scale::Divided) => "pixels divided by 255",
            (Channels::AsGiven, Scale::Multiplied) => "pixels times 255",
            (Channels::Reversed, Scale::Divided) => {
                "red and blue exchanged and pixels divided by 255"
            }
            (Channels::Reversed, Scale::Multiplied) => {
                "red and blue exchanged and pixels times 255"
            }
        }
    }
}

/// Pixels up to this are of the scale 0 to 1; the means that are added back round a little.
pub(crate) const LARGEST_UNIT: f32 = 1.01;

#[cfg(test)]
mod tests {
    use super::*;

    const MEANS: [f32; 3] = [10.0, 20.0, 30.0];

    fn shown(presentation: Presentation, bgr: [f32; 3]) -> Vec<f32> {
        let mut images: Vec<f32> =
            bgr.iter().zip(MEANS).map(|(pixel, mean)| pixel - mean).collect();
        presentation.apply(&mut images, 1, MEANS);
        images.iter().zip(MEANS).map(|(pixel, mean)| pixel + mean).collect()
    }

    #[test]
    fn each_way_shows_what_it_says() {
        let [given, reversed, divided, both] = Presentation::candidates(255.0);
        let close = |found: Vec<f32>, expected: [f32; 3]| {
            // The means are added back and taken away again in f32.
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4)
        };
        assert!(close(shown(given, [51.0, 102.0, 255.0]), [51.0, 102.0, 255.0]));
        assert!(close(shown(reversed, [51.0, 102.0, 255.0]), [255.0, 102.0, 51.0]));
        assert!(close(shown(divided, [51.0, 102.0, 255.0]), [0.2, 0.4, 1.0]));
        assert!(close(shown(both, [51.0, 102.0, 255.0]), [1.0, 0.4, 0.2]));
    }

    #[test]
    fn pixels_up_to_one_are_tried_times_255() {
        assert_eq!(Presentation::candidates(1.0)[2].scale, Scale::Multiplied);
        assert_eq!(Presentation::candidates(2.0)[2].scale, Scale::Divided);
    }
}
