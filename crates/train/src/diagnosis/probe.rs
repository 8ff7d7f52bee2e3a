//! What the frozen base can tell of people, and whether it could tell more of other pixels.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use model::{Architecture, Cut, Mode, Vgg16};
use preprocess::{Normalization, Prepared, View, read_batch};

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
    presentation::Presentation,
    recognition::Recognition,
    similarity::{Features, products},
};
use crate::{Error, training::Interrupt};

/// People that a probe looks at, at most.
const PEOPLE: usize = 100;

/// Photographs of each, where there are 100 people; with fewer people there are more of each, and
/// never more than 300 in all.
const PHOTOGRAPHS: usize = 3;

/// Of so many people one is looked at first in another presentation: what shows no lead on them is
/// not shown the rest.
const FIRST_LOOK: usize = 3;

/// People of a first look, at least; with fewer, all are looked at at once.
const ENOUGH_PEOPLE: usize = 20;

/// Images that go through the network at once.
const BATCH: usize = 32;

/// The least side, in pixels, to which a probe shrinks images, by a whole number: those of 224 are shown
/// at 112, which takes a quarter of the time. Of LFW's people VGG16 for ImageNet then knows 18.5 % of
/// what chance leaves, and not 22.2 %.
const SIDE_PX: usize = 112;

/// The cosine between two images' pool5 features, in the mean over pairs, above which the base sees
/// the same in all: 0.29 with sound pixels on LFW, 0.94 with a random base, 0.9992 with 0-1 pixels.
const SAME_FEATURES: f64 = 0.98;

/// How many standard errors above chance frozen features must be to know anything of the labels:
/// labels shuffled sixty times came to at most 3.5, sound pixels to at least 8.8.
const CHANCE_ERRORS: f64 = 4.0;

/// Fewer images are too few to be sure of chance.
const ENOUGH_IMAGES: usize = 60;

/// The share of what chance leaves that frozen features should get right. On LFW's people, in five
/// samples, VGG16 for ImageNet has 0.08 to 0.21, with 0-1 pixels 0.03 to 0.05. Random weights have
/// 0.01 to 0.09, so that this alone does not tell them from pretrained ones.
const WEAK_BASE: f64 = 0.065;

/// Images of a probe and who they show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeImages {
    /// Images of the prepared set.
    pub indices: Vec<usize>,
    /// Their labels.
    pub labels: Vec<u32>,
    /// How many of them a first look is at.
    first_look: usize,
}

impl ProbeImages {
    /// The images of a first look, and the others.
    pub(crate) fn looks(&self) -> (&[usize], &[usize]) {
        self.indices.split_at(self.first_look)
    }
}

/// Chooses up to 100 people and up to 300 photographs of them, spread evenly over both; people with
/// fewer than two are left out. Those of a first look come first: the photographs of every third
/// person, or of everybody, where these are too few.
pub fn probe_images(labels: &[u32]) -> ProbeImages {
    let mut of_label: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (image, &label) in labels.iter().enumerate() {
        of_label.entry(label).or_default().push(image);
    }
    let people: Vec<Vec<usize>> = of_label.into_values().filter(|it| 2 <= it.len()).collect();
    let each = (PEOPLE * PHOTOGRAPHS / people.len().max(1)).max(PHOTOGRAPHS);
    let chosen: Vec<&Vec<usize>> =
        evenly(people.len(), PEOPLE).map(|person| &people[person]).collect();
    let stride = if chosen.len() < FIRST_LOOK * ENOUGH_PEOPLE { 1 } else { FIRST_LOOK };
    let photographs = |is_first: bool| -> Vec<usize> {
        let people = chosen.iter().enumerate();
        let people = people.filter(|(place, _)| place.is_multiple_of(stride) == is_first);
        people
            .flat_map(|(_, images)| evenly(images.len(), each).map(|place| images[place]))
            .collect()
    };
    let mut indices = photographs(true);
    let first_look = indices.len();
    indices.extend(photographs(false));
    let labels = indices.iter().map(|&image| labels[image]).collect();
    ProbeImages { indices, labels, first_look }
}

/// At most `wanted` of `count` places, evenly.
pub(crate) fn evenly(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let taken = count.min(wanted);
    (0..taken).map(move |place| place * count / taken)
}

/// The base as it came, and what it is shown.
pub(crate) struct Probe<'a> {
    prepared: &'a Prepared,
    normalization: Normalization,
    base: Vgg16,
    /// How many pixels of a side become one.
    shrinking: usize,
    interrupt: &'a Interrupt,
}

impl<'a> Probe<'a> {
    /// Takes the base from a network's first parameters, by name.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] if they are not there.
    pub(crate) fn new(
        prepared: &'a Prepared,
        normalization: Normalization,
        architecture: &Architecture,
        tensors: &BTreeMap<String, Tensor>,
        device: &Device,
        interrupt: &'a Interrupt,
    ) -> Result<Self, Error> {
        let shrinking = shrinking(prepared.side_px());
        let side_px = prepared.side_px() / shrinking;
        let architecture = Architecture { widths: architecture.widths, side_px, classifier: None };
        let is_of_base = |(name, _): &(&String, &Tensor)| name.starts_with("conv");
        let tensors = tensors.iter().filter(is_of_base);
        let tensors = tensors.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        let base = Vgg16::new(architecture, tensors, device)?;
        Ok(Self { prepared, normalization, base, shrinking, interrupt })
    }

    /// The side at which images are shown, in pixels.
    pub(crate) fn side_px(&self) -> usize {
        self.base.architecture().side_px
    }

    /// The base's features of a view of images, shown in a certain way.
    ///
    /// # Shapes
    ///
    /// - returns `(images, units of pool5)`
    ///
    /// # Errors
    ///
    /// [`Error::Preprocess`] if images cannot be read, [`Error::Model`] if the network fails,
    /// [`Error::InterruptedTrial`] after Ctrl-C.
    pub(crate) fn features(
        &self,
        images: &[usize],
        view: View<'_>,
        shown: Presentation,
    ) -> Result<Features, Error> {
        let Self { prepared, normalization, base, shrinking, interrupt } = self;
        let side_px = prepared.side_px();
        let pool5 = base.architecture().cut_after("pool5")?;
        let mut values = Vec::new();
        let progress = terminal::bar("frozen base", terminal::Unit::Things("photographs"));
        progress.set_length(images.len() as u64);
        for indices in images.chunks(BATCH) {
            if interrupt.is_raised() {
                return Err(Error::InterruptedTrial);
            }
            let mut batch = read_batch(prepared, indices, *normalization, view)?;
            if shown != Presentation::AS_GIVEN {
                shown.apply(&mut batch, side_px * side_px, normalization.bgr_means());
            }
            let batch =
                Tensor::from_vec(batch, (indices.len(), 3, side_px, side_px), base.device())?;
            let batch = if 1 < *shrinking { batch.avg_pool2d(*shrinking)? } else { batch };
            let features = base.forward(Cut::IMAGES, pool5, &batch, Mode::Eval)?;
            let features = features.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            values.extend(features);
            progress.inc(indices.len() as u64);
        }
        Ok(Features::new(values, images.len()))
    }
}

/// How many pixels of a side become one.
fn shrinking(side_px: usize) -> usize {
    (side_px / SIDE_PX).max(1)
}

/// Finds a base whose features are the same for all photographs.
///
/// # Errors
///
/// [`Error::Tensor`] if the arithmetic fails.
pub fn feature_spread(features: &Features) -> Result<Outcome, Error> {
    let check = Check::FeatureSpread;
    let images = features.images();
    if images < 2 {
        return Ok(Outcome::skipped(check, "two photographs are needed"));
    }
    let matrix = features.normalized().matrix()?;
    let products = products(&matrix, &matrix)?;
    let all: f64 = products.iter().map(|&cosine| f64::from(cosine)).sum();
    let own: f64 = (0..images).map(|image| f64::from(products[image * images + image])).sum();
    let mean = (all - own) / (images * (images - 1)) as f64;
    let what = "cosine between two photographs' features of the base, mean over pairs";
    Ok(Outcome::judge(check, Measurement::at_most(what, mean, SAME_FEATURES), || {
        (
            Level::Error,
            "The base sees the same in every photograph: whatever head is trained on it can only \
             give one answer."
                .to_owned(),
            Remedy::advice(
                "Check the range of the pixels (0 to 255) and which normalization the weights expect.",
            ),
        )
    }))
}

/// Finds a base that is of no use for these labels, or labels that do not go with the photographs;
/// beside it stands the accuracy, 0 to 1, that the same features come to with `shuffled` labels.
pub fn frozen_baseline(recognition: &Recognition, shuffled: f64) -> Outcome {
    let check = Check::FrozenBaseline;
    let (accuracy, chance) = (recognition.accuracy(), recognition.chance());
    let images = recognition.hits.len();
    if recognition.people < 2 || images < ENOUGH_IMAGES {
        return Outcome::skipped(
            check,
            format!(
                "{images} photographs of {} people, {ENOUGH_IMAGES} of two people are needed",
                recognition.people
            ),
        );
    }
    // What shuffled labels reach by chance is no knowledge either.
    let control = chance.max(shuffled);
    let errors = (accuracy - control) / (control * (1.0 - control) / images as f64).sqrt();
    if errors < CHANCE_ERRORS {
        let what = "frozen features above chance and shuffled labels, in standard errors";
        return Outcome::judge(check, Measurement::at_least(what, errors, CHANCE_ERRORS), || {
            (
                Level::Error,
                format!(
                    "The frozen base recognizes {} of photographs, chance gives {} and shuffled \
                     labels {}: either the base is useless, or the labels do not go with the \
                     photographs.",
                    percent(accuracy),
                    percent(chance),
                    percent(shuffled)
                ),
                Remedy::advice(
                    "Look at some photographs beside their labels, then at the weights file.",
                ),
            )
        });
    }
    let skill = recognition.skill();
    let what = "share of what chance leaves that frozen features recognize";
    Outcome::judge(check, Measurement::at_least(what, skill, WEAK_BASE), || {
        (
            Level::Warning,
            format!(
                "The frozen base recognizes only {} of photographs (shuffled labels: {}): random \
                 weights may do as well.",
                percent(accuracy),
                percent(shuffled)
            ),
            Remedy::advice(
                "Check the weights file, the pixels, and whether the labels go with the photographs; \
                 VGGFace's weights know faces, ImageNet's less.",
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::recognition::recognize, *};

    fn recognition(hits: usize, images: usize, people: usize) -> Recognition {
        Recognition { hits: (0..images).map(|image| image < hits).collect(), people }
    }

    #[test]
    fn a_first_look_is_at_a_third_of_many_people_and_at_all_of_few() {
        let labels: Vec<u32> = (0..60 * 3).map(|image| image / 3).collect();
        let images = probe_images(&labels);
        assert_eq!((images.first_look, images.indices.len()), (60, 180));
        assert_eq!(images.labels[..4], [0, 0, 0, 3]);
        assert_eq!(images.labels[60..67], [1, 1, 1, 2, 2, 2, 4]);
        let few = probe_images(&labels[..59 * 3]);
        assert_eq!(few.first_look, few.indices.len());
    }

    #[test]
    fn large_images_are_shown_small() {
        let shown = [48, 96, 160, 223, 224, 300, 336].map(|side| side / shrinking(side));
        assert_eq!(shown, [48, 96, 160, 223, 112, 150, 112]);
    }

    #[test]
    fn probes_are_spread_over_people_and_photographs() {
        // 250 people; the first has one photograph and is left out.
        let labels: Vec<u32> = std::iter::once(0).chain((0..249 * 5).map(|i| 1 + i / 5)).collect();
        let images = probe_images(&labels);
        assert_eq!(images.indices.len(), PEOPLE * PHOTOGRAPHS);
        assert!(!images.labels.contains(&0) && images.labels.iter().max() > Some(&240));
        assert_eq!(images.indices[..3], [1, 2, 4]);
        let of_few: Vec<u32> = (0..600).map(|image| image / 60).collect();
        assert_eq!(probe_images(&of_few).indices.len(), PEOPLE * PHOTOGRAPHS);
        assert_eq!(probe_images(&[0, 1, 2]).indices, Vec::<usize>::new());
    }

    #[test]
    fn features_that_are_all_alike_recognize_nobody() {
        let features = Features::new(vec![1.0; 12], 4);
        assert!(recognize(&features, &[0, 0, 1, 1]).unwrap().accuracy() <= 0.0);
        assert!(feature_spread(&features).unwrap().finding().is_some());
        let apart = Features::new(vec![1.0, 0.0, 0.0, 1.0], 2);
        assert!(feature_spread(&apart).unwrap().finding().is_none());
    }

    #[test]
    fn the_baseline_tells_chance_from_weak_from_sound() {
        let level = |hits| {
            let outcome = frozen_baseline(&recognition(hits, 400, 100), 0.01);
            outcome.finding().map(|finding| finding.level)
        };
        // Shuffled labels, 0-1 pixels and sound ones on LFW.
        assert_eq!(level(7), Some(Level::Error));
        assert_eq!(level(20), Some(Level::Warning));
        assert_eq!(level(87), None);
        let outcome = frozen_baseline(&recognition(30, 400, 100), 0.075);
        assert_eq!(
            outcome.finding().unwrap().level,
            Level::Error,
            "no better than shuffled labels"
        );
        let few = recognition(50, 59, 2);
        assert!(matches!(frozen_baseline(&few, 0.5), Outcome::Skipped { .. }));
    }
}
