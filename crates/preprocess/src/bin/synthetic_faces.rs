//! `synthetic-faces`: drawn faces, one folder a person, for trying everything out.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use preprocess::Side;
use preprocess::synthetic::{Gallery, write_gallery};
use terminal::{Unit, Verbosity, whole_number};

/// Draws faces of people who do not exist, in one folder a person as `prepare` reads them.
///
/// The same seed gives the same faces, and person K of a seed is the same whoever else is drawn.
#[derive(Parser)]
#[command(
    bin_name = "cargo xtask synthetic-faces",
    version,
    after_help = "Examples:
  cargo xtask synthetic-faces --out data/synthetic
  cargo xtask synthetic-faces --out data/others --first-identity 1000 --identities 200 --photographs 20"
)]
struct Arguments {
    /// Folder to fill
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many people
    #[arg(long, value_name = "N", default_value = "12", value_parser = whole_number::<NonZeroU64>)]
    identities: NonZeroU64,
    /// How many photographs of each
    #[arg(long, value_name = "N", default_value = "12", value_parser = whole_number::<NonZeroU64>)]
    photographs: NonZeroU64,
    /// Seed of people and photographs
    #[arg(long, value_name = "NUMBER", default_value = "7", value_parser = whole_number::<u64>)]
    seed: u64,
    /// Number of the first person
    #[arg(long, value_name = "NUMBER", default_value = "0", value_parser = whole_number::<u64>)]
    first_identity: u64,
    /// Side of the photographs in pixels, 48 to 4096
    #[arg(long, default_value = "96")]
    side: Side,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    terminal::begin(arguments.verbosity);
    terminal::end_when_interrupted("the same command draws all of them");
    terminal::end(run(&arguments), |_| ExitCode::FAILURE)
}

fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let Arguments { out, identities, photographs, seed, first_identity, side, .. } = arguments;
    let gallery = Gallery {
        seed: *seed,
        first_identity: *first_identity,
        identities: *identities,
        photographs: *photographs,
        side: *side,
    };
    let progress = terminal::bar("drawing", Unit::Things("faces"));
    write_gallery(&gallery, out, &progress)
        .with_context(|| format!("drawing faces into {}", out.display()))?;
    if arguments.json {
        let said = serde_json::json!({
            "folder": out.display().to_string(),
            "identities": identities,
            "photographs_each": photographs,
            "side": side.px(),
            "first_identity": first_identity,
            "seed": seed,
        });
        return Ok(format!("{said:#}\n"));
    }
    Ok(format!("{}: {identities} people, {photographs} photographs of each\n", out.display()))
}
