//! How fast the arithmetic is, in turn with peers that do the same.

mod bound;
mod case;
mod experiments;
mod growth;
mod layers;
mod own;
mod peer;
mod table;

pub use bound::{Bound, Machine};
pub use case::{Case, Part, Reads};
pub use experiments::experiments;
pub use growth::{Growth, Size, growth};
pub use layers::{LayerTimes, layers};
pub use own::{prepare, serve};
pub use peer::{Peer, PeerKind};
pub use table::{growth_table, layers_table, table};

use serde::Serialize;

use crate::{Error, training::Interrupt};

/// What one case took, by who did it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseResult {
    /// What was done.
    pub case: Case,
    /// What our arithmetic cannot go below.
    pub bound: Bound,
    /// Ours first.
    pub measured: Vec<Measured>,
}

/// What one case took one that did it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Who did it: `ours`, or the peer's name and version.
    pub who: String,
    /// Wall time of each repetition, in the order they were made, in seconds.
    pub seconds: Vec<f64>,
    /// The most memory that the process held, in bytes.
    pub peak_bytes: u64,
}

impl Measured {
    /// The middle time; of an even number the lower of the two.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn median(&self) -> f64 {
        median(&self.seconds)
    }

    /// The shortest and the longest time.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn range(&self) -> (f64, f64) {
        let sorted = sorted(&self.seconds);
        (sorted[0], sorted[sorted.len() - 1])
    }
}

fn refuse_interrupted(interrupt: &Interrupt) -> Result<(), Error> {
    if interrupt.is_raised() { Err(Error::InterruptedTrial) } else { Ok(()) }
}

fn median(seconds: &[f64]) -> f64 {
    sorted(seconds)[(seconds.len() - 1) / 2]
}

fn sorted(seconds: &[f64]) -> Vec<f64> {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Measures one case: fresh processes, ours and those of peers, do it once each to warm up and then in turn.
///
/// `request` is what they are told: the case's name, and the folder where it needs one.
///
/// # Errors
///
/// [`Error::Peer`] if one of the processes fails, [`Error::InterruptedTrial`] after Ctrl-C.
pub fn measure(
    case: Case,
    request: &str,
    repetitions: usize,
    mut processes: Vec<Peer>,
    interrupt: &Interrupt,
) -> Result<CaseResult, Error> {
    let mut seconds = vec![Vec::new(); processes.len()];
    let progress = terminal::bar(case.name(), terminal::Unit::Things("measurements"));
    progress.set_length(((repetitions + 1) * processes.len()) as u64);
    for repetition in 0..=repetitions {
        for (process, seconds) in processes.iter_mut().zip(&mut seconds) {
            progress.set_message(process.name().to_owned());
            // A script hears of Ctrl-C too, and ends.
            let taken = process.seconds(request);
            refuse_interrupted(interrupt)?;
            let taken = taken?;
            progress.inc(1);
            if repetition > 0 {
                seconds.push(taken);
            }
        }
    }
    progress.finish_and_clear();
    let measured = processes
        .iter_mut()
        .zip(seconds)
        .map(|(process, seconds)| {
            let peak_bytes = process.peak_bytes()?;
            Ok(Measured { who: process.name().to_owned(), seconds, peak_bytes })
        })
        .collect::<Result<_, Error>>()?;
    Ok(CaseResult { case, bound: Bound::of(case), measured })
}
