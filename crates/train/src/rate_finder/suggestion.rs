//! The rate to set, from the smoothed losses of a range test.
//!
//! # Source
//!
//! fastai 2.8.12, `callback/schedule.py`: `valley`, `steep` and `minimum`.

use serde::Serialize;

use super::Point;

/// The fewest steps that say something: three thirds of a valley.
const FEWEST: usize = 3;

/// Rates that a range test suggests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Suggestion {
    /// Between the first and the second third of the longest fall: fastai's default.
    pub valley: f64,
    /// Where the loss falls fastest.
    pub steepest: f64,
    /// A tenth of the rate at the lowest loss.
    pub minimum_over_ten: f64,
}

impl Suggestion {
    /// What these steps suggest; nothing if they are fewer than three.
    pub fn of(judged: &[Point]) -> Option<Self> {
        if judged.len() < FEWEST {
            return None;
        }
        let rates: Vec<f64> = judged.iter().map(|point| point.learning_rate).collect();
        let losses: Vec<f64> = judged.iter().map(|point| point.smoothed).collect();
        Some(Self {
            valley: rates[valley(&losses)?],
            steepest: rates[steepest(&rates, &losses)?],
            minimum_over_ten: rates[minimum(&losses)?] / 10.0,
        })
    }
}

/// The step half of the way through the longest valley: a third and half a third from its start,
/// each rounded down; none of no steps.
///
/// The valley ends where the longest falling sequence does (steps between may be left out), and is
/// taken to be as many steps long as that sequence has. fastai lets a valley of the first two steps
/// begin before the first, which in Python is the last; here that is the first.
pub fn valley(losses: &[f64]) -> Option<usize> {
    let mut lengths: Vec<usize> = Vec::with_capacity(losses.len());
    for (step, loss) in losses.iter().enumerate() {
        let before = losses[..step].iter().zip(&lengths).filter(|(other, _)| loss < other);
        lengths.push(1 + before.map(|(_, &length)| length).max().unwrap_or(0));
    }
    let longest = *lengths.iter().max()?;
    let end = lengths.iter().position(|&length| length == longest)?;
    // Without a fall there is no valley.
    let length = if longest == 1 { 0 } else { longest };
    // As Python truncates: a third, and half of one, each rounded down.
    let offset = length / 3 + length / 6;
    // The sequence has a step at its end, so one that takes all steps begins before the first.
    Some((end + offset).saturating_sub(length))
}

/// The step from which the loss falls fastest over the logarithm of the rate; none of less than two
/// steps.
pub fn steepest(rates: &[f64], losses: &[f64]) -> Option<usize> {
    let slope =
        |step: usize| (losses[step + 1] - losses[step]) / (rates[step + 1].ln() - rates[step].ln());
    let slopes = (1..rates.len().min(losses.len())).map(|step| slope(step - 1));
    slopes.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(step, _)| step)
}

/// The step of the lowest loss, the first of equal ones; none of no steps.
pub fn minimum(losses: &[f64]) -> Option<usize> {
    losses.iter().enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(step, _)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_a_fall_and_a_rise_is_halfway_down() {
        // Eight steps fall, to the one at 8; two and one of them lie before the suggestion.
        let losses = [5.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 5.0, 9.0];
        assert_eq!(valley(&losses), Some(3));
        assert_eq!(minimum(&losses), Some(8));
    }

    #[test]
    fn what_never_falls_has_no_valley_but_its_first_step() {
        assert_eq!(valley(&[1.0, 2.0, 3.0, 4.0]), Some(0));
        assert_eq!(valley(&[1.0]), Some(0));
        assert_eq!((valley(&[]), steepest(&[1.0], &[1.0]), minimum(&[])), (None, None, None));
    }

    #[test]
    fn the_steepest_fall_is_over_the_logarithm_of_rates() {
        assert_eq!(steepest(&[1e-3, 1e-2, 1e-1, 1.0], &[4.0, 3.5, 1.0, 2.0]), Some(1));
    }
}
