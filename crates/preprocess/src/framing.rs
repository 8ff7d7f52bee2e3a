//! A photograph to a square of the wanted size: crop, resize, split into planes.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use crate::settings::{Crop, Side};

/// The filter's name in the manifest.
///
/// A triangle as wide as two target pixels, so that shrinking averages all that it covers: what
/// Pillow calls BILINEAR. It never overshoots, so u8 needs no clipping, and at the same size it is
/// the identity. (keras-vggface's examples load with Keras's default, nearest, which aliases.)
pub const RESIZE_FILTER: &str = "bilinear-antialiased";

/// Crops and resizes a photograph.
///
/// # Shapes
///
/// - `photograph`: `(rows, columns, 3)`, u8, RGB, at least one pixel
/// - returns `(3, side, side)`, u8, RGB planes
///
/// # Panics
///
/// If the photograph has no pixels.
pub fn resize(photograph: &RgbImage, crop: Crop, side: Side) -> Vec<u8> {
    let (width, height) = photograph.dimensions();
    let (left, top, crop_width, crop_height) = match crop {
        Crop::Whole => (0, 0, width, height),
        Crop::Center(share) => central_square(width, height, share.get()),
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false)
        .crop(left.into(), top.into(), crop_width.into(), crop_height.into());
    let source = TypedImageRef::<U8x3>::from_buffer(width, height, photograph.as_raw())
        .expect("an RGB image holds three bytes a pixel");
    let mut square = vec![0; side.image_bytes()];
    let mut target = TypedImage::<U8x3>::from_buffer(side.into(), side.into(), &mut square)
        .expect("the buffer holds three bytes a pixel");
    // The typed call: the other one compiles the filters for a dozen kinds of pixels.
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .expect("the crop lies inside the photograph");
    planes(&square)
}

/// Left, top, width and height of the central square, in whole pixels.
fn central_square(width: u32, height: u32, share: f64) -> (u32, u32, u32, u32) {
    let shorter = width.min(height);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 0 to 1 of a u32, rounded, is a u32"
    )]
    let side = ((share * f64::from(shorter)).round() as u32).clamp(1, shorter);
    ((width - side) / 2, (height - side) / 2, side, side)
}

/// Interleaved pixels to planes.
fn planes(interleaved: &[u8]) -> Vec<u8> {
    let (pixels, _) = interleaved.as_chunks::<3>();
    let mut planes = vec![0; interleaved.len()];
    let (red, others) = planes.split_at_mut(pixels.len());
    let (green, blue) = others.split_at_mut(pixels.len());
    for (((&pixel, red), green), blue) in pixels.iter().zip(red).zip(green).zip(blue) {
        [*red, *green, *blue] = pixel;
    }
    planes
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::settings::Share;

    fn side(px: u32) -> Side {
        Side::try_from(px).unwrap()
    }

    fn ramp(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([x, y, x ^ y].map(|value| value.to_le_bytes()[0]))
        })
    }

    #[test]
    fn the_same_size_is_the_identity() {
        let photograph = ramp(64, 64);
        let square = resize(&photograph, Crop::Whole, side(64));
        for (x, y, pixel) in photograph.enumerate_pixels() {
            let at = (y * 64 + x) as usize;
            assert_eq!([square[at], square[4096 + at], square[2 * 4096 + at]], pixel.0);
        }
    }

    #[test]
    fn center_keeps_the_central_square_of_the_shorter_side() {
        assert_eq!(central_square(250, 250, 0.6), (50, 50, 150, 150));
        assert_eq!(central_square(100, 40, 1.0), (30, 0, 40, 40));
        assert_eq!(central_square(3, 3, 0.01), (1, 1, 1, 1));
        let share = Share::try_from(0.5).unwrap();
        let square = resize(&ramp(96, 128), Crop::Center(share), side(48));
        assert_eq!(square[0], 24, "first column kept");
        assert_eq!(square[48 * 48], 40, "first row kept");
    }

    #[test]
    fn shrinking_averages_what_it_covers() {
        let checkers =
            RgbImage::from_fn(192, 192, |x, y| Rgb([if (x + y) % 2 == 0 { 0 } else { 200 }; 3]));
        let square = resize(&checkers, Crop::Whole, side(48));
        assert!(square.iter().all(|&pixel| pixel.abs_diff(100) <= 1));
    }

    #[test]
    fn whole_squeezes_to_a_square() {
        let flat = RgbImage::from_pixel(31, 300, Rgb([9, 8, 7]));
        let square = resize(&flat, Crop::Whole, side(50));
        assert_eq!(square.len(), 3 * 50 * 50);
        assert!(square[..2500].iter().all(|&pixel| pixel == 9));
        assert!(square[5000..].iter().all(|&pixel| pixel == 7));
    }
}
