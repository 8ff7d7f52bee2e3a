//! Caffe's models: layers of the first version and of the second, blobs of four extents or of a
//! shape, in single or double precision.
//!
//! # Source
//!
//! BVLC caffe, `src/caffe/proto/caffe.proto`: messages `NetParameter`, `V1LayerParameter`,
//! `LayerParameter`, `BlobProto`, `BlobShape`.

use bytes::Bytes;

use super::{Contents, Reader, SourceArray, SourceLayer, SourceMetadata, printable};
use crate::axes::{Axes, DenseAxes};
use crate::element::{ByteOrder, Element};
use crate::protobuf::{Field, Fields};
use crate::source::Source;
use crate::{Error, Pixels};

/// How many layers and blobs are listed before a file is taken for damaged.
const MAX_PARTS: usize = 4096;

/// In how many stretches a blob's numbers may lie.
const MAX_STRETCHES: usize = 1 << 20;

/// How many axes a blob may have, as in Caffe itself.
const MAX_AXES: usize = 32;

/// The longest part of a name that is printed.
const PRINTED_CHARACTERS: usize = 80;

/// `V1LayerParameter.LayerType.INNER_PRODUCT`.
const INNER_PRODUCT: u64 = 14;

/// A file that Caffe has written.
struct CaffeReader {
    blobs: Vec<(String, Blob)>,
}

/// The numbers of a blob, where they lie in the file.
#[derive(Debug, Default)]
struct Blob {
    shape: Vec<usize>,
    element: Option<Element>,
    /// Packed stretches, or single numbers.
    numbers: Vec<Bytes>,
}

/// A layer of either version.
#[derive(Debug, Default)]
struct Layer {
    name: String,
    is_inner_product: bool,
    /// Whether the weight of an inner product is (in, out).
    is_transposed: bool,
    /// What a convolution has that those of VGG16 do not.
    peculiarity: Option<&'static str>,
    blobs: Vec<Bytes>,
}

/// The numbers of a layer's fields.
struct Tags {
    name: u64,
    kind: u64,
    blobs: u64,
    convolution: u64,
    inner_product: u64,
}

/// `V1LayerParameter`.
const V1: Tags = Tags { name: 4, kind: 5, blobs: 6, convolution: 10, inner_product: 17 };

/// `LayerParameter`.
const V2: Tags = Tags { name: 1, kind: 2, blobs: 7, convolution: 106, inner_product: 117 };

/// Lists the layers of a file.
pub(super) fn open(source: &Source) -> Result<Contents, Error> {
    let model = Bytes::from(source.all()?);
    let layers = layers(model).map_err(|reason| source.damaged(reason))?;
    let mut blobs = Vec::new();
    let mut listed = Vec::new();
    if MAX_PARTS < layers.iter().map(|layer| layer.blobs.len()).sum() {
        return Err(source.damaged("it has too many blobs"));
    }
    for (place, layer) in layers.into_iter().enumerate() {
        if let (Some(peculiarity), false) = (layer.peculiarity, layer.blobs.is_empty()) {
            let name: String = layer.name.chars().take(PRINTED_CHARACTERS).collect();
            let reason = format!("`{}` {peculiarity}, as no layer of VGG16", printable(&name));
            return Err(Error::Unconvertible { path: source.path.clone(), reason });
        }
        let dense = if layer.is_transposed { DenseAxes::InOut } else { DenseAxes::OutIn };
        let axes = Axes { dense, ..Axes::CHANNELS_FIRST };
        let mut arrays = Vec::new();
        for (number, blob) in layer.blobs.into_iter().enumerate() {
            let mut blob = blob_of(blob).map_err(|reason| source.damaged(reason))?;
            blob.shape = natural_shape(&blob.shape, number, layer.is_inner_product);
            // Its place makes the name of the array unique, whatever the layer is called.
            let name = format!("{}/{place}/blobs[{number}]", layer.name);
            arrays.push(SourceArray { name: name.clone(), shape: blob.shape.clone() });
            blobs.push((name, blob));
        }
        listed.push(SourceLayer::new(layer.name, arrays, axes));
    }
    let metadata = SourceMetadata {
        pixels: Some(Pixels::Bgr),
        states_flattening: true,
        ..SourceMetadata::default()
    };
    let reader = Box::new(CaffeReader { blobs });
    Ok(Contents { layers: listed, metadata, reader })
}

impl Reader for CaffeReader {
    fn values(&self, _: &Source, array: &SourceArray) -> Result<Vec<f32>, Error> {
        let found = self.blobs.iter().find(|(name, _)| *name == array.name);
        let (_, blob) = found.expect("arrays are listed from these blobs");
        let element = blob.element.unwrap_or(Element::F32);
        let read = |bytes: &Bytes| element.to_f32(bytes, ByteOrder::LittleEndian);
        match blob.numbers.as_slice() {
            [packed] => Ok(read(packed)),
            stretches => Ok(stretches.iter().flat_map(read).collect()),
        }
    }
}

/// Every layer of a `NetParameter`.
fn layers(model: Bytes) -> Result<Vec<Layer>, &'static str> {
    let mut layers = Vec::new();
    for field in Fields::of(model) {
        match field? {
            (2, Field::Bytes(layer)) => layers.push(layer_of(layer, &V1)?),
            (100, Field::Bytes(layer)) => layers.push(layer_of(layer, &V2)?),
            _ => {}
        }
        if MAX_PARTS < layers.len() {
            return Err("it has too many layers");
        }
    }
    Ok(layers)
}

fn layer_of(message: Bytes, tags: &Tags) -> Result<Layer, &'static str> {
    let mut layer = Layer::default();
    for field in Fields::of(message) {
        match field? {
            (tag, Field::Bytes(text)) if tag == tags.name => {
                layer.name = String::from_utf8_lossy(&text).into_owned();
            }
            (tag, Field::Bytes(text)) if tag == tags.kind => {
                layer.is_inner_product = *text == *b"InnerProduct";
            }
            (tag, Field::Number(number)) if tag == tags.kind => {
                layer.is_inner_product = number == INNER_PRODUCT;
            }
            (tag, Field::Bytes(blob)) if tag == tags.blobs => layer.blobs.push(blob),
            (tag, Field::Bytes(settings)) if tag == tags.convolution => {
                layer.peculiarity = layer.peculiarity.or(peculiarity(settings)?);
            }
            (tag, Field::Bytes(settings)) if tag == tags.inner_product => {
                layer.is_transposed = is_transposed(settings)?;
            }
            _ => {}
        }
        if MAX_PARTS < layer.blobs.len() {
            return Err("a layer has too many blobs");
        }
    }
    Ok(layer)
}

/// What a `ConvolutionParameter` says that those of VGG16 do not: `group` 5, `stride` 6, `stride_h`
/// 13 and `stride_w` 14, `dilation` 18.
fn peculiarity(settings: Bytes) -> Result<Option<&'static str>, &'static str> {
    for field in Fields::of(settings) {
        let (tag, field) = field?;
        let name = match tag {
            5 => "works on groups of channels",
            6 | 13 | 14 => "has strides",
            18 => "has dilations",
            _ => continue,
        };
        let is_one = match field {
            Field::Number(number) => number <= 1,
            // Packed.
            Field::Bytes(numbers) => numbers.iter().all(|&number| number <= 1),
            Field::Fixed(_) => false,
        };
        if !is_one {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Whether an `InnerProductParameter` says `transpose`, 6.
fn is_transposed(settings: Bytes) -> Result<bool, &'static str> {
    let mut is_transposed = false;
    for field in Fields::of(settings) {
        if let (6, Field::Number(number)) = field? {
            is_transposed = number != 0;
        }
    }
    Ok(is_transposed)
}

/// A `BlobProto`: `num`, `channels`, `height`, `width` 1 to 4, data 5, shape 7, double data 8.
fn blob_of(message: Bytes) -> Result<Blob, &'static str> {
    let mut blob = Blob::default();
    let mut extents = [None; 4];
    for field in Fields::of(message) {
        match field? {
            (tag @ 1..=4, Field::Number(extent)) => extents[place(tag)] = Some(extent),
            (5, Field::Bytes(numbers) | Field::Fixed(numbers)) => {
                blob.element = Some(Element::F32);
                blob.numbers.push(numbers);
            }
            (8, Field::Bytes(numbers) | Field::Fixed(numbers)) => {
                blob.element = Some(Element::F64);
                blob.numbers.push(numbers);
            }
            (7, Field::Bytes(shape)) => blob.shape = shape_of(shape)?,
            _ => {}
        }
        // Numbers that are not packed are a field each.
        if MAX_STRETCHES < blob.numbers.len() {
            return Err("a blob has too many parts");
        }
    }
    if extents.iter().any(Option::is_some) {
        let extent = |extent: Option<u64>| usize::try_from(extent.unwrap_or(0));
        let extents: Result<Vec<usize>, _> = extents.into_iter().map(extent).collect();
        blob.shape = extents.map_err(|_| "a blob claims a shape beyond all memory")?;
    }
    Ok(blob)
}

fn place(tag: u64) -> usize {
    usize::try_from(tag - 1).expect("one of four")
}

/// A `BlobShape`: extents 1, packed or not.
fn shape_of(message: Bytes) -> Result<Vec<usize>, &'static str> {
    let mut shape = Vec::new();
    for field in Fields::of(message) {
        match field? {
            (1, Field::Number(extent)) => shape.push(extent),
            (1, Field::Bytes(packed)) => {
                let mut rest = Fields::of(packed);
                while let (true, Some(extent)) = (shape.len() <= MAX_AXES, rest.packed_number()) {
                    shape.push(extent?);
                }
            }
            _ => {}
        }
        if MAX_AXES < shape.len() {
            return Err("a blob has too many axes");
        }
    }
    let shape: Result<Vec<usize>, _> = shape.into_iter().map(usize::try_from).collect();
    shape.map_err(|_| "a blob claims a shape beyond all memory")
}

/// A blob's shape without the extents of one that its four axes have in front: a bias is (1, 1, 1,
/// out), the weight of an inner product (1, 1, out, in).
fn natural_shape(shape: &[usize], number: usize, is_inner_product: bool) -> Vec<usize> {
    let rank = match (number, is_inner_product) {
        (0, false) => 4,
        (0, true) => 2,
        _ => 1,
    };
    let surplus = shape.len().saturating_sub(rank);
    match shape.split_at(surplus) {
        (front, rest) if front.iter().all(|&extent| extent == 1) => rest.to_vec(),
        _ => shape.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_of_one_in_front_are_dropped() {
        assert_eq!(natural_shape(&[1, 1, 1, 7], 1, false), [7]);
        assert_eq!(natural_shape(&[1, 1, 7, 24], 0, true), [7, 24]);
        assert_eq!(natural_shape(&[7, 24], 0, true), [7, 24]);
        assert_eq!(natural_shape(&[1, 1, 3, 3], 0, false), [1, 1, 3, 3]);
        assert_eq!(natural_shape(&[2, 1, 7, 24], 0, true), [2, 1, 7, 24]);
    }

    #[test]
    fn settings_that_vgg16_does_not_have_are_told() {
        let told = |settings: &'static [u8]| peculiarity(Bytes::from_static(settings)).unwrap();
        assert_eq!(told(b"\x28\x01\x30\x01\x90\x01\x01"), None);
        assert_eq!(told(b"\x28\x02"), Some("works on groups of channels"));
        assert_eq!(told(b"\x30\x02"), Some("has strides"));
        assert_eq!(told(b"\x32\x01\x02"), Some("has strides"));
        assert_eq!(told(b"\x90\x01\x02"), Some("has dilations"));
        assert!(is_transposed(Bytes::from_static(b"\x08\x07\x30\x01")).unwrap());
        assert!(!is_transposed(Bytes::from_static(b"\x08\x07")).unwrap());
    }

    #[test]
    fn blobs_are_read_packed_or_not() {
        let packed = Bytes::from_static(b"\x2a\x08\0\0\x80\x3f\0\0\0\x40\x3a\x03\x0a\x01\x02");
        let blob = blob_of(packed).unwrap();
        assert_eq!((blob.shape, blob.numbers.len()), (vec![2], 1));
        let single = Bytes::from_static(b"\x2d\0\0\x80\x3f\x2d\0\0\0\x40\x3a\x02\x08\x02");
        let blob = blob_of(single).unwrap();
        assert_eq!((blob.shape, blob.numbers.len()), (vec![2], 2));
        let legacy = Bytes::from_static(b"\x08\x01\x10\x01\x18\x01\x20\x02");
        assert_eq!(blob_of(legacy).unwrap().shape, [1, 1, 1, 2]);
    }
}
