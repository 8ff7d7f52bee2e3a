//! Whether faces fill too little of the images.

use preprocess::{Crop, CropPlace, CropView, Mirror, Share, View};

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
    recognition::Recognition,
};

/// Shares of an image's side that its central parts have which are held against the whole: that of
/// frames a little too wide and that of frames far too wide.
pub(crate) const CENTRAL: [f64; 2] = [0.8, 0.5];

/// How many standard errors a central part must be ahead by, in McNemar's test.
///
/// With VGG16 for ImageNet, on 300 photographs of 100 of LFW's people, the central 0.8 and 0.5, shown
/// at 96 to 160 pixels: 0.5 and 5.2, 3.0 and 4.9 ahead of whole frames (prepared at 224 and 160 pixels),
/// 3.9 to 5.3 and at most -0.3 ahead of their central 0.6 (three sides), -1.9 and -0.8 of the central
/// 0.45, at most -1.1 and 0.1 of the central 0.36 (two sides). A linear probe on all of them knows
/// people by the central 0.6, 0.45 and 0.36 the better the tighter they are. VGGFace's weights were not at hand.
const ERRORS: f64 = 3.0;

/// The lead on a first look at a third of the people from which all are looked at.
const WORTH_A_LOOK: f64 = 1.0;

/// A central part of images, held against the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Central {
    /// Of the images' side.
    pub share: f64,
    /// Recognition of some images by the whole.
    pub whole: Recognition,
    /// Recognition of the same images by their central part.
    pub recognition: Recognition,
}

impl Central {
    fn lead(&self) -> f64 {
        self.whole.errors_behind(&self.recognition)
    }
}

/// The central part of images, enlarged to their side.
pub(crate) fn central(share: f64) -> View<'static> {
    let share = Share::try_from(share).expect("a share is from 0 to 1");
    View::Crop(CropView { place: CropPlace::Center, share, mirror: Mirror::Off })
}

/// Whether a first look gives reason for a second.
pub(crate) fn is_worth_a_look(whole: &Recognition, central: &Recognition) -> bool {
    WORTH_A_LOOK <= whole.errors_behind(central)
}

/// The share of a photograph's side that is used now.
fn used(crop: Crop) -> f64 {
    match crop {
        Crop::Whole => 1.0,
        Crop::Center(share) => share.get(),
    }
}

/// Finds images whose central part alone tells the base far more of people than the whole: faces
/// that fill little of their frames, of which `crop` was used. What is not found may be so all the same, above all on
/// small images, whose central part is blurred when it is enlarged.
pub fn loose_frames(parts: &[Central], crop: Crop) -> Outcome {
    let check = Check::LooseFrames;
    let best = parts.iter().max_by(|one, other| one.lead().total_cmp(&other.lead()));
    let Some(best) = best else {
        return Outcome::skipped(check, "no central part was looked at");
    };
    let Central { share, whole, recognition } = best;
    let what = "standard errors by which the base knows people better by the images' central part";
    Outcome::judge(check, Measurement::at_most(what, best.lead(), ERRORS), || {
        (
            Level::Warning,
            format!(
                "The frozen base recognizes {} of photographs as they are, and {} by the central \
                 {share} of them alone: faces fill too little of the images.",
                percent(whole.accuracy()),
                percent(recognition.accuracy())
            ),
            Remedy::advice(format!(
                "Prepare the photographs anew with a tighter crop, `--crop center={:.2}` or less.",
                share * used(crop)
            )),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognition(hits: usize) -> Recognition {
        Recognition { hits: (0..300).map(|image| image < hits).collect(), people: 100 }
    }

    #[test]
    fn a_central_part_that_tells_far_more_is_found() {
        let central = |share, whole, hits| Central {
            share,
            whole: recognition(whole),
            recognition: recognition(hits),
        };
        // Whole frames of LFW at 160 pixels: 35 of 300, 54 and 73 by their middle.
        let outcome = loose_frames(&[central(0.8, 35, 54), central(0.5, 35, 73)], Crop::Whole);
        let finding = outcome.finding().unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.verdict.contains("11.7 % of photographs as they are, and 24.3 %"));
        assert!(finding.verdict.contains("the central 0.5 of them"), "{}", finding.verdict);
        // The central 0.6 at 96 pixels: 55, 92 and 53.
        let crop = Crop::Center(Share::try_from(0.6).unwrap());
        let outcome = loose_frames(&[central(0.8, 55, 92), central(0.5, 55, 53)], crop);
        let finding = outcome.finding().unwrap();
        assert!(finding.verdict.contains("the central 0.8 of them"), "{}", finding.verdict);
        let remedy = format!("{:?}", finding.remedy);
        assert!(remedy.contains("center=0.48"), "{remedy}");
        // The central 0.36 at 224 pixels: 59, 52 and 60.
        let outcome = loose_frames(&[central(0.8, 59, 52), central(0.5, 59, 60)], crop);
        assert!(outcome.finding().is_none());
        assert!(matches!(loose_frames(&[], crop), Outcome::Skipped { .. }));
    }

    #[test]
    fn what_is_no_better_at_first_sight_is_not_looked_at_again() {
        assert!(!is_worth_a_look(&recognition(74), &recognition(74)));
        assert!(is_worth_a_look(&recognition(35), &recognition(36)));
    }
}
