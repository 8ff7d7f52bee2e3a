//! Weights under torchvision's names, in safetensors.
//!
//! `features` counts convolutions, `ReLUs` and poolings as torchvision's `vgg16` does. Its
//! `classifier` is (Linear, `ReLU`, Dropout) twice and a last Linear: 0, 3 and 6. With fewer dense
//! layers the count is the same: 0 and 3, or 0 alone.
//!
//! # Source
//!
//! torchvision 0.29.2, `models/vgg.py`, configuration D without batch normalization.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use indicatif::ProgressBar;
use model::weights::{FORMAT_VERSION, WeightsWriter};
use model::{LayerKind, Metadata, ParameterSpec};

use super::network::Network;
use super::{Input, failed};
use crate::Error;

/// Writes the file and returns its length and SHA-256.
pub(super) fn write(
    network: &Network,
    out: &Path,
    progress: &ProgressBar,
) -> Result<(u64, String), Error> {
    let (mut features, mut classifier) = (0, 0);
    let mut names = Vec::new();
    let mut parameters = Vec::new();
    for layer in network.architecture.layers() {
        let place = match layer.kind {
            LayerKind::Convolution { .. } => {
                features += 2;
                format!("features.{}", features - 2)
            }
            LayerKind::MaxPool => {
                features += 1;
                continue;
            }
            LayerKind::Dense { .. } => {
                classifier += 3;
                format!("classifier.{}", classifier - 3)
            }
            LayerKind::Dropout { .. } => continue,
        };
        for ParameterSpec { name, shape } in layer.parameters() {
            let renamed = name.replacen(&layer.name, &place, 1);
            parameters.push(ParameterSpec { name: renamed, shape });
            names.push(name);
        }
    }
    let metadata = Metadata {
        format_version: FORMAT_VERSION,
        normalization: network.normalization.to_string(),
        source: network.source.clone(),
        source_sha256: network.source_sha256.clone(),
        identities: network.identities.clone(),
        notes: BTreeMap::from([("input".to_owned(), network.pixels(Input::Normalized))]),
    };
    let mut writer = WeightsWriter::create(out, parameters, &metadata)?;
    for name in &names {
        if progress.is_finished() {
            return Err(Error::Interrupted);
        }
        let values = network.tensors[name].flatten_all()?.to_vec1::<f32>()?;
        writer.append(&values)?;
        progress.inc(size_of_val(values.as_slice()) as u64);
    }
    let unnamed = writer.finish(&metadata)?;
    let size_bytes = fs::metadata(unnamed.path()).map_err(|source| failed(out, source))?.len();
    Ok((size_bytes, unnamed.keep()?))
}
