//! Each kind of file that must not convert is refused by its own error, and harms nothing.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use convert::{Error, Format, Pixels, Request};

use crate::golden::{convert, golden, request};

/// Converts over an output that is there and must stay as it is.
#[track_caller]
fn refused(file: &Path) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    fs::write(&out, "as before").unwrap();
    let error = convert(&request(file, &out)).unwrap_err();
    assert_eq!(fs::read_to_string(&out).unwrap(), "as before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    error
}

#[track_caller]
fn refused_content(content: &[u8]) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.h5");
    fs::write(&file, content).unwrap();
    refused(&file)
}

#[test]
fn other_networks_are_refused_with_what_they_are() {
    let error = refused(&golden("residual.weights.h5"));
    assert!(matches!(error, Error::NotVgg16 { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("5 convolutions, 1 dense and 2 other layers"), "{text}");
    assert!(text.contains("expected 13 convolutions of 3x3"), "{text}");

    let error = refused(&golden("two_convolutions.h5"));
    assert!(matches!(error, Error::NotVgg16 { .. }), "{error}");
    assert!(error.to_string().contains("found 2 convolutions, 1 dense"), "{error}");
}

#[test]
fn kernels_that_may_be_mirrored_or_not_are_refused() {
    let error = refused(&golden("keras0.h5"));
    assert!(matches!(error, Error::KerasBackend { .. }), "{error}");
    assert!(error.to_string().contains("--keras-backend theano"), "{error}");
}

#[test]
fn hdf5_of_others_is_refused() {
    let error = refused(&golden("no_keras.h5"));
    assert!(matches!(error, Error::NotKeras { .. }), "{error}");
    assert!(error.to_string().contains("temperature"), "{error}");
}

#[test]
fn other_archives_are_named_as_such() {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("weights.npy", zip::write::SimpleFileOptions::default()).unwrap();
    let archive = archive.finish().unwrap().into_inner();
    let error = refused_content(&archive);
    assert!(matches!(error, Error::OtherArchive { .. }), "{error}");
    let error = refused_content(&archive[..archive.len() - 30]);
    assert!(matches!(error, Error::Damaged { format: Format::Zip, .. }), "{error}");
}

#[test]
fn what_is_no_file_of_weights_is_refused() {
    assert!(matches!(refused_content(b""), Error::Empty { .. }));
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 580070376\n";
    assert!(matches!(refused_content(pointer), Error::LfsPointer { .. }));
    assert!(matches!(refused_content(b"<!DOCTYPE html>"), Error::WebPage { .. }));
    assert!(matches!(refused_content(b"weights"), Error::UnknownFormat { .. }));
    let error = refused(Path::new("nowhere.h5"));
    assert!(matches!(error, Error::NotFound { .. }));
    assert!(error.to_string().contains("weights/README.md"), "{error}");
    assert!(matches!(refused(&golden("")), Error::Read { .. }));
}

#[cfg(unix)]
#[test]
fn files_larger_than_any_weights_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faces.h5");
    // Takes no room on the disk: nothing is written into it.
    fs::File::create(&file).unwrap().set_len(5 << 30).unwrap();
    assert!(matches!(refused(&file), Error::TooLarge { found: 5_368_709_120, .. }));
}

#[test]
fn names_that_would_write_over_a_terminal_are_refused() {
    let bytes = fs::read(golden("keras3.weights.h5")).unwrap();
    let name = bytes.windows(7).position(|window| window == b"conv5_3").unwrap();
    let error = refused_content(&[&bytes[..name], b"\x1b", &bytes[name + 1..]].concat());
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(!error.to_string().contains('\x1b'), "{error:?}");
}

#[test]
fn output_without_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("missing/out.safetensors");
    let result = convert(&request(&golden("keras2.h5"), &out));
    assert!(matches!(result, Err(Error::Write(_))));
}

#[test]
fn large_scripts_are_told_by_their_list_of_files() {
    // TorchScript writes numbers first: its pickle stands behind the first 64 KiB.
    let script = fs::read(golden("pytorch_script.pt")).unwrap();
    let mut from = zip::ZipArchive::new(std::io::Cursor::new(script)).unwrap();
    let mut to = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    to.start_file("pytorch_script/large", zip::write::SimpleFileOptions::default()).unwrap();
    to.write_all(&(0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    for place in 0..from.len() {
        to.raw_copy_file(from.by_index_raw(place).unwrap()).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.pt");
    fs::write(&file, to.finish().unwrap().into_inner()).unwrap();
    let request = request(&file, &folder.path().join("out.safetensors"));
    let conversion = convert(&Request { pixels: Some(Pixels::Bgr), ..request }).unwrap();
    assert_eq!(conversion.format, Format::PytorchArchive);
}

#[cfg(unix)]
#[test]
fn pipes_are_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert!(matches!(refused(&pipe), Error::Read { .. }));
}

#[test]
fn folders_are_no_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let error = convert(&request(&golden("keras2.h5"), folder.path())).unwrap_err();
    assert!(matches!(error, Error::OutputFolder { .. }), "{error}");
}

#[test]
fn batch_normalization_is_refused() {
    let error = refused(&golden("pytorch_batchnorm.pth"));
    assert!(matches!(error, Error::NotVgg16 { .. }), "{error}");
    assert!(error.to_string().contains("`features.1` has arrays"), "{error}");
}

#[test]
fn pickles_that_call_other_functions_are_refused_by_their_names() {
    for name in ["pytorch_evil.pth", "pytorch_evil_legacy.pth"] {
        let error = refused(&golden(name));
        assert!(matches!(&error, Error::Forbidden { name, .. } if name == "posix.system"));
        assert!(error.to_string().contains("nothing of it was executed"), "{error}");
    }
    assert!(!Path::new("executed.txt").exists());
}

#[test]
fn pickles_of_others_are_refused() {
    // pickle.dumps({"conv1_1": [1.0]}, 2)
    let error = refused_content(b"\x80\x02}q\0X\x07\0\0\0conv1_1q\x01]q\x02G?\xf0\0\0\0\0\0\0as.");
    assert!(matches!(error, Error::OtherPickle { .. }), "{error}");
}

#[test]
fn networks_that_do_not_say_which_pixels_they_take_are_refused() {
    let names = |text: &str| text.replace("features.", "layers.");
    let bytes = fs::read(golden("safetensors_torchvision.safetensors")).unwrap();
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
    let mut header = names(str::from_utf8(&bytes[8..8 + length]).unwrap()).trim_end().to_owned();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let content = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]];
    let error = refused_content(&content.concat());
    assert!(matches!(error, Error::UnknownPixels { .. }), "{error}");
    assert!(error.to_string().contains("`--pixels bgr`"), "{error}");
}

#[test]
fn compressed_stretches_do_not_inflate_without_limit() {
    // 80 MB of zeros in 80 kB, as the only variable of a MATLAB file of version 7.
    let zeros = vec![0_u8; 80 << 20];
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&zeros).unwrap();
    let compressed = encoder.finish().unwrap();
    let mut file = fs::read(golden("matconvnet_simple.mat")).unwrap();
    file.truncate(128);
    file.extend(
        [15_u32.to_le_bytes(), u32::try_from(compressed.len()).unwrap().to_le_bytes()].concat(),
    );
    file.extend(compressed);
    let error = refused_content(&file);
    assert!(error.to_string().contains("inflates to more than"), "{error}");
}

#[test]
fn layers_without_an_order_are_refused() {
    let error = refused(&golden("safetensors_worded.safetensors"));
    assert!(matches!(error, Error::Unconvertible { .. }), "{error}");
    assert!(error.to_string().contains("keeps no order"), "{error}");
}

#[test]
fn checkpoints_of_two_networks_are_refused_by_their_names() {
    let error = refused(&golden("pytorch_two.pth"));
    assert!(matches!(error, Error::Unconvertible { .. }), "{error}");
    assert!(error.to_string().contains("`net` and `averaged`"), "{error}");
}

#[test]
fn arrays_that_are_no_biases_are_refused() {
    let bytes = fs::read(golden("safetensors_prefixed.safetensors")).unwrap();
    let bias = b"\"model.conv1_1.bias\"";
    let place = bytes.windows(bias.len()).position(|window| window == bias).unwrap();
    let mut scale = bytes.clone();
    scale[place..place + bias.len()].copy_from_slice(b"\"model.conv1_1.gain\"");
    let error = refused_content(&scale);
    assert!(error.to_string().contains("`model.conv1_1.gain` has arrays"), "{error}");
}

#[test]
fn stopped_conversions_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(&golden("keras2.h5"), &folder.path().join("out.safetensors"));
    let progress = indicatif::ProgressBar::hidden();
    progress.abandon();
    assert!(matches!(convert::convert(&request, &progress), Err(Error::Interrupted)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
