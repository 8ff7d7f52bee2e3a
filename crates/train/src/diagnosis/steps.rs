//! What steps do to a network: how far they move it, and whether gradients reach its layers.

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, lower_the_rate, percent},
    origins::Origin,
};
use crate::run::BlockStep;

/// The share of its length by which a step may move a pretrained block: above it what the block knew
/// is gone after some steps. The same as for rates, where Adam's step is known before it is taken.
const RUINOUS: f64 = 0.037;

/// The same for new layers, which have nothing to lose but must not be thrown about.
///
/// A healthy step is said to be about 1e-3; Adam's first ones of a new head at 1e-4 are 0.012 in the
/// head of the question, and 0.12 at its default rate.
const THROWN: f64 = 0.1;

/// A gradient shorter than this does not move anything.
const VANISHED: f64 = 1e-10;

/// Finds a block that a step moves too far: the pretrained ones first.
pub fn update_ratio(steps: &[(Origin, BlockStep)]) -> Outcome {
    let check = Check::UpdateRatio;
    let over = |(origin, step): &(Origin, BlockStep)| step.update_ratio / limit(*origin);
    let worst = steps.iter().max_by(|a, b| over(a).total_cmp(&over(b)));
    let Some((origin, step)) = worst else {
        return Outcome::skipped(check, "no step was taken");
    };
    let what = format!("length of a step of {} over that of its weights", step.block);
    let measurement = Measurement::at_most(what, step.update_ratio, limit(*origin));
    Outcome::judge(check, measurement, || {
        let (level, words) = match origin {
            Origin::File => (Level::Error, "and what its pretrained weights knew is gone soon"),
            Origin::New => (Level::Warning, "which throws its new weights about"),
        };
        (
            level,
            format!(
                "A step moves {} by {} of its length, {words}.",
                step.block,
                percent(step.update_ratio)
            ),
            Remedy::advice("Lower the stage's learning_rate tenfold, or let it warm up."),
        )
    })
}

fn limit(origin: Origin) -> f64 {
    match origin {
        Origin::File => RUINOUS,
        Origin::New => THROWN,
    }
}

/// Whether no gradient reached a block.
pub(super) fn has_no_gradient(step: &BlockStep) -> bool {
    step.gradient_norm < VANISHED
}

/// Finds a trained block that no gradient reaches.
pub fn gradient_norm(steps: &[(Origin, BlockStep)]) -> Outcome {
    let check = Check::GradientNorm;
    let least = steps.iter().min_by(|(_, a), (_, b)| a.gradient_norm.total_cmp(&b.gradient_norm));
    let Some((_, step)) = least else {
        return Outcome::skipped(check, "no step was taken");
    };
    let what = format!("length of the gradient of {}", step.block);
    let measurement = Measurement::at_least(what, step.gradient_norm, VANISHED);
    Outcome::judge(check, measurement, || {
        (
            Level::Error,
            format!(
                "No gradient reaches {}: the loss is clipped, or every unit above it is dead, so \
                 that it cannot learn any more.",
                step.block
            ),
            lower_the_rate(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(
        origin: Origin,
        block: &str,
        gradient_norm: f64,
        update_ratio: f64,
    ) -> (Origin, BlockStep) {
        let block = block.to_owned();
        (origin, BlockStep { block, gradient_norm, weight_norm: 1.0, update_ratio })
    }

    #[test]
    fn pretrained_blocks_bear_less_than_new_ones() {
        use Origin::{File, New};
        let sound = [step(File, "conv5", 1.0, 0.03), step(New, "fc6", 1.0, 0.09)];
        assert!(update_ratio(&sound).finding().is_none());
        let wrecked = [step(File, "conv5", 1.0, 0.05), step(New, "fc6", 1.0, 0.09)];
        let outcome = update_ratio(&wrecked);
        let finding = outcome.finding().unwrap();
        assert_eq!(finding.level, Level::Error);
        assert!(finding.verdict.contains("conv5"), "{}", finding.verdict);
        let thrown = update_ratio(&[step(File, "conv5", 1.0, 0.03), step(New, "fc6", 1.0, 0.2)]);
        assert_eq!(thrown.finding().unwrap().level, Level::Warning);
        assert!(matches!(update_ratio(&[]), Outcome::Skipped { .. }));
    }

    #[test]
    fn a_block_without_a_gradient_is_named() {
        use Origin::New;
        let steps = [step(New, "fc6", 0.0, 0.0), step(New, "fc8", 1.0, 0.01)];
        assert!(gradient_norm(&steps).finding().unwrap().verdict.contains("fc6"));
        assert!(gradient_norm(&steps[1..]).finding().is_none());
    }
}
