//! What a run of `prepare` came to, and how that is said.

use std::{fmt, path::Path};

use serde_json::{Value, json};

use crate::manifest::{Counts, Manifest};

/// What a run of [`prepare`](crate::prepare()) came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The set was there already, of the same photographs and settings.
    UpToDate(Manifest),
    /// The set was made.
    Made(Manifest),
}

impl Outcome {
    /// What the set holds.
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::UpToDate(manifest) | Self::Made(manifest) => manifest,
        }
    }

    /// What the set in this folder holds, without its images: what their manifest says of all of them.
    pub fn to_json(&self, folder: &Path) -> Value {
        let Manifest { counts, side, crop, min_faces, skipped, sha256, .. } = self.manifest();
        json!({
            "folder": folder.display().to_string(),
            "made": matches!(self, Self::Made(_)),
            "counts": counts,
            "side": side,
            "crop": crop,
            "min_faces": min_faces,
            "skipped": skipped,
            "sha256": sha256,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { identities, left_out, images, near_duplicates, skipped, ignored } =
            self.manifest().counts;
        let deed = match self {
            Self::UpToDate(_) => "up to date",
            Self::Made(_) => "prepared",
        };
        write!(formatter, "{deed}: {identities} people, {images} images")?;
        if let Some(near_duplicates @ 1..) = near_duplicates {
            write!(formatter, ", {near_duplicates} of them near duplicates of others")?;
            match self.manifest().under_two_names().count() {
                0 => {}
                conflicts => write!(formatter, " ({conflicts} under another name)")?,
            }
        }
        write!(formatter, "; left out: ")?;
        if let Some(left_out) = left_out {
            let min_faces = self.manifest().min_faces;
            write!(formatter, "{left_out} people with fewer than {min_faces} photographs, ")?;
        }
        write!(formatter, "{skipped} photographs that cannot be used, {ignored} other entries")
    }
}
