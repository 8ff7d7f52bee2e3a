//! The programs `prepare` and `synthetic-faces`: results, one-line errors, exit codes.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod faces;

use std::fs;
use std::path::Path;

use assert_cmd::Command;

fn prepare(faces: &Path, out: &Path, more: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prepare"));
    command.args(["--min-faces", "2", "--side", "48"]).args(more);
    command.arg("--faces").arg(faces).arg("--out").arg(out).output().unwrap()
}

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line that starts with `error: `.
fn error(output: &std::process::Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(text.ends_with(&format!("{}\n", lines[0])), "nothing follows the error: {text}");
    lines[0].to_owned()
}

#[test]
fn prepares_once_and_is_then_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    faces::write(&source, &[("Ann", 3), ("Bob", 2)]);
    fs::write(source.join("Ann/notes.txt"), "").unwrap();
    let first = prepare(&source, &out, &[]);
    assert_eq!(first.status.code(), Some(0));
    let expected = "prepared: 2 people, 5 images; left out: 0 people with fewer than 2 \
                    photographs, 0 photographs that cannot be used, 1 other entries; ";
    assert!(stdout(&first).contains(expected), "{}", stdout(&first));
    let second = prepare(&source, &out, &[]);
    assert_eq!(second.status.code(), Some(0));
    assert!(stdout(&second).contains("up to date: 2 people, 5 images"), "{}", stdout(&second));
}

#[test]
fn the_result_is_json_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    faces::write(&source, &[("Ann", 3), ("Bob", 2)]);
    fs::write(source.join("Bob/broken.png"), "x").unwrap();
    for made in [true, false] {
        let output = prepare(&source, &out, &["--json", "--max-skipped-share", "1"]);
        let said: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&said["made"], &said["counts"]["images"]), (&made.into(), &5.into()));
        assert_eq!(said["skipped"][0]["path"], "Bob/broken.png");
    }
}

#[test]
fn warns_of_a_photograph_under_two_names() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    faces::write(&source, &[("Ann", 2), ("Bob", 2)]);
    image::imageops::flip_horizontal(&faces::picture(1)).save(source.join("Bob/3.png")).unwrap();
    let prepared = prepare(&source, &out, &[]);
    let expected = "5 images, 1 of them near duplicates of others (1 under another name);";
    assert!(stdout(&prepared).contains(expected), "{}", stdout(&prepared));
    let warned = String::from_utf8(prepared.stderr).unwrap();
    let expected = "one photograph under two names path=\"Bob/3.png\" also=\"Ann/1.png\"";
    assert!(warned.contains(expected), "{warned}");
}

#[test]
fn names_each_skipped_photograph_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    faces::write(&source, &[("Ann", 3), ("Bob", 3)]);
    let jpeg = source.join("Bob/4.jpg");
    faces::picture(4).save(&jpeg).unwrap();
    let bytes = fs::read(&jpeg).unwrap();
    fs::write(&jpeg, &bytes[..bytes.len() / 2]).unwrap();

    let refused = prepare(&source, &out, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        error(&refused).contains("1 of 7 photographs could not be used"),
        "{}",
        error(&refused)
    );
    assert!(!out.exists());

    let done = prepare(&source, &out, &["--max-skipped-share", "0.2"]);
    assert_eq!(done.status.code(), Some(0));
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert!(stderr.contains("Bob/4.jpg") && stderr.contains("the JPEG is cut short"), "{stderr}");
}

#[test]
fn failures_exit_with_1_and_wrong_calls_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    let missing = prepare(&source, &out, &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(error(&missing).contains("is not a folder"));

    fs::create_dir(&source).unwrap();
    let empty = prepare(&source, &out, &[]);
    assert_eq!(empty.status.code(), Some(1));
    assert!(error(&empty).contains("expected at least 2"));

    for wrong in [["--side", "47"], ["--crop", "half"], ["--min-faces", "0"], ["--colour", "1"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prepare"));
        let called = command.args(["--faces", ".", "--out", "x"]).args(wrong).output().unwrap();
        assert_eq!(called.status.code(), Some(2), "{wrong:?}");
        assert!(called.stdout.is_empty());
    }
}

#[test]
fn help_shows_an_example() {
    for program in [env!("CARGO_BIN_EXE_prepare"), env!("CARGO_BIN_EXE_synthetic-faces")] {
        let help = Command::new(program).arg("--help").output().unwrap();
        assert_eq!(help.status.code(), Some(0));
        assert!(stdout(&help).contains("Examples:"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_and_leaves_the_earlier_set() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    faces::write(&source, &[("Ann", 3), ("Bob", 2)]);
    assert_eq!(prepare(&source, &out, &[]).status.code(), Some(0));
    let before = fs::read(out.join("manifest.json")).unwrap();

    // Files of more than 4 blocks of 512 bytes cannot be written, as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 4; exec \"$0\" --min-faces 2 --side 64 --faces \"$1\" --out \"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_prepare")]).arg(&source).arg(&out);
    let full = command.output().unwrap();
    assert_eq!(full.status.code(), Some(1));
    assert!(error(&full).contains("writing"), "{}", error(&full));
    assert_eq!(fs::read(out.join("manifest.json")).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-made is left");
}

#[test]
fn synthetic_faces_can_be_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("faces"), folder.path().join("out"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthetic-faces"));
    command.args(["--identities", "3", "--photographs", "2", "--side", "48"]);
    let drawn = command.arg("--out").arg(&source).output().unwrap();
    assert_eq!(drawn.status.code(), Some(0));
    assert!(stdout(&drawn).ends_with("3 people, 2 photographs of each\n"));
    let prepared = prepare(&source, &out, &[]);
    assert!(stdout(&prepared).contains("3 people, 6 images"));
}
