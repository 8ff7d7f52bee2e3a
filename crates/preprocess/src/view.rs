//! Views of an image that are the same each time: what a trained network is shown of one face.

use serde::{Deserialize, Serialize};

use crate::Share;
use crate::affine::AffineMap;
use crate::batch::View;

/// Whether left and right change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// They stay.
    Off,
    /// They do.
    On,
}

/// Where in an image a crop lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CropPlace {
    /// The upper left corner.
    TopLeft,
    /// The upper right corner.
    TopRight,
    /// The lower left corner.
    BottomLeft,
    /// The lower right corner.
    BottomRight,
    /// The middle.
    Center,
}

/// A square part of an image, enlarged to the image's side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropView {
    /// Where it lies, before it is mirrored.
    pub place: CropPlace,
    /// Of the image's side; above 0.
    pub share: Share,
    /// Whether it is mirrored afterwards.
    pub mirror: Mirror,
}

/// The views of each image over which a prediction is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestTimeViews {
    /// The image and its mirror image: 2.
    Flip,
    /// The corners and the middle: 5.
    FiveCrop,
    /// The same and their mirror images: 10.
    TenCrop,
}

impl TestTimeViews {
    /// The views, in order; those that are mirrored come last.
    ///
    /// # Source
    ///
    /// Krizhevsky et al., `ImageNet` Classification with Deep Convolutional Neural Networks (NIPS 2012), section
    /// 4.1: "five 224 x 224 patches (the four corner patches and the center patch) as well as their horizontal
    /// reflections", of images of 256 pixels, the softmax outputs averaged. Where we differ: crops have 0.9 of the side and
    /// not 0.875, since a prepared face fills its image, and are enlarged to the side that the network takes.
    /// Crops come in the order of torchvision's `five_crop`.
    pub fn views(self) -> Vec<View<'static>> {
        let crops = |mirror| {
            CropPlace::ALL
                .map(|place| View::Crop(CropView { place, share: Share::NINE_TENTHS, mirror }))
        };
        match self {
            Self::Flip => vec![View::Plain, View::Flipped],
            Self::FiveCrop => crops(Mirror::Off).to_vec(),
            Self::TenCrop => [crops(Mirror::Off), crops(Mirror::On)].concat(),
        }
    }
}

impl CropPlace {
    const ALL: [Self; 5] =
        [Self::TopLeft, Self::TopRight, Self::BottomLeft, Self::BottomRight, Self::Center];

    /// Where in the room that a crop leaves it lies, 0 to 1: rows, columns.
    fn in_room(self) -> [f64; 2] {
        match self {
            Self::TopLeft => [0.0, 0.0],
            Self::TopRight => [0.0, 1.0],
            Self::BottomLeft => [1.0, 0.0],
            Self::BottomRight => [1.0, 1.0],
            Self::Center => [0.5, 0.5],
        }
    }
}

/// Cuts a view out of an image and enlarges it, bilinearly.
///
/// # Shapes
///
/// - `rgb`: `(3, side, side)`, u8
/// - `output`: `(3, side, side)`, f32, 0 to 255
///
/// # Panics
///
/// If a length is not `3 * side_px * side_px`, or that is zero.
pub(crate) fn crop(view: CropView, side_px: usize, rgb: &[u8], output: &mut [f32]) {
    let crop = AffineMap::crop(side_px, view.share.get(), view.place.in_room());
    let map = match view.mirror {
        Mirror::Off => crop,
        Mirror::On => crop.after(AffineMap::mirror(side_px)),
    };
    map.sample(side_px, rgb, output);
}

/// Mirrors an image, `(3, side, side)`, in place.
///
/// # Panics
///
/// If `side_px` is zero.
pub(crate) fn flip(side_px: usize, rgb: &mut [u8]) {
    for row in rgb.chunks_exact_mut(side_px) {
        row.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_those_of_pillow() {
        let golden = include_bytes!("../tests/golden/views.safetensors");
        let golden = safetensors::SafeTensors::deserialize(golden).unwrap();
        let image = golden.tensor("image").unwrap();
        let side_px = image.shape()[1];
        let places = ["top-left", "top-right", "bottom-left", "bottom-right", "center"];
        let names = places.map(|place| format!("{place}/off")).into_iter();
        let names: Vec<String> = names.chain(places.map(|place| format!("{place}/on"))).collect();
        let views = TestTimeViews::TenCrop.views();
        assert_eq!(names.len(), views.len());
        for (name, view) in names.into_iter().zip(views) {
            let View::Crop(view) = view else { panic!("{name} is {view:?}") };
            let expected: Vec<f32> = golden
                .tensor(&name)
                .unwrap()
                .data()
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
                .collect();
            let mut found = vec![0.0; expected.len()];
            crop(view, side_px, image.data(), &mut found);
            let (index, difference) = found
                .iter()
                .zip(&expected)
                .map(|(found, expected)| (found - expected).abs())
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .unwrap();
            // Pillow sums in f64 and rounds after each axis; we mix three times in f32, at 255.
            assert!(difference < 1e-4, "{name}: {difference} at {index}");
        }
        let mut flipped = image.data().to_vec();
        flip(side_px, &mut flipped);
        assert_eq!(flipped, golden.tensor("flipped").unwrap().data());
        assert_ne!(flipped, image.data());
    }

    #[test]
    fn the_whole_image_is_a_crop_of_itself() {
        let rgb: Vec<u8> = (0..3 * 8 * 8).collect();
        let mut output = vec![0.0; rgb.len()];
        let share = Share::try_from(1.0).unwrap();
        for place in CropPlace::ALL {
            crop(CropView { place, share, mirror: Mirror::Off }, 8, &rgb, &mut output);
            let expected: Vec<f32> = rgb.iter().copied().map(f32::from).collect();
            assert_eq!(output, expected);
        }
    }

    #[test]
    fn views_are_named_as_in_recipes_and_counted_by_their_names() {
        for (views, name, count) in [
            (TestTimeViews::Flip, "\"flip\"", 2),
            (TestTimeViews::FiveCrop, "\"five-crop\"", 5),
            (TestTimeViews::TenCrop, "\"ten-crop\"", 10),
        ] {
            assert_eq!(serde_json::to_string(&views).unwrap(), name);
            assert_eq!(serde_json::from_str::<TestTimeViews>(name).unwrap(), views);
            assert_eq!(views.views().len(), count);
        }
    }
}
