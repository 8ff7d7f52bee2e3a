//! `convert-weights`: a published file of VGG16's weights to this project's safetensors.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's result and errors")]

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use convert::{Layers, Normalization, Request, SourceFormat, convert};
use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Converts a published file of VGG16's weights to this project's safetensors.
///
/// The source's format is told by its content. What is not VGG16 is refused.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask convert-weights", version, after_help = EXAMPLES)]
struct Arguments {
    /// The file to convert
    file: PathBuf,

    /// The safetensors file to write; one that is there is replaced once the new one is complete
    #[arg(long)]
    out: PathBuf,

    /// The format that the file must have
    #[arg(long, value_enum, default_value_t = SourceFormat::Auto)]
    from: SourceFormat,

    /// The normalization that the weights expect, where the source cannot say [default:
    /// vggface-v1, or imagenet where layers are named like `block1_conv1`]
    #[arg(long, value_enum)]
    normalization: Option<Normalization>,

    /// Leave out the dense layers
    #[arg(long)]
    base_only: bool,
}

const EXAMPLES: &str = "Examples:
  VGGFace's weights, as keras-vggface publishes them:
    cargo xtask convert-weights rcmalli_vggface_tf_notop_vgg16.h5 --out weights/vggface.safetensors
  A trained run's convolutions as the base for another:
    cargo xtask convert-weights runs/lfw/fold-00/weights.safetensors --base-only \\
        --out weights/lfw-base.safetensors";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .without_time()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let request = Request {
        file: arguments.file,
        out: arguments.out,
        from: arguments.from,
        normalization: arguments.normalization,
        layers: if arguments.base_only { Layers::Base } else { Layers::All },
    };
    let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} parameters, {msg}")
        .expect("the template is well-formed")
        .progress_chars("=> ");
    let progress = ProgressBar::no_length().with_style(style);
    match convert(&request, &progress) {
        Ok(conversion) => {
            println!("{conversion}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            progress.finish_and_clear();
            eprintln!("error: {:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
