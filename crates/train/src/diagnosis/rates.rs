//! Whether the rate moves pretrained weights further at each step than they can bear.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
    origins::{LayerWeights, Origin},
};
use crate::optimizer::{OptimizerConfig, RateFactors};

/// The share of a block's typical weight that a step may move, above which a random head over an
/// open base is an error.
///
/// In VGG16 for ImageNet the fourth and fifth blocks have weights of 0.008 to 0.009, so that Adam at
/// its default of 1e-3 moves them by 12 % a step: on LFW's 311 people the loss then reaches 16.118,
/// its clip, at the third step and stays. At 1e-4 it is 1.2 %. The threshold is the geometric mean.
const RUINOUS: f64 = 0.037;

/// Above this, no error but a warning: between 1e-4 (0.012) and 1e-5 (0.0012) in the same network.
const LARGE: f64 = 0.0037;

/// A stage as its rate concerns it.
#[derive(Debug, Clone)]
pub struct StageRate<'a> {
    /// The stage's name.
    pub name: &'a str,
    /// The layers that learn.
    pub trainable: &'a BTreeSet<String>,
    /// Whether the head learns alone at first, and the base is opened block by block.
    pub unfreezes: bool,
    /// Who moves them.
    pub optimizer: &'a OptimizerConfig,
    /// What the rate of each layer is multiplied by.
    pub factors: RateFactors,
}

/// The worst of what stages do to blocks.
struct Worst<'a> {
    share: f64,
    stage: &'a str,
    block: String,
    rate: f64,
    /// A rate of the stage with which the block would move by what is large at most.
    bearable: f64,
    head: Head,
}

/// What the head is when the base is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// As it was drawn.
    Random,
    /// From the file, or trained by an earlier stage.
    Trained,
}

/// Finds rates of Adam and `RMSprop` that are large beside the pretrained weights they move.
///
/// Both divide a gradient by its typical size, so that each weight moves by about the rate at each
/// step, however small its gradient. The typical weight of a block is the root of the mean square
/// over its layers. A step of SGD follows the gradient and is not known before it is there.
pub fn base_rate(stages: &[StageRate<'_>], layers: &[LayerWeights]) -> Outcome {
    let check = Check::BaseRate;
    let blocks = blocks(layers);
    if blocks.is_empty() {
        return Outcome::skipped(
            check,
            "no layer of the base is from a file, there is nothing to lose",
        );
    }
    let mut trained: BTreeSet<&str> = BTreeSet::new();
    let mut worst: Option<Worst<'_>> = None;
    let mut is_base_opened = false;
    for stage in stages {
        let opened: Vec<&Block<'_>> = blocks
            .iter()
            .filter(|block| block.layers.iter().any(|&l| stage.trainable.contains(l)))
            .collect();
        is_base_opened |= !opened.is_empty();
        let is_random = |layer: &LayerWeights| {
            layer.origin == Origin::New && !trained.contains(layer.name.as_str())
        };
        let is_trained_first =
            |layer: &LayerWeights| stage.unfreezes && stage.trainable.contains(&layer.name);
        let is_random_head = |layer: &LayerWeights| is_random(layer) && !is_trained_first(layer);
        let head = if layers.iter().any(is_random_head) { Head::Random } else { Head::Trained };
        if moves_by_its_rate(stage.optimizer) {
            for block in opened {
                let factor = stage.factors.of(block.layers[0]);
                let rate = factor * stage.optimizer.learning_rate();
                let rms = block.rms;
                let share = rate / rms;
                // A random head under a lower rate is worse than a trained one under a higher.
                let is_worse = worst.as_ref().is_none_or(|w| {
                    (w.head == head && w.share < share)
                        || (w.head == Head::Trained && head == Head::Random && LARGE < share)
                });
                if is_worse {
                    let (stage, block) = (stage.name, block.name.clone());
                    let bearable = LARGE * rms / factor;
                    worst = Some(Worst { share, stage, block, rate, bearable, head });
                }
            }
        }
        trained.extend(stage.trainable.iter().map(String::as_str));
    }
    let what = "share of a pretrained weight that a step moves";
    let Some(worst) = worst else {
        return if is_base_opened {
            Outcome::skipped(
                check,
                "only SGD moves the base, whose steps follow the gradients; they are measured \
                 while training",
            )
        } else {
            Outcome::Silent { check, measurement: Measurement::at_most(what, 0.0, LARGE) }
        };
    };
    let level = match worst.head {
        Head::Random if RUINOUS < worst.share => Level::Error,
        _ => Level::Warning,
    };
    let threshold = if level == Level::Error { RUINOUS } else { LARGE };
    let measurement = Measurement::at_most(what, worst.share, threshold);
    Outcome::judge(check, measurement, || {
        let head = match worst.head {
            Head::Random => "while the new head still sends it random gradients",
            Head::Trained => "though the head has been trained before",
        };
        (
            level,
            format!(
                "The learning rate {:e} of stage `{}` moves each pretrained weight of {} by about {} \
                 of its size at every step, {head}: {}.",
                worst.rate,
                worst.stage,
                worst.block,
                percent(worst.share),
                match level {
                    Level::Error => "what the base knew is gone after a few steps",
                    _ => "the base may forget more than it learns",
                }
            ),
            match level {
                Level::Error => Remedy::command("--recipe two-stage"),
                _ => Remedy::advice(format!(
                    "Set learning_rate = {} in the optimizer of stage `{}`, or less.",
                    one_digit_below(worst.bearable),
                    worst.stage
                )),
            },
        )
    })
}

/// A rate rounded down to one digit.
fn one_digit_below(rate: f64) -> String {
    let unit = 10.0_f64.powf(rate.log10().floor());
    format!("{:.0e}", (rate / unit).floor().max(1.0) * unit)
}

/// Layers of the base that are from the file.
struct Block<'a> {
    /// `conv4`.
    name: String,
    layers: Vec<&'a str>,
    rms: f64,
}

fn blocks(layers: &[LayerWeights]) -> Vec<Block<'_>> {
    let mut by_name: BTreeMap<&str, Vec<&LayerWeights>> = BTreeMap::new();
    for layer in layers.iter().filter(|layer| layer.origin == Origin::File && layer.is_base()) {
        by_name.entry(layer.block()).or_default().push(layer);
    }
    by_name
        .into_iter()
        .filter_map(|(name, layers)| {
            let weights: f64 = layers.iter().map(|layer| layer.weights as f64).sum();
            let squares: f64 =
                layers.iter().map(|layer| layer.weights as f64 * layer.rms.powi(2)).sum();
            let rms = (squares / weights).sqrt();
            let layers = layers.into_iter().map(|layer| layer.name.as_str()).collect();
            // A block of zeros is no block that could be lost; other checks speak of it.
            (0.0 < rms).then(|| Block { name: name.to_owned(), layers, rms })
        })
        .collect()
}

fn moves_by_its_rate(optimizer: &OptimizerConfig) -> bool {
    match optimizer {
        OptimizerConfig::Adam(_) | OptimizerConfig::RmsProp(_) => true,
        OptimizerConfig::Sgd(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use model::{Architecture, Widths};

    use super::*;
    use crate::recipe::Recipe;

    /// The typical weights of Keras's VGG16 for ImageNet, and a new head.
    fn layers() -> Vec<LayerWeights> {
        let layer = |name: &str, rms, origin| LayerWeights {
            name: name.to_owned(),
            origin,
            parameters: 1000,
            weights: 1000,
            rms,
            largest: 10.0 * rms,
            kurtosis: 8.0,
            largest_bias: 0.5,
        };
        let base =
            [("conv1_1", 0.2067), ("conv3_2", 0.0123), ("conv4_2", 0.0078), ("conv5_1", 0.0087)];
        base.into_iter()
            .map(|(name, rms)| layer(name, rms, Origin::File))
            .chain(["fc6", "fc8"].map(|name| layer(name, 0.008, Origin::New)))
            .collect()
    }

    fn judged(recipe: &str, change: impl Fn(&mut Recipe)) -> Outcome {
        let mut recipe = Recipe::builtin(recipe).unwrap();
        change(&mut recipe);
        let layers = layers();
        let trainable: Vec<BTreeSet<String>> = recipe
            .stages
            .iter()
            .map(|stage| {
                let is_frozen = |name: &str| stage.freeze.iter().any(|p| p.matches(name));
                layers.iter().map(|l| l.name.clone()).filter(|name| !is_frozen(name)).collect()
            })
            .collect();
        let network = Architecture {
            widths: Widths::VGG16,
            side_px: 224,
            classifier: Some(recipe.classifier(2)),
        }
        .layers();
        let stages: Vec<StageRate<'_>> = recipe
            .stages
            .iter()
            .zip(&trainable)
            .map(|(stage, trainable)| StageRate {
                name: &stage.name,
                trainable,
                unfreezes: stage.unfreeze.is_some(),
                optimizer: &stage.optimizer,
                factors: stage.rate_factors(&network),
            })
            .collect();
        base_rate(&stages, &layers)
    }

    fn set_adam(recipe: &mut Recipe, stage: usize, rate: f64) {
        let text = format!("kind = \"adam\"\nlearning_rate = {rate}");
        recipe.stages[stage].optimizer = toml::from_str(&text).unwrap();
    }

    #[test]
    fn the_questions_rate_is_an_error_and_its_tenth_a_warning() {
        let outcome = judged("naive", |_| ());
        let finding = outcome.finding().unwrap();
        assert_eq!(finding.level, Level::Error);
        assert!((finding.measurement.value - 1e-3 / 0.0078).abs() < 1e-9);
        assert!(finding.verdict.contains("conv4 by about 12.8 %"), "{}", finding.verdict);
        assert_eq!(judged("low-rate", |_| ()).finding().unwrap().level, Level::Warning);
    }

    #[test]
    fn lower_rates_of_lower_blocks_count() {
        let decay = |recipe: &mut Recipe| {
            recipe.stages[0].decay_per_block = Some(crate::setting::BlockDecay::new(0.02).unwrap());
        };
        assert!(judged("low-rate", decay).finding().is_none());
    }

    #[test]
    fn a_rate_that_is_named_is_low_enough() {
        assert_eq!(one_digit_below(2.96e-5), "2e-5");
        assert_eq!(one_digit_below(3e-5), "3e-5");
        let outcome = judged("low-rate", |_| ());
        let Remedy::Advice { text } = &outcome.finding().unwrap().remedy else {
            panic!("{outcome:?}")
        };
        assert!(text.contains("learning_rate = 2e-5 in the optimizer of stage `fit`"), "{text}");
        assert!(judged("low-rate", |r| set_adam(r, 0, 2e-5)).finding().is_none());
    }

    #[test]
    fn a_hundredth_is_silent() {
        assert!(matches!(judged("naive", |r| set_adam(r, 0, 1e-5)), Outcome::Silent { .. }));
    }

    #[test]
    fn both_sides_of_the_error_are_known() {
        let level = |rate| judged("naive", |r| set_adam(r, 0, rate)).finding().unwrap().level;
        assert_eq!(level(0.99 * RUINOUS * 0.0078), Level::Warning);
        assert_eq!(level(1.01 * RUINOUS * 0.0078), Level::Error);
    }

    #[test]
    fn a_frozen_base_is_silent_and_sgd_is_measured_later() {
        assert!(matches!(judged("linear-probe", |_| ()), Outcome::Silent { .. }));
        assert!(matches!(judged("two-stage", |_| ()), Outcome::Skipped { .. }));
    }

    #[test]
    fn a_head_that_was_trained_before_makes_it_a_warning() {
        let outcome = judged("two-stage", |recipe| set_adam(recipe, 1, 1e-3));
        let finding = outcome.finding().unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.verdict.contains("trained before"), "{}", finding.verdict);
    }

    #[test]
    fn a_head_that_learns_alone_at_first_makes_it_a_warning_too() {
        let outcome = judged("naive", |recipe| {
            recipe.stages[0].unfreeze = Some(toml::from_str("every_epochs = 1").unwrap());
        });
        let finding = outcome.finding().unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.verdict.contains("trained before"), "{}", finding.verdict);
    }

    #[test]
    fn a_new_base_has_nothing_to_lose() {
        let mut layers = layers();
        for layer in &mut layers {
            layer.origin = Origin::New;
        }
        assert!(matches!(base_rate(&[], &layers), Outcome::Skipped { .. }));
    }
}
