//! Gradients of the whole network, by name, however the loss came about.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use candle_core::{Device, Tensor};
use model::{
    Accumulation, Architecture, Classifier, Cut, Gradient, Head, Initializer, Mode, Vgg16, Widths,
    initial,
};

const TRAIN: Mode = Mode::Train { dropout_seed: 1 };

/// Sums over images in another order: differences of the last digits of values of order 1.
const TOLERANCE: f32 = 2e-5;

fn network() -> Vgg16 {
    let architecture = Architecture {
        widths: Widths { blocks: [4, 8, 8, 16, 16], fc: 12 },
        side_px: 48,
        classifier: Some(Classifier::new(Head::Seed, 3)),
    };
    let parameters = architecture
        .parameters()
        .iter()
        .map(|spec| {
            let values = initial(spec, Initializer::HeUniform, 5, &Device::Cpu).unwrap();
            (spec.name.clone(), values)
        })
        .collect();
    Vgg16::new(architecture, parameters, &Device::Cpu).unwrap()
}

/// Different values in ±1.
fn images(batch: usize) -> Tensor {
    let count = u32::try_from(batch * 3 * 48 * 48).unwrap();
    let values: Vec<f32> = (0..count).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.0).collect();
    Tensor::from_vec(values, (batch, 3, 48, 48), &Device::Cpu).unwrap()
}

fn loss(network: &Vgg16, images: &Tensor) -> Tensor {
    network.logits(Cut::IMAGES, images, TRAIN).unwrap().sqr().unwrap().sum_all().unwrap()
}

type Gradients = BTreeMap<String, Tensor>;

fn gradients(network: &Vgg16, loss: &Tensor) -> Gradients {
    let gradients = network.gradients(loss).unwrap().into_iter();
    gradients.map(|(name, gradient)| (name, gradient.to_tensor().unwrap())).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn sum(left: &Gradients, right: &Gradients) -> Gradients {
    left.iter().map(|(name, left)| (name.clone(), (left + &right[name]).unwrap())).collect()
}

#[track_caller]
fn assert_close(found: &Gradients, expected: &Gradients) {
    assert!(found.keys().eq(expected.keys()));
    for (name, expected) in expected {
        let expected = flat(expected);
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        assert!(largest > 0.0, "{name}: no gradient to compare");
        for (found, expected) in flat(&found[name]).iter().zip(&expected) {
            let difference = (found - expected).abs();
            assert!(difference <= TOLERANCE * largest, "{name}: {found}, expected {expected}");
        }
    }
}

#[test]
fn those_of_a_batch_are_the_sum_of_those_of_its_parts() {
    let network = network();
    let all = images(37);
    let of = |first, count| {
        let part = all.narrow(0, first, count).unwrap().contiguous().unwrap();
        gradients(&network, &loss(&network, &part))
    };
    let parts = sum(&sum(&of(0, 11), &of(11, 20)), &of(31, 6));
    assert_close(&of(0, 37), &parts);
}

#[test]
fn accumulated_batches_give_the_gradients_of_one_batch_of_all_images() {
    let network = network();
    let all = images(21);
    let of = |first: usize, count: usize| {
        let part = all.narrow(0, first, count).unwrap().contiguous().unwrap();
        let mean = (loss(&network, &part) / count as f64).unwrap();
        network.gradients(&mean).unwrap()
    };
    let whole = |gradients: BTreeMap<String, Gradient>| -> Gradients {
        let gradients = gradients.into_iter();
        gradients.map(|(name, gradient)| (name, gradient.to_tensor().unwrap())).collect()
    };
    let mut accumulation = Accumulation::default();
    // Batches of one size, then with a smaller last one; the same accumulation serves again.
    for counts in [&[7, 7, 7][..], &[8, 8, 5]] {
        let mut first = 0;
        for &count in counts {
            let images = NonZeroUsize::new(count).unwrap();
            accumulation.add(of(first, count), images).unwrap();
            first += count;
        }
        assert_eq!(accumulation.images(), 21);
        let found = accumulation.take().unwrap();
        assert!(matches!(
            &found["fc6.weight"],
            Gradient::Product { inputs, .. } if inputs.dims()[0] == 21
        ));
        assert_close(&whole(found), &whole(of(0, 21)));
    }
}

#[test]
fn one_accumulated_batch_keeps_its_bits() {
    let network = network();
    let loss = loss(&network, &images(3));
    let mut accumulation = Accumulation::default();
    accumulation.add(network.gradients(&loss).unwrap(), NonZeroUsize::new(3).unwrap()).unwrap();
    let found = accumulation.take().unwrap();
    let expected = gradients(&network, &loss);
    assert!(found.keys().eq(expected.keys()));
    for (name, gradient) in found {
        assert_eq!(flat(&gradient.to_tensor().unwrap()), flat(&expected[&name]), "{name}");
    }
    assert!(accumulation.take().unwrap().is_empty());
}

#[test]
fn two_passes_in_one_loss_add_up() {
    let network = network();
    let (first, second) = (images(3), (images(2) * 0.5).unwrap());
    let both = (loss(&network, &first) + loss(&network, &second)).unwrap();
    let of = |images| gradients(&network, &loss(&network, images));
    assert_close(&gradients(&network, &both), &sum(&of(&first), &of(&second)));
}

#[test]
fn a_term_on_a_parameter_is_added() {
    let network = network();
    let images = images(2);
    let without = gradients(&network, &loss(&network, &images));
    let variables = network.variables();
    let mut penalty = loss(&network, &images);
    for (_, variable) in &variables {
        penalty = (penalty + variable.as_tensor().sqr().unwrap().sum_all().unwrap()).unwrap();
    }
    let twice = |(name, variable): &(&str, &candle_core::Var)| {
        ((*name).to_owned(), (variable.as_detached_tensor() * 2.0).unwrap())
    };
    let of_penalty: Gradients = variables.iter().map(twice).collect();
    assert_close(&gradients(&network, &penalty), &sum(&without, &of_penalty));
}

#[test]
fn a_loss_gives_them_as_often_as_it_is_asked() {
    let network = network();
    let loss = loss(&network, &images(2));
    let first = gradients(&network, &loss);
    let second = gradients(&network, &loss);
    assert!(first.iter().all(|(name, gradient)| flat(gradient) == flat(&second[name])));
}

#[test]
fn entering_at_a_cut_gives_those_above_it() {
    let mut network = network();
    let images = images(18);
    let all = gradients(&network, &loss(&network, &images));
    for name in ["pool1", "conv3_2", "pool4", "pool5"] {
        let cut = network.architecture().cut_after(name).unwrap();
        let trainable: BTreeSet<String> =
            network.layers()[cut.index()..].iter().map(|layer| layer.name.clone()).collect();
        network.set_trainable(&trainable).unwrap();
        let entered = network.forward(Cut::IMAGES, cut, &images, Mode::Eval).unwrap();
        let logits = network.logits(cut, &entered, TRAIN).unwrap();
        let above = gradients(&network, &logits.sqr().unwrap().sum_all().unwrap());
        let expected: Gradients =
            above.keys().map(|name| (name.clone(), all[name].clone())).collect();
        assert_eq!(above.len(), network.variables().len());
        assert_close(&above, &expected);
    }
}
