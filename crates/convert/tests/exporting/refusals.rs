//! Each thing that cannot be exported is refused by its own error, and harms nothing.

use std::fs;
use std::path::Path;

use convert::Error;
use convert::export::{Input, Request, Scores, Target, export};
use indicatif::ProgressBar;

use crate::networks::{run, seed_tensors, tensors, to, write};

/// Exports over an output that is there and must stay as it is.
#[track_caller]
fn refused(request: &Request, out: &str) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join(out);
    fs::write(&out, "as before").unwrap();
    let error =
        export(&Request { out: Some(out.clone()), ..request.clone() }, &ProgressBar::hidden())
            .unwrap_err();
    assert_eq!(fs::read_to_string(&out).unwrap(), "as before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    assert!(!error.to_string().contains("  "), "{error}");
    error
}

#[test]
fn folds_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let of = |fold| refused(&Request { fold, ..to(Target::Onnx, &run) }, "out.onnx");
    for missing in [1, 7] {
        let error = of(Some(missing));
        assert!(matches!(error, Error::FoldNotFound { .. }), "{error}");
        assert!(error.to_string().contains("there are folds 0, 2"), "{error}");
        assert!(!error.is_usage());
    }
    let error = of(None);
    assert!(matches!(error, Error::WhichFold { .. }), "{error}");
    assert!(error.to_string().contains("there are folds 0, 2"), "{error}");
    assert!(error.is_usage());

    let empty = tempfile::tempdir().unwrap();
    let asked = Request { fold: Some(0), ..to(Target::Onnx, empty.path()) };
    assert!(refused(&asked, "out.onnx").to_string().contains("cargo xtask train"));
    let error = refused(&to(Target::Onnx, Path::new("runs/nowhere")), "out.onnx");
    assert!(matches!(error, Error::RunNotFound { .. }), "{error}");
}

#[test]
fn fold_of_a_run_is_exported_beside_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let export =
        export(&Request { fold: Some(2), ..to(Target::Keras, &run) }, &ProgressBar::hidden())
            .unwrap();
    assert_eq!(export.file, run.join("fold-02").join("weights.h5"));
}

#[test]
fn what_is_asked_for_must_be_possible() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &seed_tensors());
    for target in [Target::Keras, Target::Pytorch] {
        let softmax = Request { scores: Scores::Probabilities, ..to(target, &file) };
        let error = refused(&softmax, "out.h5");
        assert!(matches!(error, Error::OnnxOnly { option: "--softmax", .. }), "{error}");
        let rgb = Request { input: Input::Rgb, ..to(target, &file) };
        let error = refused(&rgb, "out.h5");
        assert!(matches!(error, Error::OnnxOnly { option: "--input rgb", .. }), "{error}");
    }
    for name in ["out.weights.h5", "out.hdf5"] {
        let error = refused(&to(Target::Keras, &file), name);
        assert!(matches!(error, Error::KerasName { .. }), "{error}");
    }
    let asked = Request { fold: Some(0), ..to(Target::Onnx, &file) };
    assert!(matches!(refused(&asked, "out.onnx"), Error::FoldOfFile { .. }));

    let base = folder.path().join("base.safetensors");
    write(&base, &tensors(&[]));
    let asked = Request { scores: Scores::Probabilities, ..to(Target::Onnx, &base) };
    assert!(matches!(refused(&asked, "out.onnx"), Error::NoScores { .. }));
}

#[test]
fn weights_are_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &seed_tensors());
    let before = fs::read(&file).unwrap();
    let roundabout = Some(folder.path().join(".").join("weights.safetensors"));
    let result =
        export(&Request { out: roundabout, ..to(Target::Pytorch, &file) }, &ProgressBar::hidden());
    assert!(matches!(result, Err(Error::SameFile { .. })));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn weights_must_be_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    for target in [Target::Onnx, Target::Keras, Target::Pytorch] {
        fs::write(&file, "no weights").unwrap();
        let error = refused(&to(target, &file), "out.h5");
        assert!(matches!(error, Error::Write(model::Error::NotSafetensors { .. })), "{error:?}");

        let mut incomplete = seed_tensors();
        incomplete.remove("conv3_1.bias");
        write(&file, &incomplete);
        let error = refused(&to(target, &file), "out.h5");
        assert!(matches!(error, Error::Write(model::Error::Unaccounted { .. })), "{error:?}");
        assert!(!error.is_usage());
    }
}

#[test]
fn output_without_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &seed_tensors());
    for target in [Target::Onnx, Target::Keras, Target::Pytorch] {
        let out = Some(folder.path().join("missing").join("out.h5"));
        let result = export(&Request { out, ..to(target, &file) }, &ProgressBar::hidden());
        assert!(matches!(result, Err(Error::Write(model::Error::Io { .. }))), "{result:?}");
    }
}

#[test]
fn what_is_broken_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    write(&file, &seed_tensors());
    let stopped = ProgressBar::hidden();
    stopped.abandon();
    for target in [Target::Onnx, Target::Keras, Target::Pytorch] {
        let out = Some(folder.path().join("out.h5"));
        let result = export(&Request { out, ..to(target, &file) }, &stopped);
        assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the weights alone");
    }
}
