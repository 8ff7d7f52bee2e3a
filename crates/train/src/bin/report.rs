//! `cargo xtask report`: runs as a page to look at.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use train::{
    Error,
    arguments::html_file,
    report::{FacesShown, Report, write_report},
};

/// Writes one self-contained page over runs: accuracy, learning curves, mistakes, the diagnosis
///
/// `train` writes the page of its run while it lasts; this writes it anew, without faces or with
/// those of a prepared set that was moved, or one page over several runs with their comparison.
#[derive(Parser)]
#[command(bin_name = "cargo xtask report", version, after_help = EXAMPLES)]
struct Arguments {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page [default: report.html in the run's folder; of several runs, it must be given]
    #[arg(long, value_name = "FILE.html", value_parser = html_file)]
    out: Option<PathBuf>,
    /// The prepared set, if it is not where the run found it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leaves photographs out: the page has names, but no faces
    ///
    /// Those of a run that was begun with `--no-faces` are left out always.
    #[arg(long)]
    no_faces: bool,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: terminal::Verbosity,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask report runs/lfw
  cargo xtask report runs/lfw --no-faces --out lfw.html
  cargo xtask report runs/probe runs/lfw --out comparison.html";

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    terminal::begin(arguments.verbosity);
    terminal::end_when_interrupted("the page is as it was");
    terminal::end(run(arguments), Error::exit_code)
}

fn run(arguments: Arguments) -> Result<String, Error> {
    let Arguments { runs, out, data, no_faces, json, .. } = arguments;
    let out = match (out, runs.as_slice()) {
        (Some(out), _) => out,
        (None, [run]) => run.join("report.html"),
        (None, _) => return Err(Error::NoPlaceForReport { runs: runs.len() }),
    };
    let faces = FacesShown::unless(no_faces);
    let written = write_report(&Report { runs, data, faces, ended_by: None }, &out)?;
    if json {
        let said =
            serde_json::json!({ "file": out.display().to_string(), "size_bytes": written.bytes });
        return Ok(format!("{said:#}\n"));
    }
    Ok(format!("{}: {:.1} KiB\n", out.display(), written.bytes as f64 / 1024.0))
}
