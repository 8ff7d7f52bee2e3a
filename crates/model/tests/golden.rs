//! A narrow VGG16 with each head against PyTorch in f64: `golden/narrow_vgg16.py`.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use model::{Architecture, Classifier, Cut, Head, Mode, Vgg16, Widths};

/// Bound of the largest difference in units of the reference's largest value: the relative error
/// in the maximum norm.
///
/// Found: 3.3e-6 in the activations (1.4e-5 of their RMS, at the head `vggface`'s `fc7`, whose sums
/// cancel), 8.7e-6 in the gradients (1.6e-5 of their RMS).
const TOLERANCE: f64 = 1e-5;

const MODE: Mode = Mode::Train { dropout_seed: 42 };

const HEADS: [(&str, Head); 4] = [
    ("seed", Head::Seed),
    ("vggface", Head::Vggface),
    ("bottleneck", Head::Bottleneck),
    ("linear", Head::Linear),
];

struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn read() -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/narrow_vgg16.safetensors");
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    /// Tensors whose names begin with `prefix`, by the rest of the name.
    fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (String, Tensor)> + 'a {
        self.0
            .iter()
            .filter_map(move |(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor)))
            .map(|(name, tensor)| (name, tensor.clone()))
    }

    fn network(&self, name: &str, head: Head) -> Vgg16 {
        let architecture = Architecture {
            widths: Widths { blocks: [4, 6, 8, 10, 12], fc: 20 },
            side_px: 66,
            classifier: Some(Classifier::new(head, 5)),
        };
        let parameters: BTreeMap<String, Tensor> = self
            .below("backbone/parameters/")
            .chain(self.below(&format!("{name}/parameters/")))
            .collect();
        Vgg16::new(architecture, parameters, &Device::Cpu).unwrap()
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Largest difference in units of the largest expected value, and its index.
fn difference(found: &Tensor, expected: &Tensor) -> (f64, usize) {
    assert_eq!(found.dims(), expected.dims());
    let expected = flat(expected);
    let unit = largest(&expected);
    flat(found)
        .iter()
        .zip(&expected)
        .map(|(found, expected)| (found - expected).abs() / unit)
        .zip(0..)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .unwrap()
}

#[test]
fn activations_of_every_layer_agree_with_pytorch() {
    let golden = Golden::read();
    let margin = f64::from(golden.0["margin"].to_vec1::<f32>().unwrap()[0]);
    assert!(TOLERANCE < margin, "a ReLU or a maximum could go another way than in f64");
    for (name, head) in HEADS {
        let network = golden.network(name, head);
        for layer in network.layers() {
            let to = network.architecture().cut_after(&layer.name).unwrap();
            let found = network.forward(Cut::IMAGES, to, &golden.0["images"], MODE).unwrap();
            let expected = ["backbone", name]
                .iter()
                .find_map(|part| golden.0.get(&format!("{part}/activations/{}", layer.name)))
                .unwrap();
            let (error, index) = difference(&found, expected);
            assert!(error < TOLERANCE, "{name}, {}: {error:e} at {index}", layer.name);
        }
    }
}

#[test]
fn gradients_of_every_parameter_agree_with_pytorch() {
    let golden = Golden::read();
    for (name, head) in HEADS {
        let network = golden.network(name, head);
        let logits = network.logits(Cut::IMAGES, &golden.0["images"], MODE).unwrap();
        let loss = (logits * &golden.0["cotangent"]).unwrap().sum_all().unwrap();
        let gradients = network.gradients(&loss).unwrap();
        for (parameter, _) in network.variables() {
            let found = gradients.get(parameter).expect("a gradient of each parameter");
            let expected = &golden.0[&format!("{name}/gradients/{parameter}")];
            let (error, index) = difference(&found.to_tensor().unwrap(), expected);
            assert!(error < TOLERANCE, "{name}, {parameter}: {error:e} at {index}");
        }
    }
}
