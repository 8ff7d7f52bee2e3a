//! Synthetic faces: the same from the same seed, and too varied for a comparison of pixels.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set itself up has failed, and accuracies are shown"
)]

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;

use indicatif::ProgressBar;
use preprocess::synthetic::{Gallery, draw_face, write_gallery};
use preprocess::{Crop, Error, Side, resize};

const SEED: u64 = 7;

fn gallery(identities: u64, photographs: u64) -> Gallery {
    Gallery {
        seed: SEED,
        first_identity: 0,
        identities: NonZeroU64::new(identities).unwrap(),
        photographs: NonZeroU64::new(photographs).unwrap(),
        side: Side::try_from(48).unwrap(),
    }
}

fn write(gallery: &Gallery, out: &Path) -> Result<(), Error> {
    write_gallery(gallery, out, &ProgressBar::hidden())
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for person in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(person.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            files.push((name, fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn the_same_seed_draws_the_same_files_on_any_number_of_threads() {
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let threads = |count| rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
    threads(1).install(|| write(&gallery(3, 4), one.path())).unwrap();
    threads(5).install(|| write(&gallery(3, 4), many.path())).unwrap();
    let drawn = files(one.path());
    assert_eq!(drawn.len(), 12);
    assert_eq!(drawn[0].0, "person_0000/person_0000_0001.png");
    assert!(drawn == files(many.path()));

    let other = tempfile::tempdir().unwrap();
    write(&Gallery { seed: SEED + 1, ..gallery(3, 4) }, other.path()).unwrap();
    assert!(drawn != files(other.path()));
}

#[test]
fn a_person_is_the_same_whoever_else_is_drawn() {
    let (few, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&gallery(3, 2), few.path()).unwrap();
    write(&Gallery { first_identity: 2, ..gallery(1, 2) }, one.path()).unwrap();
    assert_eq!(files(one.path()), files(few.path())[4..]);
}

#[test]
fn a_second_run_leaves_the_files_alone() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("person_0001/person_0001_0002.png");
    write(&gallery(2, 2), out.path()).unwrap();
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    write(&gallery(2, 2), out.path()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
}

#[test]
fn refuses_a_folder_with_other_faces_in_it() {
    let out = tempfile::tempdir().unwrap();
    write(&gallery(3, 2), out.path()).unwrap();
    let fewer = write(&gallery(2, 2), out.path());
    assert!(matches!(fewer, Err(Error::ForeignFaces { entry, .. }) if entry == "person_0002"));
    let fewer = write(&gallery(3, 1), out.path());
    assert!(matches!(fewer, Err(Error::ForeignFaces { .. })));
}

#[test]
fn the_nearest_pixels_rarely_belong_to_the_same_person() {
    const PEOPLE: usize = 16;
    const PHOTOGRAPHS: usize = 10;
    let side = Side::try_from(64).unwrap();
    let faces: Vec<Vec<f32>> = (0..PEOPLE * PHOTOGRAPHS)
        .map(|at| {
            let (person, photograph) = ((at / PHOTOGRAPHS) as u64, (at % PHOTOGRAPHS) as u64);
            let face = draw_face(SEED, person, photograph, side);
            resize(&face, Crop::Whole, side).into_iter().map(f32::from).collect()
        })
        .collect();
    let distance = |one: usize, other: usize| -> f32 {
        faces[one].iter().zip(&faces[other]).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let hits = (0..faces.len())
        .filter(|&face| {
            let nearest = (0..faces.len())
                .filter(|&other| other != face)
                .min_by(|&a, &b| distance(face, a).total_cmp(&distance(face, b)))
                .unwrap();
            nearest / PHOTOGRAPHS == face / PHOTOGRAPHS
        })
        .count();
    let accuracy = hits as f64 / faces.len() as f64;
    println!("nearest neighbour over pixels, leave one out, {PEOPLE} people: {accuracy:.3}");
    assert!(accuracy < 0.35, "accuracy {accuracy}, chance {}", 1.0 / PEOPLE as f64);
}
