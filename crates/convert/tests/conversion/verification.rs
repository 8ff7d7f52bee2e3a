//! The result is tried on a photograph before it is written, and its identities get their names.

use std::fs;
use std::path::PathBuf;

use convert::{Error, Expectation, Request, Verification};
use model::WeightsFile;
use tempfile::TempDir;

use crate::golden::{convert, golden, request};

const NAMES: &str = "Ann\nBob\nCy\nDi\nEve\nFlo\nGuy\nHal\nIda\n";

/// A photograph and a file of names, and a request that uses both.
fn trial() -> (TempDir, Request) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("face.png");
    let pixels = image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([u8::try_from(4 * x).unwrap(), u8::try_from(4 * y).unwrap(), 90])
    });
    pixels.save(&image).unwrap();
    let labels = folder.path().join("labels.txt");
    fs::write(&labels, NAMES).unwrap();
    let mut request = request(&golden("keras2.h5"), &folder.path().join("out.safetensors"));
    request.labels = Some(labels);
    request.verification = Some(Verification { image, expectation: None });
    (folder, request)
}

fn expecting(request: &Request, name: &str, probability: f64) -> Request {
    let mut request = request.clone();
    let expectation = Some(Expectation { name: name.to_owned(), probability });
    if let Some(verification) = &mut request.verification {
        verification.expectation = expectation;
    }
    request
}

#[test]
fn photographs_are_recognized_or_nothing_is_written() {
    let (_folder, request) = trial();
    let conversion = convert(&request).unwrap();
    assert_eq!(conversion.identities, 9);
    let sightings = &conversion.sightings;
    assert_eq!(sightings.len(), 5);
    assert!(sightings.is_sorted_by(|a, b| b.probability <= a.probability));
    fs::remove_file(&request.out).unwrap();

    let first = &sightings[0];
    let right = expecting(&request, &first.identity, first.probability + 0.0009);
    assert!(convert(&right).is_ok());
    fs::remove_file(&request.out).unwrap();
    let wrong = expecting(&request, &first.identity, first.probability - 0.0011);
    assert!(matches!(convert(&wrong), Err(Error::Verification { .. })));
    let stranger = convert(&expecting(&request, "Zoe", 0.5));
    assert!(matches!(stranger, Err(Error::Unverifiable { .. })));
    assert!(!request.out.exists());
}

#[test]
fn what_cannot_be_verified_is_refused() {
    let (folder, request) = trial();
    let nameless = Request { labels: None, ..expecting(&request, "Ann", 0.5) };
    let error = convert(&nameless).unwrap_err();
    assert!(error.to_string().contains("--labels"), "{error}");
    assert!(convert(&Request { labels: None, ..request.clone() }).is_ok(), "rows have no names");
    let base = Request { layers: convert::Layers::Base, labels: None, ..request.clone() };
    assert!(matches!(convert(&base), Err(Error::Unverifiable { .. })));
    let image = folder.path().join("labels.txt");
    let verification = Some(Verification { image, expectation: None });
    let error = convert(&Request { verification, ..request }).unwrap_err();
    assert!(matches!(error, Error::Photograph(_)), "{error}");
}

#[test]
fn names_are_stored_beside_fc8() {
    let (_folder, request) = trial();
    convert(&request).unwrap();
    let file = WeightsFile::read(&request.out).unwrap();
    let names: Vec<&str> = NAMES.lines().collect();
    assert_eq!(file.metadata().identities.as_deref().unwrap(), names);

    // The file's own names give way to those asked for.
    let from = Request { file: golden("matconvnet_simple.mat"), ..request.clone() };
    convert(&from).unwrap();
    let file = WeightsFile::read(&request.out).unwrap();
    assert_eq!(file.metadata().identities.as_deref().unwrap(), names);

    let labels: PathBuf = request.labels.clone().unwrap();
    fs::write(&labels, "Ann\nBob\n").unwrap();
    assert!(matches!(convert(&request), Err(Error::Metadata { key: "identities", .. })));
    let base = Request { layers: convert::Layers::Base, verification: None, ..request };
    assert!(matches!(convert(&base), Err(Error::Unconvertible { .. })), "no row to be named");
}

#[test]
fn conversion_is_told_in_the_metadata() {
    let (_folder, request) = trial();
    let conversion = convert(&request).unwrap();
    let file = WeightsFile::read(&request.out).unwrap();
    let notes = &file.metadata().notes;
    assert_eq!(notes["source_format"], "HDF5");
    assert_eq!(notes["source_pixels"], "bgr");
    assert_eq!(notes["left_out"], "[]");
    let layers: Vec<serde_json::Value> = serde_json::from_str(&notes["layers"]).unwrap();
    assert_eq!(layers.len(), 32);
    for (layer, line) in layers.iter().zip(&conversion.converted) {
        assert_eq!(layer["name"], line.name);
        assert_eq!(layer["source"], line.source_name);
        let mean: f64 = layer["mean"].as_str().unwrap().parse().unwrap();
        assert!((mean - line.mean).abs() <= 1e-6 * line.mean.abs());
    }
}
