//! The golden files and what conversion must make of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, safetensors};
use convert::{Conversion, Error, Request};
use indicatif::ProgressBar;

/// A file beside the scripts that wrote them.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// What `narrow_vgg16.py` expects, by name, with Keras's own outputs.
pub(crate) fn expected() -> BTreeMap<String, Tensor> {
    let path = golden("narrow_vgg16.safetensors");
    safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect()
}

/// A conversion of everything, with nothing asked for.
pub(crate) fn request(file: &Path, out: &Path) -> Request {
    Request::new(file, out)
}

/// The bits of a tensor's values: bit-equal and nothing less.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// Converts without showing progress.
pub(crate) fn convert(request: &Request) -> Result<Conversion, Error> {
    convert::convert(request, &ProgressBar::hidden())
}
