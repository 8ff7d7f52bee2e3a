//! A photograph's file to upright RGB pixels, or the reason why not.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use sha2::{Digest, Sha256};

/// A decoded photograph.
pub(crate) struct Photograph {
    /// `(rows, columns, 3)`, u8, RGB, the EXIF orientation applied.
    pub(crate) pixels: RgbImage,
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) sha256: String,
}

/// Reads and decodes the photograph at `path`.
///
/// The content decides the format, not the name. Grey becomes RGB; transparency is dropped, as
/// Keras's `load_img` does.
///
/// # Errors
///
/// The reason, in words, for the list of skipped photographs.
pub(crate) fn decode(path: &Path, max_pixels: u64) -> Result<Photograph, String> {
    let bytes = read(path, max_pixels)?;
    let mut reader = ImageReader::new(Cursor::new(&bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let Some(format) = reader.format() else {
        return Err("neither JPEG, PNG, WebP nor BMP".to_owned());
    };
    let mut limits = Limits::default();
    // Four channels of 16 bits and as much again for the decoder's own needs.
    limits.max_alloc = Some(max_pixels.saturating_mul(16).saturating_add(1 << 20));
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err("has no pixels".to_owned());
    }
    if pixels > max_pixels {
        return Err(format!("{width}x{height} is more than {max_pixels} pixels"));
    }
    if format == image::ImageFormat::Jpeg && !is_complete_jpeg(&bytes) {
        return Err("the JPEG is cut short".to_owned());
    }
    let orientation = decoder.orientation().map_err(|error| error.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    image.apply_orientation(orientation);
    Ok(Photograph { pixels: image.into_rgb8(), sha256: hexadecimal(&Sha256::digest(&bytes)) })
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).expect("four bits are one digit"));
        }
        text
    })
}

/// Reads a whole file, unless it is larger than any file of `max_pixels` pixels could well be.
fn read(path: &Path, max_pixels: u64) -> Result<Vec<u8>, String> {
    let max_bytes = max_pixels.saturating_mul(8).saturating_add(1 << 20);
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    if bytes.len() as u64 > max_bytes {
        return Err(format!("the file is larger than {max_bytes} bytes"));
    }
    Ok(bytes)
}

/// Whether the JPEG in `bytes` reaches its end marker.
///
/// The decoder fills what a cut file lacks with grey and reports success; half a face must not
/// become training data.
fn is_complete_jpeg(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut at = 2;
    // Outside segments a marker is 0xff and a byte that is neither stuffing (0x00), fill (0xff),
    // a restart (0xd0 to 0xd7) nor 0x01; all but END start a segment that gives its own length.
    // What follows a start-of-scan segment up to the next marker is coded pixels.
    while let Some(&[first, marker]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>) {
        match (first, marker) {
            (0xff, END) => return true,
            (0xff, 0x02..=0xcf | 0xd8..=0xfe) => {
                let Some(length) = bytes.get(at + 2..).and_then(<[u8]>::first_chunk::<2>) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes(*length));
            }
            _ => at += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb};

    use super::*;

    const MAX_PIXELS: u64 = 1_000_000;

    fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Photograph, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        decode(file.path(), MAX_PIXELS)
    }

    /// Dark on the left, bright on the right.
    fn halves() -> RgbImage {
        RgbImage::from_fn(64, 32, |x, _| Rgb([if x < 32 { 20 } else { 220 }; 3]))
    }

    /// A JPEG with an APP1 segment that holds one EXIF entry: orientation.
    fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
    }

    #[test]
    fn applies_the_exif_orientation() {
        let jpeg = encoded(&halves(), ImageFormat::Jpeg);
        let upright = decoded(&jpeg).unwrap().pixels;
        assert!(upright.get_pixel(4, 16)[0] < 60 && upright.get_pixel(60, 16)[0] > 180);

        // Orientation 6: to be turned a quarter clockwise, so the left side becomes the top.
        let turned = decoded(&with_orientation(&jpeg, 6)).unwrap().pixels;
        assert_eq!(turned.dimensions(), (32, 64));
        assert!(turned.get_pixel(16, 4)[0] < 60 && turned.get_pixel(16, 60)[0] > 180);

        // Orientation 2: mirrored.
        let mirrored = decoded(&with_orientation(&jpeg, 2)).unwrap().pixels;
        assert!(mirrored.get_pixel(4, 16)[0] > 180 && mirrored.get_pixel(60, 16)[0] < 60);
    }

    #[test]
    fn lossless_formats_give_back_their_pixels() {
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let photograph = decoded(&encoded(&halves(), format)).unwrap();
            assert_eq!(photograph.pixels, halves(), "{format:?}");
        }
    }

    #[test]
    fn records_the_sha256_of_the_file() {
        let png = encoded(&halves(), ImageFormat::Png);
        assert_eq!(decoded(&png).unwrap().sha256, hexadecimal(&Sha256::digest(&png)));
        assert_eq!(hexadecimal(&[0x0f, 0xa0]), "0fa0");
    }

    #[test]
    fn refuses_a_decompression_bomb_undecoded() {
        let mut png = encoded(&halves(), ImageFormat::Png);
        png[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        png[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
        let checksum = crc32(&png[12..29]).to_be_bytes();
        png[29..33].copy_from_slice(&checksum);
        let reason = decoded(&png).err().unwrap();
        assert_eq!(reason, "60000x60000 is more than 1000000 pixels");
    }

    #[test]
    fn refuses_files_that_are_cut_short() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let noise =
                RgbImage::from_fn(64, 64, |x, y| Rgb([u8::try_from(x * y * 37 % 251).unwrap(); 3]));
            let bytes = encoded(&noise, format);
            assert!(decoded(&bytes).is_ok(), "{format:?} whole");
            assert!(decoded(&bytes[..bytes.len() / 2]).is_err(), "{format:?} cut");
        }
    }

    #[test]
    fn finds_the_end_of_a_jpeg_behind_an_embedded_one() {
        let jpeg = encoded(&halves(), ImageFormat::Jpeg);
        let length = u16::try_from(jpeg.len() + 2).unwrap().to_be_bytes();
        let with_thumbnail = [&jpeg[..2], &[0xff, 0xe2], &length, &jpeg, &jpeg[2..]].concat();
        assert!(is_complete_jpeg(&with_thumbnail));
        assert!(!is_complete_jpeg(&with_thumbnail[..with_thumbnail.len() - 2]));
        assert!(is_complete_jpeg(&[&with_thumbnail[..], b"trailing"].concat()));
    }

    #[test]
    fn refuses_what_is_no_photograph() {
        assert_eq!(decoded(b"hello").err().unwrap(), "neither JPEG, PNG, WebP nor BMP");
        assert_eq!(decoded(b"").err().unwrap(), "the file is empty");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }
            })
        })
    }
}
