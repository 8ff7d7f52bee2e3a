//! A prepared set, opened and checked, from which single images are read.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Error;
use crate::decode::hexadecimal;
use crate::manifest::{FORMAT_VERSION, Manifest};
use crate::settings::{Crop, Side};
use crate::shard::{self, Shard};

/// A prepared set: its manifest, and its pixels on disk.
#[derive(Debug)]
pub struct Prepared {
    dir: PathBuf,
    manifest: Manifest,
    shards: Vec<Shard>,
}

/// The digest of a set, to be given each image's label and pixels in order; see
/// [`Manifest::sha256`].
pub(crate) fn content_digest(side: Side, crop: Crop, resize_filter: &str) -> Sha256 {
    let side = side.px();
    Sha256::new_with_prefix(format!(
        "format_version={FORMAT_VERSION} side={side} crop={crop} resize_filter={resize_filter}\n"
    ))
}

/// Closes the digest of a set with its people.
pub(crate) fn finish_digest(mut digest: Sha256, identities: &[String]) -> String {
    for identity in identities {
        digest.update(identity);
        digest.update([0]);
    }
    hexadecimal(&digest.finalize())
}

impl Prepared {
    /// Opens the prepared set in `dir` and checks that all of it is there.
    ///
    /// The lengths and headers of all shards are checked; the pixels' SHA-256 is for
    /// [`Prepared::verify`].
    ///
    /// # Errors
    ///
    /// [`Error::NoManifest`], [`Error::BrokenManifest`], [`Error::FormatVersion`], or
    /// [`Error::BrokenShard`] if a shard is missing, cut short or of another shape.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let manifest = Manifest::read(dir)?;
        let mut shards = Vec::new();
        let mut missing = manifest.images.len();
        while missing > 0 {
            let images = missing.min(manifest.shard_images);
            shards.push(Shard::open(shard::path(dir, shards.len()), images, manifest.side)?);
            missing -= images;
        }
        Ok(Self { dir: dir.to_owned(), manifest, shards })
    }

    /// Reads every pixel and holds the whole against its SHA-256.
    ///
    /// # Errors
    ///
    /// [`Error::OtherContent`] if it is another, as after a copy that was broken off.
    pub fn verify(&self) -> Result<(), Error> {
        let Manifest { side, crop, resize_filter, images, .. } = &self.manifest;
        let mut digest = content_digest(*side, *crop, resize_filter);
        let mut pixels = vec![0; side.image_bytes()];
        for (index, image) in images.iter().enumerate() {
            self.read_pixels(index, &mut pixels)?;
            digest.update(image.label.to_le_bytes());
            digest.update(&pixels);
        }
        let found = finish_digest(digest, &self.manifest.identities);
        if found == self.manifest.sha256 {
            return Ok(());
        }
        let expected = self.manifest.sha256.clone();
        Err(Error::OtherContent { path: self.dir.clone(), found, expected })
    }

    /// What the set holds and how it was made.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.manifest.images.len()
    }

    /// Whether there is no image; what [`crate::prepare`] writes always has some.
    pub fn is_empty(&self) -> bool {
        self.manifest.images.is_empty()
    }

    /// The side of the images, in pixels.
    pub fn side_px(&self) -> usize {
        self.manifest.side.px()
    }

    /// Each image's identity, as its place in [`Prepared::identities`].
    pub fn labels(&self) -> Vec<u32> {
        self.manifest.images.iter().map(|image| image.label).collect()
    }

    /// The people, by label.
    pub fn identities(&self) -> &[String] {
        &self.manifest.identities
    }

    /// SHA-256 of the whole; see [`Manifest::sha256`].
    pub fn sha256(&self) -> &str {
        &self.manifest.sha256
    }

    /// Reads the pixels of image `index`; threads may do so at the same time.
    ///
    /// # Shapes
    ///
    /// - `rgb`: `(3, side, side)`, u8, RGB planes
    ///
    /// # Errors
    ///
    /// [`Error::ImageIndex`] if there is no such image, [`Error::Read`] if the disk fails.
    ///
    /// # Panics
    ///
    /// If `rgb` has another length than an image.
    pub fn read_pixels(&self, index: usize, rgb: &mut [u8]) -> Result<(), Error> {
        assert_eq!(rgb.len(), self.manifest.side.image_bytes(), "room for one image");
        if index >= self.len() {
            return Err(Error::ImageIndex { index, len: self.len() });
        }
        let shard_images = self.manifest.shard_images;
        self.shards[index / shard_images].read(index % shard_images, rgb)
    }
}
