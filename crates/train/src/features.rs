//! The output of frozen layers, computed once for each image and shared by epochs, folds and runs.

mod cache;
mod dtype;
mod export;
mod file;
mod key;
#[cfg(test)]
mod small_file;

pub use cache::FeatureCache;
pub use dtype::FeatureDtype;
pub use export::{Config, export};
pub use file::{FeatureFile, FeatureMetadata, FeatureWriter};
pub use key::feature_key;
pub(crate) use key::{ARITHMETIC_VERSION, network_sha256};
#[cfg(test)]
pub(crate) use small_file::small_file;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use indicatif::ProgressBar;
use model::{Cut, Mode, Vgg16};

use crate::{
    Error,
    training::{Inputs, Interrupt, for_each_batch},
};

/// Images that go through the frozen layers at once.
const BATCH: usize = 32;

/// Runs every image of `inputs`, which enter at `from`, through the frozen layers once, and writes
/// what comes out at each cut of `outputs`, which ascend.
///
/// # Errors
///
/// [`Error::InterruptedFeatures`] after Ctrl-C, and whatever reading, the network or writing
/// reports.
pub(crate) fn compute(
    network: &Vgg16,
    inputs: &Inputs<'_>,
    from: Cut,
    mut outputs: Vec<(Cut, FeatureWriter)>,
    progress: &ProgressBar,
    interrupt: &Interrupt,
) -> Result<BTreeMap<Cut, FeatureFile>, Error> {
    let images = inputs.len();
    progress.set_length(images as u64);
    let all: Vec<usize> = (0..images).collect();
    for_each_batch(inputs, all.chunks(BATCH), 0, network.device(), |indices, batch| {
        if interrupt.is_raised() {
            return Err(Error::InterruptedFeatures);
        }
        let (mut at, mut features) = (from, batch.clone());
        for (cut, writer) in &mut outputs {
            features = network.forward(at, *cut, &features, Mode::Eval)?;
            at = *cut;
            let values = features.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            writer.append(&values)?;
        }
        progress.inc(indices.len() as u64);
        Ok(())
    })?;
    progress.finish_and_clear();
    outputs.into_iter().map(|(cut, writer)| Ok((cut, writer.finish()?))).collect()
}

/// A batch of features as a tensor of the device.
pub(crate) fn batch_tensor(
    features: Vec<f32>,
    images: usize,
    shape: &[usize],
    device: &Device,
) -> Result<Tensor, Error> {
    let shape: Vec<usize> = std::iter::once(images).chain(shape.iter().copied()).collect();
    Ok(Tensor::from_vec(features, shape, device)?)
}
