//! Recognition from names and shapes alone, without a file.

use super::*;

const WIDTHS: [usize; 5] = [2, 3, 4, 5, 6];

fn layer(name: &str, shapes: &[&[usize]]) -> SourceLayer {
    let array = |(number, shape): (usize, &&[usize])| SourceArray {
        name: format!("{name}/{number}"),
        shape: shape.to_vec(),
    };
    let arrays = shapes.iter().enumerate().map(array).collect();
    SourceLayer { name: name.to_owned(), arrays, axes: Axes::KERAS }
}

/// Keras's layers of blocks of so many convolutions, named by `name(block, convolution)`.
fn backbone(counts: [usize; 5], name: impl Fn(usize, usize) -> String) -> Vec<SourceLayer> {
    let mut layers = Vec::new();
    let mut channels = 3;
    for (block, (count, width)) in counts.into_iter().zip(WIDTHS).enumerate() {
        for convolution in 1..=count {
            let name = name(block + 1, convolution);
            layers.push(layer(&name, &[&[3, 3, channels, width], &[width]]));
            channels = width;
        }
        layers.push(layer(&format!("pool{}", block + 1), &[]));
    }
    layers
}

fn vggface_name(block: usize, convolution: usize) -> String {
    format!("conv{block}_{convolution}")
}

fn keras_name(block: usize, convolution: usize) -> String {
    format!("block{block}_conv{convolution}")
}

fn other_name(block: usize, convolution: usize) -> String {
    format!("layer_{}", 10 * block + convolution)
}

fn narrow() -> Vec<SourceLayer> {
    backbone(CONVOLUTIONS_PER_BLOCK, vggface_name)
}

fn recognized(layers: &[SourceLayer]) -> Result<Network<'_>, Error> {
    recognize(Path::new("weights.h5"), layers)
}

/// The names of the dense weights that these layers are recognised as.
fn head(dense: &[SourceLayer]) -> Vec<String> {
    let layers = [narrow(), dense.to_vec()].concat();
    let network = recognized(&layers).unwrap();
    network.head.iter().step_by(2).map(|parameter| parameter.name.clone()).collect()
}

#[track_caller]
fn refused(layers: &[SourceLayer], expected: &str) {
    match recognized(layers) {
        Err(Error::NotVgg16 { misfit, .. }) => assert_eq!(misfit, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_namings_and_plain_order_are_recognized() {
    let namings = [
        (backbone(CONVOLUTIONS_PER_BLOCK, vggface_name), Naming::Vggface),
        (backbone(CONVOLUTIONS_PER_BLOCK, keras_name), Naming::Keras),
        (backbone(CONVOLUTIONS_PER_BLOCK, other_name), Naming::Order),
    ];
    for (layers, naming) in namings {
        let network = recognized(&layers).unwrap();
        assert_eq!(network.naming, naming);
        assert_eq!(network.backbone.len(), 26);
        assert_eq!(network.backbone[0].name, "conv1_1.weight");
        assert_eq!(network.backbone[0].shape, [2, 3, 3, 3]);
        assert_eq!(network.backbone[25].name, "conv5_3.bias");
        assert_eq!(network.head, []);
    }
}

#[test]
fn known_names_go_before_order() {
    let mut layers = narrow();
    layers.reverse();
    let network = recognized(&layers).unwrap();
    assert_eq!(network.backbone[0].array.name, "conv1_1/0");
}

#[test]
fn dense_layers_are_named_by_name_or_number() {
    let dense = |name: &str, inputs, units| layer(name, &[&[inputs, units], &[units]]);
    assert_eq!(head(&[dense("x", 24, 9)]), ["fc8.weight"]);
    assert_eq!(head(&[dense("x", 24, 7), dense("y", 7, 9)]), ["fc6.weight", "fc8.weight"]);
    assert_eq!(head(&[dense("fc6", 24, 7), dense("fc7", 7, 8)]), ["fc6.weight", "fc7.weight"]);
    assert_eq!(head(&[dense("fc1", 24, 7), dense("x", 7, 9)]), ["fc6.weight", "fc8.weight"]);
    let keras = [dense("fc1", 24, 7), dense("fc2", 7, 8), dense("predictions", 8, 9)];
    assert_eq!(head(&keras), ["fc6.weight", "fc7.weight", "fc8.weight"]);
    assert_eq!(head(&[dense("fc1", 24, 7), dense("fc2", 7, 9)]), ["fc6.weight", "fc8.weight"]);
    assert_eq!(head(&[dense("fc1", 24, 9)]), ["fc8.weight"]);
}

#[test]
fn first_dense_layer_alone_is_reordered_over_channels() {
    let dense = |name: &str, inputs, units| layer(name, &[&[inputs, units], &[units]]);
    let layers = [narrow(), vec![dense("fc6", 54, 7), dense("fc8", 7, 9)]].concat();
    let network = recognized(&layers).unwrap();
    let orders: Vec<Order> = network.head.iter().map(|parameter| parameter.order).collect();
    let extents = |side, inputs, outputs| Kernel { rows: side, columns: side, inputs, outputs };
    let fc6 = Axes::KERAS.dense_order(extents(3, 6, 7));
    let fc8 = Axes::KERAS.dense_order(extents(1, 7, 9));
    assert_eq!(orders, [fc6, Order::bias(7), fc8, Order::bias(9)]);
    assert_eq!(network.backbone[0].order, Axes::KERAS.kernel_order(extents(3, 3, 2)));
    assert_eq!(network.head[0].shape, [7, 54]);
}

#[test]
fn dense_layers_stored_as_convolutions_are_recognized() {
    let head = [
        layer("a", &[&[2, 2, 6, 7], &[7]]),
        layer("b", &[&[1, 1, 7, 8], &[8]]),
        layer("c", &[&[1, 1, 8, 9], &[9]]),
    ];
    let layers = [backbone(CONVOLUTIONS_PER_BLOCK, other_name), head.to_vec()].concat();
    let network = recognized(&layers).unwrap();
    assert_eq!(network.head[0].shape, [7, 24]);
    assert_eq!(network.head[4].name, "fc8.weight");
}

#[test]
fn other_depths_are_refused() {
    let vgg19 = [2, 2, 4, 4, 4];
    refused(&backbone(vgg19, keras_name), "`block4_conv1` stands where `conv4_2` belongs");
    refused(
        &backbone(vgg19, other_name),
        "`layer_41` is 3x3 from 4 to 5 channels, where `conv4_2` is 3x3 from 4 to 4",
    );
}

#[test]
fn missing_parts_are_refused() {
    let mut layers = narrow();
    layers.retain(|layer| layer.name != "conv3_2");
    refused(&layers, "`conv3_2` is missing");

    let mut layers = narrow();
    layers[0].arrays.pop();
    refused(&layers, "`conv1_1` has no bias");

    let fc7 = layer("fc7", &[&[24, 8], &[8]]);
    refused(&[narrow(), vec![fc7]].concat(), "`fc6` is missing");
    refused(&[], "`conv1_1` is missing");
}

#[test]
fn surplus_layers_are_refused() {
    let norm = layer("bn", &[&[2], &[2], &[2], &[2]]);
    let misfit = "`bn` has arrays of shapes [[2], [2], [2], [2]], where a weight and a bias belong";
    refused(&[narrow(), vec![norm]].concat(), misfit);
    let dense = |name| layer(name, &[&[24, 24], &[24]]);
    let four = [narrow(), ["a", "b", "c", "d"].map(dense).to_vec()].concat();
    refused(&four, "`d` is one too many");
    refused(&[narrow(), narrow()].concat(), "`conv1_1` stands there twice");
}

#[test]
fn shapes_that_do_not_chain_are_refused() {
    let mut layers = narrow();
    layers[0].arrays[0].shape = vec![3, 3, 1, 2];
    refused(
        &layers,
        "`conv1_1` is 3x3 from 1 to 2 channels, where `conv1_1` is 3x3 from 3 to any number",
    );
    let mut layers = narrow();
    layers[1].arrays[1].shape = vec![7];
    refused(&layers, "`conv1_2` has a bias of shape [7], expected [2]");
    let fc6 = layer("fc6", &[&[48, 7], &[7]]);
    refused(
        &[narrow(), vec![fc6]].concat(),
        "`fc6` has a weight of shape [48, 7], where `fc6` follows 6 channels of a square",
    );
    let dense = [layer("fc6", &[&[24, 7], &[7]]), layer("fc8", &[&[8, 9], &[9]])];
    refused(
        &[narrow(), dense.to_vec()].concat(),
        "`fc8` has a weight of shape [8, 9], where `fc8` follows 7 units",
    );
}

#[test]
fn monstrous_shapes_do_not_overflow() {
    let huge = usize::MAX / 2;
    let fc6 = layer("fc6", &[&[huge, huge, 6, 7], &[7]]);
    let fc8 = layer("fc8", &[&[1, 1, 7, 9], &[9]]);
    assert!(recognized(&[narrow(), vec![fc6, fc8]].concat()).is_err());
}

#[test]
fn names_are_known_behind_any_prefix() {
    let torchvision = |block, convolution| {
        let place: usize =
            CONVOLUTIONS_PER_BLOCK[..block - 1].iter().sum::<usize>() + convolution - 1;
        format!("module.features.{}", TORCHVISION_PLACES[place])
    };
    let namings = [
        (backbone(CONVOLUTIONS_PER_BLOCK, torchvision), Naming::Torchvision),
        (
            backbone(CONVOLUTIONS_PER_BLOCK, |block, convolution| {
                torchvision(block, convolution).replace("module.features", "features.module")
            }),
            Naming::Torchvision,
        ),
        (
            backbone(CONVOLUTIONS_PER_BLOCK, |b, c| format!("model.net.{}", vggface_name(b, c))),
            Naming::Vggface,
        ),
        (backbone(CONVOLUTIONS_PER_BLOCK, |b, c| format!("a/{}", keras_name(b, c))), Naming::Keras),
    ];
    for (mut layers, naming) in namings {
        layers.reverse();
        let network = recognized(&layers).unwrap();
        assert_eq!(network.naming, naming);
        assert_eq!(network.backbone[0].shape, [2, 3, 3, 3]);
    }
}

#[test]
fn torchvisions_dense_layers_are_told_by_their_order() {
    let dense = |name: &str, inputs, units| layer(name, &[&[inputs, units], &[units]]);
    let own =
        [dense("classifier.0", 24, 7), dense("classifier.3", 7, 8), dense("classifier.6", 8, 9)];
    assert_eq!(head(&own), ["fc6.weight", "fc7.weight", "fc8.weight"]);
    assert_eq!(head(&[dense("classifier.0", 24, 9)]), ["fc8.weight"]);
}

#[test]
fn refusals_say_what_was_found_and_expected() {
    let text = recognized(&narrow()[..2]).unwrap_err().to_string();
    assert_eq!(
        text,
        "weights.h5 is not VGG16: `conv2_1` is missing; found 2 convolutions, 0 dense and 0 other \
         layers with parameters (`conv1_1` [3, 3, 3, 2], `conv1_2` [3, 3, 2, 2]), expected 13 \
         convolutions of 3x3 with biases, in blocks of 2, 2, 3, 3 and 3, then at most three dense \
         layers"
    );
}
