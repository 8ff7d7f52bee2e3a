//! The question's whole experiment, from the steps that were measured.

use super::{Case, CaseResult, Measured};

/// LFW's photographs of the 311 people with at least six.
const IMAGES: usize = 5425;

const FOLDS: usize = 15;

const EPOCHS: usize = 10;

const BATCH: usize = 32;

/// The time of the question's experiment as it was asked, and in two stages on cached features, by arithmetic from the
/// medians; nothing if a case is missing.
pub fn experiments(results: &[CaseResult]) -> Option<String> {
    let of = |case| results.iter().find(|result| result.case == case);
    let [forward, head, stage_two, whole] =
        [Case::Forward32, Case::Head32, Case::StageTwo32, Case::Whole32].map(of);
    let (forward, head, stage_two, whole) = (forward?, head?, stage_two?, whole?);
    let held_out = IMAGES.div_ceil(FOLDS);
    let steps = (IMAGES - held_out).div_ceil(BATCH) as f64;
    let checks = held_out.div_ceil(BATCH) as f64;
    let epochs = (FOLDS * EPOCHS) as f64;
    let mut lines = vec![format!(
        "by arithmetic from the medians above, {IMAGES} images, {FOLDS} folds, {EPOCHS} epochs, {BATCH} images a step:\n  \
         as asked   {epochs} epochs of {steps} steps whole-32 and {checks} forward-32\n  \
         two stages {} forward-32 once; {epochs} epochs of {} steps head-32, then as many of stage-two-32\n\
         {:<22} {:>12} {:>12} {:>28}",
        IMAGES.div_ceil(BATCH),
        steps + checks,
        "who",
        "as asked h",
        "two stages h",
        "as asked / our two stages"
    )];
    let median = |result: &CaseResult, who| result.measured.get(who).map(Measured::median);
    let mut our_stages = f64::NAN;
    for (who, measured) in whole.measured.iter().enumerate() {
        let as_asked =
            epochs * (steps * median(whole, who)? + checks * median(forward, who)?) / 3600.0;
        let stages = (IMAGES.div_ceil(BATCH) as f64 * median(forward, who)?
            + epochs * (steps + checks) * (median(head, who)? + median(stage_two, who)?))
            / 3600.0;
        if who == 0 {
            our_stages = stages;
        }
        let ratio = as_asked / our_stages;
        lines.push(format!("{:<22} {as_asked:>12.2} {stages:>12.2} {ratio:>27.1}x", measured.who));
    }
    Some(lines.join("\n") + "\n")
}
