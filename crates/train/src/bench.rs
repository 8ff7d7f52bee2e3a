//! How fast the arithmetic is, in turn with peers that do the same.

mod case;
mod peer;

pub use case::{Bench, Case};
pub use peer::Peer;

use serde::Serialize;

use crate::Error;

/// Times of one case, by who did it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseTimes {
    /// What was done.
    pub case: Case,
    /// Ours first.
    pub times: Vec<Times>,
}

/// Repeated times of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// Who did it: `ours`, or the peer's name and version.
    pub who: String,
    /// Wall time of each repetition, in the order they were made, in seconds.
    pub seconds: Vec<f64>,
}

impl Times {
    /// The middle one; of an even number the lower of the two.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted[(sorted.len() - 1) / 2]
    }

    /// The shortest and the longest.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted[0], sorted[sorted.len() - 1])
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// Measures one case: ours and each peer once to warm up, then all of them in turn.
///
/// # Errors
///
/// [`Error::Peer`] if a peer fails, and whatever the network reports.
pub fn measure(
    case: Case,
    repetitions: usize,
    bench: &mut Bench,
    peers: &mut [Peer],
) -> Result<CaseTimes, Error> {
    let names = peers.iter().map(|peer| peer.name().to_owned());
    let mut times: Vec<Times> = std::iter::once("ours".to_owned())
        .chain(names)
        .map(|who| Times { who, seconds: Vec::new() })
        .collect();
    for repetition in 0..=repetitions {
        let mut of_turn = vec![bench.run(case)?];
        for peer in &mut *peers {
            of_turn.push(peer.run(case)?);
        }
        if repetition > 0 {
            for (times, seconds) in times.iter_mut().zip(of_turn) {
                times.seconds.push(seconds);
            }
        }
    }
    Ok(CaseTimes { case, times })
}

/// The table: median, range, and how often ours fits into each peer's median.
pub fn table(results: &[CaseTimes]) -> String {
    let mut text = format!(
        "{:<14} {:<22} {:>9} {:>19} {:>9} {:>7}\n",
        "case", "who", "median s", "range s", "s/image", "ratio"
    );
    for CaseTimes { case, times } in results {
        let ours = times.first().map_or(f64::NAN, Times::median);
        for of in times {
            let (least, most) = of.range();
            let line = format_args!(
                "{:<14} {:<22} {:>9.4} {:>9.4} {:>9.4} {:>9.4} {:>6.2}x\n",
                case.name(),
                of.who,
                of.median(),
                least,
                most,
                of.median() / case.images() as f64,
                of.median() / ours
            );
            text.push_str(&line.to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_and_ratios_to_ours() {
        let times =
            |who: &str, seconds: &[f64]| Times { who: who.to_owned(), seconds: seconds.to_vec() };
        let results = [CaseTimes {
            case: Case::Head32,
            times: vec![times("ours", &[3.0, 1.0, 2.0]), times("peer", &[8.0, 8.0, 9.0])],
        }];
        let table = table(&results);
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("4.00x") && table.contains("1.00x"), "{table}");
        assert_eq!(results[0].times[0].range(), (1.0, 3.0));
    }
}
