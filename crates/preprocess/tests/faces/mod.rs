//! Small folders of faces for the tests.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};

/// The side of the photographs that [`write`] makes.
pub(crate) const SIDE_PX: u32 = 48;

/// A picture that no other `number` has.
pub(crate) fn picture(number: u32) -> RgbImage {
    RgbImage::from_fn(SIDE_PX, SIDE_PX, |x, y| {
        // Noise: a pattern that only moves with the number would be a near duplicate.
        let place = x + SIDE_PX * (y + SIDE_PX * number);
        let mixed = (place + 1).wrapping_mul(2_654_435_761);
        let mixed = (mixed ^ mixed >> 15).wrapping_mul(2_246_822_519);
        let [red, green, blue, _] = (mixed ^ mixed >> 13).to_be_bytes();
        Rgb([red, green, blue])
    })
}

/// Writes photographs named `1.png`, `2.png` and so on for each person and count.
pub(crate) fn write(faces: &Path, people: &[(&str, u32)]) {
    for (place, (person, photographs)) in (0..).zip(people) {
        fs::create_dir_all(faces.join(person)).unwrap();
        for number in 1..=*photographs {
            picture(place * 100 + number)
                .save(faces.join(format!("{person}/{number}.png")))
                .unwrap();
        }
    }
}
