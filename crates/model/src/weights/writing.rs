//! Writing a file of weights, whole or not at all.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use candle_core::{DType, Tensor};
use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Metadata, hexadecimal};
use crate::Error;

/// Floats that are turned into bytes at a time.
const CHUNK: usize = 1 << 14;

/// Writes tensors and metadata to a safetensors file and returns its SHA-256 in hexadecimal.
///
/// The file appears under its name only when it is complete. The same tensors and metadata give
/// the same bytes: the safetensors crate would write its metadata in random order, so the header
/// is put together here.
///
/// # Errors
///
/// [`Error::DType`] if a tensor is not f32, [`Error::Io`] if the file cannot be written.
pub fn write(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &Metadata,
) -> Result<String, Error> {
    if let Some((name, tensor)) = tensors.iter().find(|(_, tensor)| tensor.dtype() != DType::F32) {
        return Err(Error::DType { name: name.clone(), found: tensor.dtype() });
    }
    let failed = |source| Error::Io { action: "write", path: path.to_owned(), source };
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Readable by whom the umask allows, as any other file that a program makes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(parent).map_err(failed)?;
    let mut output = Hashing { inner: BufWriter::new(file), hasher: Sha256::new() };
    let header = header(tensors, metadata);
    output.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    output.write_all(header.as_bytes()).map_err(failed)?;
    for tensor in tensors.values() {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        for chunk in values.chunks(CHUNK) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
            output.write_all(&bytes).map_err(failed)?;
        }
    }
    let file = output.inner.into_inner().map_err(|error| failed(error.into_error()))?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(hexadecimal(&output.hasher.finalize()))
}

/// The JSON header: metadata, then the tensors in the order of their names, padded with blanks
/// to a multiple of eight bytes as the format advises.
fn header(tensors: &BTreeMap<String, Tensor>, metadata: &Metadata) -> String {
    let mut strings = BTreeMap::from([
        ("format_version", metadata.format_version.to_string()),
        ("normalization", metadata.normalization.clone()),
        ("source", metadata.source.clone()),
        ("source_sha256", metadata.source_sha256.clone()),
    ]);
    if let Some(identities) = &metadata.identities {
        strings.insert("identities", Value::from(identities.as_slice()).to_string());
    }
    let mut entries = BTreeMap::from([("__metadata__", json!(strings))]);
    let mut start = 0;
    for (name, tensor) in tensors {
        let end = start + tensor.elem_count() * size_of::<f32>();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.dims().to_vec(),
            data_offsets: (start, end),
        };
        entries.insert(name, json!(info));
        start = end;
    }
    let mut header = json!(entries).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    header
}

/// A writer that digests what passes through.
struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
