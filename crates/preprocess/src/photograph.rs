//! A single photograph, as `prepare` would store it.

use std::path::Path;

use crate::decode::decode;
use crate::{Crop, Error, Side, resize};

/// The most pixels of a photograph.
const MAX_PIXELS: u64 = 100_000_000;

/// Reads, crops and resizes one photograph.
///
/// # Shapes
///
/// - returns `(3, side, side)`, u8, RGB planes
///
/// # Errors
///
/// [`Error::Photograph`] if it cannot be read or decoded.
pub fn read_photograph(path: &Path, crop: Crop, side: Side) -> Result<Vec<u8>, Error> {
    match decode(path, MAX_PIXELS) {
        Ok(photograph) => Ok(resize(&photograph.pixels, crop, side)),
        Err(reason) => Err(Error::Photograph { path: path.to_owned(), reason }),
    }
}
