//! `convert-weights`: a published file of VGG16's weights to this project's safetensors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use convert::{
    Expectation, KerasBackend, Layers, Normalization, Pixels, Request, SourceFormat, Verification,
    convert,
};
use terminal::{Unit, Verbosity};

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

    /// The normalization that the weights expect, where the source cannot say: vggface-v1,
    /// vggface-v2, imagenet, torchvision or none [default: what the source says; torchvision for
    /// torchvision's pixels; imagenet where layers are named like `block1_conv1`; else vggface-v1]
    #[arg(long)]
    normalization: Option<Normalization>,

    /// The pixels that the source's network takes [default: what published files of its format and
    /// layer names take]
    #[arg(long, value_enum)]
    pixels: Option<Pixels>,

    /// The backend that Keras saved with, for files of Keras 0 and 1 that do not say
    #[arg(long, value_enum)]
    keras_backend: Option<KerasBackend>,

    /// Names behind the rows of fc8: text with one name a line, or numpy's .npy of strings
    #[arg(long)]
    labels: Option<PathBuf>,

    /// A photograph, cropped to the face, to try the result on before it is written: the five
    /// likeliest identities are printed. Needs fc8; it is a check only with --expect
    #[arg(long, value_name = "IMAGE")]
    verify: Option<PathBuf>,

    /// Whom the photograph shows and with what probability, within 0.001; else nothing is written
    #[arg(long, value_name = "NAME=P", requires = "verify")]
    expect: Option<Expectation>,

    /// Leave out the dense layers
    #[arg(long)]
    base_only: bool,

    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: Verbosity,
}

const EXAMPLES: &str = "Examples:
  VGGFace's weights, as keras-vggface publishes them:
    cargo xtask convert-weights rcmalli_vggface_tf_notop_vgg16.h5 --out weights/vggface-keras-notop.safetensors
  The same with its identities' names, tried on the photograph that keras-vggface is tested with:
    cargo xtask convert-weights rcmalli_vggface_tf_vgg16.h5 --out weights/vggface-top.safetensors \\
        --labels rcmalli_vggface_labels_v1.npy --verify ajb.jpg --expect A.J._Buckley=0.9790
  A PyTorch file whose network takes blue, green, red, 0 to 255:
    cargo xtask convert-weights vgg.pth --pixels bgr --out weights/vgg.safetensors
  A trained run's convolutions as the base for another:
    cargo xtask convert-weights runs/lfw/fold-00/weights.safetensors --base-only \\
        --out weights/lfw-base.safetensors";

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    terminal::begin(arguments.verbosity);
    let out = arguments.out.clone();
    let verification = |image| Verification { image, expectation: arguments.expect };
    let request = Request {
        from: arguments.from,
        normalization: arguments.normalization,
        pixels: arguments.pixels,
        keras_backend: arguments.keras_backend,
        layers: if arguments.base_only { Layers::Base } else { Layers::All },
        labels: arguments.labels,
        verification: arguments.verify.map(verification),
        ..Request::new(arguments.file, arguments.out)
    };
    let progress = terminal::bar("converting", Unit::Things("parameters"));
    terminal::end_when_interrupted("nothing was written");
    terminal::break_off_when_interrupted(&progress);
    let converted = convert(&request, &progress);
    progress.finish_and_clear();
    for finding in converted.iter().flat_map(|conversion| &conversion.findings) {
        tracing::warn!("{finding}");
    }
    let said = |conversion: convert::Conversion| {
        if arguments.json {
            let mut said = conversion.to_json();
            said["file"] = out.display().to_string().into();
            format!("{said:#}\n")
        } else {
            format!("{conversion}\n")
        }
    };
    terminal::end(converted.map(said), |_| ExitCode::FAILURE)
}
