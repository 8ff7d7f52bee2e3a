//! Who is taken for whom, the most often first.

use std::collections::BTreeMap;

use super::predictions::PredictedImage;

/// One person taken for another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Confusion<'a> {
    /// Who the photographs show.
    pub(super) identity: &'a str,
    /// Who the network takes them for.
    pub(super) predicted: &'a str,
    /// How often.
    pub(super) count: usize,
    /// How many photographs of the person were held out.
    pub(super) held_out: usize,
    /// The photograph of which the network was the surest.
    pub(super) surest: &'a PredictedImage,
    /// A held-out photograph of the other person, where there is one: of those that are recognized
    /// the surest, else any.
    pub(super) other: Option<&'a PredictedImage>,
}

/// The pairs that are confused the most often, `most` of them at most; of equals those with the
/// larger share, then by name. One photograph alone is no confusion but a mistake.
pub(super) fn confusions<'a>(rows: &[&'a PredictedImage], most: usize) -> Vec<Confusion<'a>> {
    let mut pairs: BTreeMap<(&str, &str), Vec<&'a PredictedImage>> = BTreeMap::new();
    let mut of_person: BTreeMap<&str, Vec<&'a PredictedImage>> = BTreeMap::new();
    for row in rows {
        of_person.entry(&row.identity).or_default().push(row);
        if !row.is_hit() {
            pairs.entry((&row.identity, &row.predicted)).or_default().push(row);
        }
    }
    let sure = |row: &&&PredictedImage| row.probability;
    let mut confusions: Vec<Confusion<'a>> = pairs
        .into_iter()
        .filter(|(_, rows)| 2 <= rows.len())
        .map(|((identity, predicted), rows)| {
            let surest = rows
                .iter()
                .max_by(|one, other| sure(one).total_cmp(&sure(other)))
                .expect("two at least are there");
            let others = of_person.get(predicted).into_iter().flatten();
            let other = others.max_by(|one, other| {
                (one.is_hit(), sure(one))
                    .partial_cmp(&(other.is_hit(), sure(other)))
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
            Confusion {
                identity,
                predicted,
                count: rows.len(),
                held_out: of_person[identity].len(),
                surest,
                other: other.copied(),
            }
        })
        .collect();
    let share = |confusion: &Confusion<'_>| confusion.count as f64 / confusion.held_out as f64;
    confusions.sort_by(|one, other| {
        let by_count = other.count.cmp(&one.count);
        by_count.then_with(|| share(other).total_cmp(&share(one)))
    });
    confusions.truncate(most);
    confusions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::predictions::tests::predicted;

    #[test]
    fn the_most_frequent_pairs_come_first() {
        let rows = [
            predicted("a", "b", 2),
            predicted("a", "b", 3),
            predicted("b", "b", 1),
            predicted("b", "a", 2),
            predicted("c", "a", 2),
            predicted("c", "a", 2),
            predicted("c", "a", 2),
        ];
        let rows: Vec<&PredictedImage> = rows.iter().collect();
        let found = confusions(&rows, 5);
        let told: Vec<_> =
            found.iter().map(|it| (it.identity, it.predicted, it.count, it.held_out)).collect();
        assert_eq!(told, [("c", "a", 3, 3), ("a", "b", 2, 2)]);
        assert!(found[1].other.unwrap().is_hit(), "b's recognized photograph stands for b");
        assert_eq!(found[0].other.unwrap().identity, "a");
        assert_eq!(confusions(&rows, 1).len(), 1);
        assert_eq!(confusions(&[], 5), []);
    }
}
