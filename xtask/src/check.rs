//! What a contributor must pass, cheapest first.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::stage::{cargo, succeed};

const STEPS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    (
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--release",
            "--locked",
            "--features",
            "convert/reference-weights,preprocess/reference-faces,train/reference-browser",
            "--",
            "--deny",
            "warnings",
        ],
    ),
    ("tests", &["test", "--release", "--workspace", "--locked"]),
    ("documentation", &["doc", "--workspace", "--no-deps", "--release", "--locked"]),
];

/// Runs every step and stops at the first that fails. Tests are built in release: they run real
/// arithmetic, and the stages that a user runs are built the same way; the rest in release too, which
/// shares what is built.
pub(crate) fn run() -> Result<ExitCode> {
    for (name, arguments) in STEPS {
        eprintln!("check: {name}");
        let mut command = cargo();
        command.args(*arguments).env("RUSTDOCFLAGS", "-D warnings");
        succeed(&mut command).with_context(|| format!("the check `{name}` failed"))?;
    }
    Ok(ExitCode::SUCCESS)
}
