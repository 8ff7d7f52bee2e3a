//! Keras's HDF5, as Keras 0.3 to 3 have laid it out, with weights alone or in a whole model, and
//! Keras 3's archive, which has such a file in it.

mod archive;
mod configuration;
mod layout;
mod listing;
mod network;

use std::sync::Arc;

use hdf5_reader::storage::{DynStorage, FileStorage};
use hdf5_reader::{ByteOrder as Hdf5ByteOrder, Dataset, Datatype, Hdf5File, OpenOptions};

use self::layout::{Layout, Listed};
use super::{Contents, Reader, SourceArray, SourceMetadata, guarded, printable};
use crate::element::{ByteOrder, Element};
use crate::source::Source;
use crate::{Error, KerasBackend, Normalization, Pixels};

/// The largest array that is read: more than twice VGG16's `fc6.weight`.
pub(super) const MAX_ARRAY_BYTES: usize = 1 << 30;

/// A file that Keras has written.
struct KerasReader {
    file: Hdf5File,
}

/// Lists the layers of an HDF5 file, reading none of their values.
pub(super) fn open(source: &Source, backend: Option<KerasBackend>) -> Result<Contents, Error> {
    guarded(source, || {
        let storage = FileStorage::from_file(source.file()?).map_err(damaged(source))?;
        let file = open_hdf5(source, Arc::new(storage))?;
        let configuration = layout::configuration(source, &file)?;
        contents(source, file, &Layout { configuration, backend })
    })
}

/// Lists the layers of the HDF5 file in an archive.
pub(super) fn open_archive(
    source: &Source,
    backend: Option<KerasBackend>,
) -> Result<Contents, Error> {
    guarded(source, || {
        let (storage, configuration) = archive::open(source)?;
        let file = open_hdf5(source, storage)?;
        contents(source, file, &Layout { configuration: Some(configuration), backend })
    })
}

fn contents(source: &Source, file: Hdf5File, layout: &Layout) -> Result<Contents, Error> {
    let compared = layout.configuration.as_ref().map(network::compare).unwrap_or_default();
    if let Some(misfit) = compared.misfit {
        return Err(Error::NotVgg16 { path: source.path.clone(), misfit, found: compared.summary });
    }
    let Listed { layers, states_flattening, left_out } = layout.layers(source, &file)?;
    // This project's own exports say it; Keras's files never do.
    let normalization = own_normalization(&file).map_err(damaged(source))?;
    let metadata = SourceMetadata {
        normalization,
        pixels: Some(Pixels::Bgr),
        left_out,
        states_flattening: states_flattening || normalization.is_some(),
        head_misfit: compared.head_misfit,
        not_converted: compared.not_converted,
        ..SourceMetadata::default()
    };
    Ok(Contents { layers, metadata, reader: Box::new(KerasReader { file }) })
}

/// The normalization that `export::keras` writes beside the weights.
fn own_normalization(file: &Hdf5File) -> Result<Option<Normalization>, hdf5_reader::error::Error> {
    let attributes = file.root_group()?.attributes()?;
    let text = attributes.iter().find(|attribute| attribute.name == "normalization");
    Ok(text.and_then(|text| text.read_string().ok()).and_then(|text| text.parse().ok()))
}

impl Reader for KerasReader {
    fn values(&self, source: &Source, array: &SourceArray) -> Result<Vec<f32>, Error> {
        guarded(source, || {
            let dataset = self.file.dataset(&array.name).map_err(damaged(source))?;
            dataset_values(source, &array.name, &dataset)
        })
    }
}

/// An HDF5 file whose arrays and chunks are bounded, and which is as long as it says.
pub(super) fn open_hdf5(source: &Source, storage: DynStorage) -> Result<Hdf5File, Error> {
    let size = storage.len();
    let options = OpenOptions::default()
        .with_max_chunk_bytes(MAX_ARRAY_BYTES)
        .with_max_read_bytes(MAX_ARRAY_BYTES);
    let file = Hdf5File::from_storage_with_options(storage, options).map_err(damaged(source))?;
    let promised = file.superblock().eof_address;
    if size < promised {
        return Err(
            source.damaged(format!("it has {size} bytes, its superblock promises {promised}"))
        );
    }
    Ok(file)
}

/// A dataset's numbers, in row-major order.
pub(super) fn dataset_values(
    source: &Source,
    name: &str,
    dataset: &Dataset,
) -> Result<Vec<f32>, Error> {
    let stored = dataset.raw_datatype().map_err(damaged(source))?;
    let (element, order) = match (dataset.dtype(), float(&stored)) {
        (Datatype::FloatingPoint { byte_order, .. }, Some(element)) => (element, byte_order),
        (other, _) => {
            return Err(Error::ElementType {
                path: source.path.clone(),
                name: name.to_owned(),
                found: element_type(other),
            });
        }
    };
    let claimed = dataset.shape().iter().try_fold(element.size() as u64, |bytes, &extent| {
        bytes.checked_mul(extent).filter(|&bytes| bytes <= MAX_ARRAY_BYTES as u64)
    });
    if claimed.is_none() {
        return Err(source.damaged(format!(
            "`{name}` claims shape {:?}, more than {MAX_ARRAY_BYTES} bytes",
            dataset.shape()
        )));
    }
    let order = match order {
        Hdf5ByteOrder::LittleEndian => ByteOrder::LittleEndian,
        Hdf5ByteOrder::BigEndian => ByteOrder::BigEndian,
    };
    if element == Element::F32 {
        // Without a second copy: fc6 has 411 MB.
        let count = usize::try_from(dataset.num_elements().map_err(damaged(source))?);
        let mut values = vec![0.0; count.expect("no more than the bytes above")];
        dataset.read_into(&mut values).map_err(damaged(source))?;
        return Ok(values);
    }
    let bytes = dataset.read_raw_bytes().map_err(damaged(source))?;
    Ok(element.to_f32(&bytes, order))
}

/// What a reader's own error says, as one of ours.
pub(super) fn damaged(source: &Source) -> impl Fn(hdf5_reader::error::Error) -> Error {
    |error| source.damaged(printable(&error.to_string()))
}

/// The floating-point type that a datatype message describes bit by bit, if it is a usual one.
///
/// # Source
///
/// HDF5 File Format Specification 3.0, IV.A.2.d: class and version, 3 bytes of flags (the first of
/// which tells byte order and whether the mantissa's highest bit is implied, the second where the
/// sign is), size, then offset, precision, place and size of exponent and mantissa, and bias.
fn float(message: &[u8]) -> Option<Element> {
    let (header, rest) = message.split_first_chunk::<8>()?;
    let (fields, rest) = rest.split_first_chunk::<8>()?;
    let (&[_, flags, sign, _, size, ..], bias) = (header, rest.first_chunk()?);
    let &[o0, o1, p0, p1, exponent, exponent_bits, mantissa, mantissa_bits] = fields;
    let (offset, precision) = (u16::from_le_bytes([o0, o1]), u16::from_le_bytes([p0, p1]));
    let bias = u32::from_le_bytes(*bias);
    let is_implied = flags & 0b11_0000 == 0b10_0000;
    let is_whole = (offset, mantissa) == (0, 0)
        && precision == u16::from(size) * 8
        && u16::from(sign) + 1 == precision
        && exponent == mantissa_bits;
    match (size, exponent_bits, mantissa_bits, bias) {
        _ if !is_implied || !is_whole => None,
        (2, 5, 10, 15) => Some(Element::F16),
        (2, 8, 7, 127) => Some(Element::Bf16),
        (4, 8, 23, 127) => Some(Element::F32),
        (8, 11, 52, 1023) => Some(Element::F64),
        _ => None,
    }
}

/// An element type in a word.
fn element_type(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FloatingPoint { size, .. } => format!("unusual floats of {size} bytes"),
        Datatype::FixedPoint { size, .. } => format!("integers of {size} bytes"),
        _ => "no numbers".to_owned(),
    }
}
