//! Weights to export: the golden network's, in files and in runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use convert::export::{Input, Request, Scores, Target};
use model::Metadata;

/// Whom the golden network's fc8 tells apart.
pub(crate) const NAMES: [&str; 9] = ["Ann", "Bob", "Cy", "Di", "Eve", "Flo", "Guy", "Hal", "Zoë"];

/// A file beside the scripts that wrote them.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// What `narrow_vgg16.py` expects, by name.
pub(crate) fn expected() -> BTreeMap<String, Tensor> {
    let path = golden("narrow_vgg16.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect()
}

/// The bits of a tensor's values: bit-equal and nothing less.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// The golden network's backbone with some of its dense layers.
pub(crate) fn tensors(dense: &[&str]) -> BTreeMap<String, Tensor> {
    let mut tensors = expected();
    tensors.retain(|name, _| {
        name.starts_with("conv") || dense.iter().any(|layer| name.starts_with(layer))
    });
    tensors
}

/// The golden network with `fc6` and `fc8` alone, as the seed's head has them.
pub(crate) fn seed_tensors() -> BTreeMap<String, Tensor> {
    let mut tensors = tensors(&["fc6"]);
    for name in ["fc8.weight", "fc8.bias"] {
        tensors.insert(name.to_owned(), expected()[&format!("seed.{name}")].clone());
    }
    tensors
}

/// Writes weights as a run does.
pub(crate) fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let identities = tensors.contains_key("fc8.weight").then(|| NAMES.map(str::to_owned).to_vec());
    let metadata = Metadata {
        format_version: 1,
        normalization: "vggface-v2".to_owned(),
        source: "runs/lfw".to_owned(),
        source_sha256: "00".to_owned(),
        identities,
        notes: BTreeMap::new(),
    };
    model::weights::write(path, tensors, &metadata).unwrap();
}

/// A run in `folder` of which folds 0 and 2 are done.
pub(crate) fn run(folder: &Path) -> PathBuf {
    for fold in ["fold-00", "fold-02", "fold-01"] {
        fs::create_dir(folder.join(fold)).unwrap();
        if fold != "fold-01" {
            write(&folder.join(fold).join("weights.safetensors"), &seed_tensors());
        }
    }
    folder.to_owned()
}

/// An export of a weights file, with nothing asked for.
pub(crate) fn to(target: Target, source: &Path) -> Request {
    Request {
        source: source.to_owned(),
        fold: None,
        target,
        out: None,
        input: Input::Normalized,
        scores: Scores::Logits,
    }
}
