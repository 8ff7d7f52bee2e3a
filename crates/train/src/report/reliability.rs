//! How often the network is right, beside how sure it is.

use super::predictions::PredictedImage;
use crate::{
    calibration::{Bin, DEFAULT_BINS, expected_calibration_error, reliability_bins},
    chart::{Edges, Plot, Scale, Svg},
};

/// The calibration of predictions.
pub(super) struct Reliability {
    pub(super) bins: Vec<Bin>,
    /// Expected calibration error, 0 to 1.
    pub(super) error: f64,
}

/// Of the probabilities as the network gives them; none of no predictions.
pub(super) fn reliability<'a>(
    rows: impl IntoIterator<Item = &'a PredictedImage>,
) -> Option<Reliability> {
    let (confidences, hits): (Vec<f64>, Vec<bool>) =
        rows.into_iter().map(|row| (row.probability, row.is_hit())).unzip();
    if confidences.is_empty() {
        return None;
    }
    let bins = reliability_bins(&confidences, &hits, DEFAULT_BINS).ok()?;
    let error = expected_calibration_error(&confidences, &hits, DEFAULT_BINS).ok()?;
    Some(Reliability { bins, error })
}

/// Accuracy over confidence: a column for each bin, the diagonal where they are equal.
pub(super) fn chart(reliability: &Reliability) -> String {
    let edges = Edges { left: 56.0, right: 316.0, top: 34.0, bottom: 294.0 };
    let mut svg = Svg::new(344.0, 350.0, "Accuracy over confidence");
    let plot = Plot {
        edges,
        x: Scale::linear((0.0, 100.0), (edges.left, edges.right)),
        y: Scale::linear((0.0, 100.0), (edges.bottom, edges.top)),
    };
    plot.rows(&mut svg, 5, " %");
    plot.columns(&mut svg, 5, " %");
    plot.heading(&mut svg, "accuracy on held-out photographs");
    for bin in &reliability.bins {
        let (left, y) = plot.at(100.0 * bin.lower, 100.0 * bin.accuracy);
        let right = plot.x.at(100.0 * bin.upper);
        let title = format!(
            "{} photographs of which the network was {:.0} to {:.0} % sure: {:.1} % right, {:.1} % sure in the mean",
            bin.count,
            100.0 * bin.lower,
            100.0 * bin.upper,
            100.0 * bin.accuracy,
            100.0 * bin.confidence
        );
        svg.rectangle("bar", (left + 1.0, y), (right - left - 2.0, edges.bottom - y), &title);
        svg.dot("point", plot.at(100.0 * bin.confidence, 100.0 * bin.accuracy), 3.5, "");
    }
    svg.path(
        "diagonal",
        format_args!("M{} {}L{} {}", edges.left, edges.bottom, edges.right, edges.top),
    );
    plot.floor(&mut svg, "probability of the answer");
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::predictions::tests::predicted;

    #[test]
    fn a_network_that_is_half_sure_and_always_right_is_off_by_a_half() {
        let rows = [predicted("a", "a", 1), predicted("b", "b", 1)];
        let found = reliability(&rows).unwrap();
        assert!((found.error - 0.5).abs() < 1e-12);
        assert!(
            chart(&found)
                .contains("2 photographs of which the network was 47 to 53 % sure: 100.0 % right")
        );
        assert!(reliability(&[]).is_none());
    }
}
