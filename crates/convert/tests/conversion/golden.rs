//! The golden files and what conversion must make of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, safetensors};
use convert::{Conversion, Error, Request};
use indicatif::ProgressBar;
use model::WeightsFile;

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

/// Parameters of the whole network, of which the two files of a transfer have no fc7.
pub(crate) const VGGFACE: usize = 32;
pub(crate) const TRANSFER: usize = 30;

/// Converts a golden file as asked for and holds every tensor against the expected ones, to the
/// bit.
#[track_caller]
pub(crate) fn converts_as(
    name: &str,
    parameters: usize,
    ask: impl FnOnce(&mut Request),
) -> Conversion {
    let (conversion, file) = converted(name, ask);
    assert_eq!(file.tensors().len(), parameters);
    assert_eq!(file.sha256(), conversion.sha256);
    assert_eq!(file.metadata().source, name);
    assert_eq!(file.metadata().source_sha256, conversion.source_sha256);
    assert_eq!(file.metadata().normalization, conversion.normalization.to_string());
    assert_eq!(file.widths().unwrap().blocks, [2, 3, 4, 5, 6]);
    let expected = expected();
    for (name, tensor) in file.tensors() {
        let expected_name = match name.strip_prefix("fc8") {
            Some(part) if parameters == TRANSFER => format!("seed.fc8{part}"),
            _ => name.clone(),
        };
        let expected = &expected[&expected_name];
        assert_eq!(tensor.dims(), expected.dims(), "{name}");
        assert_eq!(bits(tensor), bits(expected), "{name}");
    }
    conversion
}

/// Converts a golden file as asked for.
#[track_caller]
pub(crate) fn converted(name: &str, ask: impl FnOnce(&mut Request)) -> (Conversion, WeightsFile) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let mut request = request(&golden(name), &out);
    ask(&mut request);
    let conversion = convert(&request).unwrap();
    let file = WeightsFile::read(&out).unwrap();
    (conversion, file)
}
