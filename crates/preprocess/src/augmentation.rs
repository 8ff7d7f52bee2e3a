//! Augmentation: a seeded, pure function from an image to another view of the same face.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::affine::AffineMap;
use crate::draws::Draws;

/// How far images may be changed, as Keras's `ImageDataGenerator` names it; what is 0 is off.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { zoom = 0.2 }")]
pub struct AugmentationRanges {
    /// Mirror every other image.
    pub horizontal_flip: bool,
    /// Turn by up to this many degrees either way; 0 to 180.
    pub rotation_degrees: f32,
    /// Move by up to this share of the side along each axis; 0 to 1.
    pub shift: f32,
    /// Shear by up to this many degrees either way, below 90. Degrees as in Keras 2: the Keras
    /// blog's 0.2 is hardly any.
    pub shear: f32,
    /// Scale each axis on its own by a factor within this of 1; 0 to below 1.
    pub zoom: f32,
    /// Keep a square of this share of the side at a random place, enlarged to the full side;
    /// above 0 to 1, or 0 for off.
    pub random_crop: f32,
}

/// [`AugmentationRanges`] known to make sense.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AugmentationRanges", into = "AugmentationRanges")]
pub struct Augmentation(AugmentationRanges);

impl TryFrom<AugmentationRanges> for Augmentation {
    type Error = Error;

    fn try_from(ranges: AugmentationRanges) -> Result<Self, Error> {
        let AugmentationRanges { horizontal_flip: _, rotation_degrees, shift, .. } = ranges;
        let AugmentationRanges { shear, zoom, random_crop, .. } = ranges;
        let rules = [
            ("rotation_degrees", rotation_degrees, rotation_degrees <= 180.0, "0 to 180"),
            ("shift", shift, shift <= 1.0, "0 to 1"),
            ("shear", shear, shear < 90.0, "0 to below 90 degrees"),
            ("zoom", zoom, zoom < 1.0, "0 to below 1"),
            ("random_crop", random_crop, random_crop <= 1.0, "0 (off) to 1"),
        ];
        for (name, value, is_low_enough, expected) in rules {
            if !(0.0 <= value && is_low_enough) {
                return Err(Error::Setting { name, found: value.to_string(), expected });
            }
        }
        Ok(Self(ranges))
    }
}

impl From<Augmentation> for AugmentationRanges {
    fn from(augmentation: Augmentation) -> Self {
        augmentation.0
    }
}

/// What an augmented view is a function of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSeed {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// The image's place in the prepared set.
    pub image: u64,
}

/// Draws one view of an image.
///
/// # Shapes
///
/// - `rgb`: `(3, side, side)`, u8
/// - `output`: `(3, side, side)`, f32, 0 to 255
///
/// # Panics
///
/// If a length is not `3 * side_px * side_px`, or that is zero.
///
/// # Source
///
/// keras-preprocessing 1.1.2, `image/affine_transformations.py` and `image_data_generator.py`: one
/// affine map, rotation · shift · shear · zoom about the image's centre, from output to input
/// coordinates, bilinear, pixels beyond the edge as the nearest (`fill_mode="nearest"`), the flip
/// last; each amount drawn evenly. Where we differ: the numbers come from our own stream; the
/// centre is the true one, `side / 2 - 0.5`, as in the copy that Keras later took in, where 1.1.2
/// adds the half and so turns about a point one pixel off; and `random_crop`, which Keras lacks
/// (Parkhi et al., BMVC 2015, train on random crops), is part of the same map, between the affine
/// one and the flip, so that pixels are interpolated once.
pub fn augment(
    augmentation: &Augmentation,
    side_px: usize,
    rgb: &[u8],
    seed: ImageSeed,
    output: &mut [f32],
) {
    Change::draw(augmentation, seed).map(side_px).sample(side_px, rgb, output);
}

/// What is done to one image.
#[derive(Debug, Clone, Copy)]
struct Change {
    rotation_degrees: f64,
    /// Shares of the side, rows first, as all pairs here.
    shift: [f64; 2],
    shear_degrees: f64,
    zoom: [f64; 2],
    crop_share: f64,
    /// Where in the room that the crop leaves it lies, 0 to 1.
    crop_place: [f64; 2],
    is_flipped: bool,
}

impl Change {
    /// All numbers are drawn always, so that switching one on changes none of the others.
    fn draw(augmentation: &Augmentation, seed: ImageSeed) -> Self {
        let ranges = augmentation.0;
        let mut draws = Draws::new(seed.seed, *b"augment.", [seed.epoch, seed.image]);
        let mut within = |range: f32| f64::from(draws.between(-range, range));
        Self {
            rotation_degrees: within(ranges.rotation_degrees),
            shift: [within(ranges.shift), within(ranges.shift)],
            shear_degrees: within(ranges.shear),
            zoom: [1.0 + within(ranges.zoom), 1.0 + within(ranges.zoom)],
            crop_share: if ranges.random_crop > 0.0 { ranges.random_crop.into() } else { 1.0 },
            crop_place: [draws.between(0.0, 1.0).into(), draws.between(0.0, 1.0).into()],
            is_flipped: draws.chance(0.5) && ranges.horizontal_flip,
        }
    }

    /// From a place in the output to the place in the input that is seen there.
    fn map(self, side_px: usize) -> AffineMap {
        let side = side_px as f64;
        let (sin, cos) = self.rotation_degrees.to_radians().sin_cos();
        let (shear_sin, shear_cos) = self.shear_degrees.to_radians().sin_cos();
        let [zoom_rows, zoom_columns] = self.zoom;
        let center = side / 2.0 - 0.5;
        let flip = if self.is_flipped {
            AffineMap::mirror(side_px)
        } else {
            AffineMap::translation(0.0, 0.0)
        };
        AffineMap::translation(center, center)
            .after(AffineMap([[cos, -sin, 0.0], [sin, cos, 0.0]]))
            .after(AffineMap::translation(self.shift[0] * side, self.shift[1] * side))
            .after(AffineMap([[1.0, -shear_sin, 0.0], [0.0, shear_cos, 0.0]]))
            .after(AffineMap([[zoom_rows, 0.0, 0.0], [0.0, zoom_columns, 0.0]]))
            .after(AffineMap::translation(-center, -center))
            .after(AffineMap::crop(side_px, self.crop_share, self.crop_place))
            .after(flip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE_PX: usize = 32;

    fn ranges() -> AugmentationRanges {
        AugmentationRanges::default()
    }

    fn everything() -> AugmentationRanges {
        AugmentationRanges {
            horizontal_flip: true,
            rotation_degrees: 30.0,
            shift: 0.2,
            shear: 20.0,
            zoom: 0.3,
            random_crop: 0.8,
        }
    }

    fn seed(epoch: u64, image: u64) -> ImageSeed {
        ImageSeed { seed: 7, epoch, image }
    }

    fn noise() -> Vec<u8> {
        (0..3 * SIDE_PX * SIDE_PX).map(|at| u8::try_from(at * at * 31 % 256).unwrap()).collect()
    }

    fn augmented(ranges: AugmentationRanges, rgb: &[u8], seed: ImageSeed) -> Vec<f32> {
        let mut output = vec![-1.0; rgb.len()];
        augment(&Augmentation::try_from(ranges).unwrap(), SIDE_PX, rgb, seed, &mut output);
        output
    }

    fn as_f32(rgb: &[u8]) -> Vec<f32> {
        rgb.iter().copied().map(f32::from).collect()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mirrored image has the values it had"
    )]
    fn as_u8(values: &[f32]) -> Vec<u8> {
        values.iter().map(|&value| value as u8).collect()
    }

    fn unchanged() -> Change {
        Change {
            rotation_degrees: 0.0,
            shift: [0.0; 2],
            shear_degrees: 0.0,
            zoom: [1.0; 2],
            crop_share: 1.0,
            crop_place: [0.3; 2],
            is_flipped: false,
        }
    }

    /// Where a white dot on black at `row`, `column` ends up: the brightest pixel.
    fn dot_goes_to(change: Change, row: usize, column: usize) -> (usize, usize) {
        let mut rgb = vec![0; 3 * SIDE_PX * SIDE_PX];
        rgb[row * SIDE_PX + column] = 255;
        let mut output = vec![0.0; rgb.len()];
        change.map(SIDE_PX).sample(SIDE_PX, &rgb, &mut output);
        let brightest = output.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        (brightest / SIDE_PX, brightest % SIDE_PX)
    }

    #[test]
    fn all_off_is_the_identity() {
        for image in 0..20 {
            assert_eq!(augmented(ranges(), &noise(), seed(0, image)), as_f32(&noise()));
        }
    }

    #[test]
    fn flips_half_of_the_images_and_twice_is_the_identity() {
        let flip = AugmentationRanges { horizontal_flip: true, ..ranges() };
        let mut flipped = 0;
        for image in 0..200 {
            let once = augmented(flip, &noise(), seed(0, image));
            if once == as_f32(&noise()) {
                continue;
            }
            flipped += 1;
            let once = as_u8(&once);
            assert_eq!(augmented(flip, &once, seed(0, image)), as_f32(&noise()));
        }
        // Four standard deviations of a fair coin.
        assert!((72..=128).contains(&flipped), "{flipped}");
    }

    #[test]
    fn depends_on_seed_epoch_and_image_and_nothing_else() {
        let first = augmented(everything(), &noise(), seed(1, 2));
        assert_eq!(first, augmented(everything(), &noise(), seed(1, 2)));
        assert_ne!(first, augmented(everything(), &noise(), seed(2, 2)));
        assert_ne!(first, augmented(everything(), &noise(), seed(1, 3)));
        let other = ImageSeed { seed: 8, ..seed(1, 2) };
        assert_ne!(first, augmented(everything(), &noise(), other));
    }

    #[test]
    fn values_stay_in_range() {
        for image in 0..50 {
            let view = augmented(everything(), &noise(), seed(0, image));
            assert!(view.iter().all(|value| (0.0..=255.0).contains(value)));
        }
    }

    #[test]
    fn a_dot_goes_where_it_should() {
        // A positive angle turns clockwise: the top goes to the right.
        let quarter = Change { rotation_degrees: 90.0, ..unchanged() };
        assert_eq!(dot_goes_to(quarter, 3, 16), (16, 28));
        // A positive shift reads further down and right: the dot goes up and left.
        let shift = Change { shift: [0.25, 0.125], ..unchanged() };
        assert_eq!(dot_goes_to(shift, 20, 20), (12, 16));
        let flip = Change { is_flipped: true, ..unchanged() };
        assert_eq!(dot_goes_to(flip, 5, 0), (5, 31));
        // Zoom 2 sees twice as much: the dot comes half as far from the centre.
        let zoom = Change { zoom: [2.0, 1.0], ..unchanged() };
        assert!([(7, 4), (8, 4)].contains(&dot_goes_to(zoom, 0, 4)));
        // The crop in the lower right corner loses the upper left quarter.
        let crop = Change { crop_share: 0.5, crop_place: [1.0, 1.0], ..unchanged() };
        let (row, column) = dot_goes_to(crop, 20, 28);
        assert!((8..=9).contains(&row) && (24..=25).contains(&column), "{row} {column}");
    }

    #[test]
    fn agrees_with_keras_preprocessing() {
        let golden = include_bytes!("../tests/golden/augmentation.safetensors");
        let golden = safetensors::SafeTensors::deserialize(golden).unwrap();
        let image = golden.tensor("image").unwrap();
        let everything = Change {
            rotation_degrees: -40.0,
            shift: [0.1, 0.15],
            shear_degrees: 15.0,
            zoom: [0.9, 1.2],
            ..unchanged()
        };
        let changes = [
            ("rotation", Change { rotation_degrees: 25.0, ..unchanged() }),
            ("shift", Change { shift: [0.2, -0.1], ..unchanged() }),
            ("shear", Change { shear_degrees: -20.0, ..unchanged() }),
            ("zoom", Change { zoom: [1.3, 0.75], ..unchanged() }),
            ("everything", everything),
            ("everything-flipped", Change { is_flipped: true, ..everything }),
        ];
        for (name, change) in changes {
            let expected: Vec<f32> = golden
                .tensor(name)
                .unwrap()
                .data()
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
                .collect();
            let mut found = vec![0.0; expected.len()];
            change.map(16).sample(16, image.data(), &mut found);
            let (index, difference) = found
                .iter()
                .zip(&expected)
                .map(|(found, expected)| (found - expected).abs())
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .unwrap();
            // scipy interpolates in f64 and rounds once; we mix three times in f32, at 255.
            assert!(difference < 1e-4, "{name}: {difference} at {index}");
        }
    }

    #[test]
    fn reads_the_form_that_recipes_have() {
        let json = r#"{"horizontal_flip": true, "rotation_degrees": 10.0, "zoom": 0.2}"#;
        let augmentation: Augmentation = serde_json::from_str(json).unwrap();
        let expected = AugmentationRanges {
            horizontal_flip: true,
            rotation_degrees: 10.0,
            zoom: 0.2,
            ..ranges()
        };
        assert_eq!(AugmentationRanges::from(augmentation), expected);
        let written = serde_json::to_string(&augmentation).unwrap();
        assert_eq!(serde_json::from_str::<Augmentation>(&written).unwrap(), augmentation);
    }

    #[test]
    fn refuses_unknown_keys_and_senseless_ranges() {
        let unknown = serde_json::from_str::<Augmentation>(r#"{"rotate": 1.0}"#).unwrap_err();
        assert!(unknown.to_string().contains("`rotate`"), "{unknown}");
        let refused = [
            ("rotation_degrees", AugmentationRanges { rotation_degrees: -1.0, ..ranges() }),
            ("shift", AugmentationRanges { shift: 1.5, ..ranges() }),
            ("shear", AugmentationRanges { shear: 90.0, ..ranges() }),
            ("zoom", AugmentationRanges { zoom: 1.0, ..ranges() }),
            ("random_crop", AugmentationRanges { random_crop: f32::NAN, ..ranges() }),
        ];
        for (key, ranges) in refused {
            let error = Augmentation::try_from(ranges).unwrap_err();
            assert!(matches!(error, Error::Setting { name, .. } if name == key), "{error}");
        }
    }
}
