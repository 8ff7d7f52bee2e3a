//! Everything on synthetic faces: what a newcomer runs first.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::stage::{Acceleration, Stage, exit_code};

const FACES: &str = "data/quickstart";
const PREPARED: &str = "data/quickstart-64";
const BASE: &str = "crates/train/base/synthetic-narrow.safetensors";
const RUN: &str = "runs/quickstart";

/// Draws faces, prepares them and trains three folds of the default recipe.
pub(crate) fn run(features: Option<Acceleration>) -> Result<ExitCode> {
    let steps: [(&Stage, &str, Vec<&str>); 3] = [
        (
            &Stage::SYNTHETIC_FACES,
            "drawing synthetic people",
            vec!["--out", FACES, "--identities", "20", "--photographs", "15", "--seed", "1"],
        ),
        (
            &Stage::PREPARE,
            "preparing their photographs",
            vec!["--faces", FACES, "--out", PREPARED, "--side", "64"],
        ),
        (
            &Stage::TRAIN,
            "fine-tuning by the default recipe, 3 folds",
            vec!["--data", PREPARED, "--weights", BASE, "--out", RUN, "--folds", "3"],
        ),
    ];
    // Ctrl-C reaches the stage as well, which ends cleanly; this program waits for it.
    ctrlc::set_handler(|| ()).context("listening to Ctrl-C")?;
    for (stage, what, arguments) in steps {
        eprintln!("quickstart: {what}");
        let status = stage.command(features)?.args(arguments).status().context(what)?;
        if !status.success() {
            eprintln!(
                "quickstart: stopped while {what}; what an earlier version has left in {FACES}, \
                 {PREPARED} and {RUN} may be deleted"
            );
            return Ok(exit_code(status));
        }
    }
    eprintln!(
        "quickstart: the run's files are in {RUN}; open {RUN}/report.html in a browser to look at it"
    );
    Ok(ExitCode::SUCCESS)
}
