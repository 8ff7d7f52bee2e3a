//! The published files: where each is, and what is known of it.
//!
//! None of these addresses was tried from here; each was read where its `# Source` says.

use std::fmt;
use std::io::{self, Read as _};

use md5::{Digest, Md5};
use model::weights::hexadecimal;

use crate::SourceFormat;
use crate::source::Source;

/// A file of VGG16's weights that somebody publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    /// What it is called here.
    pub name: &'static str,
    /// Its own file name.
    pub file: &'static str,
    /// Who publishes it.
    pub publisher: &'static str,
    /// Where.
    pub url: &'static str,
    /// The format that it is in.
    pub format: SourceFormat,
    /// Its length, where downloads of it were seen to report one.
    pub size_bytes: Option<u64>,
    /// Its digest, where one was published.
    pub pin: Option<Pin>,
    /// Whose terms it is under.
    pub licence: Licence,
}

/// A digest that was published, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// SHA-256.
    Sha256(&'static str),
    /// MD5, which tells another file or a broken one, though not a forged one.
    Md5(&'static str),
}

/// Whose terms weights are under; `weights/README.md` says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Licence {
    /// VGGFace's, for research.
    Vggface,
    /// VGG16's for ImageNet.
    Imagenet,
}

/// Every file that can be fetched.
///
/// # Source
///
/// - `vggface-keras*`: rcmalli/keras-vggface 132a661, `keras_vggface/utils.py`, which passes no
///   digest.
/// - `vggface-deepface`: serengil/deepface 0bb94a1, `deepface/models/facial_recognition/VGGFace.py`,
///   which passes no digest; the release is of `serengil/deepface_models`. Its length is not known to
///   the byte.
/// - `vggface-pytorch`: the README of albanie/pytorch-mcn 3b20d31 leads to the page of its models;
///   the file's own address stands in other projects that fetch it, by http and by https.
/// - `vggface-matconvnet`: MatConvNet's page `pretrained`, relative to `vlfeat.org/matconvnet`, and
///   its example for the file by http; that the site is served by https, as other files of the same
///   folder are fetched. The length is what three projects expect.
/// - `imagenet-keras*`: keras-team/keras 51d7e77, `keras/src/applications/vgg16.py`, with MD5; the
///   lengths from Keras's own progress in published notebooks.
/// - `imagenet-torchvision`: pytorch/vision 02196ff, `torchvision/models/vgg.py`. The name carries
///   the first eight digits of its SHA-256; the others, and the length, are what ten public projects
///   hold the file against, all the same.
pub const CATALOG: [Publication; 8] = [
    Publication {
        name: "vggface-keras",
        file: "rcmalli_vggface_tf_vgg16.h5",
        publisher: "rcmalli/keras-vggface",
        url: "https://github.com/rcmalli/keras-vggface/releases/download/v2.0/rcmalli_vggface_tf_vgg16.h5",
        format: SourceFormat::Keras,
        size_bytes: None,
        pin: None,
        licence: Licence::Vggface,
    },
    Publication {
        name: "vggface-keras-notop",
        file: "rcmalli_vggface_tf_notop_vgg16.h5",
        publisher: "rcmalli/keras-vggface",
        url: "https://github.com/rcmalli/keras-vggface/releases/download/v2.0/rcmalli_vggface_tf_notop_vgg16.h5",
        format: SourceFormat::Keras,
        size_bytes: None,
        pin: None,
        licence: Licence::Vggface,
    },
    Publication {
        name: "vggface-deepface",
        file: "vgg_face_weights.h5",
        publisher: "serengil/deepface_models",
        url: "https://github.com/serengil/deepface_models/releases/download/v1.0/vgg_face_weights.h5",
        format: SourceFormat::Keras,
        size_bytes: None,
        pin: None,
        licence: Licence::Vggface,
    },
    Publication {
        name: "vggface-pytorch",
        file: "vgg_face_dag.pth",
        publisher: "albanie/pytorch-mcn",
        url: "https://www.robots.ox.ac.uk/~albanie/models/pytorch-mcn/vgg_face_dag.pth",
        format: SourceFormat::Pytorch,
        size_bytes: None,
        pin: None,
        licence: Licence::Vggface,
    },
    Publication {
        name: "vggface-matconvnet",
        file: "vgg-face.mat",
        publisher: "vlfeat/matconvnet",
        url: "https://www.vlfeat.org/matconvnet/models/vgg-face.mat",
        format: SourceFormat::Matconvnet,
        size_bytes: Some(1_086_058_494),
        pin: None,
        licence: Licence::Vggface,
    },
    Publication {
        name: "imagenet-keras",
        file: "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        publisher: "keras-team/keras",
        url: "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        format: SourceFormat::Keras,
        size_bytes: Some(553_467_096),
        pin: Some(Pin::Md5("64373286793e3c8b2b4e3219cbf3544b")),
        licence: Licence::Imagenet,
    },
    Publication {
        name: "imagenet-keras-notop",
        file: "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        publisher: "keras-team/keras",
        url: "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        format: SourceFormat::Keras,
        size_bytes: Some(58_889_256),
        pin: Some(Pin::Md5("6d6bbae143d832006294945121d1f1fc")),
        licence: Licence::Imagenet,
    },
    Publication {
        name: "imagenet-torchvision",
        file: "vgg16-397923af.pth",
        publisher: "pytorch/vision",
        url: "https://download.pytorch.org/models/vgg16-397923af.pth",
        format: SourceFormat::Pytorch,
        size_bytes: Some(553_433_881),
        pin: Some(Pin::Sha256("397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0")),
        licence: Licence::Imagenet,
    },
];

impl Publication {
    /// The file of this name, if it can be fetched.
    pub fn named(name: &str) -> Option<Self> {
        CATALOG.into_iter().find(|publication| publication.name == name)
    }

    /// Every file as a table for people.
    pub fn table() -> String {
        let head = ["name", "file", "publisher", "bytes", "licence", "address"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(CATALOG.iter().map(|it| {
            let bytes = it.size_bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
            let licence = it.licence.holder().to_owned();
            let [name, file, publisher, url] =
                [it.name, it.file, it.publisher, it.url].map(str::to_owned);
            [name, file, publisher, bytes, licence, url]
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        let lines = rows.iter().map(|[name, file, publisher, bytes, licence, url]| {
            format!(
                "{name:<0$}  {file:<1$}  {publisher:<2$}  {bytes:>3$}  {licence:<4$}  {url}",
                widths[0], widths[1], widths[2], widths[3], widths[4]
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Pin {
    /// The digest as published.
    pub(super) fn hexadecimal(self) -> &'static str {
        match self {
            Self::Sha256(digest) | Self::Md5(digest) => digest,
        }
    }

    /// The same kind of digest, of a file.
    pub(super) fn digest_alike(self, source: &Source, sha256: &str) -> io::Result<String> {
        match self {
            Self::Sha256(_) => Ok(sha256.to_owned()),
            Self::Md5(_) => md5_of(source),
        }
    }
}

/// MD5 of a whole file, in hexadecimal.
fn md5_of(source: &Source) -> io::Result<String> {
    let mut file = std::fs::File::open(&source.path)?;
    let mut hasher = Md5::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hexadecimal(&hasher.finalize())),
            count => hasher.update(&block[..count]),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "SHA-256 {digest}"),
            Self::Md5(digest) => write!(f, "MD5 {digest}"),
        }
    }
}

impl Licence {
    /// Whose terms they are, in a word or two.
    fn holder(self) -> &'static str {
        match self {
            Self::Vggface => "VGG, Oxford (VGGFace, research)",
            Self::Imagenet => "VGG, Oxford (VGG16)",
        }
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vggface => {
                "VGGFace's weights belong to the Visual Geometry Group, University of Oxford, who \
                 publish them for research: read the group's terms before any other use, and cite \
                 Parkhi, Vedaldi, Zisserman, Deep Face Recognition, BMVC 2015"
            }
            Self::Imagenet => {
                "VGG16's weights for ImageNet are the Visual Geometry Group's, University of \
                 Oxford: read the group's terms, and cite Simonyan, Zisserman, arXiv:1409.1556"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_files_are_distinct_and_addresses_end_on_the_file() {
        let names: BTreeSet<_> = CATALOG.iter().map(|it| it.name).collect();
        let files: BTreeSet<_> = CATALOG.iter().map(|it| it.file).collect();
        assert_eq!((names.len(), files.len()), (CATALOG.len(), CATALOG.len()));
        for publication in CATALOG {
            assert!(publication.url.starts_with("https://"), "{}", publication.url);
            assert!(publication.url.ends_with(&format!("/{}", publication.file)));
            assert_eq!(Publication::named(publication.name), Some(publication));
        }
        assert_eq!(Publication::named("vggface"), None);
    }

    #[test]
    fn torchvisions_digest_begins_as_its_name_says() {
        let publication = Publication::named("imagenet-torchvision").unwrap();
        assert!(publication.pin.unwrap().hexadecimal().starts_with("397923af"));
    }
}
