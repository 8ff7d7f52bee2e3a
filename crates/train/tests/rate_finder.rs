//! A range test's smoothing, its end and its suggestions, as fastai has them.

use serde::Deserialize;
use train::rate_finder::{Curve, End, Suggestion};

#[derive(Deserialize)]
struct Case {
    name: String,
    steps: usize,
    rates: Vec<f64>,
    /// None where the loss is no number.
    losses: Vec<Option<f64>>,
    /// Up to where fastai stops, less what is no number.
    smoothed: Vec<f64>,
    stopped_after: usize,
    valley: f64,
    steepest: f64,
    minimum_over_ten: f64,
}

#[test]
fn smoothing_end_and_suggestions_are_those_of_fastai() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/find_rate.json")).unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let mut curve = Curve::default();
        for (&rate, loss) in case.rates.iter().zip(&case.losses) {
            if curve.push(rate, loss.unwrap_or(f64::NAN)).is_break() {
                break;
            }
        }
        let name = &case.name;
        assert_eq!(curve.points().len(), case.smoothed.len(), "{name}");
        // fastai goes on to the end where a loss is no number.
        match curve.end() {
            End::Completed | End::NotANumber { .. } => {
                assert_eq!(case.stopped_after, case.steps, "{name}");
            }
            End::Diverged { .. } => assert_eq!(case.stopped_after, case.smoothed.len(), "{name}"),
        }
        for (step, (point, &expected)) in curve.points().iter().zip(&case.smoothed).enumerate() {
            // fastai's mean is kept in f32, over up to a hundred steps, and divided by as little as 0.02.
            let error = (point.smoothed - expected).abs() / expected;
            assert!(error < 1e-5, "{name}: off by {error:e} at step {step}");
        }
        // Rates are taken from the list, so they are the same ones but for a tenth in f32 or f64.
        let found = Suggestion::of(curve.judged(case.steps)).unwrap();
        let expected = [case.valley, case.steepest, case.minimum_over_ten];
        let found = [found.valley, found.steepest, found.minimum_over_ten];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-7, "{name}: {found:e}, not {expected:e}");
        }
    }
}
