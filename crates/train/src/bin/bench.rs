//! `cargo xtask bench`: how fast the arithmetic is, in turn with PyTorch and Keras.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode};

use clap::Parser;
use train::bench::{Bench, Case, Peer, measure, table};

/// Measures the parts of training on the CPU, ours and those of peers in turn
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", version, after_help = EXAMPLES)]
struct Arguments {
    /// A Python that has PyTorch or Keras; without it only ours is measured
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// The peers to measure
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "pytorch,keras")]
    peers: Vec<String>,
    /// A case to measure; may be repeated [default: all]
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<Case>,
    /// Times that each is measured, after one to warm up
    #[arg(long, value_name = "N", default_value = "5")]
    repetitions: NonZeroUsize,
    /// Threads of the peers; ours uses as many as the machine has, or `RAYON_NUM_THREADS`
    #[arg(long, value_name = "N", default_value = "2")]
    threads: usize,
    /// Where to write the times as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench
  cargo xtask bench --python ~/venv/bin/python
  cargo xtask bench --python ~/venv/bin/python --peers pytorch --case step-8 --case head-32";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches");
    let mut peers = Vec::new();
    for name in arguments.python.iter().flat_map(|_| &arguments.peers) {
        let python = arguments.python.as_deref().expect("there are no peers without it");
        let script = folder.join(format!("peer_{name}.py"));
        peers.push(Peer::start(python, &script, arguments.threads)?);
    }
    let cases = if arguments.cases.is_empty() { &Case::ALL[..] } else { &arguments.cases };
    let mut bench = Bench::new()?;
    let mut results = Vec::new();
    for &case in cases {
        eprintln!("bench: {}", case.name());
        results.push(measure(case, arguments.repetitions.get(), &mut bench, &mut peers)?);
    }
    print!("{}", table(&results));
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}
