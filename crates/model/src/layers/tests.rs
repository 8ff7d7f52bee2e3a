//! Each layer's gradients against finite differences, on the CPU's kernels and on the tensor
//! operations that serve the other devices; and the traps of candle that both go round.

mod cross_entropy;
mod stretch;

use std::cell::RefCell;

use candle_core::{DType, Device, Result, Tensor, TensorId, Var};

use super::{
    Buffers, GradientSlot, Parameters, Pooling, convolutions, dense, dropout,
    pooling::{self, max_pool as pool},
};
use crate::architecture::Activation;
use crate::stream::{Purpose, Uniform};

/// A way to compute a layer of weights and bias, and its name for messages.
type Affine = (&'static str, fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>);

const CONVOLUTIONS: [Affine; 2] =
    [("kernels", convolve), ("tensor operations", convolutions::by_tensor_operations)];

thread_local! {
    /// Where the gradients of a test's parameters go.
    static SLOTS: RefCell<Vec<(TensorId, GradientSlot)>> = const { RefCell::new(Vec::new()) };
}

/// The slot of a parameter, always the same.
fn slot_of(parameter: &Tensor) -> GradientSlot {
    SLOTS.with_borrow_mut(|slots| {
        let found = slots.iter().find(|(id, _)| *id == parameter.id());
        let slot = found.map_or_else(GradientSlot::default, |(_, slot)| slot.clone());
        slots.push((parameter.id(), slot.clone()));
        slot
    })
}

fn parameters(weights: &Tensor, bias: &Tensor) -> Parameters {
    Parameters {
        weights: weights.clone(),
        bias: bias.clone(),
        weights_slot: slot_of(weights),
        bias_slot: slot_of(bias),
    }
}

/// One convolution.
fn convolve(images: &Tensor, weights: &Tensor, bias: &Tensor) -> Result<Tensor> {
    convolutions(images, vec![(parameters(weights, bias), Pooling::None)], &Buffers::default())
}

/// One convolution and the pool behind it.
fn convolve_and_pool(images: &Tensor, weights: &Tensor, bias: &Tensor) -> Result<Tensor> {
    convolutions(images, vec![(parameters(weights, bias), Pooling::Max)], &Buffers::default())
}

const DENSE: [Affine; 4] = [
    ("kernels, ReLU", |x, w, b| dense(x, parameters(w, b), Activation::Relu)),
    ("kernels", |x, w, b| dense(x, parameters(w, b), Activation::Identity)),
    ("tensor operations, ReLU", |x, w, b| dense::by_tensor_operations(x, w, b, Activation::Relu)),
    ("tensor operations", |x, w, b| dense::by_tensor_operations(x, w, b, Activation::Identity)),
];

/// A way to pool, and its name for messages.
type Pool = (&'static str, fn(&Tensor) -> Result<Tensor>);

const POOLS: [Pool; 2] = [("kernels", pool), ("tensor operations", pooling::by_tensor_operations)];

/// Uniform in ±1.
fn random(name: &str, shape: &[usize]) -> Tensor {
    let mut stream = Uniform::new(Purpose::InitialValues, 3, name);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| 2.0 * stream.draw() - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Gradient of sum(outputs * cotangent) by the layer's own backward pass.
fn gradients(
    arguments: &[Tensor],
    cotangent: &Tensor,
    layer: impl Fn(&[Tensor]) -> Tensor,
) -> Vec<Vec<f32>> {
    let variables: Vec<Var> = arguments.iter().map(|a| Var::from_tensor(a).unwrap()).collect();
    let tracked: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let store = (layer(&tracked) * cotangent).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = |variable: &Var| {
        let left = slot_of(variable).take().map(|gradient| gradient.to_tensor().unwrap());
        let gradient = left.or_else(|| store.get(variable).cloned());
        flat(&gradient.expect("a gradient for each argument"))
    };
    variables.iter().map(gradient).collect()
}

/// Compares each argument's gradient with central differences of the given step.
///
/// Every layer here is linear within a step, so the differences are exact but for rounding:
/// 1e-6 of outputs of order 1, divided by a step of 1/16 and summed over few outputs.
fn assert_gradients(
    path: &str,
    arguments: &[Tensor],
    cotangent: &Tensor,
    step: f32,
    layer: impl Fn(&[Tensor]) -> Tensor,
) {
    let weighted_sum = |arguments: &[Tensor]| -> f64 {
        let outputs = flat(&layer(arguments));
        outputs.iter().zip(flat(cotangent)).map(|(&y, c)| f64::from(y) * f64::from(c)).sum()
    };
    for (place, analytic) in gradients(arguments, cotangent, &layer).into_iter().enumerate() {
        let values = flat(&arguments[place]);
        for (index, &gradient) in analytic.iter().enumerate() {
            let shifted = |by: f32| {
                let mut values = values.clone();
                values[index] += by;
                let mut arguments = arguments.to_vec();
                arguments[place] =
                    Tensor::from_vec(values, arguments[place].shape(), &Device::Cpu).unwrap();
                weighted_sum(&arguments)
            };
            let numeric = (shifted(step) - shifted(-step)) / (2.0 * f64::from(step));
            assert!(
                (f64::from(gradient) - numeric).abs() < 1e-3,
                "{path}: argument {place}, index {index}: {gradient}, by differences {numeric}"
            );
        }
    }
}

/// A cotangent that is 0 for outputs whose `ReLU` might change sides within a step.
///
/// A step moves a sum of inputs by at most itself, since inputs and weights are below 1.
fn cotangent_away_from_zero(sums: &Tensor, step: f32) -> Tensor {
    let is_far = sums.abs().unwrap().gt(2.0 * step).unwrap();
    let kept = flat(&is_far.to_dtype(DType::F32).unwrap()).iter().sum::<f32>();
    assert!(kept > 0.5 * sums.elem_count() as f32, "too little is left to compare");
    let cotangent = random("cotangent", sums.dims());
    is_far.where_cond(&cotangent, &cotangent.zeros_like().unwrap()).unwrap()
}

#[test]
fn convolution_gradients_agree_with_differences() {
    let arguments =
        [random("images", &[2, 3, 5, 6]), random("weights", &[4, 3, 3, 3]), random("bias", &[4])];
    let sums = arguments[0].conv2d(&arguments[1], 1, 1, 1, 1).unwrap();
    let sums = sums.broadcast_add(&arguments[2].reshape((1, 4, 1, 1)).unwrap()).unwrap();
    let cotangent = cotangent_away_from_zero(&sums, 1.0 / 16.0);
    for (path, convolve) in CONVOLUTIONS {
        assert_gradients(path, &arguments, &cotangent, 1.0 / 16.0, |a| {
            convolve(&a[0], &a[1], &a[2]).unwrap()
        });
    }
}

#[test]
fn fused_and_first_convolutions_agree_with_tensor_operations() {
    let arguments =
        [random("images", &[2, 3, 9, 6]), random("weights", &[20, 3, 3, 3]), random("bias", &[20])];
    let by_operations =
        |a: &[Tensor]| convolutions::by_tensor_operations(&a[0], &a[1], &a[2]).unwrap();
    let close = |found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found}, expected {expected}");
        }
    };
    let cotangent = random("cotangent", &[2, 20, 4, 3]);
    let expected = gradients(&arguments, &cotangent, |a| {
        pooling::by_tensor_operations(&by_operations(a)).unwrap()
    });
    let found =
        gradients(&arguments, &cotangent, |a| convolve_and_pool(&a[0], &a[1], &a[2]).unwrap());
    for (found, expected) in found.iter().zip(&expected) {
        close(found, expected);
    }
    // Images that need no gradient take the way of the first convolution.
    let cotangent = random("cotangent", &[2, 20, 9, 6]);
    let expected = gradients(&arguments, &cotangent, |a| by_operations(a));
    let found =
        gradients(&arguments[1..], &cotangent, |a| convolve(&arguments[0], &a[0], &a[1]).unwrap());
    close(&found[0], &expected[1]);
    close(&found[1], &expected[2]);
}

#[test]
fn dense_gradients_agree_with_differences() {
    let arguments = [random("inputs", &[3, 8]), random("weights", &[5, 8]), random("bias", &[5])];
    let sums = arguments[0].matmul(&arguments[1].t().unwrap()).unwrap();
    let sums = sums.broadcast_add(&arguments[2]).unwrap();
    let cotangent = cotangent_away_from_zero(&sums, 1.0 / 16.0);
    for (path, multiply) in DENSE {
        assert_gradients(path, &arguments, &cotangent, 1.0 / 16.0, |a| {
            multiply(&a[0], &a[1], &a[2]).unwrap()
        });
    }
}

#[test]
fn pooling_gradients_agree_with_differences() {
    // Whole numbers in disorder (29 and 60 have no common factor): no step of 1/4 makes a tie.
    let images: Vec<f32> = (0..60_u8).map(|i| f32::from((u16::from(i) * 29 % 60) as u8)).collect();
    let images = Tensor::from_vec(images, (2, 1, 5, 6), &Device::Cpu).unwrap();
    let cotangent = random("cotangent", &[2, 1, 2, 3]);
    for (path, pool) in POOLS {
        assert_gradients(path, std::slice::from_ref(&images), &cotangent, 0.25, |a| {
            pool(&a[0]).unwrap()
        });
    }
}

#[test]
fn dropout_gradients_agree_with_differences() {
    let inputs = random("inputs", &[2, 16]);
    let cotangent = random("cotangent", &[2, 16]);
    assert_gradients("dropout", &[inputs], &cotangent, 1.0 / 16.0, |a| {
        dropout(&a[0], 0.5, 7, "dropout6").unwrap()
    });
}

#[test]
fn both_paths_give_the_same_values() {
    let images = random("images", &[2, 3, 7, 6]);
    let (weights, bias) = (random("weights", &[4, 3, 3, 3]), random("bias", &[4]));
    let [by_kernels, by_tensors] =
        CONVOLUTIONS.map(|(_, convolve)| flat(&convolve(&images, &weights, &bias).unwrap()));
    // Sums of 28 products below 1, each rounded twice or so: 28 * 2^-24 and some room.
    for (a, b) in by_kernels.iter().zip(&by_tensors) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    let [by_kernels, by_tensors] = POOLS.map(|(_, pool)| flat(&pool(&images).unwrap()));
    assert_eq!(by_kernels, by_tensors);
}

#[test]
fn arguments_need_not_be_contiguous() {
    let images = random("images", &[3, 2, 6, 7]).permute((1, 0, 3, 2)).unwrap();
    let (weights, bias) = (random("weights", &[4, 3, 3, 3]), random("bias", &[4]));
    let copy = images.force_contiguous().unwrap();
    // The second image alone: contiguous, but not at the storage's beginning.
    let second = copy.narrow(0, 1, 1).unwrap();
    let convolve = |images: &Tensor| convolve(images, &weights, &bias).unwrap();
    let whole = flat(&convolve(&images));
    assert_eq!(whole, flat(&convolve(&copy)));
    assert_eq!(whole[whole.len() / 2..], flat(&convolve(&second)));
    let pooled = flat(&pool(&images).unwrap());
    assert_eq!(pooled, flat(&pool(&copy).unwrap()));
    assert_eq!(pooled[pooled.len() / 2..], flat(&pool(&second).unwrap()));
}

#[test]
fn a_unique_maximum_receives_the_whole_gradient() {
    let image = Tensor::new(&[[[[1_f32, 2.0], [3.0, 4.0]]]], &Device::Cpu).unwrap();
    let ones = ones(&[1, 1, 1, 1]);
    for (path, pool) in POOLS {
        let gradient = gradients(std::slice::from_ref(&image), &ones, |a| pool(&a[0]).unwrap());
        assert_eq!(gradient, [[0.0, 0.0, 0.0, 1.0]], "{path}");
    }
}

#[test]
fn five_pools_keep_the_gradient() {
    let image = random("image", &[1, 1, 32, 32]);
    let ones = ones(&[1, 1, 1, 1]);
    for (path, pool) in POOLS {
        let gradient = gradients(std::slice::from_ref(&image), &ones, |a| {
            (0..5).fold(a[0].clone(), |images, _| pool(&images).unwrap())
        });
        assert!((gradient[0].iter().sum::<f32>() - 1.0).abs() < f32::EPSILON, "{path}");
    }
}

#[test]
fn on_ties_the_first_in_row_order_receives_the_gradient() {
    let one = ones(&[1, 1, 1, 1]);
    for (window, expected) in [
        ([5_f32, 5.0, 5.0, 5.0], [1_f32, 0.0, 0.0, 0.0]),
        ([4.0, 5.0, 5.0, 4.0], [0.0, 1.0, 0.0, 0.0]),
        ([4.0, 4.0, 5.0, 5.0], [0.0, 0.0, 1.0, 0.0]),
        ([0.0, -0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]),
    ] {
        let image = Tensor::from_slice(&window, (1, 1, 2, 2), &Device::Cpu).unwrap();
        for (path, pool) in POOLS {
            let gradient = gradients(std::slice::from_ref(&image), &one, |a| pool(&a[0]).unwrap());
            assert_eq!(gradient, [expected], "{path}: {window:?}");
        }
    }
}

#[test]
fn pooling_and_relu_pass_nan_on() {
    for place in 0..4 {
        let mut window = [1_f32, 2.0, 3.0, 4.0];
        window[place] = f32::NAN;
        let image = Tensor::from_slice(&window, (1, 1, 2, 2), &Device::Cpu).unwrap();
        for (path, pool) in POOLS {
            assert!(flat(&pool(&image).unwrap())[0].is_nan(), "{path}: NaN at {place} was lost");
        }
    }
    let weights = ones(&[1, 1, 3, 3]);
    let bias = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let image = Tensor::full(f32::NAN, (1, 1, 4, 4), &Device::Cpu).unwrap();
    for (path, convolve) in CONVOLUTIONS {
        let outputs = flat(&convolve(&image, &weights, &bias).unwrap());
        assert!(outputs.iter().all(|output| output.is_nan()), "{path}: NaN was lost");
    }
}

#[test]
fn the_gradient_of_relu_is_zero_at_zero() {
    // Every sum is exactly 0.
    let arguments = [
        Tensor::zeros((1, 1, 4, 4), DType::F32, &Device::Cpu).unwrap(),
        random("weights", &[2, 1, 3, 3]),
        Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap(),
    ];
    let cotangent = random("cotangent", &[1, 2, 4, 4]);
    for (path, convolve) in CONVOLUTIONS {
        let gradients =
            gradients(&arguments, &cotangent, |a| convolve(&a[0], &a[1], &a[2]).unwrap());
        assert!(gradients.iter().flatten().all(|&gradient| gradient == 0.0), "{path}");
    }
}

#[test]
fn candle_still_has_the_traps_that_we_go_round() {
    // Should one of these fail, candle has been mended and our way round may go.
    let image = Tensor::new(&[[[[1_f32, 2.0], [3.0, 4.0]]]], &Device::Cpu).unwrap();
    let one = ones(&[1, 1, 1, 1]);
    let gradient = gradients(&[image], &one, |a| a[0].max_pool2d(2).unwrap());
    assert_eq!(gradient, [[0.0, 0.0, 0.0, 0.25]]);

    let zero = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let one = ones(&[1]);
    assert_eq!(gradients(&[zero], &one, |a| a[0].relu().unwrap()), [[1.0]]);

    assert!(Device::Cpu.set_seed(42).is_err());
}

#[test]
fn frozen_arguments_receive_no_gradient() {
    let images = Var::from_tensor(&random("images", &[1, 2, 4, 4])).unwrap();
    let weights = Var::from_tensor(&random("weights", &[3, 2, 3, 3])).unwrap();
    let bias = Var::from_tensor(&random("bias", &[3])).unwrap();
    let backward = |images: &Tensor, weights: &Tensor, bias: &Tensor| {
        let outputs = convolve(images, weights, bias).unwrap();
        outputs.sum_all().unwrap().backward().unwrap()
    };
    let (frozen, frozen_bias) = (weights.detach(), bias.detach());
    let frozen_weights = backward(&images, &frozen, &frozen_bias);
    assert!(frozen_weights.get(&images).is_some());
    assert_eq!(frozen_weights.get_ids().count(), 1);
    assert!(slot_of(&frozen).take().is_none() && slot_of(&frozen_bias).take().is_none());
    let first_layer = backward(&images.detach(), &weights, &bias);
    assert!(slot_of(&weights).take().is_some() && slot_of(&bias).take().is_some());
    assert_eq!(first_layer.get_ids().count(), 0);
}

#[test]
fn activation_by_tensor_operations_keeps_nan_and_clips_infinity() {
    let values = [f32::NEG_INFINITY, -1.0, 0.0, 2.0, f32::INFINITY, f32::NAN];
    let values = Var::new(&values, &Device::Cpu).unwrap();
    let clipped = super::relu(&values).unwrap();
    let found: Vec<f32> = clipped.to_vec1().unwrap();
    assert_eq!(found[..5], [0.0, 0.0, 0.0, 2.0, f32::INFINITY]);
    assert!(found[5].is_nan());
    let gradients = clipped.sum_all().unwrap().backward().unwrap();
    let gradient: Vec<f32> = gradients.get(&values).unwrap().to_vec1().unwrap();
    assert_eq!(gradient, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
}
