//! Writing a file of weights, whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{Metadata, hexadecimal};
use crate::{Error, ParameterSpec};

/// Floats that are turned into bytes at a time.
const CHUNK: usize = 1 << 14;

/// Writes tensors and metadata to a safetensors file and returns its SHA-256 in hexadecimal.
///
/// The file appears under its name only when it is complete. The same tensors and metadata give
/// the same bytes.
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
    let parameter = |(name, tensor): (&String, &Tensor)| ParameterSpec {
        name: name.clone(),
        shape: tensor.dims().to_vec(),
    };
    let parameters: Vec<ParameterSpec> = tensors.iter().map(parameter).collect();
    let mut writer = WeightsWriter::create(path, parameters, metadata)?;
    for tensor in tensors.values() {
        writer.append(&tensor.flatten_all()?.to_vec1::<f32>()?)?;
    }
    writer.finish(metadata)?.keep()
}

/// A file of weights that is being written, a stretch of values at a time, so that no more than
/// that needs to be in memory.
///
/// The header stands before the values in the file, but is written behind them: what it says may
/// depend on them.
#[derive(Debug)]
pub struct WeightsWriter {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    parameters: Vec<ParameterSpec>,
    /// Bytes before the values, less the eight of the header's length.
    header_bytes: usize,
    /// Values that are still to come.
    missing: usize,
}

/// A complete file of weights that does not bear its name yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Unnamed {
    path: PathBuf,
    file: NamedTempFile,
    sha256: String,
}

impl WeightsWriter {
    /// Begins a file in the folder of `path`, for these parameters in this order.
    ///
    /// `room` are metadata at least as long as those that will be written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the folder cannot be written to.
    pub fn create(
        path: &Path,
        parameters: Vec<ParameterSpec>,
        room: &Metadata,
    ) -> Result<Self, Error> {
        let header_bytes = header(&parameters, room).len().next_multiple_of(8);
        let missing = parameters.iter().map(|it| it.shape.iter().product::<usize>()).sum();
        let begin = || {
            let mut file = BufWriter::new(temporary_beside(path)?);
            file.seek(SeekFrom::Start(8 + header_bytes as u64))?;
            Ok(file)
        };
        let file = begin().map_err(|source| failed(path, source))?;
        Ok(Self { path: path.to_owned(), file, parameters, header_bytes, missing })
    }

    /// Writes the next values, in row-major order.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the disk is full.
    ///
    /// # Panics
    ///
    /// If the parameters have no room for as many.
    pub fn append(&mut self, values: &[f32]) -> Result<(), Error> {
        self.missing = self.missing.checked_sub(values.len()).expect("values of the parameters");
        for chunk in values.chunks(CHUNK) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.file.write_all(&bytes).map_err(|source| failed(&self.path, source))?;
        }
        Ok(())
    }

    /// Writes the header, padded with blanks as the format allows, and digests the file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the disk is full.
    ///
    /// # Panics
    ///
    /// If values are missing, or the metadata are longer than those that room was made for.
    pub fn finish(self, metadata: &Metadata) -> Result<Unnamed, Error> {
        assert_eq!(self.missing, 0, "every parameter has been written");
        let mut header = header(&self.parameters, metadata);
        let padding = self.header_bytes.checked_sub(header.len()).expect("room for the header");
        header.push_str(&" ".repeat(padding));
        let path = self.path;
        let complete = |buffered: BufWriter<NamedTempFile>| {
            let mut file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(header.as_bytes())?;
            file.as_file().sync_all()?;
            let sha256 = digest(file.as_file_mut())?;
            Ok((file, sha256))
        };
        let (file, sha256) = complete(self.file).map_err(|source| failed(&path, source))?;
        Ok(Unnamed { path, file, sha256 })
    }
}

impl Unnamed {
    /// Where it can be read as long as this value lives.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Gives the file its name and returns its SHA-256.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the name is a folder's.
    pub fn keep(self) -> Result<String, Error> {
        give_name(self.file, &self.path).map_err(|source| failed(&self.path, source))?;
        Ok(self.sha256)
    }
}

/// How the names of files begin that are not complete.
pub const PARTIAL: &str = ".partial-";

/// A temporary file in the folder that `path` is in, to be renamed to it when it is complete. It may
/// be read by whom the umask allows, as any other file that a program makes.
///
/// # Errors
///
/// If the folder cannot be written to.
pub fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    // Of a folder that is not there, without the name of a file that nobody has asked for.
    fs::metadata(folder_of(path))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(path))
}

/// Gives a complete temporary file its name: it is on the disk before, and its name afterwards.
///
/// # Errors
///
/// If the disk fails, or the name is a folder's.
pub fn give_name(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    // A folder can be waited for where it can be opened as a file.
    #[cfg(unix)]
    File::open(folder_of(path))?.sync_all()?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// SHA-256 of a whole file.
fn digest(file: &mut File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(hexadecimal(&hasher.finalize())),
            count => hasher.update(&bytes[..count]),
        }
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io { action: "write", path: path.to_owned(), source }
}

/// The JSON header: metadata, then the tensors. The safetensors crate would write the metadata in
/// random order, so it is put together here.
fn header(parameters: &[ParameterSpec], metadata: &Metadata) -> String {
    let mut strings: BTreeMap<&str, String> =
        metadata.notes.iter().map(|(key, note)| (key.as_str(), note.clone())).collect();
    strings.extend([
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
    for parameter in parameters {
        let end = start + parameter.shape.iter().product::<usize>() * size_of::<f32>();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: parameter.shape.clone(),
            data_offsets: (start, end),
        };
        entries.insert(&parameter.name, json!(info));
        start = end;
    }
    let mut header = json!(entries).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    header
}
