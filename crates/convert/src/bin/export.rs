//! `cargo xtask export`: a run's weights in the forms that other tools read.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use convert::export::{Input, Request, Scores, Target, export};
use terminal::{Unit, Verbosity, whole_number};

/// Writes a run's weights, or any weights of this project, as ONNX, for Keras or for PyTorch.
#[derive(Parser)]
#[command(bin_name = "cargo xtask export", version, after_help = EXAMPLES)]
struct Arguments {
    /// A run's folder, or a weights file
    #[arg(value_name = "RUN|FILE")]
    source: PathBuf,
    /// Which of the run's folds
    #[arg(long, value_name = "I", value_parser = whole_number::<usize>)]
    fold: Option<usize>,
    /// Which tool is to read it
    #[arg(long, value_enum)]
    to: Target,
    /// The file to write [default: beside the weights, as .onnx, .h5 or .pytorch.safetensors]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the network is given
    #[arg(long, value_enum, default_value_t = Input::Normalized)]
    input: Input,
    /// Give probabilities and not logits (ONNX only)
    #[arg(long)]
    softmax: bool,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verbosity: Verbosity,
}

const EXAMPLES: &str = "\
A base, which has no dense layers, gives pool5. For Keras the file must end in .h5, but not in
.weights.h5. PyTorch's names are torchvision's: features.0 to features.28, then classifier.0, .3 and
.6 for three dense layers, .0 and .3 for two, .0 for one: Sequential(Linear, ReLU, Dropout, ..).

Examples:
  cargo xtask export runs/lfw --fold 0 --to onnx --input rgb --softmax
  cargo xtask export runs/lfw --fold 0 --to keras --out lfw.h5
  cargo xtask export weights/vggface-keras-notop.safetensors --to pytorch";

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    terminal::begin(arguments.verbosity);
    let request = Request {
        source: arguments.source,
        fold: arguments.fold,
        target: arguments.to,
        out: arguments.out,
        input: arguments.input,
        scores: if arguments.softmax { Scores::Probabilities } else { Scores::Logits },
    };
    let code = |error: &convert::Error| ExitCode::from(if error.is_usage() { 2 } else { 1 });
    let progress = terminal::bar("exporting", Unit::Bytes);
    terminal::end_when_interrupted("nothing was written");
    terminal::break_off_when_interrupted(&progress);
    let exported = export(&request, &progress);
    progress.finish_and_clear();
    let said = |export: convert::export::Export| {
        if arguments.json { format!("{:#}\n", export.to_json()) } else { format!("{export}\n") }
    };
    terminal::end(exported.map(said), code)
}
