//! `features`: a layer's output for every image of a prepared set, in a file of its own.

use std::path::{Path, PathBuf};

use model::{Architecture, Classifier, Head, Vgg16, WeightsFile, weights};
use preprocess::Prepared;

use super::{FeatureCache, FeatureDtype, FeatureFile};
use crate::{
    Error,
    device::DeviceChoice,
    training::{Interrupt, file_normalization, refuse_wrong_shapes},
};

/// What to compute, from what, and where to.
#[derive(Debug, Clone)]
pub struct Config {
    /// A prepared set.
    pub data: PathBuf,
    /// A weights file.
    pub weights: PathBuf,
    /// The layer whose output is wanted, after its `ReLU`; of `fc8` the logits.
    pub layer: String,
    /// The features file.
    pub out: PathBuf,
    /// The type of the features in it.
    pub dtype: FeatureDtype,
    /// Where the arithmetic runs.
    pub device: DeviceChoice,
}

/// Computes the features and writes them.
///
/// # Errors
///
/// [`Error::Output`] if something else than features is where they are to go, [`Error::Model`] if
/// the weights are no VGG16 or have no such layer, and whatever reading,
/// arithmetic or writing reports.
pub fn export(config: &Config, interrupt: &Interrupt) -> Result<FeatureFile, Error> {
    let prepared = Prepared::open(&config.data)?;
    claim(&config.out, &config.data)?;
    prepared.verify()?;
    let file = WeightsFile::read(&config.weights)?;
    let normalization = file_normalization(&file)?;
    let device = config.device.open()?;
    let is_in_backbone = !config.layer.starts_with("fc");
    let architecture = Architecture {
        widths: file.widths()?,
        side_px: prepared.side_px(),
        classifier: if is_in_backbone { None } else { Some(classifier(&file, &config.layer)?) },
    };
    let cut = architecture.cut_after(&config.layer)?;
    let (tensors, report) = weights::take(&file, &architecture.parameters(), &["fc*"])?;
    refuse_wrong_shapes(&file, &report)?;
    let network = Vgg16::new(architecture, tensors, &device)?;
    let cache =
        FeatureCache::new(&config.data, &prepared, normalization, file.sha256(), config.dtype);
    cache.export(&network, cut, &config.out, interrupt)
}

/// Sees to it, before anything is computed, that the output has a folder, outside of the prepared
/// set, and replaces at most another file of features.
fn claim(out: &Path, data: &Path) -> Result<(), Error> {
    if out.exists() && !FeatureFile::is_at(out) {
        return Err(Error::Output {
            path: out.to_owned(),
            problem: "is there and is no features file; choose another --out".to_owned(),
        });
    }
    if preprocess::lies_in(out, data) {
        return Err(Error::Output {
            path: out.to_owned(),
            problem: "lies in the prepared set, which holds nothing but itself; choose another \
                      --out"
                .to_owned(),
        });
    }
    let folder = out.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)
        .map_err(|source| Error::Write { path: folder.to_owned(), source })
}

/// The head that the file holds, by its layers.
fn classifier(file: &WeightsFile, layer: &str) -> Result<Classifier, Error> {
    let rows =
        |name: &str| file.tensors().get(name).and_then(|weight| weight.dims().first().copied());
    let absent = || Error::Weights {
        path: file.path().to_owned(),
        problem: format!(
            "has no head that ends in fc8, which `{layer}` is a part of; expected a full network, \
             found {}",
            file.tensors().keys().next_back().map_or("nothing", String::as_str)
        ),
    };
    let num_classes = rows("fc8.weight").ok_or_else(absent)?;
    let head = match (rows("fc6.weight"), rows("fc7.weight")) {
        (Some(_), Some(_)) => Head::Vggface,
        // The Keras blog's head differs only in its dropout, which does nothing here.
        (Some(_), None) => Head::Seed,
        (None, _) => Head::Linear,
    };
    Ok(Classifier::new(head, num_classes))
}
