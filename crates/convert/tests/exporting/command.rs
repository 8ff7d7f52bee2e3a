//! The command line: exit codes, one line of error, the table on stdout.

use std::fs;

use assert_cmd::Command;
use assert_cmd::assert::Assert;

use crate::networks::run;

fn export(arguments: &[&str]) -> Assert {
    Command::new(env!("CARGO_BIN_EXE_export")).args(arguments).assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn export_prints_its_table_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let run = run.to_str().unwrap();
    for (to, options, file, input, output) in [
        (
            "onnx",
            &["--input", "rgb", "--softmax"][..],
            "weights.onnx",
            "3, 64, 64",
            "probabilities",
        ),
        ("keras", &[], "weights.h5", "64, 64, 3", "logits"),
        ("pytorch", &[], "weights.pytorch.safetensors", "3, 64, 64", "logits"),
    ] {
        let arguments = [&[run, "--fold", "2", "--to", to], options].concat();
        let output_of = export(&arguments).code(0).get_output().clone();
        let stdout = text(&output_of.stdout);
        let file = folder.path().join("fold-02").join(file);
        for expected in [
            format!("file        {}", file.display()),
            format!("bytes       {}", fs::metadata(&file).unwrap().len()),
            format!("input       images (batch, {input})"),
            format!("output      {output} (batch, 9)"),
            "identities  9".to_owned(),
        ] {
            assert!(stdout.contains(&expected), "{expected} in {stdout}");
        }
        let pixels =
            if to == "onnx" { "RGB, 0 to 255" } else { "less 91.4953, 103.8827, 131.0912" };
        assert!(stdout.contains(pixels), "{stdout}");
        assert!(output_of.stderr.is_empty());
    }
}

#[test]
fn the_result_is_json_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let arguments = [run.to_str().unwrap(), "--fold", "2", "--to", "keras", "--json"];
    let output = export(&arguments).code(0).get_output().clone();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = folder.path().join("fold-02/weights.h5");
    assert_eq!(said["file"], file.to_str().unwrap());
    assert_eq!(said["size_bytes"], fs::metadata(&file).unwrap().len());
    assert_eq!(said["output"]["shape"], serde_json::json!([9]));
}

#[test]
fn refusal_is_one_line_and_exits_1() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let run = run.to_str().unwrap();
    for source in
        [&[run, "--fold", "1"][..], &["runs/nowhere", "--fold", "0"], &["nowhere.safetensors"]]
    {
        let output = export(&[source, &["--to", "onnx"]].concat()).code(1).get_output().clone();
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn wrong_calls_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let run = run.to_str().unwrap();
    export(&[]).code(2);
    export(&[run, "--fold", "0"]).code(2);
    export(&[run, "--to", "onnx"]).code(2);
    export(&[run, "--fold", "0", "--to", "caffe"]).code(2);
    export(&[run, "--fold", "0", "--to", "keras", "--softmax"]).code(2);
    export(&[run, "--fold", "0", "--to", "pytorch", "--input", "rgb"]).code(2);
    export(&[run, "--fold", "0", "--to", "keras", "--out", "lfw.weights.h5"]).code(2);
    let file = format!("{run}/fold-00/weights.safetensors");
    export(&[&file, "--fold", "0", "--to", "onnx"]).code(2);
}

#[test]
fn help_has_examples() {
    let output = export(&["--help"]).code(0).get_output().clone();
    assert!(text(&output.stdout).contains("cargo xtask export runs/lfw --fold 0 --to onnx"));
}
