//! What is minimized, against Keras: smoothed, weighted and mixed, by both kinds of loss.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use train::{
    loss::{ClassWeights, LossKind, Objective, Targets},
    setting::LabelSmoothing,
};

#[derive(Deserialize)]
struct Golden {
    logits: Vec<Vec<f32>>,
    labels: Vec<u32>,
    partners: Vec<u32>,
    shares: Vec<f32>,
    weights: Vec<f32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kind: LossKind,
    smoothing: f64,
    is_mixed: bool,
    is_weighted: bool,
    loss: f32,
    gradient: Vec<f32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/objectives.json")).unwrap()
}

impl Golden {
    fn objective(&self, case: &Case) -> Objective {
        let class_weights = if case.is_weighted {
            ClassWeights::Each(self.weights.clone())
        } else {
            ClassWeights::Uniform
        };
        let label_smoothing = LabelSmoothing::new(case.smoothing).unwrap();
        Objective { kind: case.kind, label_smoothing, class_weights }
    }

    fn targets(&self, case: &Case) -> Targets {
        let labels = self.labels.clone();
        if !case.is_mixed {
            return Targets::Labels(labels);
        }
        Targets::Mixed { labels, partners: self.partners.clone(), shares: self.shares.clone() }
    }
}

#[test]
fn losses_and_gradients_are_those_of_keras() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 16);
    for case in &golden.cases {
        let logits =
            Var::from_tensor(&Tensor::new(golden.logits.clone(), &Device::Cpu).unwrap()).unwrap();
        let loss = golden.objective(case).loss(&logits, &golden.targets(case)).unwrap();
        let gradients = loss.backward().unwrap();
        let gradient: Vec<f32> =
            gradients.get(&logits).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let name = format!(
            "{:?}, smoothing {}, mixed {}, weighted {}",
            case.kind, case.smoothing, case.is_mixed, case.is_weighted
        );
        let loss: f32 = loss.to_scalar().unwrap();
        // Both sum a few terms of up to 25 in f32.
        assert!((loss - case.loss).abs() <= 5e-6, "{name}: {loss}, expected {}", case.loss);
        assert_eq!(gradient.len(), case.gradient.len());
        for (index, (found, expected)) in gradient.iter().zip(&case.gradient).enumerate() {
            let difference = (found - expected).abs();
            // Shares of a softmax below 1, times weights of up to 3, over 6 images. Clipped, a probability
            // of 1e-6 or so is divided by itself.
            assert!(difference <= 5e-7, "{name}: {found} at {index}, expected {expected}");
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    let golden = golden();
    // Where the clip bends the loss there is no slope: the last two images lie beyond it.
    let (images, classes) = (4, golden.logits[0].len());
    for case in &golden.cases {
        let objective = golden.objective(case);
        let cut = |targets: Targets| match targets {
            Targets::Labels(labels) => Targets::Labels(labels[..images].to_vec()),
            Targets::Mixed { labels, partners, shares } => Targets::Mixed {
                labels: labels[..images].to_vec(),
                partners: partners[..images].to_vec(),
                shares: shares[..images].to_vec(),
            },
        };
        let targets = cut(golden.targets(case));
        let values: Vec<f32> = golden.logits[..images].concat();
        let logits = Var::from_slice(&values, (images, classes), &Device::Cpu).unwrap();
        let gradients = objective.loss(&logits, &targets).unwrap().backward().unwrap();
        let gradient: Vec<f32> =
            gradients.get(&logits).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for (index, found) in gradient.into_iter().enumerate() {
            let moved = |by: f32| {
                let mut values = values.clone();
                values[index] += by;
                let logits = Tensor::from_vec(values, (images, classes), &Device::Cpu).unwrap();
                f64::from(objective.loss(&logits, &targets).unwrap().to_scalar::<f32>().unwrap())
            };
            let slope = (moved(0.03125) - moved(-0.03125)) / 0.0625;
            // Losses of about 3 in f32, over a step of 1/16; and 1e-3 / 6 of a third derivative below 1.
            assert!(
                (f64::from(found) - slope).abs() <= 2e-4,
                "{found} at {index}, expected {slope}"
            );
        }
    }
}
