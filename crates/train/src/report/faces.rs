//! Small pictures of photographs, for a page that holds them itself.

use std::{collections::BTreeMap, io::Cursor, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{RgbImage, codecs::jpeg::JpegEncoder, imageops::FilterType};
use preprocess::Prepared;

use crate::Error;

/// The side of a face on the page, in its file; it is shown at half of that, for dense screens.
const SIDE: u32 = 112;

/// Of JPEG, 1 to 100.
const QUALITY: u8 = 72;

/// Whether a report shows faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FacesShown {
    /// Small JPEGs in the page.
    Shown,
    /// None: photographs stand there by their names.
    LeftOut,
}

impl FacesShown {
    /// Whether they are to be left out.
    pub fn unless(left_out: bool) -> Self {
        if left_out { Self::LeftOut } else { Self::Shown }
    }
}

/// The faces of a prepared set.
pub(super) struct Faces {
    prepared: Prepared,
    by_path: BTreeMap<String, usize>,
}

impl Faces {
    /// The prepared set at this path.
    ///
    /// # Errors
    ///
    /// [`Error::Preprocess`] if there is none, [`Error::Data`] if it is not the one with this SHA-256.
    pub(super) fn open(data: &Path, sha256: &str) -> Result<Self, Error> {
        let prepared = Prepared::open(data)?;
        if prepared.sha256() != sha256 {
            return Err(Error::Data {
                path: data.to_owned(),
                problem: "is not the set that the run was trained on (its SHA-256 differs)"
                    .to_owned(),
            });
        }
        let images = prepared.manifest().images.iter().enumerate();
        let by_path = images.map(|(index, image)| (image.path.clone(), index)).collect();
        Ok(Self { prepared, by_path })
    }

    /// How many photographs each person has.
    pub(super) fn photographs(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for label in self.prepared.labels() {
            *counts.entry(self.prepared.identities()[label as usize].clone()).or_default() += 1;
        }
        counts
    }

    /// A photograph as a `data:` address; none if the set has no such photograph.
    ///
    /// # Errors
    ///
    /// [`Error::Preprocess`] if its pixels cannot be read.
    pub(super) fn address(&self, image: &str) -> Result<Option<String>, Error> {
        let Some(&index) = self.by_path.get(image) else { return Ok(None) };
        let (jpeg, _) = face_jpeg(&self.prepared, index)?;
        Ok(Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg))))
    }
}

/// A photograph as a small JPEG, and its side in pixels.
///
/// # Errors
///
/// [`Error::Preprocess`] if its pixels cannot be read.
pub(crate) fn face_jpeg(prepared: &Prepared, index: usize) -> Result<(Vec<u8>, u32), Error> {
    let side = prepared.side_px();
    let mut planes = vec![0; 3 * side * side];
    prepared.read_pixels(index, &mut planes)?;
    Ok(jpeg(&planes, side))
}

/// A small JPEG of an image, `(3, side, side)`, u8, RGB, and its side.
fn jpeg(planes: &[u8], side: usize) -> (Vec<u8>, u32) {
    let pixels = side * side;
    let interleaved = (0..pixels)
        .flat_map(|pixel| [planes[pixel], planes[pixels + pixel], planes[2 * pixels + pixel]]);
    let length = u32::try_from(side).expect("a prepared side is small");
    let image =
        RgbImage::from_raw(length, length, interleaved.collect()).expect("three bytes a pixel");
    let length = SIDE.min(length);
    let image = image::imageops::resize(&image, length, length, FilterType::Triangle);
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(&image)
        .expect("memory takes what is written");
    (bytes.into_inner(), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_a_small_jpeg_of_its_colors() {
        let side = 160;
        let planes: Vec<u8> =
            [200, 40, 10].iter().flat_map(|&value| vec![value; side * side]).collect();
        let (bytes, length) = jpeg(&planes, side);
        assert_eq!(length, SIDE);
        let image = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (SIDE, SIDE));
        let [red, green, blue] = image.get_pixel(50, 50).0;
        assert!(red.abs_diff(200) < 4 && green.abs_diff(40) < 4 && blue.abs_diff(10) < 4);
        assert!(bytes.len() < 4000, "{}", bytes.len());
        assert_eq!(
            image::load_from_memory(&jpeg(&planes[..3 * 48 * 48], 48).0).unwrap().width(),
            48
        );
    }
}
