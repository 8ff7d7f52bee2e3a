//! What `preprocess` and `model` share without knowing each other.

use std::collections::BTreeMap;

use model::{Metadata, Widths, architecture::MIN_SIDE_PX};
use preprocess::{Normalization, Side, normalize};

#[test]
fn the_default_side_is_vgg16s_and_the_smallest_is_the_same() {
    assert_eq!(Side::VGG16.px(), 224);
    assert!(Side::try_from(u32::try_from(MIN_SIDE_PX).unwrap()).is_ok());
    assert!(Side::try_from(u32::try_from(MIN_SIDE_PX).unwrap() - 1).is_err());
}

#[test]
fn pool5_of_the_default_side_has_the_features_of_vggfaces_fc6() {
    let architecture =
        model::Architecture { widths: Widths::VGG16, side_px: Side::VGG16.px(), classifier: None };
    let pool5 = architecture.layers().pop().unwrap();
    assert_eq!(pool5.output_shape.iter().product::<usize>(), 25_088);
}

#[test]
fn weights_name_normalizations_that_are_there() {
    for name in ["vggface-v1", "vggface-v2", "imagenet", "none"] {
        let metadata = Metadata {
            format_version: model::weights::FORMAT_VERSION,
            normalization: name.to_owned(),
            source: String::new(),
            source_sha256: String::new(),
            identities: None,
            notes: BTreeMap::new(),
        };
        let normalization: Normalization = metadata.normalization.parse().unwrap();
        assert_eq!(normalization.to_string(), name);
    }
}

#[test]
fn a_network_sees_blue_first_minus_vggfaces_means() {
    let rgb = [255_u8, 128, 0];
    let mut bgr = [0.0; 3];
    normalize(Normalization::VggfaceV1, &rgb, &mut bgr);
    let expected = [-93.5940_f32, 128.0 - 104.7624, 255.0 - 129.1863];
    assert_eq!(bgr.map(f32::to_bits), expected.map(f32::to_bits));
}
