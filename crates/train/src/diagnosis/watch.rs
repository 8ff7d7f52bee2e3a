//! What the epochs of a run show while it lasts.

use super::{
    Counts,
    check::Check,
    clipped_saturation, collapse, dead_units,
    drift::similar_features,
    finding::{Level, Measurement, Outcome, Remedy, percent},
    flat_loss,
    origins::NewBlocks,
    steps::{gradient_norm, update_ratio},
};
use crate::{
    loss::LossKind,
    run::{EpochRecord, HealthRecord},
};

/// How much better training images may be known than held-out ones, before it is worth a note. Every
/// sound run on a few photographs a person comes to more.
const GAP: f64 = 0.3;

/// How much better the first epoch of a fold may be than that of the first fold.
const TREND: f64 = 0.1;

/// What is known of a fold's stage at the end of an epoch.
#[derive(Debug, Clone, Copy)]
pub struct EpochsSeen<'a> {
    /// The stage's epochs, the last one last; at least one.
    pub epochs: &'a [EpochRecord],
    /// The stage's learning rate, by the recipe.
    pub rate: f64,
    /// Of the last one.
    pub health: &'a HealthRecord,
    /// What is minimized.
    pub loss: LossKind,
    /// What starts from an initializer.
    pub new_blocks: &'a NewBlocks,
    /// Of the training images.
    pub counts: &'a Counts,
}

/// All that an epoch shows.
///
/// # Panics
///
/// If there is no epoch.
pub fn of_epoch(seen: &EpochsSeen<'_>) -> Vec<Outcome> {
    let EpochsSeen { epochs, rate, health, loss, new_blocks, counts } = *seen;
    let last = epochs.last().expect("an epoch has ended");
    let steps: Vec<_> =
        health.blocks.iter().map(|step| (new_blocks.origin(&step.block), step.clone())).collect();
    let mut outcomes = vec![
        match loss {
            LossKind::CrossEntropy => {
                Outcome::skipped(Check::ClippedSaturation, "the loss is not clipped")
            }
            LossKind::Keras22Clipped => clipped_saturation(last.train_loss, last.train_accuracy),
        },
        update_ratio(&steps),
        gradient_norm(&steps),
        collapse(&health.predictions),
        drift(last, health, counts),
        flat(epochs, rate, counts),
        overfitting(last),
    ];
    outcomes.extend(health.dead_units.iter().map(|(layer, &share)| dead_units(layer, share)));
    outcomes
}

/// The share of what naming the commonest person leaves that a network must recognize for its moved
/// features to be what fine-tuning is for.
const EARNED: f64 = 0.1;

/// Finds features that have moved for nothing: LFW's 62 people with 20 photographs are learned at Adam
/// 1e-4 (46 % after three epochs, where the commonest is 17.5 %) with a similarity of 0.36.
fn drift(epoch: &EpochRecord, health: &HealthRecord, counts: &Counts) -> Outcome {
    let (accuracy, majority) = (epoch.validation_accuracy, counts.majority());
    match health.feature_cka {
        Some(similarity) if majority + EARNED * (1.0 - majority) < accuracy => Outcome::Silent {
            check: Check::FeatureDrift,
            measurement: Measurement::at_least(
                format!(
                    "accuracy on held-out photographs, with features that training has moved to a \
                     similarity of {similarity:.2}"
                ),
                accuracy,
                majority + EARNED * (1.0 - majority),
            ),
        },
        similarity => similar_features(similarity),
    }
}

/// How far a schedule may have lowered a stage's rate before its loss may stand still.
const LOWERED: f64 = 0.05;

/// Finds a loss that stands still, also before a plateau or a schedule has lowered its rate: after that
/// it may.
fn flat(epochs: &[EpochRecord], rate: f64, counts: &Counts) -> Outcome {
    let is_whole = |epoch: &&EpochRecord| LOWERED * rate <= epoch.learning_rate;
    let loss = |epoch: &EpochRecord| epoch.train_loss;
    let all = flat_loss(&epochs.iter().map(loss).collect::<Vec<_>>(), counts);
    let at_whole: Vec<f64> = epochs.iter().filter(is_whole).map(loss).collect();
    if all.finding().is_some() && flat_loss(&at_whole, counts).finding().is_none() {
        let last = epochs.last().map_or(rate, |epoch| epoch.learning_rate);
        return Outcome::skipped(
            Check::FlatLoss,
            format!("at a rate of {last:.0e}, where the recipe says {rate:e}, a loss stands still"),
        );
    }
    all
}

/// Finds a network that knows its training images and not the others.
fn overfitting(epoch: &EpochRecord) -> Outcome {
    let gap = epoch.train_accuracy - epoch.validation_accuracy;
    let what = "accuracy on training photographs less that on held-out ones";
    Outcome::judge(Check::Overfitting, Measurement::at_most(what, gap, GAP), || {
        (
            Level::Note,
            format!(
                "The network recognizes {} of its training photographs and {} of the others: more \
                 epochs will not help, more photographs, augmentation or dropout may.",
                percent(epoch.train_accuracy),
                percent(epoch.validation_accuracy)
            ),
            Remedy::stage("augment", "{ horizontal_flip = true, zoom = 0.1 }"),
        )
    })
}

/// Finds folds that begin better than the first: their held-out images have been trained on.
///
/// `first_epochs` are the held-out accuracies after the first epoch of each fold, in the order in
/// which the folds were trained.
pub fn fold_trend(first_epochs: &[f64]) -> Outcome {
    let check = Check::FoldTrend;
    let (Some(first), Some(last)) =
        (first_epochs.first(), first_epochs.get(1..).and_then(<[f64]>::last))
    else {
        return Outcome::skipped(check, "one fold shows no trend");
    };
    let what = "held-out accuracy after the first epoch of the last fold less that of the first";
    Outcome::judge(check, Measurement::at_most(what, last - first, TREND), || {
        (
            Level::Error,
            format!(
                "The first fold begins at {} of its held-out photographs, the last at {}: the model \
                 has seen them in the folds before.",
                percent(*first),
                percent(*last)
            ),
            Remedy::recipe("fresh_model_per_fold", "true"),
        )
    })
}

/// How much worse than the frozen base alone a trained network may be by chance of the folds.
const WORSE: f64 = 0.01;

/// What a fold came to, beside what the frozen base can do alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BesideBaseline {
    /// On the held-out images.
    pub accuracy: f64,
    /// On the training images, in the last epoch.
    pub train_accuracy: f64,
    /// On the held-out images, of naming the person whose mean features of the frozen base are nearest.
    pub nearest_mean: f64,
    /// On the held-out images, of a linear classifier on those features, where it is known.
    pub linear_probe: Option<f64>,
}

/// Finds a network that training has made worse than the base it came from, or no better yet.
pub fn baseline_beaten(folds: &[BesideBaseline]) -> Outcome {
    let check = Check::BaselineBeaten;
    if folds.is_empty() {
        return Outcome::skipped(check, "the base's features of all photographs are not kept");
    }
    let mean =
        |of: fn(&BesideBaseline) -> f64| folds.iter().map(of).sum::<f64>() / folds.len() as f64;
    let trained = mean(|fold| fold.accuracy);
    let nearest = mean(|fold| fold.nearest_mean);
    let probes: Option<Vec<f64>> = folds.iter().map(|fold| fold.linear_probe).collect();
    let probe = probes.map_or(0.0, |probes| probes.iter().sum::<f64>() / folds.len() as f64);
    let (alone, how) = if nearest < probe {
        (probe, "with a linear classifier")
    } else {
        (nearest, "by nearest means")
    };
    let by_heart = mean(|fold| fold.train_accuracy);
    let what = "accuracy of the frozen base alone less the network's, mean over folds";
    Outcome::judge(check, Measurement::at_most(what, alone - trained, WORSE), || {
        let (words, remedy) = if by_heart < alone + WORSE {
            (
                "it has not learned its training photographs yet",
                "Train for more epochs, or at a higher rate (`cargo xtask find-rate`).",
            )
        } else {
            (
                "what is trained on top of it does not pay",
                "Set `linear-probe`, or of a thousand photographs and more `augmented`, beside it \
                 (`cargo xtask compare`), or give what is trained more `weight_decay`.",
            )
        };
        (
            Level::Warning,
            format!(
                "The network recognizes {} of held-out photographs and {} of those it trains on (as it \
                 is shown them), where the frozen base alone, {how}, recognizes {}: {words}.",
                percent(trained),
                percent(by_heart),
                percent(alone)
            ),
            Remedy::advice(remedy),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::PredictionSpread, *};
    use crate::run::any_epoch;

    fn epoch(train_loss: f64, train_accuracy: f64, validation_accuracy: f64) -> EpochRecord {
        EpochRecord { train_loss, train_accuracy, validation_accuracy, ..any_epoch(0, "fit", 1) }
    }

    fn health(top_share: f64, feature_cka: Option<f64>) -> HealthRecord {
        HealthRecord {
            fold: 0,
            stage: "fit".to_owned(),
            epoch: 1,
            predictions: PredictionSpread {
                top_share,
                top_truth_share: 0.1,
                distinct: 1,
                num_classes: 4,
                entropy: 0.1,
                images: 100,
            },
            saturated_share: 0.0,
            dead_units: BTreeMap::from([("fc6".to_owned(), 0.1)]),
            blocks: Vec::new(),
            feature_cosine: None,
            feature_cka,
        }
    }

    fn found(epochs: &[EpochRecord], health: &HealthRecord, loss: LossKind) -> Vec<Check> {
        let counts = Counts::of(&[0, 1, 2, 3], 4);
        let new_blocks = NewBlocks::of(&["fc6.weight".to_owned(), "fc8.weight".to_owned()]);
        let new_blocks = &new_blocks;
        let seen = EpochsSeen { epochs, rate: 1e-3, health, loss, new_blocks, counts: &counts };
        let outcomes = of_epoch(&seen);
        outcomes.iter().filter_map(|outcome| outcome.finding().map(|f| f.check)).collect()
    }

    #[test]
    fn the_questions_run_is_known_by_its_first_epoch() {
        let epochs = [epoch(16.118_095 * 0.99, 0.01, 0.0)];
        let found = found(&epochs, &health(1.0, Some(0.1)), LossKind::Keras22Clipped);
        assert_eq!(found, [Check::ClippedSaturation, Check::Collapse, Check::FeatureDrift]);
    }

    #[test]
    fn a_run_that_learns_shows_nothing() {
        let epochs = [epoch(1.1, 0.5, 0.4)];
        assert_eq!(found(&epochs, &health(0.2, Some(0.9)), LossKind::CrossEntropy), []);
        let by_heart = [epoch(0.1, 1.0, 0.4)];
        let found = found(&by_heart, &health(0.2, None), LossKind::CrossEntropy);
        assert_eq!(found, [Check::Overfitting]);
    }

    #[test]
    fn a_loss_may_stand_still_at_a_rate_that_was_lowered_but_not_before() {
        let counts = Counts::of(&[0, 1, 2, 3], 4);
        let still = |learning_rate, count| {
            vec![EpochRecord { learning_rate, ..epoch(4.0_f64.ln(), 0.25, 0.25) }; count]
        };
        let judged = |epochs: Vec<EpochRecord>, rate| flat(&epochs, rate, &counts);
        assert!(judged(still(1e-3, 5), 1e-3).finding().is_some());
        assert!(judged(still(1e-9, 5), 1e-9).finding().is_some());
        // Stuck from the first on: that a plateau has seen it, too, mends nothing.
        assert!(judged([still(1e-3, 5), still(1e-5, 5)].concat(), 1e-3).finding().is_some());
        // A rate that another fold has left.
        assert!(matches!(judged(still(1e-7, 5), 1e-3), Outcome::Skipped { .. }));
    }

    #[test]
    fn features_that_have_moved_to_some_use_are_looked_at_and_found_sound() {
        let (of, counts) = (health(0.2, Some(0.1)), Counts::of(&[0, 1, 2, 3], 4));
        let judged = |accuracy| drift(&epoch(1.0, 0.9, accuracy), &of, &counts);
        assert!(matches!(judged(0.9), Outcome::Silent { .. }));
        assert!(judged(0.25).finding().is_some());
    }

    #[test]
    fn a_network_that_the_frozen_base_beats_is_found() {
        let folds = |train_accuracy, accuracies: [f64; 2], linear_probe| {
            accuracies.map(|accuracy| BesideBaseline {
                accuracy,
                train_accuracy,
                nearest_mean: 0.3,
                linear_probe,
            })
        };
        let verdict = |train_accuracy, accuracies| {
            let outcome = baseline_beaten(&folds(train_accuracy, accuracies, Some(0.2)));
            outcome.finding().map(|finding| finding.verdict.clone())
        };
        assert!(verdict(1.0, [0.2, 0.3]).unwrap().ends_with("does not pay."));
        assert!(verdict(0.1, [0.1, 0.1]).unwrap().ends_with("photographs yet."));
        assert_eq!(verdict(1.0, [0.29, 0.3]), None);
        // The better of the two counts.
        let outcome = baseline_beaten(&folds(1.0, [0.5, 0.5], Some(0.6)));
        assert!(
            outcome.finding().unwrap().verdict.contains("with a linear classifier, recognizes 60")
        );
        assert_eq!(baseline_beaten(&folds(1.0, [0.5, 0.5], None)).finding(), None);
        assert!(matches!(baseline_beaten(&[]), Outcome::Skipped { .. }));
    }

    #[test]
    fn folds_that_begin_better_and_better_are_found() {
        assert!(fold_trend(&[0.1, 0.5, 0.9]).finding().is_some());
        assert!(fold_trend(&[0.5, 0.45, 0.55]).finding().is_none());
        assert!(matches!(fold_trend(&[0.5]), Outcome::Skipped { .. }));
    }
}
