//! `cargo xtask bench`: how fast the arithmetic is, in turn with PyTorch, Keras and Pillow.

use std::{
    io::{Write, stdout},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::Context;
use clap::{CommandFactory, Parser, error::ErrorKind};
use serde_json::json;
use terminal::{Unit, Verbosity, whole_number};
use train::{
    Error,
    bench::{
        Case, Machine, Peer, PeerKind, Reads, experiments, growth, growth_table, layers,
        layers_table, measure, prepare, serve, table,
    },
    training::Interrupt,
};

/// Measures the parts of training on the CPU, ours and those of peers in turn
///
/// Every case runs in fresh processes (not so with --layers and --growth). `bound` is the part of our time that the products would take at the machine's peak and
/// the optimizer's bytes at its bandwidth, which are measured first.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", version, after_help = EXAMPLES)]
struct Arguments {
    /// A Python that has PyTorch, Keras or Pillow; without it only ours is measured
    ///
    /// pip install torch==2.15.0 keras==3.15.1 tensorflow-cpu==2.21.0 pillow==13.0.0
    #[arg(long, value_name = "PATH", value_parser = python)]
    python: Option<PathBuf>,
    /// The peers to measure: pytorch, keras, pillow, with commas between [default: those that the Python has]
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "python")]
    peers: Vec<PeerKind>,
    /// A case to measure; may be repeated [default: all]
    ///
    /// forward-1, forward-8, forward-32, step-8, last-block-32, head-32, stage-two-32, whole-32, and of a folder of faces
    /// prepare, read-32, augment-32
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<Case>,
    /// A folder of faces, for `prepare`, `read-32` and `augment-32`; without it these are left out
    #[arg(long, value_name = "DIR")]
    faces: Option<PathBuf>,
    /// Times that each is measured, after one to warm up
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole_number::<NonZeroUsize>)]
    repetitions: NonZeroUsize,
    /// Threads, ours and the peers' [default: as many as the machine has]
    #[arg(long, value_name = "N", value_parser = whole_number::<NonZeroUsize>)]
    threads: Option<NonZeroUsize>,
    /// Measures our convolutions one by one instead, on this many images
    #[arg(long, value_name = "IMAGES", value_parser = whole_number::<NonZeroUsize>, conflicts_with_all = ["python", "cases", "faces"])]
    layers: Option<NonZeroUsize>,
    /// Measures instead how our times grow with threads, images a step and identities
    #[arg(long, conflicts_with_all = ["python", "cases", "faces", "layers"])]
    growth: bool,
    /// Where to write what was measured, as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Does what is asked for on stdin: how this program measures itself
    #[arg(long, hide = true)]
    serve: bool,
    #[command(flatten)]
    verbosity: Verbosity,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench
  cargo xtask bench --python ~/venv/bin/python --faces data/lfw --json bench.json
  cargo xtask bench --python ~/venv/bin/python --peers pytorch --case step-8 --case head-32
  cargo xtask bench --layers 8
  cargo xtask bench --growth";

#[global_allocator]
static ALLOCATOR: kernels::memory::LargePages = kernels::memory::LargePages;

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    let needs_faces = |case: &&Case| case.reads() != Reads::Nothing;
    if let (Some(case), None) = (arguments.cases.iter().find(needs_faces), &arguments.faces) {
        let problem =
            format!("the case {} needs a folder of faces; give it with --faces DIR\n", case.name());
        Arguments::command().error(ErrorKind::MissingRequiredArgument, problem).exit();
    }
    terminal::begin(arguments.verbosity);
    let done = if arguments.serve {
        serve().map(|()| String::new()).map_err(Into::into)
    } else {
        run(&arguments)
    };
    terminal::end(done, |_| ExitCode::FAILURE)
}

/// Gives what goes to stdout: a table.
fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let interrupt = Interrupt::on_signal()?;
    let threads = match arguments.threads {
        Some(threads) => threads.get(),
        None => std::thread::available_parallelism()?.get(),
    };
    if let Some(faces) = arguments.faces.as_ref().filter(|faces| !faces.is_dir()) {
        anyhow::bail!("{} is not a folder; expected one folder a person in it", faces.display());
    }
    if let Some(folder) = arguments.json.as_ref().and_then(|path| path.parent()) {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    // Threads of this process: of the machine's marks, and of single layers.
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let machine = Machine::measured(threads);
    let repetitions = arguments.repetitions.get();
    if let Some(batch) = arguments.layers {
        let times = layers(batch.get(), repetitions, &interrupt)?;
        let machine = machine.or_better(Machine::measured(threads));
        let json = json!({ "machine": machine, "layers": times });
        return with_json(layers_table(machine, batch.get(), &times), arguments, &json);
    }
    if arguments.growth {
        let grown = growth(threads, repetitions, &interrupt)?;
        let json = json!({ "machine": machine, "growth": grown });
        return with_json(growth_table(machine, &grown), arguments, &json);
    }
    let cases = if arguments.cases.is_empty() { &Case::ALL[..] } else { &arguments.cases };
    let needs = |reads| cases.iter().any(|case| case.reads() == reads);
    let prepared = match &arguments.faces {
        Some(faces) if needs(Reads::PreparedSet) => Some(prepare(faces)?),
        _ => None,
    };
    let mut peers = Peers::asked_for(arguments);
    let mut results = Vec::new();
    let progress = terminal::bar_at_top("bench", Unit::Things("cases"));
    let is_possible = |case: &&Case| case.reads() == Reads::Nothing || arguments.faces.is_some();
    progress.set_length(cases.iter().filter(is_possible).count() as u64);
    for &case in cases {
        let folder = match case.reads() {
            Reads::Nothing => None,
            Reads::Photographs => arguments.faces.clone(),
            Reads::PreparedSet => prepared.as_ref().map(|folder| folder.path().join("set")),
        };
        let request = match (case.reads(), folder) {
            (Reads::Nothing, _) => case.name().to_owned(),
            (_, Some(folder)) => format!("{} {}", case.name(), folder.display()),
            (_, None) => continue,
        };
        let mut processes = vec![own(threads)?];
        if let Some(python) = &arguments.python {
            let started = peers.start(python, case, threads);
            if interrupt.is_raised() {
                // A script that was starting has heard of it, too.
                return Err(Error::InterruptedTrial.into());
            }
            processes.extend(started?);
        }
        results.push(measure(case, &request, repetitions, processes, &interrupt)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let machine = machine.or_better(Machine::measured(threads));
    let json = json!({ "machine": machine, "cases": results });
    let experiments =
        experiments(&results).map_or_else(String::new, |experiments| format!("\n{experiments}"));
    with_json(table(machine, &results) + &experiments, arguments, &json)
}

/// A Python that can be started.
fn python(path: &str) -> Result<PathBuf, String> {
    match Command::new(path).arg("--version").output() {
        Ok(output) if output.status.success() => Ok(PathBuf::from(path)),
        Ok(output) => Err(format!("`{path} --version` ended with {}", output.status)),
        Err(error) => Err(format!("does not start: {error}")),
    }
}

fn own(threads: usize) -> anyhow::Result<Peer> {
    let program = std::env::current_exe().context("finding this program")?;
    Ok(Peer::own(&program, "--serve", threads)?)
}

/// The peers that are measured.
struct Peers {
    kinds: Vec<PeerKind>,
    /// Whether they were asked for by name, so that none may be left out.
    are_named: bool,
}

impl Peers {
    fn asked_for(arguments: &Arguments) -> Self {
        match arguments.peers.as_slice() {
            [] => Self { kinds: PeerKind::ALL.to_vec(), are_named: false },
            named => Self { kinds: named.to_vec(), are_named: true },
        }
    }

    /// Starts those that know the case; one that does not start is left out from now on.
    fn start(&mut self, python: &Path, case: Case, threads: usize) -> anyhow::Result<Vec<Peer>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        let mut started = Vec::new();
        for kind in self.kinds.clone() {
            if !kind.does(case) {
                continue;
            }
            match Peer::script(python, &folder.join(kind.script()), threads) {
                Ok(peer) => started.push(peer),
                Err(error) if self.are_named => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(
                        "{} is left out: {error}; --help says what to install",
                        kind.name()
                    );
                    self.kinds.retain(|&other| other != kind);
                }
            }
        }
        Ok(started)
    }
}

/// Writes the file that was asked for, and gives the table; where that fails the table is said all the same.
fn with_json(
    table: String,
    arguments: &Arguments,
    measured: &serde_json::Value,
) -> anyhow::Result<String> {
    let Some(path) = &arguments.json else { return Ok(table) };
    let written = std::fs::write(path, format!("{measured:#}"));
    if written.is_err() {
        stdout().write_all(table.as_bytes())?;
    }
    written.with_context(|| format!("writing {}", path.display()))?;
    Ok(table)
}
