//! What the network said of each held-out photograph, read back from `predictions.csv`.

use std::{io, path::Path};

use serde::Deserialize;

use crate::Error;

/// A line of `predictions.csv`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct PredictedImage {
    /// The photograph's path in the folder of faces.
    pub(super) image: String,
    /// Who it shows.
    pub(super) identity: String,
    /// Who the network takes it for.
    pub(super) predicted: String,
    /// How sure it is, 0 to 1.
    pub(super) probability: f64,
    /// How many people it would name before the right one, and one.
    pub(super) rank_of_truth: usize,
}

impl PredictedImage {
    /// Whether the network is right.
    pub(super) fn is_hit(&self) -> bool {
        self.rank_of_truth == 1
    }
}

/// The predictions of a fold; none if it is not done.
///
/// # Errors
///
/// [`Error::Read`] if the disk fails, [`Error::Format`] if the file is no such table.
pub(super) fn read_predictions(path: &Path) -> Result<Option<Vec<PredictedImage>>, Error> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let rows: Result<Vec<PredictedImage>, csv::Error> =
        csv::Reader::from_reader(file).into_deserialize().collect();
    rows.map(Some).map_err(|cause| Error::Format {
        path: path.to_owned(),
        problem: format!("is no table of predictions ({cause})"),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{metrics::Prediction, run::predictions_csv};

    /// A photograph of one person, taken for another or not.
    pub(in crate::report) fn predicted(
        identity: &str,
        predicted: &str,
        rank: usize,
    ) -> PredictedImage {
        PredictedImage {
            image: format!("{identity}/{identity}_0001.jpg"),
            identity: identity.to_owned(),
            predicted: predicted.to_owned(),
            probability: 0.5,
            rank_of_truth: rank,
        }
    }

    #[test]
    fn what_a_run_writes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        let rows = [
            Prediction { label: 0, predicted: 1, probability: 0.25, rank_of_truth: 2 },
            Prediction { label: 1, predicted: 1, probability: 1.0, rank_of_truth: 1 },
        ];
        let identities = ["King, \"B\"".to_owned(), "<script>\n".to_owned()];
        let csv = predictions_csv(&["a,b/1.jpg", "c/2.jpg"], &identities, &rows);
        std::fs::write(&path, csv).unwrap();
        let read = read_predictions(&path).unwrap().unwrap();
        assert_eq!(
            (read[0].image.as_str(), read[0].identity.as_str()),
            ("a,b/1.jpg", "King, \"B\"")
        );
        assert_eq!((read[0].predicted.as_str(), read[0].is_hit()), ("<script>\n", false));
        assert_eq!((read[1].probability, read[1].is_hit()), (1.0, true));
        assert_eq!(read_predictions(&folder.path().join("none.csv")).unwrap(), None);
        std::fs::write(&path, "image\n1\n").unwrap();
        assert!(matches!(read_predictions(&path), Err(Error::Format { .. })));
    }
}
