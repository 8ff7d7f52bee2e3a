//! A small features file, for tests of what reads one.

use tempfile::TempDir;

use super::{FeatureDtype, FeatureFile, FeatureMetadata, FeatureWriter};

/// Writes features of so many units an image, one image after the other; the file is there as long as
/// the folder.
pub(crate) fn small_file(units: usize, features: &[f32]) -> (TempDir, FeatureFile) {
    let folder = tempfile::tempdir().unwrap();
    let metadata = FeatureMetadata {
        layer: "pool5".to_owned(),
        weights_sha256: String::new(),
        data_sha256: String::new(),
        key: "k".to_owned(),
        dtype: FeatureDtype::F32,
    };
    let labels = vec![0; features.len() / units];
    let path = folder.path().join("f.safetensors");
    let mut writer = FeatureWriter::create(&path, metadata, &[units], labels).unwrap();
    writer.append(features).unwrap();
    (folder, writer.finish().unwrap())
}
