//! What the programs refuse: one line that names the thing, an exit code, and nothing lost.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::{Bench, TWO_STAGES, narrow};
use candle_core::{DType, Device, Tensor};
use model::{Architecture, Classifier, Head, Metadata, Widths, weights};

/// Runs `train` on the bench's data from random weights; later arguments override.
fn train(bench: &Bench, arguments: &[&str]) -> Output {
    let recipe = bench.path("recipe.toml");
    if !recipe.exists() {
        fs::write(&recipe, narrow("linear", TWO_STAGES)).unwrap();
    }
    let given = |name: &str| arguments.contains(&name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    for (name, value) in [
        ("--data", bench.path("data")),
        ("--weights", "random".into()),
        ("--out", bench.path("run")),
        ("--recipe", recipe),
        ("--folds", "3".into()),
        ("--device", "cpu".into()),
    ] {
        if !given(name) {
            command.arg(name).arg(value);
        }
    }
    command.args(arguments).env("RUST_LOG", "error").output().unwrap()
}

/// Runs `features` on one of the bench's sets with its weights `w.safetensors`.
fn features(bench: &Bench, layer: &str, data: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_features"))
        .args(["--layer", layer, "--device", "cpu", "--data"])
        .arg(bench.path(data))
        .arg("--weights")
        .arg(bench.path("w.safetensors"))
        .arg("--out")
        .arg(bench.path("f.safetensors"))
        .env("RUST_LOG", "error")
        .output()
        .unwrap()
}

/// The one line on stderr of a refusal with this exit code.
fn refusal(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert!(errors[0].starts_with("error: "), "{stderr}");
    errors[0].to_owned()
}

#[track_caller]
fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

/// Writes a weights file of a narrow VGG16 with this head.
fn write_weights(path: &Path, classifier: Option<Classifier>, identities: Option<&[&str]>) {
    let architecture =
        Architecture { widths: Widths { blocks: [4, 6, 8, 8, 8], fc: 4 }, side_px: 48, classifier };
    let tensors: BTreeMap<String, Tensor> = architecture
        .parameters()
        .into_iter()
        .map(|spec| (spec.name, Tensor::ones(spec.shape, DType::F32, &Device::Cpu).unwrap()))
        .collect();
    let metadata = Metadata {
        format_version: weights::FORMAT_VERSION,
        normalization: "vggface-v1".to_owned(),
        source: "test".to_owned(),
        source_sha256: "0".to_owned(),
        identities: identities.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
        notes: BTreeMap::new(),
    };
    weights::write(path, &tensors, &metadata).unwrap();
}

#[test]
fn an_unknown_recipe_names_those_that_there_are() {
    let bench = Bench::new(2, 3);
    let message = refusal(&train(&bench, &["--recipe", "two-stages"]), 2);
    assert_says(&message, &["`two-stages`", "two-stage, augmented", ".toml"]);
}

#[test]
fn an_unknown_recipe_key_is_named() {
    let bench = Bench::new(2, 3);
    let text = narrow("linear", TWO_STAGES).replace("batch_size", "batchsize");
    fs::write(bench.path("recipe.toml"), text).unwrap();
    assert_says(&refusal(&train(&bench, &[]), 2), &["recipe.toml", "`batchsize`", "`batch_size`"]);
}

#[test]
fn a_recipe_that_is_not_there_is_named() {
    let bench = Bench::new(2, 3);
    let message = refusal(&train(&bench, &["--recipe", "no/such.toml"]), 2);
    assert_says(&message, &["no/such.toml", "--show-recipe"]);
}

#[test]
fn a_fold_out_of_range_is_told_the_range() {
    let bench = Bench::new(2, 3);
    let message = refusal(&train(&bench, &["--fold", "3"]), 2);
    assert_says(&message, &["fold 3", "0 to 2", "3 folds"]);
}

#[test]
fn more_folds_than_photographs_are_refused() {
    let bench = Bench::new(2, 3);
    for split in ["shuffled", "contiguous", "stratified"] {
        let message = refusal(&train(&bench, &["--folds", "7", "--split", split]), 2);
        assert_says(&message, &["7", "folds"]);
    }
    assert_says(&refusal(&train(&bench, &["--folds", "1"]), 2), &["at least 2"]);
}

#[test]
fn one_person_is_refused() {
    let bench = Bench::new(2, 3);
    let data = bench.path("data");
    let path = data.join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["identities"].as_array_mut().unwrap().pop();
    manifest["counts"]["identities"] = 1.into();
    for image in manifest["images"].as_array_mut().unwrap() {
        image["label"] = 0.into();
    }
    fs::write(&path, manifest.to_string()).unwrap();
    assert_says(&refusal(&train(&bench, &[]), 1), &["data", "1 people", "at least 2"]);
}

#[test]
fn a_prepared_set_that_is_not_there_is_told_how_to_make_one() {
    let bench = Bench::new(2, 3);
    let nowhere = bench.path("nowhere");
    let message = refusal(&train(&bench, &["--data", nowhere.to_str().unwrap()]), 1);
    assert_says(&message, &["nowhere", "cargo xtask prepare"]);
}

#[test]
fn a_prepared_set_of_another_version_is_refused() {
    let bench = Bench::new(2, 3);
    let path = bench.path("data").join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["format_version"] = 999.into();
    fs::write(&path, manifest.to_string()).unwrap();
    assert_says(&refusal(&train(&bench, &[]), 1), &["999", "1"]);
}

#[test]
fn a_truncated_prepared_set_is_refused() {
    let bench = Bench::new(2, 3);
    let path = bench.path("data").join("pixels-00000.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_says(&refusal(&train(&bench, &[]), 1), &["pixels-00000.safetensors"]);
}

#[test]
fn weights_that_are_not_there_are_told_how_to_make_them() {
    let bench = Bench::new(2, 3);
    let message = refusal(&train(&bench, &["--weights", "nowhere.safetensors"]), 1);
    assert_says(&message, &["nowhere.safetensors", "cargo xtask convert-weights"]);
}

#[test]
fn truncated_weights_are_refused() {
    let bench = Bench::new(2, 3);
    let path = bench.path("w.safetensors");
    write_weights(&path, None, None);
    let bytes = fs::read(&path).unwrap();
    for length in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        let message = refusal(&train(&bench, &["--weights", path.to_str().unwrap()]), 1);
        assert_says(&message, &["w.safetensors"]);
    }
}

#[test]
fn weights_of_another_network_are_refused() {
    let bench = Bench::new(2, 3);
    let path = bench.path("other.safetensors");
    let tensors = BTreeMap::from([(
        "layer4.weight".to_owned(),
        Tensor::ones((2, 2), DType::F32, &Device::Cpu).unwrap(),
    )]);
    let metadata = Metadata {
        format_version: weights::FORMAT_VERSION,
        normalization: "vggface-v1".to_owned(),
        source: "test".to_owned(),
        source_sha256: "0".to_owned(),
        identities: None,
        notes: BTreeMap::new(),
    };
    weights::write(&path, &tensors, &metadata).unwrap();
    let message = refusal(&train(&bench, &["--weights", path.to_str().unwrap()]), 1);
    assert_says(&message, &["other.safetensors", "conv1_1"]);
}

#[test]
fn a_head_of_other_people_is_refused_by_the_first_that_differs() {
    let bench = Bench::new(2, 3);
    let text =
        narrow("linear", TWO_STAGES).replace("head_init = \"new\"", "head_init = \"weights\"");
    fs::write(bench.path("recipe.toml"), text).unwrap();
    let path = bench.path("w.safetensors");
    let classifier = Some(Classifier::new(Head::Linear, 2));
    write_weights(&path, classifier, Some(&["person_0000", "Ada_Lovelace"]));
    let message = refusal(&train(&bench, &["--weights", path.to_str().unwrap()]), 1);
    assert_says(&message, &["label 1", "`Ada_Lovelace`", "`person_0001`", "head_init"]);
}

#[test]
fn the_head_vggface_needs_a_full_network() {
    let bench = Bench::new(2, 3);
    let text = narrow("vggface", &TWO_STAGES.replace("\"fc8\"", "\"fc*\""));
    fs::write(bench.path("recipe.toml"), text).unwrap();
    let path = bench.path("w.safetensors");
    write_weights(&path, None, None);
    let message = refusal(&train(&bench, &["--weights", path.to_str().unwrap()]), 1);
    assert_says(&message, &["`fc6.weight`", "head = \"seed\""]);
}

#[test]
fn features_of_dense_layers_need_the_side_they_were_made_for() {
    let bench = Bench::new(2, 3);
    bench.prepare_at("larger", 64, 2, 3);
    let path = bench.path("w.safetensors");
    write_weights(&path, Some(Classifier::new(Head::Vggface, 2)), None);
    let output = features(&bench, "fc7", "larger");
    assert_says(
        &refusal(&output, 1),
        &["w.safetensors", "fc6.weight", "[4, 8]", "[4, 32]", "side"],
    );
}

#[test]
fn pixels_that_are_not_the_manifests_are_refused() {
    let bench = Bench::new(2, 3);
    let path = bench.path("data").join("pixels-00000.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_says(&refusal(&train(&bench, &[]), 1), &["data", "SHA-256", "prepare the set anew"]);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_is_not_there_is_named() {
    let bench = Bench::new(2, 3);
    let message = refusal(&train(&bench, &["--device", "cuda:0"]), 1);
    assert_says(&message, &["cuda:0", "--features cuda", "--device cpu"]);
}

#[test]
fn an_output_folder_with_other_things_is_left_alone() {
    let bench = Bench::new(2, 3);
    let out = bench.path("run");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.tex"), "precious").unwrap();
    assert_says(&refusal(&train(&bench, &[]), 1), &["run", "--out"]);
    assert_eq!(fs::read_to_string(out.join("thesis.tex")).unwrap(), "precious");
}

#[test]
fn another_run_in_the_folder_is_refused_and_kept() {
    let bench = Bench::new(2, 3);
    assert!(train(&bench, &["--fold", "0"]).status.success());
    let summary = fs::read(bench.path("run").join("summary.json")).unwrap();
    let message = refusal(&train(&bench, &["--seed", "7"]), 1);
    assert_says(&message, &["the seed is 42 there, 7 now", "--out"]);
    assert_eq!(fs::read(bench.path("run").join("summary.json")).unwrap(), summary);
}

/// A disk that is full: no file may grow past a limit. Signals are ignored so that a write fails
/// instead of the process, as it does on a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_and_keeps_the_folds_that_are_done() {
    let bench = Bench::new(2, 3);
    assert!(train(&bench, &["--fold", "0"]).status.success());
    let kept = |name: &str| fs::read(bench.path("run").join(name)).unwrap();
    let before = (kept("summary.json"), kept("fold-00/weights.safetensors"));
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 20; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_train"))
        .args(["--weights", "random", "--folds", "3", "--device", "cpu", "--fold", "1"])
        .arg("--data")
        .arg(bench.path("data"))
        .arg("--out")
        .arg(bench.path("run"))
        .arg("--recipe")
        .arg(bench.path("recipe.toml"))
        .env("RUST_LOG", "error")
        .output()
        .unwrap();
    let message = refusal(&output, 1);
    assert_says(&message, &["write", "fold-01"]);
    assert_eq!((kept("summary.json"), kept("fold-00/weights.safetensors")), before);
    assert!(!bench.path("run").join("fold-01/weights.safetensors").exists());
}

#[test]
fn json_is_the_summary_and_nothing_else() {
    let bench = Bench::new(2, 3);
    let output = train(&bench, &["--json"]);
    assert!(output.status.success());
    assert_eq!(output.stdout, fs::read(bench.path("run/summary.json")).unwrap());
}

#[test]
fn a_missing_argument_is_a_wrong_call() {
    let output = Command::new(env!("CARGO_BIN_EXE_train")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn features_of_an_unknown_layer_name_the_layers() {
    let bench = Bench::new(2, 3);
    let path = bench.path("w.safetensors");
    write_weights(&path, None, None);
    let output = features(&bench, "block5_pool", "data");
    assert_says(&refusal(&output, 2), &["block5_pool", "pool5"]);
    assert!(!bench.path("f.safetensors").exists());
}
