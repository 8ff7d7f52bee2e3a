//! The command line: exit codes, one line of error, results on stdout.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::thread::sleep;
use std::time::Duration;

use assert_cmd::Command;
use convert::fetch::CATALOG;

use crate::server::{Act, Server, answer, broken, rest, whole};
use crate::workshop::{FILE, Workshop, weights};

fn run(arguments: &[&str], folder: &Path, code: i32) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetch-weights"));
    command.timeout(Duration::from_mins(1));
    let output = command.args(arguments).current_dir(folder).assert().code(code);
    let Output { stdout, stderr, .. } = output.get_output().clone();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_file_is_fetched_and_converted() {
    let workshop = Workshop::new();
    let server = Server::new(vec![whole(&weights(), "\"a\"")]);
    let url = server.url("mirror.h5");
    let arguments = ["vggface-keras", "--dir", "weights", "--url", &url];
    let (stdout, _) = run(&arguments, workshop.folder.path(), 0);
    for words in [
        "weights/rcmalli_vggface_tf_vgg16.h5, fetched",
        "no digest was ever published",
        "Visual Geometry Group",
        "conv5_3.weight",
        "next           cargo xtask train",
        "--weights weights/vggface-keras.safetensors",
    ] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    assert!(workshop.path("weights/vggface-keras.safetensors").exists());
    // Once more, with the server gone.
    let (stdout, _) = run(&arguments, workshop.folder.path(), 0);
    assert!(stdout.contains("already there") && stdout.contains("conv5_3.weight"), "{stdout}");
}

#[test]
fn a_process_that_is_killed_midway_is_gone_on_with() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let head = format!("200 OK\nETag: \"a\"\nContent-Length: {}", bytes.len());
    let stall = Act::Stall { head, body: bytes[..1000].to_vec() };
    let server = Server::new(vec![stall, rest(&bytes, "\"a\"", 1000)]);
    let url = server.url("a.h5");
    let arguments = ["vggface-keras", "--dir", ".", "--url", &url, "--no-convert"];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fetch-weights"));
    let mut child = command.args(arguments).current_dir(workshop.folder.path()).spawn().unwrap();
    let part = workshop.path(&format!("{FILE}.part"));
    // The program itself waits half a minute for the server to go on.
    for _ in 0..2000 {
        match fs::metadata(&part) {
            Ok(metadata) if metadata.len() == 1000 => break,
            _ => sleep(Duration::from_millis(10)),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(workshop.files().len(), 2);
    run(&arguments, workshop.folder.path(), 0);
    workshop.assert_holds(&bytes);
    assert_eq!(server.seen()[1].header("range"), Some("bytes=1000-"));
}

#[test]
fn what_breaks_off_is_told_and_gone_on_with() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let server = Server::new(vec![broken(&bytes, "\"a\"", 1000), rest(&bytes, "\"a\"", 1000)]);
    let url = server.url("a.h5");
    let arguments = ["vggface-keras", "--dir", ".", "--url", &url, "--no-convert"];
    let (_, stderr) = run(&arguments, workshop.folder.path(), 0);
    assert!(stderr.contains("broken off: ") && stderr.contains("again in 1 s"), "{stderr}");
    workshop.assert_holds(&bytes);
}

#[test]
fn a_file_may_be_left_as_it_is_published() {
    let workshop = Workshop::new();
    let server = Server::new(vec![whole(&weights(), "\"a\"")]);
    let url = server.url("a.h5");
    let arguments = ["vggface-keras", "--dir", ".", "--url", &url, "--no-convert"];
    let (stdout, _) = run(&arguments, workshop.folder.path(), 0);
    assert!(stdout.contains("next           cargo xtask convert-weights"), "{stdout}");
    workshop.assert_holds(&weights());
}

#[test]
fn a_failure_is_one_error_and_exits_1() {
    let workshop = Workshop::new();
    let server = Server::new(vec![answer("404 Not Found\nContent-Length: 0", b"")]);
    let url = server.url("a.h5");
    let arguments = ["vggface-keras", "--dir", ".", "--url", &url];
    let (stdout, stderr) = run(&arguments, workshop.folder.path(), 1);
    assert!(stdout.is_empty());
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{stderr}");
    assert!(stderr.contains("404") && stderr.contains("publisher's page"), "{stderr}");
    assert!(!workshop.path(FILE).exists());
}

#[test]
fn wrong_calls_exit_2_and_name_what_there_is() {
    let workshop = Workshop::new();
    for arguments in [&[][..], &["vggface"][..]] {
        let (_, stderr) = run(arguments, workshop.folder.path(), 2);
        for publication in CATALOG {
            assert!(stderr.contains(publication.name), "{stderr}");
        }
    }
    run(&["vggface-keras", "--list"], workshop.folder.path(), 2);
    run(&["vggface-keras", "--mirror", "x"], workshop.folder.path(), 2);
    assert!(workshop.files().is_empty());
}

#[test]
fn the_list_names_every_file_with_its_address() {
    let workshop = Workshop::new();
    let (stdout, _) = run(&["--list"], workshop.folder.path(), 0);
    for publication in CATALOG {
        assert!(stdout.contains(publication.file) && stdout.contains(publication.url), "{stdout}");
    }
    assert_eq!(stdout.lines().count(), CATALOG.len() + 1);
}

#[test]
fn help_has_examples_and_says_what_is_heeded() {
    let workshop = Workshop::new();
    let (stdout, _) = run(&["--help"], workshop.folder.path(), 0);
    assert!(stdout.contains("cargo xtask fetch-weights vggface-keras-notop"));
    assert!(stdout.contains("HTTPS_PROXY"));
}
