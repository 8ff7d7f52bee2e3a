//! A converted network tried on a photograph, as keras-vggface tries its own.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::{Device, Tensor};
use model::{Cut, Mode, Vgg16, WeightsFile};
use preprocess::{Crop, Normalization, Side, normalize, read_photograph};

use crate::Error;

/// A photograph, and what the network must see in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// The photograph; it is resized to the network's side as a whole.
    pub image: PathBuf,
    /// Whom it shows, if that is known.
    pub expectation: Option<Expectation>,
}

/// Whom a photograph shows, and how sure the network is of it: `A.J._Buckley=0.9790`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The identity's name, or any part of it that no other name has.
    pub name: String,
    /// Its probability.
    pub probability: f64,
}

/// An identity and its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// Its name, or its row where there are no names.
    pub identity: String,
    /// From 0 to 1.
    pub probability: f64,
}

/// How far a probability may be from the one expected.
///
/// # Source
///
/// keras-vggface bee3537, `test.py`: three decimal places.
pub const TOLERANCE: f64 = 0.001;

/// How many identities are shown.
const SHOWN: usize = 5;

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not of the form NAME=PROBABILITY");
        let (name, probability) = text.rsplit_once('=').ok_or_else(wrong)?;
        match probability.parse() {
            Ok(probability) if !name.is_empty() && (0.0..=1.0).contains(&probability) => {
                Ok(Self { name: name.to_owned(), probability })
            }
            _ => Err(wrong()),
        }
    }
}

/// Runs the photograph through the network in `weights` and returns whom it sees, the most
/// probable first.
///
/// # Errors
///
/// [`Error::Verification`] if it is not what was expected, [`Error::Unverifiable`] if the network
/// or its names cannot tell, [`Error::Photograph`] if the image cannot be read.
pub(crate) fn verify(
    verification: &Verification,
    source: &Path,
    weights: &Path,
    normalization: Normalization,
) -> Result<Vec<Sighting>, Error> {
    let unverifiable = |reason: String| Error::Unverifiable { path: source.to_owned(), reason };
    let file = WeightsFile::read(weights)?;
    let architecture = file.architecture()?;
    if architecture.classifier.is_none() {
        return Err(unverifiable("it has no fc8 that would tell identities apart".to_owned()));
    }
    let side_px = u32::try_from(architecture.side_px).unwrap_or(u32::MAX);
    let side = Side::try_from(side_px)?;
    let rgb = read_photograph(&verification.image, Crop::Whole, side)?;
    let mut pixels = vec![0.0; rgb.len()];
    normalize(normalization, &rgb, &mut pixels);
    let images = Tensor::from_vec(pixels, (1, 3, side.px(), side.px()), &Device::Cpu)?;
    let network = Vgg16::new(architecture, file.tensors().clone(), &Device::Cpu)?;
    let logits = network.logits(Cut::IMAGES, &images, Mode::Eval)?.flatten_all()?;
    let probabilities = softmax(&logits.to_vec1::<f32>()?);

    let names = file.metadata().identities.as_deref();
    let name = |row: usize| names.map_or_else(|| format!("row {row}"), |names| names[row].clone());
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let sightings = order.iter().take(SHOWN);
    let sightings: Vec<Sighting> = sightings
        .map(|&row| Sighting { identity: name(row), probability: probabilities[row] })
        .collect();
    if let Some(expectation) = &verification.expectation {
        let names = names.ok_or_else(|| {
            unverifiable(
                "there are no names for its identities; give them with --labels".to_owned(),
            )
        })?;
        let row = row_of(names, &expectation.name).map_err(unverifiable)?;
        let found = probabilities[row];
        if TOLERANCE < (found - expectation.probability).abs() {
            return Err(Error::Verification {
                path: source.to_owned(),
                name: names[row].clone(),
                expected: expectation.probability,
                found,
                tolerance: TOLERANCE,
            });
        }
    }
    Ok(sightings)
}

/// The row of a name, or of the only name that has it as a part.
fn row_of(names: &[String], name: &str) -> Result<usize, String> {
    if let Some(row) = names.iter().position(|known| known == name) {
        return Ok(row);
    }
    let rows: Vec<usize> = (0..names.len()).filter(|&row| names[row].contains(name)).collect();
    match rows.as_slice() {
        [row] => Ok(*row),
        [] => Err(format!("none of its {} identities is named `{name}`", names.len())),
        rows => Err(format!("{} of its identities have `{name}` in their names", rows.len())),
    }
}

/// Probabilities from logits.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = logits.iter().map(|&logit| (f64::from(logit) - f64::from(largest)).exp());
    let exponentials: Vec<f64> = exponentials.collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_a_name_and_a_probability() {
        let expected = Expectation { name: "A=B".to_owned(), probability: 0.979 };
        assert_eq!("A=B=0.979".parse::<Expectation>(), Ok(expected));
        for text in ["Ann", "=0.5", "Ann=", "Ann=2", "Ann=x", "Ann=NaN"] {
            assert!(text.parse::<Expectation>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_found_by_a_part_of_their_own() {
        let names = ["A.J._Buckley", "A.J._Cook", "Cook"].map(str::to_owned);
        assert_eq!(row_of(&names, "Buckley"), Ok(0));
        assert_eq!(row_of(&names, "Cook"), Ok(2), "a whole name goes first");
        assert!(row_of(&names, "A.J.").unwrap_err().contains("2 of its identities"));
        assert!(row_of(&names, "Ann").unwrap_err().contains("none of its 3"));
    }

    #[test]
    fn softmax_sums_to_one() {
        let probabilities = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(probabilities, [0.5, 0.5, 0.0]);
    }
}
