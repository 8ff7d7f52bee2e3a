//! 150 steps of training against PyTorch, loss by loss.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::{collections::BTreeMap, path::Path};

use candle_core::{DType, Device, Tensor, safetensors};
use model::{Architecture, Classifier, Cut, Head, Mode, Vgg16, Widths};
use train::{
    loss::{LossKind, loss},
    optimizer::{LearningRates, Optimizer, OptimizerConfig},
};

const SIDE: usize = 48;

/// How many times as far as PyTorch's own f32 any loss may be from its f64. A window of a pool, or a unit, that goes the
/// other way by a last digit changes what follows, as small as this network is: f32 strays by 0.03 in 150 steps.
const TIMES: f64 = 2.0;

/// In the first steps nothing has gone another way, and losses agree to a few roundings.
const FIRST: usize = 8;

struct Golden(BTreeMap<String, Tensor>);

impl Golden {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/training.safetensors");
        Self(safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect())
    }

    fn losses(&self, name: &str) -> Vec<f64> {
        self.0[&format!("losses/{name}")].to_vec1().unwrap()
    }

    fn network(&self) -> Vgg16 {
        let of = |name: &String| name.strip_prefix("weights/").map(str::to_owned);
        let weights: BTreeMap<String, Tensor> =
            self.0.iter().filter_map(|(name, tensor)| Some((of(name)?, tensor.clone()))).collect();
        let width = |layer: &str| weights[&format!("{layer}.bias")].dim(0).unwrap();
        let blocks = [1, 2, 3, 4, 5].map(|block| width(&format!("conv{block}_1")));
        let architecture = Architecture {
            widths: Widths { blocks, fc: width("fc6") },
            side_px: SIDE,
            classifier: Some(Classifier::new(Head::Seed, width("fc8"))),
        };
        Vgg16::new(architecture, weights, &Device::Cpu).unwrap()
    }
}

/// The losses of all steps, by our network, loss and optimizer.
fn trained(golden: &Golden, config: OptimizerConfig) -> Vec<f64> {
    let network = golden.network();
    let mut optimizer = Optimizer::new(config);
    let pixels = golden.0["pixels"].to_dtype(DType::F32).unwrap();
    let images = ((pixels - 128.0).unwrap() / 64.0).unwrap();
    let labels = &golden.0["labels"];
    let order: Vec<Vec<u32>> = golden.0["order"].to_vec2().unwrap();
    let step = |batch: Vec<u32>| {
        let batch = Tensor::new(batch, &Device::Cpu).unwrap();
        let images = images.index_select(&batch, 0).unwrap();
        let labels = labels.index_select(&batch, 0).unwrap();
        let mode = Mode::Train { dropout_seed: 1 };
        let logits = network.logits(Cut::IMAGES, &images, mode).unwrap();
        let loss = loss(LossKind::CrossEntropy, &logits, &labels).unwrap();
        let gradients = network.gradients(&loss).unwrap();
        let rates = LearningRates::equal(config.learning_rate());
        optimizer.step(&network.variables(), &gradients, rates).unwrap();
        f64::from(loss.to_scalar::<f32>().unwrap())
    };
    order.into_iter().map(step).collect()
}

#[test]
fn losses_are_those_of_pytorch() {
    let golden = Golden::read();
    for (name, config) in [("sgd", "kind = \"sgd\"\nmomentum = 0.9"), ("adam", "kind = \"adam\"")] {
        let rate: f64 = golden.0[&format!("rates/{name}")].to_scalar().unwrap();
        let config = toml::from_str(&format!("{config}\nlearning_rate = {rate}")).unwrap();
        let found = trained(&golden, config);
        let exact = golden.losses(&format!("{name}/f64"));
        let rounded = golden.losses(&format!("{name}/f32"));
        assert_eq!(found.len(), exact.len());
        assert!(exact[149] < 0.4 * exact[0], "{name}: the run learns");
        for (loss, exact) in found.iter().zip(&exact).take(FIRST) {
            assert!((loss - exact).abs() < 1e-5, "{name}: {loss}, expected {exact}");
        }
        let strays = |losses: &[f64]| {
            losses.iter().zip(&exact).map(|(loss, exact)| (loss - exact).abs()).fold(0.0, f64::max)
        };
        let (ours, theirs) = (strays(&found), strays(&rounded));
        assert!(ours <= TIMES * theirs, "{name}: {ours:e} from f64, PyTorch's f32 {theirs:e}");
    }
}
