//! The command line: exit codes, one line of error, the table on stdout.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use assert_cmd::assert::Assert;

use crate::golden::golden;

fn run(arguments: &[&str], out: &Path) -> Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convert-weights"));
    command.args(arguments).arg("--out").arg(out).assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn conversion_prints_its_table_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    fs::write(&out, "before").unwrap();
    let file = golden("keras2.h5");
    let arguments = [file.to_str().unwrap(), "--from", "keras", "--base-only"];
    let output = run(&arguments, &out).code(0).get_output().clone();
    let stdout = text(&output.stdout);
    assert!(stdout.contains("conv1_1.weight"), "{stdout}");
    assert!(stdout.contains("vggface-v1, the default"), "{stdout}");
    assert!(stdout.contains("left out       /fc6/fc6/kernel:0"), "{stdout}");
    assert_ne!(fs::read(&out).unwrap(), b"before");
}

#[test]
fn the_result_is_json_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = golden("keras2.h5");
    let out = folder.path().join("out.safetensors");
    let arguments = [file.to_str().unwrap(), "--base-only", "--json"];
    let output = run(&arguments, &out).code(0).get_output().clone();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["parameters"][0]["name"], "conv1_1.weight");
    assert_eq!(said["normalization"], "vggface-v1");
    assert!(said["sha256"].as_str().is_some_and(|digest| digest.len() == 64), "{said}");
}

#[test]
fn refusal_is_one_line_and_exits_1() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    for name in ["residual.weights.h5", "no_keras.h5", "nowhere.h5"] {
        let output = run(&[golden(name).to_str().unwrap()], &out).code(1).get_output().clone();
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(output.stdout.is_empty());
        assert!(!out.exists());
    }
}

#[test]
fn wrong_calls_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    run(&[], &out).code(2);
    run(&["weights.h5", "--from", "tensorflow"], &out).code(2);
    run(&["weights.h5", "--normalization", "vggface-v3"], &out).code(2);
}

#[test]
fn help_has_examples() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convert-weights"));
    let output = command.arg("--help").assert().code(0).get_output().clone();
    assert!(text(&output.stdout).contains("cargo xtask convert-weights"));
}
