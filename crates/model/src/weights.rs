//! Files of parameters: safetensors with a few words on where they come from.
//!
//! Tensors carry the network's own names and axis orders (`conv1_1.weight` `(out, in, 3, 3)`,
//! `fc6.weight` `(out, in)` over pool5 in (channel, row, column) order). The strings of
//! [`Metadata`] stand under their fields' names in safetensors' `__metadata__`.

mod accounting;
mod file;
mod writing;

use std::collections::BTreeMap;

pub use accounting::{LoadReport, WrongShape, take};
pub use file::WeightsFile;
pub use writing::{PARTIAL, Unnamed, WeightsWriter, give_name, temporary_beside, write};

/// Version of the files that [`write()`] makes and [`WeightsFile::read`] understands.
pub const FORMAT_VERSION: u32 = 1;

/// What a file of weights says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Which normalization of pixels the weights expect, in `preprocess`'s words:
    /// `vggface-v1`, `vggface-v2`, `imagenet` or `none`.
    pub normalization: String,
    /// The file or the run that the weights come from.
    pub source: String,
    /// SHA-256 of that source, in hexadecimal.
    pub source_sha256: String,
    /// Names behind the rows of `fc8`, by label, where they are known.
    pub identities: Option<Vec<String>>,
    /// What else there is to say, by key: how a conversion went. Nothing depends on it.
    pub notes: BTreeMap<String, String>,
}

/// A digest in lower-case hexadecimal.
pub fn hexadecimal(digest: &[u8]) -> String {
    use std::fmt::Write as _;

    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}
