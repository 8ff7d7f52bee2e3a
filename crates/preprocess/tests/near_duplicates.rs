//! Photographs that stand in a folder twice, through the library.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;

use image::{RgbImage, imageops};
use indicatif::ProgressBar;
use preprocess::{
    Crop, Error, Manifest, Outcome, Prepared, Settings, Share, Side, synthetic::draw_face,
};

fn prepare(faces: &Path, out: &Path, settings: &Settings) -> Result<Outcome, Error> {
    preprocess::prepare(faces, out, settings, &ProgressBar::hidden())
}

fn made(outcome: Result<Outcome, Error>) -> Manifest {
    match outcome.unwrap() {
        Outcome::Made(manifest) => manifest,
        Outcome::UpToDate(_) => panic!("expected the set to be made"),
    }
}

/// A workplace with one photograph of each of three people and what has been made of them, and how to
/// prepare it.
fn people_with_copies() -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("faces");
    let face = |identity| draw_face(1, identity, 0, "96".parse().unwrap());
    let save = |photograph: &RgbImage, path: &str| {
        let path = source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        photograph.save(path).unwrap();
    };
    let (ann, bob) = (face(0), face(1));
    save(&ann, "Ann/1.png");
    save(&bob, "Ann/2 is Bob.jpg");
    save(&ann, "Ann/3 encoded anew.jpg");
    save(&bob, "Bob/1.png");
    save(&imageops::brighten(&bob, 20), "Bob/2 brightened.png");
    save(&imageops::flip_horizontal(&bob), "Bob/3 mirrored.jpg");
    save(&face(2), "Cid/1.png");
    fs::copy(source.join("Cid/1.png"), source.join("Cid/2 copied.png")).unwrap();
    save(&draw_face(1, 2, 1, "96".parse().unwrap()), "Cid/3 another.png");
    let settings = Settings {
        min_faces: NonZeroUsize::new(3).unwrap(),
        crop: Crop::Whole,
        side: Side::try_from(96).unwrap(),
        max_skipped_share: Share::try_from(0.05).unwrap(),
        max_photograph_pixels: NonZeroU64::new(1_000_000).unwrap(),
    };
    (folder, settings)
}

#[test]
fn finds_the_photographs_that_are_there_twice() {
    let (folder, settings) = people_with_copies();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    let outcome = prepare(&source, &out, &settings).unwrap();
    let said = outcome.to_string();
    assert!(said.contains("9 images, 5 of them near duplicates of others (3 under another name);"));
    let manifest = made(Ok(outcome));
    let copies: Vec<_> = manifest.images.iter().map(|image| image.duplicate_of).collect();
    let expected = [None, None, Some(0), Some(1), Some(1), Some(1), None, Some(6), None];
    assert_eq!(copies, expected);
    assert_eq!(manifest.counts.near_duplicates, Some(5));
    let conflicts: Vec<_> = manifest.under_two_names().map(|(image, _)| &*image.path).collect();
    assert_eq!(conflicts, ["Bob/1.png", "Bob/2 brightened.png", "Bob/3 mirrored.jpg"]);
    assert_eq!(Prepared::open(&out).unwrap().manifest(), &manifest);
}

#[test]
fn a_set_of_before_near_duplicates_opens_and_is_made_anew_under_its_sha256() {
    let (folder, settings) = people_with_copies();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    let new = made(prepare(&source, &out, &settings));
    let path = out.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["counts"].as_object_mut().unwrap().remove("near_duplicates").unwrap();
    for image in json["images"].as_array_mut().unwrap() {
        image.as_object_mut().unwrap().remove("duplicate_of");
    }
    fs::write(&path, json.to_string()).unwrap();

    let old = Prepared::open(&out).unwrap();
    old.verify().unwrap();
    assert_eq!(old.manifest().counts.near_duplicates, None);
    assert_eq!(old.sha256(), new.sha256);
    assert_eq!(made(prepare(&source, &out, &settings)), new);
}

#[test]
fn refuses_duplicates_that_lead_nowhere() {
    let (folder, settings) = people_with_copies();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    made(prepare(&source, &out, &settings));
    let path = out.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"duplicate_of\": 6", "\"duplicate_of\": 7"),
        ("\"duplicate_of\": 6", "\"duplicate_of\": 99"),
        ("\"duplicate_of\": 1", "\"duplicate_of\": 2"),
        ("\"near_duplicates\": 5", "\"near_duplicates\": 4"),
    ] {
        assert!(text.contains(from));
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = Prepared::open(&out).unwrap_err();
        assert!(matches!(error, Error::BrokenManifest { .. }), "{to}: {error}");
    }
}
