//! The command line of `fetch-weights`.

use std::path::PathBuf;

use clap::Parser;
use convert::fetch::CATALOG;
use terminal::Verbosity;

/// Fetches a published file of VGG16's weights, checks it and converts it.
///
/// What was broken off, by Ctrl-C too, goes on with the next call. Proxies are taken from
/// `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. Nothing is sent but the request.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask fetch-weights", version, after_help = EXAMPLES)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Which file
    #[arg(value_parser = CATALOG.map(|it| it.name), required_unless_present = "list")]
    pub(crate) name: Option<String>,
    /// Print what can be fetched, and from where
    #[arg(long, exclusive = true)]
    pub(crate) list: bool,
    /// The folder for the file and the converted weights
    #[arg(long, default_value = "weights")]
    pub(crate) dir: PathBuf,
    /// Another address that serves the same file
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Leave the file as it is published
    #[arg(long)]
    pub(crate) no_convert: bool,
    /// Prints the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

const EXAMPLES: &str = "Examples:
  What there is:
    cargo xtask fetch-weights --list
  VGGFace without its dense layers, as the built-in recipes take it:
    cargo xtask fetch-weights vggface-keras-notop
  The same from a mirror, not converted:
    cargo xtask fetch-weights vggface-keras-notop --url https://mirror.example/a.h5 --no-convert";
