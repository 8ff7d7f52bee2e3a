//! `cargo xtask features`: a layer's output for every image of a prepared set.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use train::{
    device::DeviceChoice,
    features::{Config, FeatureDtype, export},
    training::Interrupt,
};

/// Writes a layer's output for every image of a prepared set to a safetensors file
#[derive(Parser)]
#[command(bin_name = "cargo xtask features", version, after_help = EXAMPLES)]
struct Arguments {
    /// The prepared set, made by `cargo xtask prepare`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A weights file, made by `cargo xtask convert-weights`
    #[arg(long, value_name = "FILE", value_parser = weights_file)]
    weights: PathBuf,
    /// pool1 to pool5, a convolution such as `conv5_3`, fc6 or fc7 (all after their ReLU), fc8 (logits)
    #[arg(long, value_name = "NAME")]
    layer: String,
    /// The file to write: `features` and `labels` (u32), in the manifest's order; replaces another file of features
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Of the features: f32, or f16 in half the space
    #[arg(long, default_value_t)]
    dtype: FeatureDtype,
    /// auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: terminal::Verbosity,
}

const EXAMPLES: &str = "\
Example:
  cargo xtask features --data data/lfw-224 --weights weights/vggface-keras-notop.safetensors --layer pool5 \\
      --out data/lfw-pool5.safetensors";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    terminal::begin(arguments.verbosity);
    terminal::end(run(arguments), train::Error::exit_code)
}

fn weights_file(path: &str) -> Result<PathBuf, &'static str> {
    match path {
        "random" => Err("features of random weights are of no use; give a weights file"),
        _ => Ok(PathBuf::from(path)),
    }
}

/// Gives what goes to stdout: the file and what it holds.
fn run(arguments: Arguments) -> Result<String, train::Error> {
    let config = Config {
        data: arguments.data,
        weights: arguments.weights,
        layer: arguments.layer,
        out: arguments.out,
        dtype: arguments.dtype,
        device: arguments.device,
    };
    let is_json = arguments.json;
    let file = export(&config, &Interrupt::on_signal()?)?;
    if is_json {
        let said = serde_json::json!({
            "file": file.path().display().to_string(),
            "images": file.len(),
            "shape": file.shape(),
            "layer": config.layer,
            "dtype": config.dtype.to_string(),
        });
        return Ok(format!("{said:#}\n"));
    }
    Ok(format!("{}: {} images, {:?} each\n", file.path().display(), file.len(), file.shape()))
}
