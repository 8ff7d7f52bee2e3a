//! Small prepared sets of synthetic people, narrow recipes, and the files of a run.

use std::{
    collections::BTreeMap,
    fs,
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::ProgressBar;
use preprocess::{
    Crop, Outcome, Settings, Share, Side,
    synthetic::{Gallery, write_gallery},
};
use tempfile::TempDir;
use train::{
    device::DeviceChoice,
    recipe::Recipe,
    report::FacesShown,
    run::{EpochRecord, Record, StepRecord},
    training::{Config, Keep, WeightsChoice},
};

/// A folder with a prepared set, a place for runs, and nothing else.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    /// Draws and prepares `identities` people with `photographs` photographs of 48 px each.
    pub(crate) fn new(identities: u64, photographs: u64) -> Self {
        let bench = Self::empty();
        bench.prepare_at("data", 48, identities, photographs);
        bench
    }

    /// A folder with nothing in it.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Draws people as the quickstart does and prepares them at this side.
    pub(crate) fn prepare_at(&self, name: &str, side_px: usize, identities: u64, photographs: u64) {
        let side: Side = side_px.to_string().parse().unwrap();
        let gallery = Gallery {
            seed: 1,
            first_identity: 0,
            identities: NonZeroU64::new(identities).unwrap(),
            photographs: NonZeroU64::new(photographs).unwrap(),
            // Those of 48 px are drawn as small as they are used.
            side: if side_px == 48 { side } else { "96".parse().unwrap() },
        };
        let faces = self.path(&format!("{name}-faces"));
        write_gallery(&gallery, &faces, &ProgressBar::hidden()).unwrap();
        self.prepare_again(name, side);
    }

    /// Prepares the people at this name as they are by now.
    pub(crate) fn prepare_again(&self, name: &str, side: Side) {
        let faces = self.path(&format!("{name}-faces"));
        let settings = Settings {
            min_faces: NonZeroUsize::MIN,
            crop: Crop::Whole,
            side,
            max_skipped_share: Share::try_from(0.0).unwrap(),
            max_photograph_pixels: NonZeroU64::new(1 << 20).unwrap(),
        };
        let out = self.path(name);
        let outcome = preprocess::prepare(&faces, &out, &settings, &ProgressBar::hidden()).unwrap();
        assert!(matches!(outcome, Outcome::Made(_)));
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A run of a built-in recipe from random weights over three folds into `out`.
    pub(crate) fn config_of(&self, builtin: &str, out: &str) -> Config {
        self.config(&Recipe::builtin(builtin).unwrap().to_toml(), out)
    }

    /// A run of this recipe from random weights over three folds into `out`.
    pub(crate) fn config(&self, recipe: &str, out: &str) -> Config {
        Config {
            data: self.path("data"),
            weights: WeightsChoice::Random,
            out: self.path(out),
            features: None,
            recipe_name: "test".to_owned(),
            recipe: Recipe::parse("test", recipe).unwrap(),
            num_folds: 3,
            repeats: NonZeroUsize::MIN,
            selected: Vec::new(),
            seed: 42,
            device: DeviceChoice::Cpu,
            checkpoint_every: Duration::from_mins(5),
            keep: Keep::Last,
            faces: FacesShown::Shown,
        }
    }
}

/// A recipe over a narrow network: its head and its stages are the test's.
pub(crate) fn narrow(head: &str, stages: &str) -> String {
    format!(
        "head = \"{head}\"\nhead_init = \"new\"\nbatch_size = 4\nshuffle = \"every-epoch\"\n\
         fresh_model_per_fold = true\nloss = \"cross-entropy\"\nwidths = [4, 6, 8, 8, 8]\n{stages}"
    )
}

/// Two stages in miniature: the head on frozen layers, then the last block with it.
pub(crate) const TWO_STAGES: &str = r#"
[[stage]]
name = "head"
freeze = ["conv*"]
train = ["fc8"]
epochs = 2
optimizer = { kind = "adam", learning_rate = 1e-4 }

[[stage]]
name = "fine-tune"
freeze = ["conv1_*", "conv2_*", "conv3_*", "conv4_*"]
train = ["conv5_*", "fc8"]
epochs = 2
optimizer = { kind = "sgd", learning_rate = 1e-5, momentum = 0.9 }
"#;

/// The records of a run.
pub(crate) fn records(out: &Path) -> Vec<Record> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Those of its steps.
pub(crate) fn steps(out: &Path) -> Vec<StepRecord> {
    let step = |record| match record {
        Record::Step(step) => Some(step),
        Record::Epoch(_) | Record::Health(_) => None,
    };
    records(out).into_iter().filter_map(step).collect()
}

/// Those of its epochs.
pub(crate) fn epochs(out: &Path) -> Vec<EpochRecord> {
    let epoch = |record| match record {
        Record::Epoch(epoch) => Some(epoch),
        Record::Step(_) | Record::Health(_) => None,
    };
    records(out).into_iter().filter_map(epoch).collect()
}

/// The tensors that a fold left, as bits.
pub(crate) fn trained(out: &Path, fold: usize) -> BTreeMap<String, Vec<u32>> {
    let path = out.join(format!("fold-{fold:02}/weights.safetensors"));
    let file = model::WeightsFile::read(&path).unwrap();
    let bits = |tensor: &candle_core::Tensor| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    file.tensors().iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}
