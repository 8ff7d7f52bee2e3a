//! The network as its users see it: cuts, freezing, refusals, reproducibility.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor, Var};
use model::{
    Architecture, Classifier, Cut, DropoutRate, Error, Head, HeadDropout, Initializer, LayerKind,
    Mode, Vgg16, Widths, initial,
};

const HEADS: [Head; 4] = [Head::Seed, Head::Vggface, Head::Bottleneck, Head::Linear];

const TRAIN: Mode = Mode::Train { dropout_seed: 1 };

fn narrow(head: Head, side_px: usize) -> Architecture {
    Architecture {
        widths: Widths { blocks: [4, 8, 8, 16, 16], fc: 12 },
        side_px,
        classifier: Some(Classifier::new(head, 3)),
    }
}

fn parameters(architecture: &Architecture) -> BTreeMap<String, Tensor> {
    architecture
        .parameters()
        .iter()
        .map(|spec| {
            let values = initial(spec, Initializer::HeUniform, 5, &Device::Cpu).unwrap();
            (spec.name.clone(), values)
        })
        .collect()
}

fn network(head: Head, side_px: usize) -> Vgg16 {
    let architecture = narrow(head, side_px);
    Vgg16::new(architecture, parameters(&architecture), &Device::Cpu).unwrap()
}

/// Images of a few hundred different values in ±128.
fn images(batch: usize, side_px: usize) -> Tensor {
    let count = u32::try_from(batch * 3 * side_px * side_px).unwrap();
    let values: Vec<f32> = (0..count).map(|i| (i * 7919 % 257) as f32 - 128.0).collect();
    Tensor::from_vec(values, (batch, 3, side_px, side_px), &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn names(layers: &[&str]) -> BTreeSet<String> {
    layers.iter().map(|&layer| layer.to_owned()).collect()
}

#[test]
fn entering_at_every_cut_gives_the_same_logits_to_the_bit() {
    for head in HEADS {
        let network = network(head, 48);
        let images = images(2, 48);
        for mode in [TRAIN, Mode::Eval] {
            let whole = flat(&network.logits(Cut::IMAGES, &images, mode).unwrap());
            for layer in network.layers() {
                let cut = network.architecture().cut_after(&layer.name).unwrap();
                let activations = network.forward(Cut::IMAGES, cut, &images, mode).unwrap();
                let logits = network.logits(cut, &activations.detach(), mode).unwrap();
                assert_eq!(flat(&logits), whole, "{head:?}, cut behind {}", layer.name);
            }
        }
    }
}

#[test]
fn every_layer_has_the_shape_it_states() {
    for (batch, side_px) in [(1, 48), (2, 50), (1, 63)] {
        let network = network(Head::Bottleneck, side_px);
        for layer in network.layers() {
            let cut = network.architecture().cut_after(&layer.name).unwrap();
            let images = images(batch, side_px);
            let found = network.forward(Cut::IMAGES, cut, &images, Mode::Eval).unwrap();
            assert_eq!(found.dims()[0], batch);
            assert_eq!(found.dims()[1..], layer.output_shape, "{} at {side_px} px", layer.name);
        }
    }
}

#[test]
fn an_image_has_the_same_logits_alone_and_in_a_batch() {
    let network = network(Head::Seed, 50);
    let images = images(3, 50);
    let together = flat(&network.logits(Cut::IMAGES, &images, Mode::Eval).unwrap());
    let scale = together.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
    for image in 0..3 {
        let alone = images.narrow(0, image, 1).unwrap();
        let alone = flat(&network.logits(Cut::IMAGES, &alone, Mode::Eval).unwrap());
        // A kernel may add up in another order for another batch.
        for (a, b) in alone.iter().zip(&together[3 * image..]) {
            assert!((a - b).abs() < 1e-5 * scale, "image {image}: {a} alone, {b} in the batch");
        }
    }
}

#[test]
fn only_trainable_layers_have_variables_and_gradients() {
    let mut network = network(Head::Vggface, 48);
    let all: Vec<(String, Var)> = network
        .variables()
        .into_iter()
        .map(|(name, variable)| (name.to_owned(), variable.clone()))
        .collect();
    assert_eq!(all.len(), 2 * 16);
    network.set_trainable(&names(&["conv5_2", "fc7"])).unwrap();
    let trainable = ["conv5_2.weight", "conv5_2.bias", "fc7.weight", "fc7.bias"];
    let found: Vec<&str> = network.variables().into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, trainable, "in the network's order");

    let logits = network.logits(Cut::IMAGES, &images(2, 48), TRAIN).unwrap();
    let gradients = network.gradients(&logits.sum_all().unwrap()).unwrap();
    let found: BTreeSet<&str> = gradients.keys().map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(trainable));
}

#[test]
fn nothing_below_the_lowest_trainable_layer_enters_the_graph() {
    let mut network = network(Head::Seed, 48);
    network.set_trainable(&names(&["conv5_1", "fc8"])).unwrap();
    let cut = network.lowest_trainable();
    assert_eq!(cut, network.architecture().cut_after("pool4").unwrap());
    let below = network.forward(Cut::IMAGES, cut, &images(1, 48), TRAIN).unwrap();
    assert!(!below.track_op());
    assert!(network.logits(cut, &below, TRAIN).unwrap().track_op());
    assert!(!network.logits(cut, &below, Mode::Eval).unwrap().track_op(), "Eval keeps no graph");
}

#[test]
fn lowest_trainable_lies_behind_no_dropout() {
    let mut network = network(Head::Bottleneck, 48);
    assert_eq!(network.lowest_trainable(), Cut::IMAGES);
    network.set_trainable(&names(&["fc8"])).unwrap();
    assert_eq!(network.lowest_trainable(), network.architecture().cut_after("fc6").unwrap());
}

#[test]
fn a_frozen_network_is_lowest_trainable_at_its_end() {
    let mut network = network(Head::Seed, 48);
    network.set_trainable(&BTreeSet::new()).unwrap();
    assert!(network.variables().is_empty());
    assert_eq!(network.lowest_trainable(), network.architecture().end());
}

#[test]
fn unknown_layers_cannot_be_made_trainable() {
    let mut network = network(Head::Seed, 48);
    let result = network.set_trainable(&names(&["fc6", "fc7"]));
    assert!(matches!(result, Err(Error::UnknownLayer { name, .. }) if name == "fc7"));
    assert_eq!(network.variables().len(), 2 * 15, "a refusal changes nothing");
}

#[test]
fn exactly_the_parameters_are_accepted() {
    let architecture = narrow(Head::Seed, 48);
    let build = |tensors| Vgg16::new(architecture, tensors, &Device::Cpu);
    let complete = parameters(&architecture);

    let mut tensors = complete.clone();
    tensors.remove("conv3_2.bias");
    let result = build(tensors);
    assert!(matches!(result, Err(Error::MissingParameter { name }) if name == "conv3_2.bias"));

    let mut tensors = complete.clone();
    tensors.insert("fc7.weight".to_owned(), complete["fc6.weight"].clone());
    let result = build(tensors);
    assert!(matches!(result, Err(Error::UnexpectedParameter { name }) if name == "fc7.weight"));

    let mut tensors = complete.clone();
    tensors.insert("fc8.weight".to_owned(), complete["fc8.weight"].t().unwrap());
    let result = build(tensors);
    assert!(matches!(
        result,
        Err(Error::Shape { name, expected, found })
            if name == "fc8.weight" && expected == [3, 12] && found == [12, 3]
    ));

    let mut tensors = complete;
    let bias = tensors["fc8.bias"].to_dtype(DType::F64).unwrap();
    tensors.insert("fc8.bias".to_owned(), bias);
    let result = build(tensors);
    assert!(matches!(result, Err(Error::DType { name, .. }) if name == "fc8.bias"));
}

#[test]
fn images_that_five_poolings_would_use_up_are_refused() {
    let architecture = narrow(Head::Seed, 47);
    let result = Vgg16::new(architecture, parameters(&architecture), &Device::Cpu);
    assert!(matches!(result, Err(Error::Side { expected: 48, found: 47 })));
}

#[test]
fn parameters_are_copied_in_and_out() {
    let architecture = narrow(Head::Linear, 48);
    let mut tensors = parameters(&architecture);
    let mine = Var::from_tensor(&tensors["fc8.bias"]).unwrap();
    tensors.insert("fc8.bias".to_owned(), mine.as_tensor().clone());
    let network = Vgg16::new(architecture, tensors, &Device::Cpu).unwrap();
    mine.set(&Tensor::full(9_f32, 3, &Device::Cpu).unwrap()).unwrap();
    let before = network.tensors().unwrap();
    assert_eq!(flat(&before["fc8.bias"]), [0.0; 3], "an update elsewhere reached the network");

    let variables = network.variables();
    let (_, bias) = variables.iter().find(|(name, _)| *name == "fc8.bias").unwrap();
    bias.set(&Tensor::full(7_f32, 3, &Device::Cpu).unwrap()).unwrap();
    assert_eq!(flat(&before["fc8.bias"]), [0.0; 3], "an update reached an earlier copy");
    assert_eq!(flat(&network.tensors().unwrap()["fc8.bias"]), [7.0; 3]);
}

#[test]
fn inputs_of_another_shape_or_type_are_refused() {
    let network = network(Head::Seed, 48);
    let logits = |images: &Tensor| network.logits(Cut::IMAGES, images, Mode::Eval);
    let error = logits(&images(2, 50)).unwrap_err();
    assert_eq!(error.to_string(), "`images` has shape [2, 3, 50, 50], expected [2, 3, 48, 48]");
    let empty = Tensor::zeros((0, 3, 48, 48), DType::F32, &Device::Cpu).unwrap();
    assert!(matches!(logits(&empty), Err(Error::Shape { .. })));
    let bytes = images(1, 48).to_dtype(DType::U8).unwrap();
    assert!(matches!(logits(&bytes), Err(Error::DType { found: DType::U8, .. })));
}

#[test]
fn stretches_run_forward_and_stay_inside() {
    let network = network(Head::Seed, 48);
    let cut = |layer| network.architecture().cut_after(layer).unwrap();
    let images = images(1, 48);
    let backward = network.forward(cut("pool1"), Cut::IMAGES, &images, Mode::Eval);
    assert!(matches!(backward, Err(Error::Stretch { from: 3, to: 0, .. })));
    let beyond = narrow(Head::Vggface, 48).end();
    let result = network.forward(Cut::IMAGES, beyond, &images, Mode::Eval);
    assert!(matches!(result, Err(Error::Stretch { .. })));
    let nothing = network.forward(Cut::IMAGES, Cut::IMAGES, &images, Mode::Eval).unwrap();
    assert_eq!(flat(&nothing), flat(&images));
}

#[test]
fn backbones_give_features_but_no_logits() {
    let architecture = Architecture { classifier: None, ..narrow(Head::Seed, 48) };
    let network = Vgg16::new(architecture, parameters(&architecture), &Device::Cpu).unwrap();
    let images = images(1, 48);
    let pool5 = network.forward(Cut::IMAGES, architecture.end(), &images, Mode::Eval).unwrap();
    assert_eq!(pool5.dims(), [1, 16, 1, 1]);
    let result = network.logits(Cut::IMAGES, &images, Mode::Eval);
    assert!(matches!(result, Err(Error::NoClassifier)));
}

#[test]
fn dropout_of_a_head_acts_in_training_alone() {
    let plain = narrow(Head::Vggface, 48);
    let rate = HeadDropout::Rate(DropoutRate::new(0.5).unwrap());
    let classifier = plain.classifier.unwrap().with_dropout(rate).unwrap();
    let dropped = Architecture { classifier: Some(classifier), ..plain };
    assert_ne!(plain, dropped);
    let build = |architecture| Vgg16::new(architecture, parameters(&plain), &Device::Cpu).unwrap();
    let (plain, mut dropped) = (build(plain), build(dropped));
    let logits =
        |network: &Vgg16, mode| flat(&network.logits(Cut::IMAGES, &images(2, 48), mode).unwrap());
    assert_eq!(logits(&plain, Mode::Eval), logits(&dropped, Mode::Eval));
    assert_eq!(logits(&plain, TRAIN), logits(&plain, Mode::Eval));
    assert_ne!(logits(&dropped, TRAIN), logits(&dropped, Mode::Eval));
    assert_eq!(logits(&dropped, TRAIN), logits(&dropped, TRAIN));
    dropped.set_trainable(&names(&["fc7", "fc8"])).unwrap();
    let fc6 = dropped.architecture().cut_after("fc6").unwrap();
    assert_eq!(dropped.lowest_trainable(), fc6, "features are those before any dropout");
    assert_eq!(fc6, plain.architecture().cut_after("fc6").unwrap());
}

#[test]
fn dropout_depends_on_its_seed_and_is_absent_in_evaluation() {
    let network = network(Head::Bottleneck, 48);
    let architecture = *network.architecture();
    let fc6 = architecture.cut_after("fc6").unwrap();
    let dropout6 = architecture.cut_after("dropout6").unwrap();
    assert!(matches!(network.layers()[fc6.index()].kind, LayerKind::Dropout { .. }));
    let units = Tensor::ones((40, 256), DType::F32, &Device::Cpu).unwrap();
    let run = |mode| flat(&network.forward(fc6, dropout6, &units, mode).unwrap());

    let masked = run(Mode::Train { dropout_seed: 1 });
    assert_eq!(masked, run(Mode::Train { dropout_seed: 1 }));
    assert_ne!(masked, run(Mode::Train { dropout_seed: 2 }));
    assert_eq!(run(Mode::Eval), flat(&units));

    assert!(masked.iter().all(|&unit| unit == 0.0 || (unit - 2.0).abs() < f32::EPSILON));
    // Four standard deviations of the mean of 10,240 units of variance 1.
    let mean = masked.iter().sum::<f32>() / masked.len() as f32;
    assert!((mean - 1.0).abs() < 4.0 / (masked.len() as f32).sqrt(), "{mean}");
}
