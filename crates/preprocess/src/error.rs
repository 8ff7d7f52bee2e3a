//! What can go wrong between a photograph and its prepared pixels.

use std::path::{Path, PathBuf};

/// Every failure of this crate, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder of faces is not there.
    #[error("{} is not a folder; expected one folder a person in it, as data/README.md says", path.display())]
    NoFolder {
        /// The folder asked for.
        path: PathBuf,
    },
    /// A single photograph cannot be used: name another.
    #[error("{} cannot be used as a photograph: {reason}", path.display())]
    Photograph {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Fewer than two people have enough usable photographs.
    #[error(
        "{found} people in {} have {min_faces} usable photographs or more, expected at least 2 \
         (the most photographs of one person: {most}); {}",
        path.display(),
        place(meant.as_deref())
    )]
    TooFewPeople {
        /// The folder of faces.
        path: PathBuf,
        /// How many people qualified.
        found: usize,
        /// Usable photographs a person must have.
        min_faces: usize,
        /// Photographs, by file name, of the person who has the most.
        most: usize,
        /// A folder above or in this one that holds one folder a person, where this one does not.
        meant: Option<PathBuf>,
    },
    /// More photographs were unreadable than the user allows.
    #[error(
        "{skipped} of {tried} photographs could not be used, more than the allowed share of \
         {allowed} (the first: {first}: {reason}); repair or remove them, or raise \
         --max-skipped-share"
    )]
    TooManySkipped {
        /// Photographs that could not be used.
        skipped: usize,
        /// Photographs that were tried.
        tried: usize,
        /// The allowed share.
        allowed: f64,
        /// The first skipped photograph, relative to the folder of faces.
        first: String,
        /// Why it was skipped.
        reason: String,
    },
    /// The output folder holds something that this stage did not write.
    #[error(
        "{} holds `{entry}`, which is no part of a prepared set; choose another folder or move it \
         away",
        path.display()
    )]
    ForeignOutput {
        /// The output folder.
        path: PathBuf,
        /// An entry that is not ours.
        entry: String,
    },
    /// A folder for synthetic faces holds something that is not of the gallery asked for.
    #[error(
        "{} holds `{entry}`, which is not one of the faces asked for; choose another folder or \
         move it away",
        path.display()
    )]
    ForeignFaces {
        /// The folder.
        path: PathBuf,
        /// An entry that is not of the gallery.
        entry: String,
    },
    /// The output folder would lie among the people.
    #[error("{} lies in the folder of faces; choose another --out", path.display())]
    OutputInFaces {
        /// The output folder.
        path: PathBuf,
    },
    /// The output path cannot name a folder.
    #[error("{} cannot be an output folder; name a folder to create", path.display())]
    OutputName {
        /// The output path.
        path: PathBuf,
    },
    /// Another run is writing the same output.
    #[error("another run is writing {}; wait for it to end", path.display())]
    Busy {
        /// The output folder.
        path: PathBuf,
    },
    /// A prepared set has no manifest.
    #[error("{} not found; make the prepared set with `cargo xtask prepare`", path.display())]
    NoManifest {
        /// Where the manifest should be.
        path: PathBuf,
    },
    /// A manifest cannot be understood.
    #[error("{} is not a manifest ({reason}); remove the folder and prepare it anew", path.display())]
    BrokenManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A prepared set was written in another format.
    #[error(
        "{} has format_version {found}, expected {expected}; remove the folder and prepare it anew",
        path.display()
    )]
    FormatVersion {
        /// The manifest.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version this crate reads.
        expected: u32,
    },
    /// A shard of a prepared set is missing, cut short or otherwise not as written.
    #[error("{} {reason}; prepare the set anew", path.display())]
    BrokenShard {
        /// The shard.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
    /// An image was asked for that the set does not have.
    #[error(
        "{} holds other pixels than its manifest says (SHA-256 {found}, expected {expected}); \
         prepare the set anew",
        path.display()
    )]
    OtherContent {
        /// The prepared set.
        path: PathBuf,
        /// SHA-256 of what is there.
        found: String,
        /// SHA-256 in the manifest.
        expected: String,
    },

    /// There is no such image.
    #[error("image {index} asked for, but the prepared set has {len} images")]
    ImageIndex {
        /// The index asked for.
        index: usize,
        /// How many images there are.
        len: usize,
    },
    /// A setting is outside what makes sense.
    #[error("`{name}` is {found}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What was given.
        found: String,
        /// What may be given.
        expected: &'static str,
    },
    /// A file or folder could not be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file or folder could not be written.
    #[error("writing {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A synthetic face could not be encoded as PNG.
    #[error("encoding {}", path.display())]
    Encode {
        /// The file it was meant for.
        path: PathBuf,
        /// The cause.
        #[source]
        source: image::ImageError,
    },
}

impl Error {
    /// For `map_err`: a failure to read `path`.
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    /// For `map_err`: a failure to write `path`.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}

/// What to do about too few people.
fn place(meant: Option<&Path>) -> String {
    match meant {
        Some(meant) => {
            format!("did you mean --faces {}, which holds one folder a person?", meant.display())
        }
        None => "lower --min-faces, or check that the folder holds one folder a person".to_owned(),
    }
}
