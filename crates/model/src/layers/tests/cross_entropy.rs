//! Cross-entropy by the kernel against the same by tensor operations, and what it refuses.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::super::cross_entropy::{by_tensor_operations, cross_entropy, soft};
use super::super::soft_cross_entropy;
use crate::SoftTarget;

#[test]
fn cross_entropy_is_the_same_by_kernel_and_by_tensor_operations() {
    let logits: Vec<f32> = (0..15_u8).map(|at| f32::from(at * 7 % 11) - 5.0).collect();
    let labels = Tensor::new(&[4_u32, 0, 2], &Device::Cpu).unwrap();
    let weights = Tensor::new(&[0.5_f32, -1.0, 2.0], &Device::Cpu).unwrap();
    let of = |losses: fn(&Tensor, &Tensor) -> Result<Tensor>| {
        let logits = Var::from_slice(&logits, (3, 5), &Device::Cpu).unwrap();
        let losses = losses(&logits, &labels).unwrap();
        let gradients = (&losses * &weights).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&logits).unwrap().flatten_all().unwrap();
        [losses.to_vec1::<f32>().unwrap(), gradient.to_vec1().unwrap()].concat()
    };
    let (kernel, tensors) = (of(cross_entropy), of(by_tensor_operations));
    for (kernel, tensors) in kernel.iter().zip(&tensors) {
        // A few roundings of losses up to 11.
        assert!((kernel - tensors).abs() <= 3e-6, "{kernel}, {tensors}");
    }
}

#[test]
fn soft_cross_entropy_is_the_same_by_kernel_and_by_tensor_operations() {
    let logits: Vec<f32> = (0..20_u8).map(|at| f32::from(at * 7 % 11) - 5.0).collect();
    let target = |labels, weights| SoftTarget { labels, weights };
    let targets = [
        target([4, 0], [0.25, 0.75]),
        target([0, 0], [1.5, 0.5]),
        target([2, 3], [1.0, 0.0]),
        target([1, 2], [0.0, 0.0]),
    ];
    let cotangent = Tensor::new(&[0.5_f32, -1.0, 2.0, 1.0], &Device::Cpu).unwrap();
    for smoothing in [0.0, 0.1] {
        let of = |losses: &dyn Fn(&Tensor) -> Result<Tensor>| {
            let logits = Var::from_slice(&logits, (4, 5), &Device::Cpu).unwrap();
            let losses = losses(&logits).unwrap();
            let gradients = (&losses * &cotangent).unwrap().sum_all().unwrap().backward().unwrap();
            let gradient = gradients.get(&logits).unwrap().flatten_all().unwrap();
            [losses.to_vec1::<f32>().unwrap(), gradient.to_vec1().unwrap()].concat()
        };
        let kernel = of(&|logits| soft_cross_entropy(logits, targets.to_vec(), smoothing));
        let tensors = of(&|logits| soft::by_tensor_operations(logits, &targets, smoothing));
        assert_eq!(kernel.len(), tensors.len());
        for (kernel, tensors) in kernel.iter().zip(&tensors) {
            // A few roundings of losses up to 22.
            assert!((kernel - tensors).abs() <= 6e-6, "{kernel}, {tensors}");
        }
    }
}

#[test]
fn soft_targets_that_do_not_fit_are_refused() {
    let logits = Tensor::zeros((1, 3), DType::F32, &Device::Cpu).unwrap();
    let target = SoftTarget { labels: [0, 3], weights: [1.0, 0.0] };
    let error = soft_cross_entropy(&logits, vec![target], 0.0).unwrap_err();
    assert!(error.to_string().contains("a label is 3, expected one below 3"), "{error}");
    let error = soft_cross_entropy(&logits, Vec::new(), 0.0).unwrap_err();
    assert!(error.to_string().contains("0 targets for 1 images"), "{error}");
}

#[test]
fn a_label_that_is_no_class_is_refused() {
    let logits = Tensor::zeros((1, 3), DType::F32, &Device::Cpu).unwrap();
    let labels = Tensor::new(&[3_u32], &Device::Cpu).unwrap();
    let error = cross_entropy(&logits, &labels).unwrap_err();
    assert!(error.to_string().contains("a label is 3, expected one below 3"), "{error}");
}
