//! `predictions.csv`: what the model says of each validation image of a fold.

use std::fmt::Write as _;

use crate::metrics::Prediction;

/// The table as text: a header, then a line for each image.
///
/// # Shapes
///
/// - `images`: paths of the validation images, one for each prediction
/// - `identities`: names by label
pub fn predictions_csv(images: &[&str], identities: &[String], rows: &[Prediction]) -> String {
    let mut csv = "image,identity,label,predicted,probability,rank_of_truth\n".to_owned();
    for (image, row) in images.iter().zip(rows) {
        let name = |label: u32| field(&identities[label as usize]);
        writeln!(
            csv,
            "{},{},{},{},{:.6},{}",
            field(image),
            name(row.label),
            row.label,
            name(row.predicted),
            row.probability,
            row.rank_of_truth
        )
        .expect("writing to a string does not fail");
    }
    csv
}

/// A field as RFC 4180 quotes it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_and_quotes_are_quoted() {
        let row = Prediction { label: 0, predicted: 1, probability: 0.25, rank_of_truth: 2 };
        let identities = ["King, Jr.".to_owned(), "\"Q\"".to_owned()];
        assert_eq!(
            predictions_csv(&["a/1.jpg"], &identities, &[row]),
            "image,identity,label,predicted,probability,rank_of_truth\n\
             a/1.jpg,\"King, Jr.\",0,\"\"\"Q\"\"\",0.250000,2\n"
        );
    }
}
