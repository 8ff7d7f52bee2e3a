use proptest::prelude::*;

use super::*;

#[derive(Deserialize)]
struct Golden {
    temperatures: Vec<Case>,
    reliability: Vec<ReliabilityCase>,
}

#[derive(Deserialize)]
struct Case {
    logits: Vec<f32>,
    labels: Vec<u32>,
    num_classes: usize,
    temperature: f64,
    before: Quality,
    after: Quality,
}

#[derive(Deserialize)]
struct ReliabilityCase {
    confidences: Vec<f64>,
    hits: Vec<bool>,
    num_bins: NonZeroUsize,
    bins: Vec<Bin>,
    expected_calibration_error: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/calibration.json"))
        .expect("its script wrote it in this form")
}

fn assert_close(name: &str, found: f64, expected: f64, tolerance: f64) {
    let difference = (found - expected).abs();
    assert!(difference <= tolerance, "{name}: {found}, not {expected}: {difference}");
}

fn fit(values: &[f32], labels: &[u32], num_classes: usize) -> Result<f64, CalibrationError> {
    Temperature::fit(&Logits::new(values, labels, num_classes)?).map(Temperature::get)
}

#[test]
fn the_temperature_is_that_of_scipy() {
    for case in golden().temperatures {
        let logits = Logits::new(&case.logits, &case.labels, case.num_classes).unwrap();
        let fitted = Temperature::fit(&logits).unwrap();
        // Both find the root of the slope to about 1e-14 of it; its sums round in other orders.
        assert_close("T", fitted.get(), case.temperature, 1e-10 * case.temperature);
        for (temperature, expected) in [(Temperature::ONE, case.before), (fitted, case.after)] {
            let found = temperature.quality(&logits);
            // Means of a few hundred f64; an image moves between bins only on an edge.
            let name = "cross-entropy";
            assert_close(name, found.cross_entropy, expected.cross_entropy, 1e-10);
            assert_close("Brier", found.brier, expected.brier, 1e-10);
            let (found, expected) =
                (found.expected_calibration_error, expected.expected_calibration_error);
            assert_close("calibration error", found, expected, 1e-10);
        }
    }
}

#[test]
fn reliability_is_that_of_numpy() {
    for case in golden().reliability {
        let found = reliability_bins(&case.confidences, &case.hits, case.num_bins).unwrap();
        assert_eq!(found.len(), case.bins.len());
        for (found, expected) in found.iter().zip(&case.bins) {
            assert_eq!(found.count, expected.count, "{found:?}");
            // Means of at most a few hundred numbers of 0 to 1, summed in another order.
            assert_close("lower", found.lower, expected.lower, 1e-13);
            assert_close("upper", found.upper, expected.upper, 1e-13);
            assert_close("accuracy", found.accuracy, expected.accuracy, 1e-13);
            assert_close("confidence", found.confidence, expected.confidence, 1e-13);
        }
        let error =
            expected_calibration_error(&case.confidences, &case.hits, case.num_bins).unwrap();
        assert_close("error", error, case.expected_calibration_error, 1e-13);
    }
}

#[test]
fn separable_logits_have_no_best_temperature() {
    let towards_zero = Err(CalibrationError::NoMinimum { towards: Limit::Zero });
    assert_eq!(fit(&[3.0, 1.0, 0.0, 0.5], &[0, 1], 2), towards_zero);
    let towards_infinity = Err(CalibrationError::NoMinimum { towards: Limit::Infinity });
    assert_eq!(fit(&[3.0, 1.0, 0.0, 0.5], &[1, 0], 2), towards_infinity);
    assert_eq!(fit(&[2.0, 2.0, 2.0, 2.0], &[1, 0], 2), towards_infinity);
}

#[test]
fn extreme_logits_have_an_extreme_temperature() {
    // Three of four are right by d: softmax says 3/4 at d / T = ln 3.
    for scale in [1e-30_f32, 1.0, 1e30] {
        let row = [scale, 0.0];
        let found = fit(&row.repeat(4), &[0, 0, 0, 1], 2).unwrap();
        let expected = f64::from(scale) / 3_f64.ln();
        assert_close("T", found, expected, 1e-12 * expected);
    }
}

#[test]
fn what_is_no_set_of_logits_is_refused() {
    let refusal = |values: &[f32], labels: &[u32], num_classes| {
        Logits::new(values, labels, num_classes).unwrap_err()
    };
    assert_eq!(refusal(&[], &[], 2), CalibrationError::NoImages);
    assert_eq!(refusal(&[1.0], &[0], 1), CalibrationError::TooFewClasses { found: 1 });
    let shape = CalibrationError::Shape { found: 3, images: 2, num_classes: 2 };
    assert_eq!(refusal(&[1.0; 3], &[0, 1], 2), shape);
    let label = CalibrationError::Label { image: 1, label: 2, num_classes: 2 };
    assert_eq!(refusal(&[1.0; 4], &[0, 2], 2), label);
    for value in [f32::NAN, f32::INFINITY] {
        let refusal = refusal(&[0.0, 1.0, 2.0, value], &[0, 1], 2);
        assert!(matches!(refusal, CalibrationError::NonFinite { image: 1, class: 1, .. }));
    }
}

#[test]
fn what_is_no_confidence_is_refused() {
    let bins = |confidences: &[f64], hits: &[bool]| {
        expected_calibration_error(confidences, hits, DEFAULT_BINS)
    };
    let unequal = CalibrationError::Hits { confidences: 1, hits: 2 };
    assert_eq!(bins(&[0.5], &[true, false]), Err(unequal));
    let above = CalibrationError::Confidence { image: 1, found: 1.5 };
    assert_eq!(bins(&[0.5, 1.5], &[true, true]), Err(above));
    assert!(bins(&[f64::NAN], &[true]).is_err());
    assert_eq!(bins(&[], &[]), Ok(0.0));
}

#[test]
fn what_is_no_temperature_is_refused() {
    for value in [0.0, -1.0, f64::INFINITY, 1e-310] {
        assert_eq!(Temperature::new(value), Err(CalibrationError::Temperature { found: value }));
    }
    assert!(Temperature::new(f64::NAN).is_err());
    assert_eq!(
        serde_json::from_str::<Temperature>("2.5").unwrap().get().to_bits(),
        2.5_f64.to_bits()
    );
    assert!(serde_json::from_str::<Temperature>("-2.5").is_err());
}

proptest! {
    #[test]
    fn no_other_temperature_has_a_lower_loss(
        values in prop::collection::vec(-20.0..20.0_f32, 60),
        labels in prop::collection::vec(0..3_u32, 20), factor in 0.5..2.0_f64,
    ) {
        let logits = Logits::new(&values, &labels, 3).unwrap();
        if let Ok(best) = Temperature::fit(&logits) {
            let other = Temperature::new(best.get() * factor).unwrap();
            let (best, other) = (best.quality(&logits), other.quality(&logits));
            prop_assert!(best.cross_entropy <= other.cross_entropy + 1e-12);
        }
    }
}
