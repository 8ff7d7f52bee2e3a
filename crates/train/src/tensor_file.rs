//! Safetensors files that are too large to be read at once: written and read a tensor at a time.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use candle_core::{CpuStorage, Device, Storage, Tensor};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use crate::Error;

/// An open file of tensors whose header is read.
#[derive(Debug)]
pub(crate) struct TensorFile {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Of the file, in bytes.
    pub(crate) length: u64,
    /// Where the tensors begin.
    pub(crate) first_byte: u64,
    pub(crate) metadata: Metadata,
}

impl TensorFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if it cannot be read, [`Error::Format`] if it is cut short or no safetensors.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let broken = |problem: String| Error::Format { path: path.to_owned(), problem };
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut prefix = [0; 8];
        let is_short = file.read_exact(&mut prefix).is_err();
        let header_bytes = u64::from_le_bytes(prefix);
        if is_short || length.saturating_sub(8) < header_bytes {
            return Err(broken(format!("truncated at {length} bytes; delete it")));
        }
        let mut header = Vec::new();
        (&mut file).take(header_bytes).read_to_end(&mut header).map_err(failed)?;
        let metadata = serde_json::from_slice(&header)
            .map_err(|cause| broken(format!("not a safetensors file ({cause}); delete it")))?;
        let first_byte = 8 + header_bytes;
        Ok(Self { path: path.to_owned(), file, length, first_byte, metadata })
    }

    /// A word of the metadata.
    pub(crate) fn word(&self, name: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(name).map(String::as_str)
    }

    /// Checks that the file ends where its last tensor does.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if it does not.
    pub(crate) fn check_length(&self) -> Result<(), Error> {
        let end = self.metadata.tensors().values().map(|info| info.data_offsets.1).max();
        let expected = self.first_byte + end.unwrap_or(0) as u64;
        if self.length == expected {
            return Ok(());
        }
        Err(Error::Format {
            path: self.path.clone(),
            problem: format!(
                "truncated: found {} bytes, expected {expected}; delete it",
                self.length
            ),
        })
    }

    /// Reads a tensor of f32.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if there is none of this name, [`Error::Read`] if the disk fails.
    pub(crate) fn read(&self, name: &str) -> Result<Tensor, Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let info = match self.metadata.info(name) {
            Some(info) if info.dtype == Dtype::F32 => info,
            _ => {
                let problem = format!("has no f32 tensor `{name}`; delete it");
                return Err(Error::Format { path: self.path.clone(), problem });
            }
        };
        let mut values = vec![0_f32; info.shape.iter().product()];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.first_byte + info.data_offsets.0 as u64)).map_err(failed)?;
        file.read_exact(bytemuck::cast_slice_mut(&mut values)).map_err(failed)?;
        for value in &mut values {
            *value = f32::from_bits(value.to_bits().to_le());
        }
        Ok(Tensor::from_vec(values, info.shape.as_slice(), &Device::Cpu)?)
    }

    /// The names of all tensors that begin with `prefix`, without it, in byte order.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .metadata
            .tensors()
            .keys()
            .filter_map(|name| name.strip_prefix(prefix).map(str::to_owned))
            .collect();
        names.sort_unstable();
        names
    }
}

/// A named tensor of f32 that is to be written.
pub(crate) struct Piece<'a> {
    pub(crate) name: String,
    pub(crate) values: Values<'a>,
}

/// Where a piece's values are.
pub(crate) enum Values<'a> {
    Slice(&'a [f32]),
    Tensor(Tensor),
}

impl Values<'_> {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Slice(values) => vec![values.len()],
            Self::Tensor(tensor) => tensor.dims().to_vec(),
        }
    }

    /// Writes the values, on the CPU without copying them.
    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Slice(values) => write_floats(values, output),
            Self::Tensor(tensor) => {
                let (storage, layout) = tensor.storage_and_layout();
                if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) =
                    (&*storage, layout.contiguous_offsets())
                {
                    return write_floats(&values[start..end], output);
                }
                let values = tensor.flatten_all().and_then(|flat| flat.to_vec1());
                write_floats(&values.map_err(io::Error::other)?, output)
            }
        }
    }
}

fn write_floats(values: &[f32], output: &mut impl Write) -> io::Result<()> {
    if cfg!(target_endian = "little") {
        return output.write_all(bytemuck::cast_slice(values));
    }
    values.iter().try_for_each(|value| output.write_all(&value.to_le_bytes()))
}

/// Writes a file of tensors, one after the other, with one word of metadata.
pub(crate) fn write_tensors(
    file: &File,
    word: (&str, String),
    pieces: &[Piece<'_>],
) -> io::Result<()> {
    let mut end = 0;
    let infos = pieces.iter().map(|piece| {
        let shape = piece.values.shape();
        let start = end;
        end += shape.iter().product::<usize>() * size_of::<f32>();
        (piece.name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) })
    });
    let words = HashMap::from([(word.0.to_owned(), word.1)]);
    let header = Metadata::new(Some(words), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut output = BufWriter::with_capacity(1 << 20, file);
    output.write_all(&(header.len() as u64).to_le_bytes())?;
    output.write_all(&header)?;
    for piece in pieces {
        piece.values.write(&mut output)?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let tensor = Tensor::new(&[[1_f32, -0.0], [f32::MIN_POSITIVE / 2.0, 4.0]], &Device::Cpu);
        let pieces = [
            Piece { name: "b/one".to_owned(), values: Values::Tensor(tensor.unwrap()) },
            Piece { name: "a/two".to_owned(), values: Values::Slice(&[5.0, 6.0, 7.0]) },
            Piece { name: "a/none".to_owned(), values: Values::Slice(&[]) },
        ];
        write_tensors(&File::create(&path).unwrap(), ("state", "{}".to_owned()), &pieces).unwrap();
        let file = TensorFile::open(&path).unwrap();
        file.check_length().unwrap();
        assert_eq!(file.word("state"), Some("{}"));
        assert_eq!(file.names("a/"), ["none", "two"]);
        let bits = |name| {
            let values = file.read(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let expected = [1_f32, -0.0, f32::MIN_POSITIVE / 2.0, 4.0].map(f32::to_bits);
        assert_eq!(bits("b/one"), expected);
        assert_eq!(bits("a/two"), [5_f32, 6.0, 7.0].map(f32::to_bits));
        assert_eq!(file.read("b/one").unwrap().dims(), [2, 2]);
        assert!(matches!(file.read("c"), Err(Error::Format { .. })));
    }

    #[test]
    fn a_file_that_is_cut_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let piece = Piece { name: "a".to_owned(), values: Values::Slice(&[5.0, 6.0]) };
        write_tensors(&File::create(&path).unwrap(), ("w", String::new()), &[piece]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let opened = TensorFile::open(&path).and_then(|file| file.check_length());
            assert!(matches!(opened, Err(Error::Format { .. })), "{length}");
        }
    }
}
