//! Logits and labels that calibration can rely on.

use thiserror::Error;

use super::Limit;

/// Images' logits beside their labels: at least one image and two classes, all logits finite.
#[derive(Debug, Clone, Copy)]
pub struct Logits<'a> {
    values: &'a [f32],
    labels: &'a [u32],
    num_classes: usize,
}

/// Why a model cannot be calibrated.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// No image to calibrate on.
    #[error("no images to calibrate on")]
    NoImages,
    /// One class has the probability 1 at any temperature.
    #[error("{found} classes, expected at least 2")]
    TooFewClasses {
        /// Classes given.
        found: usize,
    },
    /// Logits that are not `images` by `num_classes`.
    #[error("{found} logits for {images} images, expected {num_classes} for each")]
    Shape {
        /// Logits given.
        found: usize,
        /// Labels given.
        images: usize,
        /// Classes.
        num_classes: usize,
    },
    /// A label without a logit.
    #[error("label {label} of image {image} is out of range, expected below {num_classes}")]
    Label {
        /// The image's place.
        image: usize,
        /// Its label.
        label: u32,
        /// Classes.
        num_classes: usize,
    },
    /// A logit that is infinite or not a number.
    #[error("logit {class} of image {image} is {found}, expected a finite number")]
    NonFinite {
        /// The image's place.
        image: usize,
        /// The logit's place.
        class: usize,
        /// What stood there.
        found: f32,
    },
    /// The loss falls forever, so no temperature is best.
    #[error(
        "{}",
        match towards { Limit::Zero => "all images are right, and being surer is always better",
            Limit::Infinity => "in the mean the truth's logits are no higher than the others', and being unsure is always better" }
    )]
    NoMinimum {
        /// Where to.
        towards: Limit,
    },
    /// A number that is no temperature.
    #[error("temperature {found}, expected a finite number well above 0")]
    Temperature {
        /// What stood there.
        found: f64,
    },
    /// A number that is no probability.
    #[error("the confidence of image {image} is {found}, expected 0 to 1")]
    Confidence {
        /// The image's place.
        image: usize,
        /// What stood there.
        found: f64,
    },
    /// Not every confidence has an outcome.
    #[error("{hits} outcomes for {confidences} confidences, expected one for each")]
    Hits {
        /// Confidences given.
        confidences: usize,
        /// Outcomes given.
        hits: usize,
    },
}

impl<'a> Logits<'a> {
    /// Checks logits and labels.
    ///
    /// # Shapes
    ///
    /// - `values`: `(images, num_classes)`, f32, row by row, before softmax
    /// - `labels`: `(images,)`, each below `num_classes`
    ///
    /// # Errors
    ///
    /// [`CalibrationError`] if there is no image, fewer than two classes, another shape, a label
    /// out of range or a logit that is not finite.
    pub fn new(
        values: &'a [f32],
        labels: &'a [u32],
        num_classes: usize,
    ) -> Result<Self, CalibrationError> {
        if labels.is_empty() {
            return Err(CalibrationError::NoImages);
        }
        if num_classes < 2 {
            return Err(CalibrationError::TooFewClasses { found: num_classes });
        }
        if labels.len().checked_mul(num_classes) != Some(values.len()) {
            let (found, images) = (values.len(), labels.len());
            return Err(CalibrationError::Shape { found, images, num_classes });
        }
        if let Some(image) = labels.iter().position(|&label| num_classes <= label as usize) {
            let label = labels[image];
            return Err(CalibrationError::Label { image, label, num_classes });
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let (image, class) = (place / num_classes, place % num_classes);
            return Err(CalibrationError::NonFinite { image, class, found: values[place] });
        }
        Ok(Self { values, labels, num_classes })
    }

    /// How many images there are.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one image")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'a>> {
        self.values
            .chunks_exact(self.num_classes)
            .zip(self.labels)
            .map(|(values, &label)| Row { values, label: label as usize })
    }
}

/// One image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) values: &'a [f32],
    pub(super) label: usize,
}

impl Row<'_> {
    /// The truth's logit.
    pub(super) fn truth(&self) -> f64 {
        f64::from(self.values[self.label])
    }

    /// The highest logit.
    pub(super) fn highest(&self) -> f64 {
        f64::from(self.values[self.predicted()])
    }

    /// The label with the highest logit; of equal ones the lowest.
    pub(super) fn predicted(&self) -> usize {
        let values = self.values;
        (1..values.len())
            .fold(0, |best, class| if values[best] < values[class] { class } else { best })
    }

    /// Softmax of the logits times `inverse`, 1 / T.
    pub(super) fn probabilities(&self, inverse: f64) -> Vec<f64> {
        let highest = self.highest();
        let mut powers: Vec<f64> = self
            .values
            .iter()
            .map(|&value| (inverse * (f64::from(value) - highest)).exp())
            .collect();
        let sum: f64 = powers.iter().sum();
        for power in &mut powers {
            *power /= sum;
        }
        powers
    }

    /// The negative logarithm of the truth's probability.
    pub(super) fn cross_entropy(&self, inverse: f64) -> f64 {
        let highest = self.highest();
        let powers =
            self.values.iter().map(|&value| (inverse * (f64::from(value) - highest)).exp());
        powers.sum::<f64>().ln() - inverse * (self.truth() - highest)
    }
}
