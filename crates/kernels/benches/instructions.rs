//! Instructions of each kernel on one thread, counted by valgrind's callgrind, which are the same whatever else the machine
//! does: `cargo bench -p kernels --bench instructions`.
//!
//! Valgrind knows no AVX-512, so they are those for AVX2. Each kernel runs three times in one process and once in another;
//! half the difference is one run. With the argument `--compare FILE` the table is held against an earlier one: a kernel that
//! takes over a hundredth more fails.
#![expect(clippy::print_stdout, reason = "a bench speaks to its user")]

mod shapes;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

use kernels::activation::Activation;
use kernels::convolution::{self, Before};
use kernels::dense::{self, DenseShape};
use kernels::optimizer::{Adam, DenseGradient, Gradient, Moments, Rule, Step};
use shapes::{CONVOLUTIONS, images, numbers};

/// How much more a kernel may take than before.
const SLACK: f64 = 0.01;

/// Rows and columns at most: a part of a larger image is enough to count by, as valgrind is fifty times slower than the
/// machine.
const MOST_SIDE: usize = 14;

const ADAM: Rule = Rule::Adam(Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 });

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--run", kernel, times] => {
            run(kernel, times.parse().unwrap_or(0));
            ExitCode::SUCCESS
        }
        ["--compare", file, ..] => table(Some(file)),
        _ => table(None),
    }
}

/// The kernels by name.
fn names() -> Vec<String> {
    let of_layer = |(name, ..): &(&str, usize, usize, usize)| {
        ["forward", "backward_images", "backward_weights"].map(|kernel| format!("{name}/{kernel}"))
    };
    // The last is as the one before on a part of its images.
    let convolutions = CONVOLUTIONS[..CONVOLUTIONS.len() - 1].iter().flat_map(of_layer);
    let dense = ["forward", "backward_inputs", "backward_weights", "adam_dense"];
    convolutions.chain(dense.map(|kernel| format!("dense/{kernel}"))).collect()
}

/// Prints the instructions of each kernel.
fn table(earlier: Option<&str>) -> ExitCode {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions: valgrind is not there, nothing was counted");
        return ExitCode::SUCCESS;
    }
    let earlier: BTreeMap<String, f64> = earlier
        .map(|file| std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}")))
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect();
    let mut is_worse = false;
    for name in names() {
        let instructions = (counted(&name, 3) - counted(&name, 1)) / 2.0;
        let change = earlier.get(&name).map(|before| instructions / before - 1.0);
        is_worse |= change.is_some_and(|change| change > SLACK);
        let change = change.map_or(String::new(), |change| format!(" {:+.2}%", 100.0 * change));
        println!("{name:<28} {instructions:>14.0}{change}");
    }
    if is_worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Instructions of a process that runs a kernel so many times.
fn counted(kernel: &str, times: usize) -> f64 {
    let this = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--run", kernel, &times.to_string()])
        .output()
        .expect("valgrind was there a moment ago");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .unwrap_or_else(|| panic!("valgrind counted nothing:\n{said}"))
}

/// Runs a kernel on this thread, on one image.
fn run(kernel: &str, times: usize) {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build_global()
        .expect("there is no other pool yet");
    let (layer, kernel) = kernel.split_once('/').expect("a kernel's name has two parts");
    let Some(&(_, channels, out_channels, side)) =
        CONVOLUTIONS.iter().find(|(name, ..)| *name == layer)
    else {
        return run_dense(kernel, times);
    };
    let side = side.min(MOST_SIDE);
    let (shape, written) = (images(1, channels, side), images(1, out_channels, side));
    let (input, grad) = (numbers(shape.len()), numbers(written.len()));
    let (weights, bias) = (numbers(out_channels * channels * 9), numbers(out_channels));
    let mut output = vec![0.0; shape.len().max(written.len())];
    let (mut grad_weights, mut grad_bias) = (vec![0.0; weights.len()], vec![0.0; bias.len()]);
    for _ in 0..times {
        match kernel {
            "forward" => {
                let output = &mut output[..written.len()];
                convolution::forward(shape, &input, &weights, &bias, output);
            }
            "backward_images" => {
                let (output, before) = (&mut output[..shape.len()], Before::Activation(&input));
                convolution::backward_images(shape, out_channels, &weights, &grad, before, output);
            }
            _ => convolution::backward_weights(
                shape,
                out_channels,
                &input,
                &grad,
                &mut grad_weights,
                &mut grad_bias,
            ),
        }
    }
}

fn run_dense(kernel: &str, times: usize) {
    let shape = DenseShape { batch: 32, in_features: 2048, out_features: 128 };
    let (inputs, grad_output) = (numbers(shape.inputs_len()), numbers(shape.output_len()));
    let (mut weights, bias) = (numbers(shape.weights_len()), numbers(shape.out_features));
    let mut output = vec![0.0; shape.output_len()];
    let mut grad_inputs = vec![0.0; shape.inputs_len()];
    let mut gradient = vec![0.0; shape.weights_len()];
    let (mut first, mut second) = (gradient.clone(), gradient.clone());
    for _ in 0..times {
        match kernel {
            "forward" => {
                dense::forward(shape, &inputs, &weights, &bias, Activation::Relu, &mut output);
            }
            "backward_inputs" => {
                dense::backward_inputs(shape, &weights, &grad_output, &mut grad_inputs);
            }
            "backward_weights" => {
                dense::backward_weights(shape, &inputs, &grad_output, &mut gradient);
            }
            _ => {
                let factors = DenseGradient { shape, inputs: &inputs, grad_output: &grad_output };
                let moments = Moments { momentum: &mut first, velocity: &mut second };
                let step = Step::new(ADAM, 1e-3, 1);
                step.apply(Gradient::Dense(factors), &mut weights, moments);
            }
        }
    }
}
