//! How the time grows with what there is more of.

use model::{Architecture, Classifier, Head};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

use super::{
    Case, Measured,
    own::{ARCHITECTURE, Bench},
};
use crate::Error;

/// LFW's people with 20 photographs and with 6, and `VGGFace`'s own.
const IDENTITIES: [usize; 3] = [62, 311, 2622];

const BATCHES: [usize; 6] = [1, 4, 8, 16, 32, 64];

/// The time of one case at one size of something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// What there is more or less of.
    pub of: &'static str,
    /// How many there are.
    pub count: usize,
    /// What was done.
    pub case: Case,
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
        for case in [Case::Forward32, Case::Head32, Case::StageTwo32] {
            let seconds = pool.install(|| median(&mut bench, case, 32, repetitions))?;
            grown.push(Growth { of: "threads", count, case, seconds });
        }
    }
    for count in BATCHES {
        for case in [Case::Forward32, Case::Head32, Case::StageTwo32] {
            let seconds = median(&mut bench, case, count, repetitions)?;
            grown.push(Growth { of: "images a step", count, case, seconds });
        }
    }
    for count in IDENTITIES {
        let classifier = Some(Classifier { head: Head::Seed, num_classes: count });
        let mut bench = Bench::new(Architecture { classifier, ..ARCHITECTURE })?;
        for case in [Case::Head32, Case::StageTwo32] {
            let seconds = median(&mut bench, case, 32, repetitions)?;
            grown.push(Growth { of: "identities", count, case, seconds });
        }
    }
    Ok(grown)
}

/// The median of several times, after one to warm up.
fn median(bench: &mut Bench, case: Case, images: usize, repetitions: usize) -> Result<f64, Error> {
    bench.run(case, images)?;
    let seconds = (0..repetitions).map(|_| bench.run(case, images)).collect::<Result<_, _>>()?;
    Ok(Measured { who: String::new(), seconds, peak_bytes: 0 }.median())
}
