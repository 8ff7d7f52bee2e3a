//! Several convolutions at once against one after the other by tensor operations.

use candle_core::{Tensor, Var};

use super::super::{Buffers, Pooling, convolutions, convolutions::by_tensor_operations, pooling};
use super::{flat, parameters, random, slot_of};

/// Several layers at once: what is frozen below costs nothing, what is frozen between passes on.
#[test]
fn a_stretch_passes_gradients_through_frozen_layers_and_stops_at_the_lowest() {
    let images = random("images", &[1, 3, 8, 8]);
    let layer = |name: &str, inputs: usize| {
        (
            random(&format!("{name} weights"), &[5, inputs, 3, 3]),
            random(&format!("{name} bias"), &[5]),
        )
    };
    let (first, second, third) = (layer("first", 3), layer("second", 5), layer("third", 5));
    let learning = [&second.0, &second.1].map(|tensor| Var::from_tensor(tensor).unwrap());
    let output = convolutions(
        &images,
        vec![
            (parameters(&first.0, &first.1), Pooling::None),
            (parameters(&learning[0], &learning[1]), Pooling::Max),
            (parameters(&third.0, &third.1), Pooling::None),
        ],
        &Buffers::default(),
    );
    let by_operations = |second: &[Var; 2]| {
        let one = by_tensor_operations(&images, &first.0, &first.1).unwrap();
        let two = by_tensor_operations(&one, &second[0], &second[1]).unwrap();
        let two = pooling::by_tensor_operations(&two).unwrap();
        by_tensor_operations(&two, &third.0, &third.1).unwrap()
    };
    let cotangent = random("cotangent", &[1, 5, 4, 4]);
    let backward = |output: Tensor| (output * &cotangent).unwrap().sum_all().unwrap().backward();
    backward(output.unwrap()).unwrap();
    let expected = backward(by_operations(&learning)).unwrap();
    for variable in &learning {
        let found = flat(&slot_of(variable).take().unwrap().to_tensor().unwrap());
        let expected = flat(expected.get(variable).unwrap());
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5 * largest, "{found}, expected {expected}");
        }
    }
    for frozen in [&first.0, &first.1, &third.0, &third.1] {
        assert!(slot_of(frozen).take().is_none());
    }
}

fn assert_close(found: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5 * largest, "{found}, expected {expected}");
    }
}

/// A stretch of three layers: which pools follow, how many channels come in, and what learns.
struct Case {
    channels: usize,
    poolings: [Pooling; 3],
    learns: [bool; 3],
    images_learn: bool,
}

/// Of 19 images, each with 20 by 18 pixels in two blocks of channels, a test's part of the batch holds two or three; they
/// go through the layers whose activations are large one by one, and through the last, on half the side, together.
#[test]
fn a_batch_in_parts_gives_what_tensor_operations_do() {
    use Pooling::{Max, None};
    for channels in [3, 9] {
        for poolings in [[None, Max, None], [None, Max, Max], [Max, None, None]] {
            for learns in
                [[true; 3], [false, true, true], [false, true, false], [false, false, true]]
            {
                agrees(&Case { channels, poolings, learns, images_learn: false });
            }
            for learns in [[true; 3], [false; 3]] {
                agrees(&Case { channels, poolings, learns, images_learn: true });
            }
        }
    }
}

fn agrees(case: &Case) {
    let images = random("images", &[19, case.channels, 20, 18]);
    let images_variable = Var::from_tensor(&images).unwrap();
    let images = if case.images_learn { images_variable.as_tensor().clone() } else { images };
    let widths = [(case.channels, 9), (9, 20), (20, 5)];
    let layers: Vec<[Tensor; 2]> = widths
        .iter()
        .map(|&(inputs, outputs)| {
            let weights = random(&format!("weights of {inputs}"), &[outputs, inputs, 3, 3]);
            [weights, random(&format!("bias of {inputs}"), &[outputs])]
        })
        .zip(case.learns)
        .map(|(tensors, learns)| {
            let variable = |tensor: Tensor| Var::from_tensor(&tensor).unwrap().into_inner();
            if learns { tensors.map(variable) } else { tensors }
        })
        .collect();
    let stretch = layers.iter().zip(case.poolings);
    let stretch = stretch.map(|([w, b], pooling)| (parameters(w, b), pooling)).collect();
    let output = convolutions(&images, stretch, &Buffers::default()).unwrap();
    let by_operations = layers.iter().zip(case.poolings);
    let expected = by_operations.fold(images.clone(), |images, ([weights, bias], pooling)| {
        let output = by_tensor_operations(&images, weights, bias).unwrap();
        match pooling {
            Pooling::None => output,
            Pooling::Max => pooling::by_tensor_operations(&output).unwrap(),
        }
    });
    assert_close(&flat(&output), &flat(&expected));

    let cotangent = random("cotangent", output.dims());
    let backward = |output: &Tensor| (output * &cotangent).unwrap().sum_all().unwrap().backward();
    let found = backward(&output).unwrap();
    let expected = backward(&expected).unwrap();
    if case.images_learn {
        assert_close(&flat(found.get(&images).unwrap()), &flat(expected.get(&images).unwrap()));
    }
    for (tensors, learns) in layers.iter().zip(case.learns) {
        for tensor in tensors {
            let found = slot_of(tensor).take();
            assert_eq!(found.is_some(), learns);
            if let Some(found) = found {
                let expected = flat(expected.get(tensor).unwrap());
                assert_close(&flat(&found.to_tensor().unwrap()), &expected);
            }
        }
    }
}
