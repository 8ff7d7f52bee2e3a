//! The rates of a range test.

use serde::Serialize;

use crate::Error;

/// The fewest steps that leave something to judge, once a tenth and the last five are left out.
const FEWEST_STEPS: usize = 10;

/// Rates that grow by the same factor from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateRange {
    from: f64,
    to: f64,
    steps: usize,
}

impl RateRange {
    /// Checks the range.
    ///
    /// # Errors
    ///
    /// [`Error::RateRange`] if there are fewer than ten steps, or the rates are not positive, finite
    /// and ascending.
    pub fn new(from: f64, to: f64, steps: usize) -> Result<Self, Error> {
        let wrong = |setting, found: String, expected: String| {
            Err(Error::RateRange { setting, found, expected })
        };
        if !(from.is_finite() && 0.0 < from) {
            return wrong("--from", from.to_string(), "a finite number above 0".to_owned());
        }
        if !((to / from).is_finite() && from < to) {
            let expected = format!(
                "a finite number above --from, which is {from:e}, and not beyond all measure"
            );
            return wrong("--to", format!("{to:e}"), expected);
        }
        if steps < FEWEST_STEPS {
            return wrong("--steps", steps.to_string(), format!("{FEWEST_STEPS} at least"));
        }
        Ok(Self { from, to, steps })
    }

    /// The rate of the first step.
    pub fn from(&self) -> f64 {
        self.from
    }

    /// The rate of the last step.
    pub fn to(&self) -> f64 {
        self.to
    }

    /// How many there are.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The rates, ascending.
    pub fn rates(self) -> impl Iterator<Item = f64> {
        let last = (self.steps - 1) as f64;
        (0..self.steps).map(move |step| self.from * (self.to / self.from).powf(step as f64 / last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_grow_by_one_factor_from_end_to_end() {
        let rates: Vec<f64> = RateRange::new(1e-7, 10.0, 100).unwrap().rates().collect();
        assert_eq!(rates.len(), 100);
        // A power and a product of f64 are off by some units of the last place.
        let is_near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
        assert!(is_near(rates[0], 1e-7) && is_near(rates[99], 10.0), "{rates:?}");
        let factor = 1e8_f64.powf(1.0 / 99.0);
        assert!(rates.windows(2).all(|pair| is_near(pair[1] / pair[0], factor)));
    }

    #[test]
    fn a_range_that_is_none_is_refused_by_its_name() {
        let setting = |from, to, steps| match RateRange::new(from, to, steps) {
            Err(Error::RateRange { setting, .. }) => setting,
            other => panic!("{other:?}"),
        };
        assert_eq!(setting(0.0, 1.0, 100), "--from");
        assert_eq!(setting(f64::NAN, 1.0, 100), "--from");
        assert_eq!(setting(1.0, 1.0, 100), "--to");
        assert_eq!(setting(1.0, f64::INFINITY, 100), "--to");
        assert_eq!(setting(1e-300, 1e300, 100), "--to");
        assert_eq!(setting(1e-7, 10.0, 9), "--steps");
    }
}
