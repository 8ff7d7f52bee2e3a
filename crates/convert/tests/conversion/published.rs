//! A published file, where there is one.

use std::path::Path;

use convert::{Naming, Normalization, Pixels, Request};
use model::{WeightsFile, Widths};

use crate::golden::{convert, request};

/// Keras's VGG16 for ImageNet without its top, beside the checkout.
#[test]
fn imagenets_vgg16_is_recognized() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let file = Path::new(shared).join("weights/vgg16_imagenet_notop.h5");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("imagenet.safetensors");
    let conversion = convert(&request(&file, &out)).unwrap();
    assert_eq!(conversion.naming, Naming::Keras);
    assert_eq!(conversion.normalization, Normalization::Imagenet);
    assert_eq!(conversion.converted.len(), 26);
    assert_eq!(conversion.findings, Vec::<String>::new());
    let parameters: usize =
        conversion.converted.iter().map(|line| line.shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, 14_714_688);
    assert_eq!(WeightsFile::read(&out).unwrap().widths().unwrap(), Widths::VGG16);
}

/// The same, taken for what it is not.
#[test]
fn reversed_channels_of_imagenets_vgg16_are_found() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let file = Path::new(shared).join("weights/vgg16_imagenet_notop.h5");
    let folder = tempfile::tempdir().unwrap();
    let request = request(&file, &folder.path().join("imagenet.safetensors"));
    for pixels in [Pixels::Rgb, Pixels::Torchvision] {
        let request = Request { pixels: Some(pixels), ..request.clone() };
        let conversion = convert(&request).unwrap();
        assert_eq!(conversion.findings.len(), 1, "{pixels}");
        assert!(conversion.findings[0].contains("takes bgr?"), "{}", conversion.findings[0]);
    }
}
