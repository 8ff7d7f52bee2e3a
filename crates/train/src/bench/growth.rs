//! How the time grows with what there is more of.

use model::{Architecture, Classifier, Head};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

use super::{
    Part, median,
    own::{ARCHITECTURE, Bench},
};
use crate::Error;

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
/// Whatever the network reports.
///
/// # Panics
///
/// If threads cannot be started.
pub fn growth(threads: usize, repetitions: usize) -> Result<Vec<Growth>, Error> {
    let mut grown = Vec::new();
    let mut bench = Bench::new(ARCHITECTURE)?;
    let mut counts: Vec<usize> =
        (0..16).map(|power| 1 << power).take_while(|&n| n < threads).collect();
    counts.push(threads);
    for count in counts {
        let pool = ThreadPoolBuilder::new().num_threads(count).build().expect("threads start");
        for part in [Part::Forward, Part::Head, Part::StageTwo] {
            let seconds = pool.install(|| measured(&mut bench, part, 32, repetitions))?;
            grown.push(Growth { of: Size::Threads, count, part, seconds });
        }
    }
    for count in BATCHES {
        for part in [Part::Forward, Part::Head, Part::StageTwo] {
            let seconds = measured(&mut bench, part, count, repetitions)?;
            grown.push(Growth { of: Size::Images, count, part, seconds });
        }
    }
    for count in IDENTITIES {
        let classifier = Some(Classifier::new(Head::Seed, count));
        let mut bench = Bench::new(Architecture { classifier, ..ARCHITECTURE })?;
        for part in [Part::Head, Part::StageTwo] {
            let seconds = measured(&mut bench, part, 32, repetitions)?;
            grown.push(Growth { of: Size::Identities, count, part, seconds });
        }
    }
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
