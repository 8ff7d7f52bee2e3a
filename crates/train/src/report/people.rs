//! Accuracy against how many photographs a person has.

use std::collections::BTreeMap;

use super::predictions::PredictedImage;
use crate::chart::{Anchor, Edges, Plot, Scale, Svg};

/// Photographs from which on a bin begins; the last has no end.
const STARTS: [usize; 7] = [1, 4, 6, 10, 20, 50, 100];

/// People with about as many photographs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PeopleBin {
    /// The fewest and the most photographs, the most only where there is a next bin.
    pub(super) photographs: (usize, Option<usize>),
    /// People of whom a photograph was held out.
    pub(super) people: usize,
    /// Photographs held out.
    pub(super) images: usize,
    /// Of these, recognized.
    pub(super) hits: usize,
}

impl PeopleBin {
    /// `6 to 9`, or `100 and more`.
    pub(super) fn label(&self) -> String {
        match self.photographs {
            (fewest, Some(most)) if fewest == most => fewest.to_string(),
            (fewest, Some(most)) => format!("{fewest} to {most}"),
            (fewest, None) => format!("{fewest} and more"),
        }
    }

    /// The share that is recognized.
    pub(super) fn accuracy(&self) -> f64 {
        self.hits as f64 / self.images as f64
    }
}

/// Bins people by how many photographs they have; bins of nobody are left out.
///
/// `photographs` says how many each person has in all.
pub(super) fn people_bins<'a>(
    predictions: impl IntoIterator<Item = &'a PredictedImage>,
    photographs: &BTreeMap<String, usize>,
) -> Vec<PeopleBin> {
    let mut of_person: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in predictions {
        let (images, hits) = of_person.entry(&row.identity).or_default();
        *images += 1;
        *hits += usize::from(row.is_hit());
    }
    let mut bins: Vec<PeopleBin> = STARTS
        .iter()
        .enumerate()
        .map(|(bin, &start)| PeopleBin {
            photographs: (start, STARTS.get(bin + 1).map(|next| next - 1)),
            people: 0,
            images: 0,
            hits: 0,
        })
        .collect();
    for (person, (images, hits)) in of_person {
        let count = photographs.get(person).copied().unwrap_or(images);
        let place = STARTS.partition_point(|&start| start <= count).saturating_sub(1);
        bins[place].people += 1;
        bins[place].images += images;
        bins[place].hits += hits;
    }
    bins.retain(|bin| 0 < bin.people);
    bins
}

/// The 95 % interval of a share, 0 to 1.
///
/// # Source
///
/// Wilson, Probable Inference, the Law of Succession, and Statistical Inference (JASA 22, 1927).
pub(super) fn wilson(hits: usize, images: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    let count = images as f64;
    let share = hits as f64 / count;
    let middle = (share + Z * Z / (2.0 * count)) / (1.0 + Z * Z / count);
    let spread = Z / (1.0 + Z * Z / count)
        * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
    ((middle - spread).max(0.0), (middle + spread).min(1.0))
}

/// A column for each bin, with its interval.
pub(super) fn chart(bins: &[PeopleBin]) -> String {
    const COLUMN: f64 = 92.0;
    // The words above and below need some room, however few columns there are.
    let width = (COLUMN * bins.len() as f64).max(230.0);
    let edges = Edges { left: 56.0, right: 64.0 + width, top: 34.0, bottom: 230.0 };
    let mut svg = Svg::new(edges.right + 16.0, 300.0, "Accuracy by photographs per person");
    let highest = bins.iter().map(|bin| wilson(bin.hits, bin.images).1).fold(0.05, f64::max);
    let plot = Plot {
        edges,
        x: Scale::linear((0.0, bins.len() as f64), (edges.left, edges.right)),
        y: Scale::linear((0.0, (100.0 * highest).min(100.0)), (edges.bottom, edges.top)),
    };
    plot.rows(&mut svg, 5, " %");
    plot.heading(&mut svg, "accuracy on held-out photographs");
    for (place, bin) in bins.iter().enumerate() {
        let middle = plot.x.at(place as f64 + 0.5);
        let (accuracy, (lower, upper)) = (100.0 * bin.accuracy(), wilson(bin.hits, bin.images));
        let y = plot.y.at(accuracy);
        let title = format!(
            "{} photographs a person: {} of {} photographs of {} people recognized, {accuracy:.1} % (95 % interval \
             {:.1} to {:.1} %)",
            bin.label(),
            bin.hits,
            bin.images,
            bin.people,
            100.0 * lower,
            100.0 * upper
        );
        svg.rectangle("bar", (middle - 26.0, y), (52.0, edges.bottom - y), &title);
        let (low, high) = (plot.y.at(100.0 * lower), plot.y.at(100.0 * upper));
        svg.path("whisker", format_args!("M{middle:.1} {low:.1}V{high:.1}"));
        svg.text("tick", (middle, edges.bottom + 18.0), Anchor::Middle, bin.label());
        svg.text(
            "small",
            (middle, edges.bottom + 34.0),
            Anchor::Middle,
            format_args!("{} people", bin.people),
        );
    }
    svg.path("axis", format_args!("M{} {}H{}", edges.left, edges.bottom, edges.right));
    svg.text(
        "name",
        (f64::midpoint(edges.left, edges.right), edges.bottom + 58.0),
        Anchor::Middle,
        "photographs of a person",
    );
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::predictions::tests::predicted;

    #[test]
    fn people_are_binned_by_all_their_photographs() {
        let rows = [
            predicted("a", "a", 1),
            predicted("a", "b", 2),
            predicted("b", "b", 1),
            predicted("c", "a", 5),
        ];
        let photographs =
            BTreeMap::from([("a".to_owned(), 7), ("b".to_owned(), 6), ("c".to_owned(), 530)]);
        let bins = people_bins(&rows, &photographs);
        let told: Vec<_> =
            bins.iter().map(|bin| (bin.label(), bin.people, bin.images, bin.hits)).collect();
        assert_eq!(told, [("6 to 9".to_owned(), 2, 3, 2), ("100 and more".to_owned(), 1, 1, 0)]);
        let unknown = people_bins(&rows, &BTreeMap::new());
        assert_eq!(unknown[0].photographs, (1, Some(3)));
        let svg = chart(&bins);
        assert!(svg.contains("2 of 3 photographs of 2 people recognized, 66.7 %"), "{svg}");
    }

    #[test]
    fn intervals_are_wilsons() {
        // statsmodels 0.14, proportion_confint(hits, images, method="wilson").
        let close = |(lower, upper): (f64, f64), (l, u): (f64, f64)| {
            (lower - l).abs() < 5e-5 && (upper - u).abs() < 5e-5
        };
        assert!(close(wilson(0, 10), (0.0, 0.2775)));
        assert!(close(wilson(5, 10), (0.2366, 0.7634)));
        assert!(close(wilson(10, 10), (0.7225, 1.0)));
    }
}
