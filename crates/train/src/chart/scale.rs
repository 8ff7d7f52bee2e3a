//! Where values lie along an axis.

/// From values to pixels, by their distance or by their ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    values: (f64, f64),
    pixels: (f64, f64),
    is_logarithmic: bool,
}

impl Scale {
    /// Equal distances of values are equal distances of pixels. An empty range is made one of 1.
    pub(crate) fn linear(values: (f64, f64), pixels: (f64, f64)) -> Self {
        let (low, high) = values;
        let high = if low < high { high } else { low + 1.0 };
        Self { values: (low, high), pixels, is_logarithmic: false }
    }

    /// Equal ratios of values are equal distances of pixels. Values are above 0; an empty range is
    /// made one of a decade to both sides.
    pub(crate) fn logarithmic(values: (f64, f64), pixels: (f64, f64)) -> Self {
        let (low, high) = values;
        let values = if low < high { values } else { (low / 10.0, high * 10.0) };
        Self { values, pixels, is_logarithmic: true }
    }

    /// Where a value lies; it may lie outside of the axis.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let place = |value: f64| if self.is_logarithmic { value.log10() } else { value };
        let (low, high) = (place(self.values.0), place(self.values.1));
        let (from, to) = self.pixels;
        from + (to - from) * (place(value) - low) / (high - low)
    }

    /// Round values along the axis, `about` so many: one, two or five of a power of ten apart, or
    /// whole decades; both ends where less than two decades lie between them.
    pub(crate) fn ticks(&self, about: usize) -> Vec<f64> {
        let (low, high) = self.values;
        if self.is_logarithmic {
            return decades(low, high, about);
        }
        let step = step((high - low) / about.max(1) as f64);
        let first = (low / step - 1e-9).ceil();
        let ticks = (0..=2 * about.max(1)).map(|tick| (first + tick as f64) * step);
        ticks.take_while(|&tick| tick <= high + 1e-9 * step).collect()
    }

    /// A value of [`ticks`](Self::ticks) in words.
    pub(crate) fn label(&self, tick: f64) -> String {
        let (low, high) = self.values;
        if self.is_logarithmic {
            return format!("{tick:.1e}").replace(".0e", "e");
        }
        let largest = low.abs().max(high.abs());
        if 1e5 <= largest {
            return format!("{tick:.1e}").replace(".0e", "e");
        }
        let decimals = match high - low {
            range if range < 0.1 => 3,
            range if range < 1.0 => 2,
            range if range < 6.0 => 1,
            _ => 0,
        };
        format!("{tick:.decimals$}")
    }
}

/// One, two or five of a power of ten, at least `rough`.
fn step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| rough <= step * power * (1.0 + 1e-9));
    step.unwrap_or(10.0) * power
}

fn decades(low: f64, high: f64, about: usize) -> Vec<f64> {
    let (low, high) = (low.log10(), high.log10());
    let every = ((high - low) / about.max(1) as f64).ceil().max(1.0);
    // A logarithm of 1e-7 may lie a last digit above -7.
    let first = (low - 1e-9).ceil();
    let ticks = std::iter::successors(Some(first), |tick| Some(tick + every));
    let ticks: Vec<f64> = ticks.take_while(|&tick| tick <= high + 1e-9).collect();
    let ticks = if ticks.len() < 2 { vec![low, high] } else { ticks };
    ticks.into_iter().map(|tick| 10_f64.powf(tick)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, about: usize) -> Vec<String> {
        scale.ticks(about).into_iter().map(|tick| scale.label(tick)).collect()
    }

    #[test]
    fn values_lie_between_the_ends() {
        let down = Scale::linear((0.0, 2.0), (100.0, 0.0));
        for (value, pixel) in [(0.0, 100.0), (0.5, 75.0), (2.0, 0.0)] {
            assert!((down.at(value) - pixel).abs() < 1e-9);
        }
        let rates = Scale::logarithmic((1e-4, 1e-2), (0.0, 10.0));
        assert!((rates.at(1e-3) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn an_empty_range_is_still_an_axis() {
        assert!(Scale::linear((3.0, 3.0), (0.0, 10.0)).at(3.0).abs() < 1e-9);
        assert!((Scale::logarithmic((1e-3, 1e-3), (0.0, 10.0)).at(1e-3) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            labels(Scale::linear((0.0, 1.0), (0.0, 1.0)), 5),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels(Scale::linear((0.0, 100.0), (0.0, 1.0)), 4), ["0", "50", "100"]);
        assert_eq!(labels(Scale::linear((-0.3, 16.1), (0.0, 1.0)), 4), ["0", "5", "10", "15"]);
        assert_eq!(
            labels(Scale::linear((0.42, 0.48), (0.0, 1.0)), 3),
            ["0.420", "0.440", "0.460", "0.480"]
        );
        assert_eq!(labels(Scale::linear((0.0, 3e6), (0.0, 1.0)), 3), ["0e0", "1e6", "2e6", "3e6"]);
        assert_eq!(
            labels(Scale::logarithmic((1e-7, 1e-3), (0.0, 1.0)), 4),
            ["1e-7", "1e-6", "1e-5", "1e-4", "1e-3"]
        );
        assert_eq!(labels(Scale::logarithmic((2e-4, 5e-4), (0.0, 1.0)), 4), ["2e-4", "5e-4"]);
    }
}
