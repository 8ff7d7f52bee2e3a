//! The name under which features are kept: a digest of everything that they depend on.

use candle_core::{Device, Tensor};
use model::weights::hexadecimal;
use model::{Cut, ParameterSpec, Vgg16};
use preprocess::Normalization;
use sha2::{Digest, Sha256};

use super::FeatureDtype;
use crate::Error;

/// Raised whenever kernels, layers or normalizations change what they give, so that features of
/// the old arithmetic are not taken for those of the new.
pub(crate) const ARITHMETIC_VERSION: &str = "2";

/// Digest of what the features at `cut` depend on: the data, the normalization, every parameter
/// below the cut, the device, the type in which they are kept, and the versions of this program and of its arithmetic.
///
/// The parameters themselves are digested, not the file they came from: a run that has trained
/// some of them, or a file with another head, gets a key that is right by construction.
///
/// # Errors
///
/// [`Error::Tensor`] if a parameter cannot be read back from the device.
pub fn feature_key(
    network: &Vgg16,
    cut: Cut,
    data_sha256: &str,
    normalization: Normalization,
    dtype: FeatureDtype,
) -> Result<String, Error> {
    let device = crate::device::device_name(network.device());
    let mut hash = Sha256::new();
    for word in [
        "features",
        env!("CARGO_PKG_VERSION"),
        ARITHMETIC_VERSION,
        data_sha256,
        &normalization.to_string(),
        &device,
    ] {
        hash_field(&mut hash, word.as_bytes());
    }
    if dtype != FeatureDtype::F32 {
        hash_field(&mut hash, dtype.to_string().as_bytes());
    }
    let tensors = network.tensors()?;
    for layer in &network.layers()[..cut.index()] {
        hash_field(&mut hash, layer.name.as_bytes());
        for ParameterSpec { name, .. } in layer.parameters() {
            hash_field(&mut hash, name.as_bytes());
            hash_tensor(&mut hash, &tensors[&name])?;
        }
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// Digest of every parameter of a network, by name, shape and value.
///
/// # Errors
///
/// [`Error::Tensor`] if a parameter cannot be read back from the device.
pub(crate) fn network_sha256(network: &Vgg16) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for (name, tensor) in network.tensors()? {
        hash_field(&mut hash, name.as_bytes());
        hash_tensor(&mut hash, &tensor)?;
    }
    Ok(hexadecimal(&hash.finalize()))
}

fn hash_field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn hash_tensor(hash: &mut Sha256, tensor: &Tensor) -> Result<(), Error> {
    for &length in tensor.dims() {
        hash.update((length as u64).to_le_bytes());
    }
    let values = tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    for chunk in values.chunks(4096) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    Ok(())
}
