//! The worst mistakes: photographs of which the network was sure, and wrong.

use super::predictions::PredictedImage;

/// The photographs that are not recognized, `most` at most: the surest first, of equals those whose
/// truth is farther behind.
pub(super) fn mistakes<'a>(rows: &[&'a PredictedImage], most: usize) -> Vec<&'a PredictedImage> {
    let mut wrong: Vec<&PredictedImage> =
        rows.iter().copied().filter(|row| !row.is_hit()).collect();
    wrong.sort_by(|one, other| {
        let by_probability = other.probability.total_cmp(&one.probability);
        by_probability.then_with(|| other.rank_of_truth.cmp(&one.rank_of_truth))
    });
    wrong.truncate(most);
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::predictions::tests::predicted;

    #[test]
    fn the_surest_come_first() {
        let mut rows = [
            predicted("a", "b", 2),
            predicted("b", "b", 1),
            predicted("c", "b", 9),
            predicted("d", "b", 3),
        ];
        rows[3].probability = 0.9;
        let rows: Vec<&PredictedImage> = rows.iter().collect();
        let found: Vec<&str> = mistakes(&rows, 2).iter().map(|row| row.identity.as_str()).collect();
        assert_eq!(found, ["d", "c"]);
    }
}
