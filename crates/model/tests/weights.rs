//! Files of weights: what is written is read, and everything else is refused in plain words.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use model::weights::{self, FORMAT_VERSION, WrongShape};
use model::{Architecture, Error, LoadReport, Metadata, ParameterSpec, WeightsFile, Widths};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

fn metadata() -> Metadata {
    Metadata {
        format_version: FORMAT_VERSION,
        normalization: "vggface-v1".to_owned(),
        source: "vgg_face.mat".to_owned(),
        source_sha256: "00ff".to_owned(),
        identities: Some(vec!["A.J. Buckley".to_owned(), "Zoë \"Z\" Kazan".to_owned()]),
        notes: BTreeMap::new(),
    }
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

fn narrow() -> Architecture {
    let widths = Widths { blocks: [2, 3, 4, 5, 6], fc: 7 };
    let classifier = model::Classifier::new(model::Head::Seed, 2);
    Architecture { widths, side_px: 48, classifier: Some(classifier) }
}

fn narrow_tensors() -> BTreeMap<String, Tensor> {
    narrow().parameters().into_iter().map(|spec| (spec.name, zeros(&spec.shape))).collect()
}

/// Writes the narrow network, after `change` has been at it, and reads it again.
fn read_changed(
    change: impl FnOnce(&mut BTreeMap<String, Tensor>),
) -> (TempDir, Result<WeightsFile, Error>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    let mut tensors = narrow_tensors();
    change(&mut tensors);
    weights::write(&path, &tensors, &metadata()).unwrap();
    let read = WeightsFile::read(&path);
    (dir, read)
}

/// Writes one tensor `conv1_1.weight` of any type, with any metadata, by the safetensors crate.
fn write_raw(dir: &TempDir, dtype: Dtype, data: &[u8], strings: &[(&str, &str)]) -> PathBuf {
    let view = TensorView::new(dtype, vec![3], data).unwrap();
    let strings: HashMap<String, String> =
        strings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let path = dir.path().join("raw.safetensors");
    let bytes = safetensors::serialize([("conv1_1.weight", view)], Some(strings)).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

const STRINGS: [(&str, &str); 4] = [
    ("format_version", "1"),
    ("normalization", "imagenet"),
    ("source", "elsewhere"),
    ("source_sha256", "ab"),
];

fn refused(path: &Path) -> Error {
    let error = WeightsFile::read(path).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_read(
        tensors in prop::collection::btree_map(
            "[a-z0-9_.]{1,12}",
            prop::collection::vec(0_usize..4, 0..4).prop_flat_map(|shape| {
                let count = shape.iter().product::<usize>();
                (Just(shape), prop::collection::vec(any::<f32>(), count))
            }),
            0..5,
        ),
        normalization in ".*",
        source in ".*",
        identities in prop::option::of(prop::collection::vec(".*", 0..3)),
    ) {
        let mut tensors: BTreeMap<String, Tensor> = tensors
            .into_iter()
            .map(|(name, (shape, values))| {
                (name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
            })
            .collect();
        tensors.insert("conv1_1.weight".to_owned(), zeros(&[2, 3, 3, 3]));
        let metadata = Metadata { normalization, source, identities, ..metadata() };

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let sha256 = weights::write(&path, &tensors, &metadata).unwrap();
        let read = WeightsFile::read(&path).unwrap();
        prop_assert_eq!(read.sha256(), sha256);
        prop_assert_eq!(read.metadata(), &metadata);
        prop_assert_eq!(read.tensors().len(), tensors.len());
        for (name, tensor) in &tensors {
            let found = &read.tensors()[name];
            prop_assert_eq!(found.dims(), tensor.dims());
            let bits = |tensor: &Tensor| -> Vec<u32> {
                let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                values.into_iter().map(f32::to_bits).collect()
            };
            prop_assert_eq!(bits(found), bits(tensor), "{}", name);
        }
    }
}

#[test]
fn the_same_weights_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let sha256 = weights::write(&one, &narrow_tensors(), &metadata()).unwrap();
    assert_eq!(weights::write(&two, &narrow_tensors(), &metadata()).unwrap(), sha256);
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    let text = String::from_utf8_lossy(&fs::read(&one).unwrap()[8..200]).into_owned();
    assert!(text.starts_with(r#"{"__metadata__":{"format_version":"1","identities":"["#), "{text}");
}

#[test]
fn other_readers_of_safetensors_understand_the_file() {
    let (dir, _) = read_changed(|_| {});
    let bytes = fs::read(dir.path().join("weights.safetensors")).unwrap();
    let (length, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(length % 8, 0, "tensors are aligned");
    assert_eq!(header.metadata().as_ref().unwrap()["normalization"], "vggface-v1");
    assert_eq!(header.info("fc6.weight").unwrap().shape, [7, 6]);
}

#[test]
fn a_failed_write_leaves_the_old_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    weights::write(&path, &narrow_tensors(), &metadata()).unwrap();
    let before = fs::read(&path).unwrap();
    let mut tensors = narrow_tensors();
    tensors.insert("conv9".to_owned(), zeros(&[1]).to_dtype(DType::F64).unwrap());
    let result = weights::write(&path, &tensors, &metadata());
    assert!(matches!(result, Err(Error::DType { name, .. }) if name == "conv9"));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");

    let result = weights::write(&dir.path().join("no/such"), &narrow_tensors(), &metadata());
    assert!(matches!(result, Err(Error::Io { action: "write", .. })));
}

#[test]
fn a_missing_file_names_the_remedy() {
    let error = refused(Path::new("weights/no-such.safetensors"));
    assert!(matches!(error, Error::WeightsNotFound { .. }));
    assert!(error.to_string().contains("`cargo xtask convert-weights`"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(refused(dir.path()), Error::Io { action: "read", .. }));
}

#[test]
fn truncated_files_are_refused_at_every_offset() {
    let (dir, _) = read_changed(|_| {});
    let path = dir.path().join("weights.safetensors");
    let whole = fs::read(&path).unwrap();
    let header = 8 + usize::from(u16::from_le_bytes([whole[0], whole[1]]));
    for length in 0..8 {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(refused(&path), Error::NotSafetensors { .. }), "{length} bytes");
    }
    let rest = [header, header + 1, whole.len() / 2, whole.len() - 4, whole.len() - 1];
    for length in (9..header).step_by(97).chain([header - 1]).chain(rest) {
        fs::write(&path, &whole[..length]).unwrap();
        let needed = if length < header { header } else { whole.len() };
        let error = refused(&path);
        assert!(
            matches!(error, Error::WeightsSize { expected, found, .. }
                if expected == needed && found == length),
            "{length} bytes: {error}"
        );
    }
    let longer = [whole.as_slice(), b"surplus"].concat();
    fs::write(&path, &longer).unwrap();
    assert!(matches!(
        refused(&path),
        Error::WeightsSize { expected, found, .. }
            if expected == whole.len() && found == longer.len()
    ));
}

#[test]
fn files_of_other_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights");
    let formats: [&[u8]; 4] = [
        b"\x89HDF\r\n\x1a\n followed by anything at all",
        b"MATLAB 5.0 MAT-file, Platform: GLNXA64",
        b"\x02\0\0\0\0\0\0\0[]",
        &[0; 64],
    ];
    for bytes in formats {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(refused(&path), Error::NotSafetensors { .. }));
    }
}

#[test]
fn other_networks_are_refused_with_what_they_hold() {
    let (dir, _) = read_changed(|tensors| {
        *tensors = BTreeMap::from([("block1_conv1.weight".to_owned(), zeros(&[1]))]);
    });
    let error = refused(&dir.path().join("weights.safetensors"));
    assert!(matches!(error, Error::OtherNetwork { .. }));
    assert!(error.to_string().contains("1 tensors (block1_conv1.weight, ..)"), "{error}");
}

#[test]
fn metadata_that_convert_weights_has_not_written_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = [0; 12];
    let key = |strings: &[(&str, &str)]| match refused(&write_raw(&dir, Dtype::F32, &data, strings))
    {
        Error::Metadata { key, found, .. } => (key, found),
        other => panic!("{other}"),
    };
    assert_eq!(key(&[]), ("format_version", "nothing".to_owned()));
    assert_eq!(key(&[("format_version", "2")]), ("format_version", "`2`".to_owned()));
    assert_eq!(key(&STRINGS[..1]), ("normalization", "nothing".to_owned()));
    assert_eq!(key(&STRINGS[..3]), ("source_sha256", "nothing".to_owned()));
    let identities = [&STRINGS[..], &[("identities", "{}")]].concat();
    assert_eq!(key(&identities), ("identities", "`{}`".to_owned()));
}

#[test]
fn half_and_double_precision_become_single() {
    let dir = tempfile::tempdir().unwrap();
    let read = |dtype, data: &[u8]| WeightsFile::read(&write_raw(&dir, dtype, data, &STRINGS));
    let values = |file: &WeightsFile| file.tensors()["conv1_1.weight"].to_vec1::<f32>().unwrap();
    // 1, -2 and 0.5.
    let half = [0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38];
    assert_eq!(values(&read(Dtype::F16, &half).unwrap()), [1.0, -2.0, 0.5]);
    let brain = [0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3f];
    assert_eq!(values(&read(Dtype::BF16, &brain).unwrap()), [1.0, -2.0, 0.5]);
    let double: Vec<u8> = [1_f64, -2.0, 0.5].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(values(&read(Dtype::F64, &double).unwrap()), [1.0, -2.0, 0.5]);
    let error = read(Dtype::I32, &[0; 12]).unwrap_err();
    assert!(error.to_string().contains("found type I32"), "{error}");
}

#[test]
fn widths_follow_from_the_shapes() {
    let (_dir, file) = read_changed(|_| {});
    assert_eq!(file.unwrap().widths().unwrap(), narrow().widths);
    let (_dir, backbone) =
        read_changed(|tensors| tensors.retain(|name, _| !name.starts_with("fc")));
    let widths = backbone.unwrap().widths().unwrap();
    assert_eq!(widths, Widths { fc: Widths::VGG16.fc, ..narrow().widths });
}

#[test]
fn convolutions_of_another_structure_have_no_widths() {
    let offender = |name: &str, tensor: Option<&[usize]>| {
        let (_dir, file) = read_changed(|tensors| match tensor {
            Some(shape) => drop(tensors.insert(name.to_owned(), zeros(shape))),
            None => drop(tensors.remove(name)),
        });
        match file.unwrap().widths().unwrap_err() {
            Error::OtherNetwork { expected, found, .. } => (expected, found),
            other => panic!("{other}"),
        }
    };
    let (expected, found) = offender("conv3_3.weight", None);
    assert_eq!((expected.as_str(), found.as_str()), ("`conv3_3.weight`", "no such tensor"));
    let (expected, found) = offender("conv3_2.weight", Some(&[5, 4, 3, 3]));
    assert_eq!(expected, "`conv3_2.weight` of shape [4, 4, 3, 3]");
    assert_eq!(found, "shape [5, 4, 3, 3]");
    // HWIO, as Keras has it.
    let (expected, _) = offender("conv1_1.weight", Some(&[3, 3, 3, 2]));
    assert_eq!(expected, "`conv1_1.weight` of shape [any, 3, 3, 3]");
    // VGG19 has four convolutions in block 3.
    let (_, found) = offender("conv3_4.weight", Some(&[4, 4, 3, 3]));
    assert_eq!(found, "`conv3_4.weight`");
    let (_, found) = offender("fc6.weight", Some(&[7, 6, 1, 1]));
    assert_eq!(found, "shape [7, 6, 1, 1]");
}

/// Takes the narrow network's parameters out of a changed file.
fn take_changed(
    excused: &[&str],
    change: impl FnOnce(&mut BTreeMap<String, Tensor>),
) -> Result<LoadReport, Error> {
    let (_dir, file) = read_changed(change);
    let specs = narrow().parameters();
    let (tensors, report) = weights::take(&file.unwrap(), &specs, excused)?;
    let loaded: Vec<&String> = tensors.keys().collect();
    let mut reported: Vec<&String> = report.loaded.iter().collect();
    reported.sort();
    assert_eq!(loaded, reported);
    Ok(report)
}

fn misfits(result: Result<LoadReport, Error>) -> LoadReport {
    match result.unwrap_err() {
        Error::Unaccounted { report, .. } => LoadReport { loaded: Vec::new(), ..report },
        other => panic!("{other}"),
    }
}

#[test]
fn a_complete_file_is_taken_whole() {
    let report = take_changed(&[], |_| {}).unwrap();
    assert_eq!(report.loaded.len(), narrow().parameters().len());
    assert_eq!(report.to_string(), "30 loaded");
}

#[test]
fn missing_names_must_be_excused() {
    let change = |tensors: &mut BTreeMap<String, Tensor>| {
        tensors.retain(|name, _| !name.starts_with("fc8"));
    };
    let missing = ["fc8.weight", "fc8.bias"].map(str::to_owned).to_vec();
    let expected = LoadReport { missing: missing.clone(), ..LoadReport::default() };
    assert_eq!(misfits(take_changed(&[], change)), expected);
    let report = take_changed(&["fc8.*"], change).unwrap();
    assert_eq!(report.missing, missing);
    assert_eq!(report.to_string(), "28 loaded; 2 missing: fc8.weight, fc8.bias");
    // An exact name excuses no other.
    assert_eq!(misfits(take_changed(&["fc8.bias"], change)).missing, ["fc8.weight"]);
}

#[test]
fn unexpected_names_must_be_excused() {
    let change = |tensors: &mut BTreeMap<String, Tensor>| {
        tensors.insert("conv1_1.running_mean".to_owned(), zeros(&[2]));
        tensors.insert("fc7.bias".to_owned(), zeros(&[7]));
    };
    let report = misfits(take_changed(&["fc*"], change));
    assert_eq!(report.unexpected, ["conv1_1.running_mean"]);
    let report = take_changed(&["fc*", "conv1_1.running_mean"], change).unwrap();
    assert_eq!(report.unexpected, ["conv1_1.running_mean", "fc7.bias"]);
}

#[test]
fn other_shapes_must_be_excused_and_are_not_loaded() {
    let change = |tensors: &mut BTreeMap<String, Tensor>| {
        tensors.insert("fc8.weight".to_owned(), zeros(&[2622, 7]));
    };
    let wrong =
        WrongShape { name: "fc8.weight".to_owned(), expected: vec![2, 7], found: vec![2622, 7] };
    let report = misfits(take_changed(&[], change));
    assert_eq!(report.wrong_shape, std::slice::from_ref(&wrong));
    assert!(
        report.to_string().ends_with("1 of another shape: fc8.weight ([2622, 7], expected [2, 7])")
    );
    let report = take_changed(&["fc8.*"], change).unwrap();
    assert_eq!(report.wrong_shape, [wrong]);
    assert!(report.loaded.contains(&"fc8.bias".to_owned()));
}

#[test]
fn a_refusal_names_few_offenders_and_counts_all() {
    let error = take_changed(&[], |tensors| {
        tensors.retain(|name, _| !name.starts_with("conv5") && !name.starts_with("conv4_3"));
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("22 loaded; 8 missing: conv4_3.weight, conv4_3.bias, conv5_1.weight, .."),
        "{text}"
    );
}

#[test]
fn loading_nothing_is_a_failure_even_if_excused() {
    let (_dir, file) = read_changed(|_| {});
    let specs = [ParameterSpec { name: "fc9.bias".to_owned(), shape: vec![1] }];
    let result = weights::take(&file.unwrap(), &specs, &["*"]);
    assert!(matches!(result, Err(Error::Unaccounted { .. })));
}

#[test]
fn weights_that_are_not_finite_are_kept() {
    let (_dir, file) = read_changed(|tensors| {
        let bias = Tensor::new(&[f32::NAN, f32::INFINITY], &Device::Cpu).unwrap();
        tensors.insert("conv1_1.bias".to_owned(), bias);
    });
    let bias = file.unwrap().tensors()["conv1_1.bias"].to_vec1::<f32>().unwrap();
    assert!(bias[0].is_nan() && bias[1].is_infinite());
}
