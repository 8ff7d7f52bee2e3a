//! Whether faces fill too little of the images.

use preprocess::{CropPlace, CropView, Mirror, Share, View};

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
    recognition::Recognition,
};

/// The share of an image's side that its central part has, which is held against the whole.
const CENTRAL: f64 = 0.6;

/// How many standard errors the central part must be ahead by, in McNemar's test.
///
/// With VGG16 for ImageNet, on 300 photographs of 100 of LFW's people, whose faces fill the middle
/// 45 % of their frames: 3.6 and 4.8 from whole frames at 224 and 160 pixels, 5.5 from their central
/// 0.8 at 96. From the central 0.6 it is 1.0 at 96 pixels and -0.3 at 112, and 1.9 from whole frames
/// at 96, whose middle has too few pixels left.
const ERRORS: f64 = 3.0;

/// The lead on a first look at a third of the people from which all are looked at.
const WORTH_A_LOOK: f64 = 1.0;

/// The central part of images, enlarged to their side.
pub(crate) fn central() -> View<'static> {
    let share = Share::try_from(CENTRAL).expect("a share is from 0 to 1");
    View::Crop(CropView { place: CropPlace::Center, share, mirror: Mirror::Off })
}

/// Whether a first look gives reason for a second.
pub(crate) fn is_worth_a_look(whole: &Recognition, central: &Recognition) -> bool {
    WORTH_A_LOOK <= whole.errors_behind(central)
}

/// Finds images whose central part alone tells the base far more of people than the whole: faces
/// that fill little of their frames.
pub fn loose_frames(whole: &Recognition, central: &Recognition) -> Outcome {
    let lead = whole.errors_behind(central);
    let what = "standard errors by which the base knows people better by the images' central part";
    Outcome::judge(Check::LooseFrames, Measurement::at_most(what, lead, ERRORS), || {
        (
            Level::Warning,
            format!(
                "The frozen base recognizes {} of photographs as they are, and {} by the central \
                 {CENTRAL} of them alone: faces fill too little of the images.",
                percent(whole.accuracy()),
                percent(central.accuracy())
            ),
            Remedy::advice(format!(
                "Prepare the photographs anew with a tighter `--crop`: center={CENTRAL} of what is used \
                 now, so of whole frames `--crop center={CENTRAL}`."
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
        // Whole frames of LFW at 160 pixels: 35 of 300, and 74 by their middle.
        let outcome = loose_frames(&recognition(35), &recognition(74));
        let finding = outcome.finding().unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.verdict.contains("11.7 % of photographs as they are, and 24.7 %"));
        assert!(loose_frames(&recognition(35), &recognition(43)).finding().is_none());
        assert!(loose_frames(&recognition(74), &recognition(35)).finding().is_none());
        assert!(!is_worth_a_look(&recognition(74), &recognition(74)));
        assert!(is_worth_a_look(&recognition(35), &recognition(36)));
    }
}
