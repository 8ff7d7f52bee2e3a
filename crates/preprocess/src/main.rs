//! `prepare`: photographs to a prepared set.

use std::num::{NonZeroU64, NonZeroUsize};
use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use preprocess::{Crop, Outcome, Settings, Share, Side};
use terminal::{Unit, Verbosity, whole_number};

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
    #[arg(long, value_name = "N", default_value = "6", value_parser = whole_number::<NonZeroUsize>)]
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
    #[arg(long, default_value = "50000000", value_name = "PIXELS", value_parser = whole_number::<NonZeroU64>)]
    max_photograph_pixels: NonZeroU64,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    terminal::begin(arguments.verbosity);
    terminal::end_when_interrupted("no set was made; the same command begins again");
    terminal::end(run(&arguments), |_| ExitCode::FAILURE)
}

fn run(arguments: &Arguments) -> Result<String, preprocess::Error> {
    let settings = Settings {
        min_faces: arguments.min_faces,
        crop: arguments.crop,
        side: arguments.side,
        max_skipped_share: arguments.max_skipped_share,
        max_photograph_pixels: arguments.max_photograph_pixels,
    };
    let progress = terminal::bar("preparing", Unit::Things("photographs"));
    let start = Instant::now();
    let outcome = preprocess::prepare(&arguments.faces, &arguments.out, &settings, &progress)?;
    if arguments.json {
        return Ok(format!("{:#}\n", outcome.to_json(&arguments.out)));
    }
    let rate = outcome.manifest().images.len() as f64 / start.elapsed().as_secs_f64();
    let rate = match outcome {
        Outcome::UpToDate(_) => String::new(),
        Outcome::Made(_) => format!("; {rate:.0} images/s"),
    };
    Ok(format!("{}: {outcome}{rate}\n", arguments.out.display()))
}
