//! What a loss says by its value: the first one, a clipped one, one that stays at the prior.

use super::{
    check::Check,
    counts::Counts,
    finding::{Level, Measurement, Outcome, Remedy, find_the_rate, lower_the_rate},
};

/// A first loss above this many times ln of the number of people is too large. On VGG16's pool5, whose
/// features are in the hundreds, the question's head begins at 4.7 times (27.2, where ln 311 is 5.74)
/// and at a low rate learns all the same: hence a note.
const LARGE_START: f64 = 1.5;

/// The loss of an image that is surely wrong, where Keras 2.2 clips it: -ln 1e-7.
const CLIPPED: f64 = 16.118_095_650_958_32;

/// How near a loss is to `CLIPPED * (1 - accuracy)` to be it. The question's run has 16.0597 for
/// 16.0672, which is 0.0005 apart, after the first epoch; keras issue 4784 has 4.4380 for 4.4373.
const SATURATED: f64 = 0.002;

/// A loss below this is too small to tell clipping by.
const TELLING_LOSS: f64 = 0.5;

/// How near a loss is to a constant prediction's to be it.
const FLAT: f64 = 0.02;

/// Epochs that a loss must stay to be flat.
pub const PRIOR_FLAT_EPOCHS: usize = 3;

/// Judges the loss before the first step; `trains_base` where the stage trains the base too.
pub fn initial_loss(loss: f64, counts: &Counts, trains_base: bool) -> Outcome {
    let check = Check::InitialLoss;
    if counts.num_classes() < 2 {
        return Outcome::skipped(check, "there are fewer than two people");
    }
    let times = loss / counts.uniform_loss();
    let what = "first loss over the loss of equal probabilities";
    Outcome::judge(check, Measurement::at_most(what, times, LARGE_START), || {
        (
            Level::Note,
            format!(
                "The loss begins at {loss:.2} where equal probabilities for {} people give {:.2}: \
                 the new head's logits are large before it has learned anything, so the first \
                 gradients are too.",
                counts.num_classes(),
                counts.uniform_loss()
            ),
            Remedy::advice(if trains_base {
                "A first stage that trains the head alone (as in `--recipe two-stage`) keeps those \
                 gradients from the base."
            } else {
                "Nothing: this stage trains the head alone, so that they do not reach the base."
            }),
        )
    })
}

/// Finds a clipped loss by its arithmetic: 16.118 for each wrong image and 0 for each right one.
pub fn clipped_saturation(loss: f64, accuracy: f64) -> Outcome {
    let check = Check::ClippedSaturation;
    if loss < TELLING_LOSS {
        return Outcome::skipped(check, format!("a loss of {loss:.3} is too small to tell"));
    }
    if 1.0 <= accuracy {
        return Outcome::skipped(check, "no photograph is wrong, and only those are clipped");
    }
    let apart = (loss / (CLIPPED * (1.0 - accuracy)) - 1.0).abs();
    let what = "distance of the loss from 16.118 (1 - accuracy), relative";
    Outcome::judge(check, Measurement::at_least(what, apart, SATURATED), || {
        (
            Level::Error,
            format!(
                "The loss {loss:.3} is 16.118 for each photograph it gets wrong: the network is \
                 sure of every answer, the loss is clipped there and passes no gradient back, and \
                 so it stays."
            ),
            Remedy::recipe("loss", "\"cross-entropy\""),
        )
    })
}

/// Finds a loss that stays where a constant prediction is, at the entropy of the people's shares or
/// at ln of their number, or above both where it began. `losses` are of epochs, the last last.
pub fn flat_loss(losses: &[f64], counts: &Counts) -> Outcome {
    let check = Check::FlatLoss;
    let Some(start) = losses.len().checked_sub(PRIOR_FLAT_EPOCHS) else {
        return Outcome::skipped(
            check,
            format!("{} epochs, {PRIOR_FLAT_EPOCHS} are needed", losses.len()),
        );
    };
    let apart = |level: f64| {
        losses[start..].iter().map(|loss| (loss / level - 1.0).abs()).fold(0.0, f64::max)
    };
    let (prior, uniform) = (counts.prior_entropy(), counts.uniform_loss());
    // Better than a constant prediction a loss may stay: what is known need not be learned again.
    let is_worse = losses[start..].iter().all(|&loss| uniform < loss);
    let began = if is_worse { apart(losses[0]) } else { f64::INFINITY };
    let constant = apart(prior).min(apart(uniform));
    let what = "largest distance of the last losses from a constant prediction's, or from where \
                they began above it, relative";
    Outcome::judge(check, Measurement::at_least(what, constant.min(began), FLAT), || {
        if began < constant {
            let verdict = format!(
                "The loss stays where it began, at {:.3}, and a constant answer has {prior:.3}: \
                 nothing is learned, for the rate is far too low, or no gradient comes.",
                losses[losses.len() - 1]
            );
            return (Level::Error, verdict, find_the_rate());
        }
        let words = if apart(prior) <= apart(uniform) {
            format!(
                "at {prior:.3}, which is the entropy of the people's shares: the network has \
                     learned how common each person is, and nothing of their faces"
            )
        } else {
            format!(
                "at {uniform:.3}, which is ln of the number of people: the network has learned \
                     nothing"
            )
        };
        (Level::Error, format!("The loss stays {words}."), lower_the_rate())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        Counts::of(&[0, 0, 0, 0, 0, 1, 2, 3], 4)
    }

    #[test]
    fn the_questions_first_loss_is_noted() {
        let people: Vec<u32> = (0..311).collect();
        let counts = Counts::of(&people, 311);
        assert!(initial_loss(27.18, &counts, true).finding().is_some());
        assert!(initial_loss(5.8, &counts, true).finding().is_none());
        assert!(initial_loss(f64::NAN, &counts, false).finding().is_some());
    }

    #[test]
    fn clipping_is_told_by_its_arithmetic() {
        // The question's run here, after its first epoch; keras issue 4784; a healthy epoch.
        assert!(clipped_saturation(16.059_668_9, 0.003_160_2).finding().is_some());
        assert!(clipped_saturation(4.4380, 0.7247).finding().is_some());
        assert!(clipped_saturation(9.548, 0.3066).finding().is_none());
        assert!(matches!(clipped_saturation(0.01, 0.9994), Outcome::Skipped { .. }));
    }

    #[test]
    fn a_loss_at_the_prior_or_at_ln_k_is_flat() {
        let (prior, uniform) = (counts().prior_entropy(), counts().uniform_loss());
        let verdict = |losses: &[f64]| {
            flat_loss(losses, &counts()).finding().map(|finding| finding.verdict.clone())
        };
        assert!(verdict(&[9.0, prior, prior * 1.01, prior]).unwrap().contains("how common"));
        assert!(verdict(&[uniform; 3]).unwrap().contains("learned nothing"));
        assert_eq!(verdict(&[prior, prior, prior * 0.97]), None);
        assert!(matches!(flat_loss(&[prior; 2], &counts()), Outcome::Skipped { .. }));
    }

    #[test]
    fn a_loss_that_stays_where_it_began_is_flat_above_a_constant_answer_only() {
        let (prior, uniform) = (counts().prior_entropy(), counts().uniform_loss());
        let outcome = flat_loss(&[2.0 * uniform, 1.99 * uniform, 1.98 * uniform], &counts());
        let finding = outcome.finding().unwrap();
        assert!(finding.verdict.contains("where it began"), "{}", finding.verdict);
        assert!(
            flat_loss(&[2.0 * uniform, 1.9 * uniform, 1.8 * uniform], &counts())
                .finding()
                .is_none()
        );
        assert!(flat_loss(&[0.5 * prior; 3], &counts()).finding().is_none());
    }
}
