//! Shards of pixels: safetensors files with one tensor, `pixels`, u8, `(n, 3, side, side)`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata};
use serde_json::json;

use crate::Error;
use crate::settings::Side;

/// The only tensor of a shard.
const TENSOR: &str = "pixels";

/// A shard grows to this many bytes or [`MAX_IMAGES`] images, whichever comes first.
const MAX_BYTES: usize = 128 << 20;
const MAX_IMAGES: usize = 1024;

/// A header of ours takes about a hundred bytes; a longer one is not ours.
const MAX_HEADER_BYTES: u64 = 64 << 10;

/// Bytes before the pixels, a multiple of 8 as safetensors wants it.
const HEADER_BYTES: usize = 160;

/// Images in each full shard.
pub(crate) fn images_per_shard(side: Side) -> usize {
    (MAX_BYTES / side.image_bytes()).clamp(1, MAX_IMAGES)
}

/// The file of shard `index` in the folder `set`.
pub(crate) fn path(set: &Path, index: usize) -> PathBuf {
    set.join(format!("pixels-{index:05}.safetensors"))
}

/// Whether `name` is one that [`path`] gives.
pub(crate) fn is_shard_name(name: &str) -> bool {
    name.strip_prefix("pixels-")
        .and_then(|rest| rest.strip_suffix(".safetensors"))
        .is_some_and(|digits| digits.len() >= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A shard that is being written, in a folder that has no final name yet; images go straight to the file.
#[derive(Debug)]
pub(crate) struct ShardWriter {
    path: PathBuf,
    file: File,
    side: Side,
    images: usize,
}

impl ShardWriter {
    /// Begins the shard at `path`.
    pub(crate) fn create(path: PathBuf, side: Side) -> Result<Self, Error> {
        // Where the header will be, once the number of images is known.
        let begun = File::create_new(&path).and_then(|mut file| {
            file.write_all(&[b' '; HEADER_BYTES])?;
            Ok(file)
        });
        let file = begun.map_err(Error::write(&path))?;
        Ok(Self { path, file, side, images: 0 })
    }

    /// How many images it has.
    pub(crate) fn images(&self) -> usize {
        self.images
    }

    /// Adds an image, `(3, side, side)`, u8, RGB.
    pub(crate) fn append(&mut self, pixels: &[u8]) -> Result<(), Error> {
        assert_eq!(pixels.len(), self.side.image_bytes(), "pixels");
        self.images += 1;
        self.file.write_all(pixels).map_err(Error::write(&self.path))
    }

    /// Completes the file on the disk.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let bytes = self.images * self.side.image_bytes();
        let header = json!({
            TENSOR: {
                "dtype": "U8",
                "shape": [self.images, 3, self.side.px(), self.side.px()],
                "data_offsets": [0, bytes],
            },
        });
        let header = format!("{:<width$}", header.to_string(), width = HEADER_BYTES - 8);
        assert_eq!(header.len(), HEADER_BYTES - 8, "a header of few numbers has room");
        let length = (header.len() as u64).to_le_bytes();
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&[&length, header.as_bytes()].concat()))
            .and_then(|()| self.file.sync_all());
        written.map_err(Error::write(&self.path))
    }
}

/// A shard opened for reading single images.
#[derive(Debug)]
pub(crate) struct Shard {
    path: PathBuf,
    file: File,
    first_pixel_byte: u64,
    image_bytes: usize,
}

impl Shard {
    /// Opens the shard at `path` and checks that it holds exactly `images` images.
    pub(crate) fn open(path: PathBuf, images: usize, side: Side) -> Result<Self, Error> {
        let broken = |reason: String| Error::BrokenShard { path: path.clone(), reason };
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => broken("is missing".to_owned()),
            _ => broken(format!("cannot be opened ({error})")),
        })?;
        let found_bytes = file.metadata().map_err(Error::read(&path))?.len();
        let (header_bytes, header) = read_header(&file).map_err(&broken)?;
        let expected = [images, 3, side.px(), side.px()];
        match header.info(TENSOR) {
            Some(info) if info.dtype == Dtype::U8 && info.shape == expected => {}
            Some(info) => {
                let (dtype, shape) = (info.dtype, &info.shape);
                return Err(broken(format!(
                    "holds {dtype} pixels of shape {shape:?}, expected U8 and {expected:?}"
                )));
            }
            None => return Err(broken(format!("has no tensor `{TENSOR}`"))),
        }
        let first_pixel_byte = 8 + header_bytes;
        let expected_bytes = first_pixel_byte + (images * side.image_bytes()) as u64;
        if found_bytes != expected_bytes {
            return Err(broken(format!("has {found_bytes} bytes, expected {expected_bytes}")));
        }
        Ok(Self { path, file, first_pixel_byte, image_bytes: side.image_bytes() })
    }

    /// Reads image `index` of this shard; threads may read at the same time.
    pub(crate) fn read(&self, index: usize, rgb: &mut [u8]) -> Result<(), Error> {
        let offset = self.first_pixel_byte + (index * self.image_bytes) as u64;
        read_exact_at(&self.file, rgb, offset).map_err(Error::read(&self.path))
    }
}

/// The length of a safetensors header and what it says.
fn read_header(mut file: &File) -> Result<(u64, Metadata), String> {
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| "is cut short".to_owned())?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err("is no safetensors file of pixels".to_owned());
    }
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if (text.len() as u64) < length {
        return Err("is cut short".to_owned());
    }
    let header = serde_json::from_slice(&text)
        .map_err(|error| format!("has a broken safetensors header ({error})"))?;
    Ok((length, header))
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}
