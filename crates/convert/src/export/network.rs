//! The network to export: where its weights lie, and everything the file says of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use model::{Architecture, WeightsFile};
use preprocess::Normalization;

use super::{Input, Scores, Target, Value};
use crate::Error;

/// A network with all its weights, none missing and none besides.
pub(super) struct Network {
    pub(super) architecture: Architecture,
    /// By name; f32, on the CPU.
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) normalization: Normalization,
    pub(super) identities: Option<Vec<String>>,
    /// Name and SHA-256 of the file that they come from.
    pub(super) source: String,
    pub(super) source_sha256: String,
}

/// Finds the weights file that is meant: the source itself, or a fold's of a run.
pub(super) fn locate(source: &Path, fold: Option<usize>) -> Result<PathBuf, Error> {
    let path = source.to_owned();
    match (source.is_dir(), fold) {
        (false, _) if !source.exists() => Err(Error::RunNotFound { path }),
        (false, None) => Ok(path),
        (false, Some(_)) => Err(Error::FoldOfFile { path }),
        (true, None) => Err(Error::WhichFold { found: in_words(&folds(source)?), path }),
        (true, Some(fold)) => {
            let folds = folds(source)?;
            match folds.get(&fold) {
                Some(weights) => Ok(weights.clone()),
                None => Err(Error::FoldNotFound { fold, found: in_words(&folds), path }),
            }
        }
    }
}

/// The weights of a run's folds.
fn folds(run: &Path) -> Result<BTreeMap<usize, PathBuf>, Error> {
    let failed = |source| Error::Read { path: run.to_owned(), source };
    let mut folds = BTreeMap::new();
    for entry in fs::read_dir(run).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let fold = name.to_str().and_then(|name| name.strip_prefix("fold-")?.parse().ok());
        let weights = entry.path().join("weights.safetensors");
        match fold {
            Some(fold) if weights.is_file() => folds.insert(fold, weights),
            _ => None,
        };
    }
    Ok(folds)
}

fn in_words(folds: &BTreeMap<usize, PathBuf>) -> String {
    let folds: Vec<String> = folds.keys().map(usize::to_string).collect();
    match folds.as_slice() {
        [] => "it has no `fold-00/weights.safetensors`, as `cargo xtask train --out` makes it"
            .to_owned(),
        [fold] => format!("there is fold {fold}"),
        folds => format!("there are folds {}", folds.join(", ")),
    }
}

impl Network {
    /// What its parameters take as f32.
    pub(super) fn size_bytes(&self) -> u64 {
        let elements: usize = self.tensors.values().map(Tensor::elem_count).sum();
        (elements * size_of::<f32>()) as u64
    }

    /// Reads a weights file and accounts for every name in it.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let file = WeightsFile::read(path)?;
        let architecture = file.architecture()?;
        let (tensors, _) = model::weights::take(&file, &architecture.parameters(), &[])?;
        let metadata = file.metadata();
        let normalization = metadata.normalization.parse().map_err(|_| Error::Metadata {
            path: path.to_owned(),
            key: "normalization",
            expected: "the name of a normalization",
            found: format!("{:?}", metadata.normalization),
        })?;
        Ok(Self {
            architecture,
            tensors,
            normalization,
            identities: metadata.identities.clone(),
            source: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            source_sha256: file.sha256().to_owned(),
        })
    }

    /// The images that it is given.
    pub(super) fn input(&self, target: Target) -> Value {
        let side = self.architecture.side_px;
        Value { name: "images", shape: target.in_its_order(vec![3, side, side]) }
    }

    /// What its last layer gives.
    pub(super) fn output(&self, target: Target, scores: Scores) -> Value {
        let last = self.architecture.layers().pop().expect("a network has layers");
        let name = match (self.architecture.classifier, scores) {
            (None, _) => "pool5",
            (Some(_), Scores::Logits) => "logits",
            (Some(_), Scores::Probabilities) => "probabilities",
        };
        Value { name, shape: target.in_its_order(last.output_shape) }
    }

    /// Which pixels it is given, in words.
    pub(super) fn pixels(&self, input: Input) -> String {
        let [blue, green, red] = self.normalization.bgr_means();
        match (input, self.normalization) {
            (Input::Rgb, _) => "RGB, 0 to 255".to_owned(),
            (Input::Normalized, Normalization::None) => "BGR, 0 to 255".to_owned(),
            (Input::Normalized, normalization) => {
                format!("BGR, 0 to 255, less {blue}, {green}, {red} ({normalization})")
            }
        }
    }
}

impl Target {
    /// A shape behind the batch, (channel, row, column) or (unit), as the tool has its axes.
    fn in_its_order(self, shape: Vec<usize>) -> Vec<usize> {
        match (self, shape.as_slice()) {
            (Self::Keras, &[channels, rows, columns]) => vec![rows, columns, channels],
            _ => shape,
        }
    }
}
