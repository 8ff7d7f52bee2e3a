//! How the time grows with what there is more of.

use model::{Architecture, Classifier, Head};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

use super::{
    Part, median,
    own::{ARCHITECTURE, Bench},
    refuse_interrupted,
};
use crate::{Error, training::Interrupt};

/// LFW's people with 20 photographs and with 6, and `VGGFace`'s own.
const IDENTITIES: [usize; 3] = [62, 311, 2622];

const BATCHES: [usize; 6] = [1, 4, 8, 16, 32, 64];

/// What the time may grow with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// Of the machine.
    Threads,
    /// Of a step.
    Images,
    /// Of the head.
    Identities,
}

impl Size {
    /// Its name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Images => "images a step",
            Self::Identities => "identities",
        }
    }
}

/// The time of one part of the network at one size of something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// What there is more or less of.
    pub of: Size,
    /// How many there are.
    pub count: usize,
    /// What was done.
    pub part: Part,
    /// Median, in seconds.
    pub seconds: f64,
}

/// Measures ours at several numbers of threads up to `threads`, images a step, and identities.
///
/// # Errors
///
/// [`Error::InterruptedTrial`] after Ctrl-C, and whatever the network reports.
///
/// # Panics
///
/// If threads cannot be started.
pub fn growth(
    threads: usize,
    repetitions: usize,
    interrupt: &Interrupt,
) -> Result<Vec<Growth>, Error> {
    let mut grown = Vec::new();
    let mut bench = Bench::new(ARCHITECTURE)?;
    let mut counts: Vec<usize> =
        (0..16).map(|power| 1 << power).take_while(|&n| n < threads).collect();
    counts.push(threads);
    let progress = terminal::bar("growth", terminal::Unit::Things("measurements"));
    let measurements = 3 * (counts.len() + BATCHES.len()) + 2 * IDENTITIES.len();
    progress.set_length(measurements as u64);
    let mut push = |of: Size, count, part: Part, seconds| {
        grown.push(Growth { of, count, part, seconds });
        progress.set_message(format!("{count} {}, {}", of.name(), part.name()));
        progress.inc(1);
        refuse_interrupted(interrupt)
    };
    for count in counts {
        let pool = ThreadPoolBuilder::new().num_threads(count).build().expect("threads start");
        for part in [Part::Forward, Part::Head, Part::StageTwo] {
            let seconds = pool.install(|| measured(&mut bench, part, 32, repetitions))?;
            push(Size::Threads, count, part, seconds)?;
        }
    }
    for count in BATCHES {
        for part in [Part::Forward, Part::Head, Part::StageTwo] {
            let seconds = measured(&mut bench, part, count, repetitions)?;
            push(Size::Images, count, part, seconds)?;
        }
    }
    for count in IDENTITIES {
        let classifier = Some(Classifier::new(Head::Seed, count));
        let mut bench = Bench::new(Architecture { classifier, ..ARCHITECTURE })?;
        for part in [Part::Head, Part::StageTwo] {
            let seconds = measured(&mut bench, part, 32, repetitions)?;
            push(Size::Identities, count, part, seconds)?;
        }
    }
    progress.finish_and_clear();
    Ok(grown)
}

/// The median of several times, after one to warm up.
fn measured(
    bench: &mut Bench,
    part: Part,
    images: usize,
    repetitions: usize,
) -> Result<f64, Error> {
    bench.run(part, images)?;
    let seconds =
        (0..repetitions).map(|_| bench.run(part, images)).collect::<Result<Vec<_>, _>>()?;
    Ok(median(&seconds))
}
