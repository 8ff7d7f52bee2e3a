//! What the tests have in common: a folder, a file worth fetching, and little patience.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use convert::fetch::{Error, Fetched, Order, Patience, Pin, Publication, fetch};
use indicatif::ProgressBar;
use tempfile::TempDir;

/// The file that the publication has.
pub(crate) const FILE: &str = "rcmalli_vggface_tf_vgg16.h5";

/// A narrow VGG16 that Keras 2 has written.
pub(crate) fn weights() -> Vec<u8> {
    fs::read(golden("keras2.h5")).unwrap()
}

/// Another one.
pub(crate) fn other_weights() -> Vec<u8> {
    fs::read(golden("keras1.h5")).unwrap()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A folder to fetch into.
pub(crate) struct Workshop {
    pub(crate) folder: TempDir,
    publication: Publication,
}

impl Workshop {
    /// One for a publication without a digest.
    pub(crate) fn new() -> Self {
        let publication = Publication::named("vggface-keras").unwrap();
        Self { folder: tempfile::tempdir().unwrap(), publication }
    }

    /// One for the same publication with a digest.
    pub(crate) fn pinned(pin: Pin) -> Self {
        let mut workshop = Self::new();
        workshop.publication.pin = Some(pin);
        workshop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn fetch(&self, url: &str) -> Result<Fetched, Error> {
        let order = Order {
            publication: self.publication,
            url: url.to_owned(),
            folder: self.folder.path().to_owned(),
            now: SystemTime::UNIX_EPOCH + Duration::from_hours(474_768),
        };
        let patience = Patience {
            attempts: NonZeroU32::new(3).unwrap(),
            first_wait: Duration::from_millis(5),
            stall: Duration::from_millis(300),
        };
        fetch(&order, &patience, &ProgressBar::hidden())
    }

    /// Every file in the folder, by name.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    /// That exactly these bytes have the file's name, recorded, and nothing else is there.
    pub(crate) fn assert_holds(&self, bytes: &[u8]) {
        assert_eq!(self.files(), ["fetched.json", FILE]);
        assert!(fs::read(self.path(FILE)).unwrap() == bytes, "other bytes than were served");
    }
}
