//! `prepare`: photographs to a prepared set.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's result and its error")]

use std::io::{IsTerminal, stderr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use preprocess::{Crop, Outcome, Settings, Share, Side};

/// Turns photographs into a prepared set: square RGB images, labels and a manifest.
///
/// JPEG, PNG, WebP and BMP are read, upright as EXIF says; the rest is ignored and counted. If the
/// set is there and nothing has changed, nothing is done.
#[derive(Parser)]
#[command(
    bin_name = "cargo xtask prepare",
    version,
    after_help = "Examples:
  cargo xtask prepare --faces data/my-faces --out data/my-224
  cargo xtask prepare --faces data/lfw --out data/lfw-224 --min-faces 20 --crop center=0.6"
)]
struct Arguments {
    /// Folder with one folder a person in it
    #[arg(long, value_name = "DIR")]
    faces: PathBuf,
    /// Folder to make; an earlier prepared set in it is replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Leave out people with fewer usable photographs
    #[arg(long, default_value = "6")]
    min_faces: NonZeroUsize,
    /// `whole`, or `center=S`: the central square of S times the shorter side
    #[arg(long, default_value = "whole")]
    crop: Crop,
    /// Side of the prepared images in pixels, 48 to 4096
    #[arg(long, default_value = "224")]
    side: Side,
    /// Fail if more than this share of the photographs cannot be used
    #[arg(long, default_value = "0.05", value_name = "SHARE")]
    max_skipped_share: Share,
    /// Skip photographs with more pixels, without decoding them
    #[arg(long, default_value = "50000000", value_name = "PIXELS")]
    max_photograph_pixels: NonZeroU64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings {
        min_faces: arguments.min_faces,
        crop: arguments.crop,
        side: arguments.side,
        max_skipped_share: arguments.max_skipped_share,
        max_photograph_pixels: arguments.max_photograph_pixels,
    };
    let progress = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} photographs, {per_sec}, {eta} left",
    )?);
    let start = Instant::now();
    let outcome = preprocess::prepare(&arguments.faces, &arguments.out, &settings, &progress)?;
    let rate = outcome.manifest().images.len() as f64 / start.elapsed().as_secs_f64();
    let rate = match outcome {
        Outcome::UpToDate(_) => String::new(),
        Outcome::Made(_) => format!("; {rate:.0} images/s"),
    };
    println!("{}: {outcome}{rate}", arguments.out.display());
    Ok(())
}
