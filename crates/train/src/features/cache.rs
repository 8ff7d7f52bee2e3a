//! Where features are kept, and the cheapest way to come by them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use model::{Cut, Vgg16};
use preprocess::{Normalization, Prepared};

use super::{FeatureDtype, FeatureFile, FeatureMetadata, FeatureWriter, compute, feature_key};
use crate::{
    Error,
    training::{Inputs, Interrupt},
    whole_file::remove_abandoned,
};

/// Features of one prepared set on disk, each file under its layer and key.
#[derive(Debug)]
pub struct FeatureCache<'a> {
    folder: PathBuf,
    prepared: &'a Prepared,
    normalization: Normalization,
    weights_sha256: String,
    dtype: FeatureDtype,
}

/// Features that are to be computed.
struct Missing {
    cut: Cut,
    metadata: FeatureMetadata,
    path: PathBuf,
}

impl<'a> FeatureCache<'a> {
    /// A cache in this folder, which is made when it is first needed.
    pub fn new(
        folder: &Path,
        prepared: &'a Prepared,
        normalization: Normalization,
        weights_sha256: &str,
        dtype: FeatureDtype,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            prepared,
            normalization,
            weights_sha256: weights_sha256.to_owned(),
            dtype,
        }
    }

    /// The features at these cuts, which ascend; those that are not there are computed now, in one
    /// pass over the images.
    ///
    /// That pass starts from the highest cut below the first missing one that is kept in f32, so
    /// that `pool5` costs three layers once `pool4` is known.
    ///
    /// # Errors
    ///
    /// [`Error::InterruptedFeatures`] after Ctrl-C, and whatever the network or the disk report.
    pub fn features(
        &self,
        network: &Vgg16,
        cuts: &[Cut],
        interrupt: &Interrupt,
    ) -> Result<BTreeMap<Cut, FeatureFile>, Error> {
        let mut features = BTreeMap::new();
        let mut missing = Vec::new();
        for &cut in cuts {
            let metadata = self.metadata(network, cut, self.dtype)?;
            let path = self.path(&metadata);
            match path.exists().then(|| FeatureFile::open(&path, &metadata)) {
                Some(Ok(file)) => {
                    features.insert(cut, file);
                    continue;
                }
                Some(Err(error)) => tracing::warn!("{error}; computing it again"),
                None => {}
            }
            missing.push(Missing { cut, metadata, path });
        }
        let Some(first) = missing.first() else { return Ok(features) };
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| remove_abandoned(&self.folder))
            .map_err(|source| Error::Write { path: self.folder.clone(), source })?;
        let (from, lower) = self.nearest_below(network, first.cut)?;
        let inputs = match &lower {
            Some(file) => Inputs::Features(file),
            None => Inputs::plain(self.prepared, self.normalization),
        };
        features.extend(self.write(network, &inputs, from, missing, interrupt)?);
        Ok(features)
    }

    /// The features at a cut, if they are kept.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if a parameter cannot be read back from the device.
    pub(crate) fn kept(&self, network: &Vgg16, cut: Cut) -> Result<Option<FeatureFile>, Error> {
        let metadata = self.metadata(network, cut, self.dtype)?;
        Ok(FeatureFile::open(&self.path(&metadata), &metadata).ok())
    }

    /// Computes the features at `cut` from the images into a file of the caller's choice.
    ///
    /// # Errors
    ///
    /// Those of [`features`](Self::features).
    ///
    /// # Panics
    ///
    /// Never: what is missing is written.
    pub fn export(
        &self,
        network: &Vgg16,
        cut: Cut,
        path: &Path,
        interrupt: &Interrupt,
    ) -> Result<FeatureFile, Error> {
        let inputs = Inputs::plain(self.prepared, self.normalization);
        let metadata = self.metadata(network, cut, self.dtype)?;
        let missing = vec![Missing { cut, metadata, path: path.to_owned() }];
        let mut written = self.write(network, &inputs, Cut::IMAGES, missing, interrupt)?;
        Ok(written.remove(&cut).expect("what is missing is written"))
    }

    /// Writes what is missing, whose cuts ascend, from inputs that enter the network at `from`.
    fn write(
        &self,
        network: &Vgg16,
        inputs: &Inputs<'_>,
        from: Cut,
        missing: Vec<Missing>,
        interrupt: &Interrupt,
    ) -> Result<BTreeMap<Cut, FeatureFile>, Error> {
        let layers: Vec<&str> = missing.iter().map(|file| file.metadata.layer.as_str()).collect();
        let layers = layers.join(", ");
        tracing::info!(
            layers,
            images = self.prepared.len(),
            from = from.index().checked_sub(1).map_or("images", |i| &network.layers()[i].name),
            "computing features"
        );
        let progress =
            terminal::bar(format!("features {layers}"), terminal::Unit::Things("images"));
        let outputs = missing
            .into_iter()
            .map(|Missing { cut, metadata, path }| {
                let shape = network.architecture().shape_at(cut)?;
                let labels = self.prepared.labels();
                Ok((cut, FeatureWriter::create(&path, metadata, &shape, labels)?))
            })
            .collect::<Result<_, Error>>()?;
        compute(network, inputs, from, outputs, &progress, interrupt)
    }

    /// The highest cut below `cut` whose features are kept, with these; else the images.
    fn nearest_below(
        &self,
        network: &Vgg16,
        cut: Cut,
    ) -> Result<(Cut, Option<FeatureFile>), Error> {
        for layer in network.layers()[..cut.index() - 1].iter().rev() {
            let lower = network.architecture().cut_after(&layer.name)?;
            if !self.holds_layer(&layer.name) {
                continue;
            }
            let metadata = self.metadata(network, lower, FeatureDtype::F32)?;
            if let Ok(file) = FeatureFile::open(&self.path(&metadata), &metadata) {
                return Ok((lower, Some(file)));
            }
        }
        Ok((Cut::IMAGES, None))
    }

    /// Whether any features of this layer are kept, so that a key is worth computing.
    fn holds_layer(&self, layer: &str) -> bool {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return false };
        let prefix = format!("{layer}-");
        entries
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
    }

    fn metadata(
        &self,
        network: &Vgg16,
        cut: Cut,
        dtype: FeatureDtype,
    ) -> Result<FeatureMetadata, Error> {
        let layer = cut.index().checked_sub(1).expect("features lie behind a layer");
        Ok(FeatureMetadata {
            layer: network.layers()[layer].name.clone(),
            weights_sha256: self.weights_sha256.clone(),
            data_sha256: self.prepared.sha256().to_owned(),
            key: feature_key(network, cut, self.prepared.sha256(), self.normalization, dtype)?,
            dtype,
        })
    }

    fn path(&self, metadata: &FeatureMetadata) -> PathBuf {
        self.folder.join(format!("{}-{}.safetensors", metadata.layer, &metadata.key[..16]))
    }
}
