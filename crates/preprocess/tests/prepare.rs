//! Preparing photographs and reading them back, through the library.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod faces;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;

use indicatif::ProgressBar;
use preprocess::{
    Augmentation, AugmentationRanges, Crop, CropPlace, CropView, Error, Manifest, Mirror,
    Normalization, Outcome, Prepared, Settings, Share, Side, View, normalize, read_batch,
};
use proptest::prelude::*;

fn prepare(faces: &Path, out: &Path, settings: &Settings) -> Result<Outcome, Error> {
    preprocess::prepare(faces, out, settings, &ProgressBar::hidden())
}

/// Keeps whole photographs at the size they have.
fn settings(min_faces: usize) -> Settings {
    Settings {
        min_faces: NonZeroUsize::new(min_faces).unwrap(),
        crop: Crop::Whole,
        side: Side::try_from(faces::SIDE_PX).unwrap(),
        max_skipped_share: Share::try_from(0.05).unwrap(),
        max_photograph_pixels: NonZeroU64::new(1_000_000).unwrap(),
    }
}

fn made(outcome: Result<Outcome, Error>) -> Manifest {
    match outcome.unwrap() {
        Outcome::Made(manifest) => manifest,
        Outcome::UpToDate(_) => panic!("expected the set to be made"),
    }
}

/// A workplace with faces of two people and a path for the output.
fn two_people() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    faces::write(&source, &[("Ann", 3), ("Bob", 2)]);
    (folder, source, out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn reads_back_the_pixels_in_byte_order(
        people in prop::collection::btree_map("[A-Za-z_é-]{1,8}", 1_u32..4, 2..5),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("faces");
        let list: Vec<(&str, u32)> = people.iter().map(|(name, count)| (&**name, *count)).collect();
        faces::write(&source, &list);
        let out = folder.path().join("out");
        let manifest = made(prepare(&source, &out, &settings(1)));

        let prepared = Prepared::open(&out).unwrap();
        prop_assert_eq!(prepared.manifest(), &manifest);
        prop_assert_eq!(prepared.identities(), people.keys().cloned().collect::<Vec<_>>());
        let mut rgb = vec![0; 3 * prepared.side_px() * prepared.side_px()];
        let mut index = 0;
        for (label, (person, photographs)) in (0..).zip(&list) {
            for number in 1..=*photographs {
                let record = &manifest.images[index];
                prop_assert_eq!(&record.path, &format!("{person}/{number}.png"));
                prop_assert_eq!(record.label, label);
                prepared.read_pixels(index, &mut rgb).unwrap();
                let picture = faces::picture(label * 100 + number);
                for channel in 0..3 {
                    let plane = &rgb[channel * 48 * 48..(channel + 1) * 48 * 48];
                    prop_assert!(picture.pixels().zip(plane).all(|(p, &value)| p.0[channel] == value));
                }
                index += 1;
            }
        }
        prop_assert_eq!(prepared.len(), index);
    }
}

#[test]
fn keeps_people_with_enough_usable_photographs() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    faces::write(&source, &[("Ann", 3), ("Bea", 3), ("Cid", 2), ("Dan", 5)]);
    fs::write(source.join("Bea/2.png"), "broken").unwrap();
    fs::write(source.join("Dan/5.png"), "broken").unwrap();
    fs::write(source.join("Dan/notes.txt"), "ignored").unwrap();
    let settings = Settings { max_skipped_share: Share::try_from(0.2).unwrap(), ..settings(3) };
    let manifest = made(prepare(&source, &out, &settings));
    assert_eq!(manifest.identities, ["Ann", "Dan"]);
    let paths: Vec<_> = manifest.images.iter().map(|image| (&*image.path, image.label)).collect();
    let expected = [
        ("Ann/1.png", 0),
        ("Ann/2.png", 0),
        ("Ann/3.png", 0),
        ("Dan/1.png", 1),
        ("Dan/2.png", 1),
        ("Dan/3.png", 1),
        ("Dan/4.png", 1),
    ];
    assert_eq!(paths, expected);
    let skipped: Vec<_> = manifest.skipped.iter().map(|one| (&*one.path, &*one.reason)).collect();
    let reason = "neither JPEG, PNG, WebP nor BMP";
    assert_eq!(skipped, [("Bea/2.png", reason), ("Dan/5.png", reason)]);
    assert_eq!(manifest.counts.ignored, 1);
    assert_eq!(manifest.counts.left_out, Some(people(&source) - manifest.counts.identities));

    let mut rgb = vec![0; 3 * 48 * 48];
    Prepared::open(&out).unwrap().read_pixels(3, &mut rgb).unwrap();
    assert_eq!(rgb[0], faces::picture(301).get_pixel(0, 0)[0], "Dan's pixels follow Ann's");
}

#[test]
fn a_second_run_does_nothing_until_something_changes() {
    let (_folder, source, out) = two_people();
    let first = made(prepare(&source, &out, &settings(2)));
    let written = fs::metadata(out.join("manifest.json")).unwrap().modified().unwrap();
    let second = prepare(&source, &out, &settings(2)).unwrap();
    assert_eq!(second, Outcome::UpToDate(first.clone()));
    assert_eq!(fs::metadata(out.join("manifest.json")).unwrap().modified().unwrap(), written);

    let center = Settings { crop: "center=0.5".parse().unwrap(), ..settings(2) };
    let cropped = made(prepare(&source, &out, &center));
    assert_ne!(cropped.sha256, first.sha256);

    faces::picture(77).save(source.join("Bob/3.png")).unwrap();
    let grown = made(prepare(&source, &out, &center));
    assert_eq!(grown.counts.images, 6);

    fs::remove_file(out.join("pixels-00000.safetensors")).unwrap();
    assert_eq!(made(prepare(&source, &out, &center)), grown, "a damaged set is made anew");
}

#[test]
fn the_sha256_covers_settings_labels_and_pixels() {
    use sha2::{Digest, Sha256};

    let (_folder, source, out) = two_people();
    let manifest = made(prepare(&source, &out, &settings(2)));
    let prepared = Prepared::open(&out).unwrap();
    let mut digest = Sha256::new_with_prefix(
        "format_version=1 side=48 crop=whole resize_filter=bilinear-antialiased\n",
    );
    let mut rgb = vec![0; 3 * 48 * 48];
    for (index, label) in prepared.labels().into_iter().enumerate() {
        prepared.read_pixels(index, &mut rgb).unwrap();
        digest.update(label.to_le_bytes());
        digest.update(&rgb);
    }
    digest.update(b"Ann\0Bob\0");
    let mut expected = String::new();
    for byte in digest.finalize() {
        write!(expected, "{byte:02x}").unwrap();
    }
    assert_eq!(manifest.sha256, expected);
}

#[test]
fn images_go_on_in_the_next_shard() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    faces::write(&source, &[("Ann", 2), ("Bob", 1)]);
    // Two images of this side fill a shard.
    let settings = Settings { side: Side::try_from(4096).unwrap(), ..settings(1) };
    made(prepare(&source, &out, &settings));
    assert!(out.join("pixels-00001.safetensors").exists());
    let prepared = Prepared::open(&out).unwrap();
    let mut rgb = vec![0; 3 * 4096 * 4096];
    prepared.read_pixels(2, &mut rgb).unwrap();
    assert_eq!(rgb[0], faces::picture(101).get_pixel(0, 0)[0]);
}

#[test]
fn a_batch_is_normalized_and_augmented_by_index() {
    let (_folder, source, out) = two_people();
    made(prepare(&source, &out, &settings(2)));
    let prepared = Prepared::open(&out).unwrap();
    let image_len = 3 * 48 * 48;
    let plain = read_batch(&prepared, &[4, 0, 4], Normalization::VggfaceV1, View::Plain).unwrap();
    assert_eq!(plain.len(), 3 * image_len);
    assert_eq!(plain[..image_len], plain[2 * image_len..]);
    let mut rgb = vec![0; image_len];
    prepared.read_pixels(0, &mut rgb).unwrap();
    let mut expected = vec![0.0; image_len];
    normalize(Normalization::VggfaceV1, &rgb, &mut expected);
    assert_eq!(plain[image_len..2 * image_len], expected);

    let ranges = AugmentationRanges { rotation_degrees: 20.0, ..AugmentationRanges::default() };
    let augmentation = Augmentation::try_from(ranges).unwrap();
    let view = |epoch| View::Augmented { augmentation: &augmentation, seed: 1, epoch };
    let one = read_batch(&prepared, &[0, 1], Normalization::None, view(1)).unwrap();
    let turned_around = read_batch(&prepared, &[1, 0], Normalization::None, view(1)).unwrap();
    assert_eq!(one[..image_len], turned_around[image_len..], "the place in a batch is no matter");
    let next = read_batch(&prepared, &[0, 1], Normalization::None, view(2)).unwrap();
    assert_ne!(one, next);

    let seen = |view| read_batch(&prepared, &[0], Normalization::VggfaceV1, view).unwrap();
    let mirrored: Vec<f32> =
        seen(View::Plain).chunks(48).flat_map(|row| row.iter().rev().copied()).collect();
    assert_eq!(seen(View::Flipped), mirrored);
    let share = Share::try_from(1.0).unwrap();
    let whole = CropView { place: CropPlace::Center, share, mirror: Mirror::On };
    assert_eq!(seen(View::Crop(whole)), mirrored);
    let share = Share::try_from(0.5).unwrap();
    let corner = |place| seen(View::Crop(CropView { place, share, mirror: Mirror::Off }));
    assert_ne!(corner(CropPlace::TopLeft), corner(CropPlace::BottomRight));

    let beyond = read_batch(&prepared, &[5], Normalization::None, View::Plain);
    assert!(matches!(beyond, Err(Error::ImageIndex { index: 5, len: 5 })));
}

#[test]
fn a_killed_run_is_cleared_away_and_never_taken_for_a_set() {
    let (folder, source, out) = two_people();
    let leftover = folder.path().join(".out.preparing/set");
    fs::create_dir_all(&leftover).unwrap();
    fs::write(leftover.join("pixels-00000.safetensors"), "half").unwrap();
    assert!(matches!(Prepared::open(&out), Err(Error::NoManifest { .. })));
    made(prepare(&source, &out, &settings(2)));
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn refuses_an_output_that_holds_something_else() {
    let (_folder, source, out) = two_people();
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.tex"), "years of work").unwrap();
    let refused = prepare(&source, &out, &settings(2));
    assert!(matches!(refused, Err(Error::ForeignOutput { entry, .. }) if entry == "thesis.tex"));

    fs::remove_file(out.join("thesis.tex")).unwrap();
    made(prepare(&source, &out, &settings(2)));
    fs::write(out.join("features.safetensors"), "hours of work").unwrap();
    let changed = prepare(&source, &out, &settings(1));
    assert!(matches!(changed, Err(Error::ForeignOutput { .. })));

    let into_itself = prepare(&source, &source, &settings(2));
    assert!(matches!(into_itself, Err(Error::OutputInFaces { .. })));
}

#[test]
fn refuses_too_few_people() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    let missing = prepare(&source, &out, &settings(2));
    assert!(matches!(missing, Err(Error::NoFolder { .. })));
    fs::create_dir(&source).unwrap();
    let empty = prepare(&source, &out, &settings(2));
    assert!(matches!(empty, Err(Error::TooFewPeople { found: 0, most: 0, .. })));
    faces::write(&source, &[("Ann", 3), ("Bob", 1)]);
    let one = prepare(&source, &out, &settings(2));
    assert!(matches!(one, Err(Error::TooFewPeople { found: 1, most: 3, .. })));
    assert!(!out.exists());
}

#[test]
fn refuses_too_many_skipped_and_keeps_the_earlier_set() {
    let (_folder, source, out) = two_people();
    let earlier = made(prepare(&source, &out, &settings(2)));
    fs::write(source.join("Ann/1.png"), "broken").unwrap();
    let refused = prepare(&source, &out, &settings(2));
    match refused {
        Err(Error::TooManySkipped { skipped: 1, tried: 5, first, .. }) => {
            assert_eq!(first, "Ann/1.png");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(Prepared::open(&out).unwrap().manifest(), &earlier);
}

#[test]
fn refuses_a_set_that_is_not_whole() {
    let (_folder, source, out) = two_people();
    made(prepare(&source, &out, &settings(2)));
    let (manifest, shard) = (out.join("manifest.json"), out.join("pixels-00000.safetensors"));
    let (text, pixels) = (fs::read_to_string(&manifest).unwrap(), fs::read(&shard).unwrap());
    let damages: BTreeMap<&str, Box<dyn Fn()>> = BTreeMap::from([
        ("is missing", Box::new(|| fs::remove_file(&shard).unwrap()) as Box<dyn Fn()>),
        ("bytes, expected", Box::new(|| fs::write(&shard, &pixels[..pixels.len() - 1]).unwrap())),
        ("is cut short", Box::new(|| fs::write(&shard, &pixels[..20]).unwrap())),
        ("no safetensors file", Box::new(|| fs::write(&shard, [255; 100]).unwrap())),
        (
            "of shape",
            Box::new(|| {
                fs::write(&manifest, text.replace("\"side\": 48", "\"side\": 64")).unwrap();
            }),
        ),
    ]);
    for (part, damage) in damages {
        damage();
        let error = Prepared::open(&out).unwrap_err();
        assert!(matches!(error, Error::BrokenShard { .. }), "{part}: {error}");
        assert!(error.to_string().contains(part), "{part}: {error}");
        fs::write(&manifest, &text).unwrap();
        fs::write(&shard, &pixels).unwrap();
    }
    assert!(Prepared::open(&out).is_ok());
}

#[test]
fn verifies_labels_and_pixels_by_their_digest() {
    let (_folder, source, out) = two_people();
    made(prepare(&source, &out, &settings(2)));
    Prepared::open(&out).unwrap().verify().unwrap();
    let shard = out.join("pixels-00000.safetensors");
    let mut pixels = fs::read(&shard).unwrap();
    *pixels.last_mut().unwrap() ^= 1;
    fs::write(&shard, &pixels).unwrap();
    let refused = Prepared::open(&out).unwrap().verify();
    assert!(matches!(refused, Err(Error::OtherContent { .. })), "{refused:?}");
}

#[test]
fn refuses_a_manifest_of_another_format_or_none() {
    let (_folder, source, out) = two_people();
    made(prepare(&source, &out, &settings(2)));
    let manifest = out.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let opened = |text: &str| {
        fs::write(&manifest, text).unwrap();
        Prepared::open(&out).unwrap_err()
    };
    let newer = text.replace("\"format_version\": 1", "\"format_version\": 2");
    assert!(matches!(opened(&newer), Error::FormatVersion { found: 2, expected: 1, .. }));
    let again = prepare(&source, &out, &settings(2));
    assert!(matches!(again, Err(Error::FormatVersion { .. })), "not replaced unasked");
    assert!(matches!(opened(&text[..text.len() / 2]), Error::BrokenManifest { .. }));
    let counts = text.replace("\"images\": 5", "\"images\": 6");
    assert!(matches!(opened(&counts), Error::BrokenManifest { .. }));
    let label = text.replacen("\"label\": 1", "\"label\": 9", 1);
    assert!(matches!(opened(&label), Error::BrokenManifest { .. }));
    assert!(matches!(opened("{}"), Error::BrokenManifest { .. }));
}

#[cfg(feature = "reference-faces")]
#[test]
fn prepares_real_photographs() {
    let lfw = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/faces/lfw"));
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("faces");
    for person in ["Abdullah_Gul", "Zinedine_Zidane"] {
        fs::create_dir_all(source.join(person)).unwrap();
        for photograph in fs::read_dir(lfw.join(person)).unwrap() {
            let photograph = photograph.unwrap();
            let target = source.join(person).join(photograph.file_name());
            fs::copy(photograph.path(), target).unwrap();
        }
    }
    let settings = Settings {
        crop: Crop::Center(Share::try_from(0.6).unwrap()),
        side: Side::VGG16,
        ..settings(6)
    };
    let manifest = made(prepare(&source, &folder.path().join("out"), &settings));
    assert_eq!(manifest.identities, ["Abdullah_Gul", "Zinedine_Zidane"]);
    assert_eq!((manifest.counts.images, manifest.counts.skipped), (25, 0));
    assert!(manifest.images.iter().all(|image| (image.width, image.height) == (250, 250)));
}

/// Folders in a folder.
fn people(source: &Path) -> usize {
    fs::read_dir(source).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
}

#[test]
fn a_set_among_the_people_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("faces");
    faces::write(&source, &[("Ann", 3), ("Bob", 2)]);
    let error = prepare(&source, &source.join("set"), &settings(2)).unwrap_err();
    assert!(matches!(error, Error::OutputInFaces { .. }), "{error}");
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&source, &link).unwrap();
        let error = prepare(&link, &link.join("new/set"), &settings(2)).unwrap_err();
        assert!(matches!(error, Error::OutputInFaces { .. }), "{error}");
    }
    assert_eq!(people(&source), 2);
}
