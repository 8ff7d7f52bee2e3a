//! `manifest.json`: what a prepared set holds and everything that shaped it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::settings::{Crop, Side};

/// The format of prepared sets that this crate writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// What a prepared set holds and everything that shaped it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Totals.
    pub counts: Counts,
    /// The side of the images.
    pub side: Side,
    /// The part of each photograph that was kept.
    pub crop: Crop,
    /// How photographs were resized.
    pub resize_filter: String,
    /// Everyone here has at least this many images.
    pub min_faces: usize,
    /// Photographs with more pixels were skipped.
    pub max_photograph_pixels: u64,
    /// Images in each shard but the last.
    pub shard_images: usize,
    /// SHA-256 over the settings and over the path, length and time of change of every photograph
    /// found: while it stays the same, there is nothing to prepare.
    pub source_fingerprint: String,
    /// SHA-256 of the whole. It covers, in this order: the line
    /// `format_version=1 side=S crop=C resize_filter=F` and a line feed; for each image its label
    /// (u32, little-endian) and its pixels as stored; each identity's name and a zero byte.
    pub sha256: String,
    /// People by label, in byte order.
    pub identities: Vec<String>,
    /// The images, by label and then in byte order of paths.
    pub images: Vec<ImageRecord>,
    /// Photographs that could not be used, in byte order of paths.
    pub skipped: Vec<Skipped>,
}

/// Totals of a prepared set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// People.
    pub identities: usize,
    /// People who have too few usable photographs, and so are not among them; sets of version 0.1
    /// did not say at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<usize>,
    /// Images.
    pub images: usize,
    /// Images of a photograph of which an earlier image is, too: those with
    /// [`ImageRecord::duplicate_of`]. Sets of version 0.1 did not say at first, and nobody had looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_duplicates: Option<usize>,
    /// Photographs that could not be used.
    pub skipped: usize,
    /// Entries of the folder of faces that are no photographs of a person.
    pub ignored: usize,
}

/// One image and the photograph it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecord {
    /// The photograph, relative to the folder of faces, with `/` between the parts.
    pub path: String,
    /// The identity's place in [`Manifest::identities`].
    pub label: u32,
    /// SHA-256 of the photograph's file.
    pub sha256: String,
    /// Columns of the photograph, upright.
    pub width: u32,
    /// Rows of the photograph, upright.
    pub height: u32,
    /// The first image that is of the same photograph, as its place in [`Manifest::images`], where
    /// there is an earlier one: encoded, scaled, brightened, cropped a little or mirrored anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<usize>,
}

/// A photograph that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The photograph, relative to the folder of faces.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl Manifest {
    /// Where a prepared set keeps its manifest.
    pub(crate) const FILE_NAME: &str = "manifest.json";

    /// The manifest's file in `set`.
    pub(crate) fn path(set: &Path) -> PathBuf {
        set.join(Self::FILE_NAME)
    }

    /// Images of a photograph that also stands under another name, with the first image of it.
    pub fn under_two_names(&self) -> impl Iterator<Item = (&ImageRecord, &ImageRecord)> {
        self.images.iter().filter_map(|image| {
            let first = &self.images[image.duplicate_of?];
            (first.label != image.label).then_some((image, first))
        })
    }

    /// Reads and checks the manifest of the set in `set`.
    pub(crate) fn read(set: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }

        let path = Self::path(set);
        let text = fs::read(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::NoManifest { path: path.clone() },
            _ => Error::Read { path: path.clone(), source },
        })?;
        let broken = |reason: String| Error::BrokenManifest { path: path.clone(), reason };
        let version: Version =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        if version.format_version != u64::from(FORMAT_VERSION) {
            let found = version.format_version;
            return Err(Error::FormatVersion { path, found, expected: FORMAT_VERSION });
        }
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        manifest.check().map_err(broken)?;
        Ok(manifest)
    }

    /// Writes the manifest into `set`, a folder that has no final name yet.
    pub(crate) fn write(&self, set: &Path) -> Result<(), Error> {
        let path = Self::path(set);
        let text =
            serde_json::to_vec_pretty(self).expect("a manifest is plain strings and numbers");
        fs::File::create_new(&path)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_all()
            })
            .map_err(Error::write(&path))
    }

    fn check(&self) -> Result<(), String> {
        let Counts { identities, images, skipped, .. } = self.counts;
        let found = (self.identities.len(), self.images.len(), self.skipped.len());
        if found != (identities, images, skipped) {
            return Err("its counts disagree with its lists".to_owned());
        }
        if self.shard_images == 0 {
            return Err("`shard_images` is 0".to_owned());
        }
        self.check_duplicates()?;
        match self.images.iter().find(|image| image.label as usize >= identities) {
            Some(image) => Err(format!("{} has label {}", image.path, image.label)),
            None => Ok(()),
        }
    }

    /// Each duplicate leads to an earlier image that is none, and all are counted.
    fn check_duplicates(&self) -> Result<(), String> {
        let mut found = 0;
        for (index, image) in self.images.iter().enumerate() {
            let Some(first) = image.duplicate_of else { continue };
            found += 1;
            if index <= first || self.images[first].duplicate_of.is_some() {
                return Err(format!("{} is a duplicate of image {first}", image.path));
            }
        }
        match self.counts.near_duplicates {
            counted if counted.unwrap_or(0) == found => Ok(()),
            _ => Err("its count of near duplicates disagrees with its images".to_owned()),
        }
    }
}
