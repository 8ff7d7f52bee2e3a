//! Finds people and their photographs: one folder a person, everything in byte order of names.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::Error;
use crate::manifest::Skipped;

/// Endings of file names that promise a photograph, in lower case.
const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

/// What a folder of faces holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Everyone with a folder, in byte order of names, also those without photographs.
    pub(crate) people: Vec<Person>,
    /// Photographs and people whose name is not UTF-8 and so cannot stand in a manifest.
    pub(crate) unnameable: Vec<Skipped>,
    /// Entries that are neither a person's folder nor a photograph in one.
    pub(crate) ignored: usize,
}

/// One person's folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// The folder's name.
    pub(crate) name: String,
    /// The files in it that are named as photographs are, in byte order of names.
    pub(crate) candidates: Vec<Candidate>,
}

/// A file that is named as photographs are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// `person/file`, relative to the folder of faces.
    pub(crate) path: String,
    /// Length of the file.
    pub(crate) size_bytes: u64,
    /// When the file was last changed, since 1970.
    pub(crate) modified: Duration,
}

/// Lists the people in `faces`. Symbolic links are followed; folders in a person's folder are not
/// entered; names that start with a dot are ignored.
///
/// # Errors
///
/// [`Error::NoFolder`] if `faces` is not a folder, [`Error::Read`] if it cannot be listed.
pub(crate) fn scan(faces: &Path) -> Result<Scan, Error> {
    if !faces.is_dir() {
        return Err(Error::NoFolder { path: faces.to_owned() });
    }
    let mut scan = Scan { people: Vec::new(), unnameable: Vec::new(), ignored: 0 };
    for path in entries(faces)? {
        if is_hidden(&path) || !path.is_dir() {
            scan.ignored += 1;
            continue;
        }
        match file_name(&path).to_str() {
            Some(name) => {
                let name = name.to_owned();
                let candidates = candidates(&path, &name, &mut scan)?;
                scan.people.push(Person { name, candidates });
            }
            None => scan.unnameable.push(unnameable(&path, faces)),
        }
    }
    scan.people.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(scan)
}

/// The folder above or in this one that is likely meant: this one holds photographs of its own, or
/// folders of folders of them.
pub(crate) fn meant(faces: &Path) -> Option<PathBuf> {
    let photographs = |folder: &Path| {
        let is_one = |path: &PathBuf| path.is_file() && is_named_as_photograph(path);
        entries(folder).unwrap_or_default().iter().filter(|path| is_one(path)).count()
    };
    let folders = |folder: &Path| -> Vec<PathBuf> {
        let mut folders = entries(folder).unwrap_or_default();
        folders.retain(|path| path.is_dir() && !is_hidden(path));
        folders.sort();
        folders
    };
    let holds_people = |folder: &Path| {
        let people = folders(folder);
        1 < people.iter().filter(|person| 0 < photographs(person)).count()
    };
    if holds_people(faces) {
        return None;
    }
    if 0 < photographs(faces) {
        let above = faces.canonicalize().ok()?.parent()?.to_owned();
        return Some(above).filter(|above| holds_people(above));
    }
    folders(faces).into_iter().find(|inner| holds_people(inner))
}

fn candidates(folder: &Path, person: &str, scan: &mut Scan) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    for path in entries(folder)? {
        if is_hidden(&path) || !is_named_as_photograph(&path) {
            scan.ignored += 1;
            continue;
        }
        // A link to nowhere counts as a photograph: reading it will give the reason to skip it.
        let metadata = fs::metadata(&path).ok();
        if metadata.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            scan.ignored += 1;
            continue;
        }
        let Some(name) = file_name(&path).to_str() else {
            let faces = folder.parent().expect("a person's folder lies in the folder of faces");
            scan.unnameable.push(unnameable(&path, faces));
            continue;
        };
        candidates.push(Candidate {
            path: format!("{person}/{name}"),
            size_bytes: metadata.as_ref().map_or(0, fs::Metadata::len),
            modified: metadata
                .and_then(|metadata| metadata.modified().ok())
                .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
                .unwrap_or_default(),
        });
    }
    candidates.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(candidates)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::read(folder))
}

fn file_name(path: &Path) -> &OsStr {
    path.file_name().expect("an entry of a folder has a name")
}

fn is_hidden(path: &Path) -> bool {
    file_name(path).as_encoded_bytes().starts_with(b".")
}

fn is_named_as_photograph(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn unnameable(path: &Path, faces: &Path) -> Skipped {
    let relative = path.strip_prefix(faces).unwrap_or(path);
    Skipped {
        path: relative.to_string_lossy().into_owned(),
        reason: "the name is not UTF-8; rename it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn lists_in_byte_order_and_counts_the_rest() {
        let faces = tempfile::tempdir().unwrap();
        let files = [
            "Zoe/b.jpg",
            "Zoe/B.PNG",
            "Zoe/a.WebP",
            "Zoe/notes.txt",
            "Zoe/.hidden.jpg",
            "AJ/1.bmp",
            "Aaron/1.jpeg",
            "loose.jpg",
            "Zoe/inner/deep.jpg",
            "Zoe/folder.jpg/deep.jpg",
        ];
        for file in files {
            touch(&faces.path().join(file));
        }
        let scan = scan(faces.path()).unwrap();
        let names: Vec<_> = scan.people.iter().map(|person| person.name.as_str()).collect();
        assert_eq!(names, ["AJ", "Aaron", "Zoe"]);
        let paths: Vec<_> = scan.people[2].candidates.iter().map(|c| c.path.as_str()).collect();
        assert_eq!(paths, ["Zoe/B.PNG", "Zoe/a.WebP", "Zoe/b.jpg"]);
        // notes.txt, .hidden.jpg, loose.jpg, and the folders inner and folder.jpg.
        assert_eq!(scan.ignored, 5);
        assert_eq!(scan.unnameable, []);
    }

    #[test]
    fn refuses_a_folder_that_is_not_there() {
        let faces = tempfile::tempdir().unwrap();
        let missing = scan(&faces.path().join("missing"));
        assert!(matches!(missing, Err(Error::NoFolder { .. })));
    }

    #[test]
    fn a_folder_too_deep_or_too_high_is_told_the_one_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for file in ["lfw/Ann/1.jpg", "lfw/Bob/1.jpg", "notes/readme.txt"] {
            touch(&root.join(file));
        }
        let people = root.join("lfw");
        assert_eq!(meant(&root), Some(people.clone()));
        assert_eq!(meant(&people.join("Ann")), Some(people.clone()));
        assert_eq!(meant(&people), None);
        assert_eq!(meant(&root.join("notes")), None);
        // People are here, though with few photographs and something beside them.
        touch(&people.join("group.jpg"));
        touch(&people.join("Ann/2019/1.jpg"));
        touch(&people.join("Ann/2020/1.jpg"));
        assert_eq!(meant(&people), None);
    }

    #[cfg(unix)]
    #[test]
    fn follows_links_to_files_and_people() {
        let faces = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        touch(&elsewhere.path().join("Bob/1.jpg"));
        touch(&faces.path().join("Ann/1.jpg"));
        std::os::unix::fs::symlink(elsewhere.path().join("Bob"), faces.path().join("Bob")).unwrap();
        let target = elsewhere.path().join("Bob/1.jpg");
        std::os::unix::fs::symlink(target, faces.path().join("Ann/2.jpg")).unwrap();
        std::os::unix::fs::symlink("nowhere", faces.path().join("Ann/3.jpg")).unwrap();
        let scan = scan(faces.path()).unwrap();
        assert_eq!(scan.people[0].candidates.len(), 3);
        assert_eq!(scan.people[1].candidates.len(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn lists_names_that_are_not_utf8_as_skipped() {
        use std::os::unix::ffi::OsStrExt;

        let faces = tempfile::tempdir().unwrap();
        touch(&faces.path().join("Ann").join(OsStr::from_bytes(b"\xff.jpg")));
        touch(&faces.path().join(OsStr::from_bytes(b"B\xf6b")).join("1.jpg"));
        let scan = scan(faces.path()).unwrap();
        assert_eq!(scan.people.len(), 1);
        assert_eq!(scan.unnameable.len(), 2);
    }
}
