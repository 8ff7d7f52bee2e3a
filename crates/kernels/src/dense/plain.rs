//! The dense layer as its definition reads, in f64: slow, and what the fast one is tested against.

use super::DenseShape;

/// [`super::forward`] without an activation.
pub fn forward(shape: DenseShape, inputs: &[f64], weights: &[f64], bias: &[f64]) -> Vec<f64> {
    let mut output = Vec::with_capacity(shape.output_len());
    for image in 0..shape.batch {
        for (feature, bias) in bias.iter().enumerate() {
            let products = (0..shape.in_features).map(|at| {
                inputs[image * shape.in_features + at] * weights[feature * shape.in_features + at]
            });
            output.push(bias + products.sum::<f64>());
        }
    }
    output
}

/// [`super::backward_inputs`].
pub fn backward_inputs(shape: DenseShape, weights: &[f64], grad_output: &[f64]) -> Vec<f64> {
    let mut grad_inputs = vec![0.0; shape.inputs_len()];
    for image in 0..shape.batch {
        for feature in 0..shape.out_features {
            let grad = grad_output[image * shape.out_features + feature];
            for at in 0..shape.in_features {
                grad_inputs[image * shape.in_features + at] +=
                    grad * weights[feature * shape.in_features + at];
            }
        }
    }
    grad_inputs
}

/// [`super::backward_weights`]: the gradients of weights and bias.
pub fn backward_weights(
    shape: DenseShape,
    inputs: &[f64],
    grad_output: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut grad_weights = vec![0.0; shape.weights_len()];
    let mut grad_bias = vec![0.0; shape.out_features];
    for image in 0..shape.batch {
        for feature in 0..shape.out_features {
            let grad = grad_output[image * shape.out_features + feature];
            grad_bias[feature] += grad;
            for at in 0..shape.in_features {
                grad_weights[feature * shape.in_features + at] +=
                    grad * inputs[image * shape.in_features + at];
            }
        }
    }
    (grad_weights, grad_bias)
}
