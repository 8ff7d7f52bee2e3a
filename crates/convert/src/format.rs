//! Formats, told by content alone.

use std::fmt;
use std::path::Path;

use bytes::Bytes;

use crate::Error;
use crate::protobuf::{Field, Fields};

/// The formats that can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SourceFormat {
    /// Whatever the content shows.
    Auto,
    /// Keras's `.h5`, `.weights.h5` and `.keras`.
    Keras,
    /// Caffe's `.caffemodel`.
    Caffe,
    /// MatConvNet's `.mat`.
    Matconvnet,
    /// PyTorch's `.pth` and `.pt`, TorchScript among them.
    Pytorch,
    /// Torch7's `.t7`.
    Torch7,
    /// ONNX.
    Onnx,
    /// Safetensors, this project's own files among them.
    Safetensors,
}

/// What a file is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// HDF5, in which Keras stores weights and, formerly, whole models.
    Hdf5,
    /// Safetensors.
    Safetensors,
    /// Keras 3's zip archive of a configuration and an HDF5 file.
    KerasArchive,
    /// PyTorch's zip archive.
    PytorchArchive,
    /// A pickle, PyTorch's format before 1.6.
    Pickle,
    /// Some other zip archive.
    Zip,
    /// MATLAB's version 5 or 7, in which MatConvNet stores networks.
    Matlab,
    /// MATLAB's version 7.3, which is HDF5 but not Keras's.
    Matlab73,
    /// Torch7's serialised objects.
    Torch7,
    /// Caffe's protocol buffer.
    Caffe,
    /// ONNX's protocol buffer.
    Onnx,
}

impl SourceFormat {
    /// Whether a file of this format is what was asked for.
    fn covers(self, format: Format) -> bool {
        match self {
            Self::Auto => true,
            Self::Keras => matches!(format, Format::Hdf5 | Format::KerasArchive),
            Self::Caffe => format == Format::Caffe,
            Self::Matconvnet => matches!(format, Format::Matlab | Format::Matlab73),
            Self::Pytorch => matches!(format, Format::PytorchArchive | Format::Pickle),
            Self::Torch7 => format == Format::Torch7,
            Self::Onnx => format == Format::Onnx,
            Self::Safetensors => format == Format::Safetensors,
        }
    }
}

impl fmt::Display for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Keras => "keras",
            Self::Caffe => "caffe",
            Self::Matconvnet => "matconvnet",
            Self::Pytorch => "pytorch",
            Self::Torch7 => "torch7",
            Self::Onnx => "onnx",
            Self::Safetensors => "safetensors",
        })
    }
}

impl Format {
    /// Tells a file's format by its first bytes and, of an archive, by what is in it.
    fn of(head: &[u8], names: &[String]) -> Option<Self> {
        if head.starts_with(b"PK\x03\x04") {
            let has = |name: &str| {
                let ends = |it: &String| it.rsplit('/').next() == Some(name);
                names.iter().any(ends)
            };
            return Some(if has("data.pkl") {
                Self::PytorchArchive
            } else if has("model.weights.h5") {
                Self::KerasArchive
            } else {
                Self::Zip
            });
        }
        if head.starts_with(b"MATLAB 7.3 MAT-file") {
            return Some(Self::Matlab73);
        }
        if head.starts_with(b"MATLAB 5.0 MAT-file") {
            return Some(Self::Matlab);
        }
        // The signature stands at 0 or, behind a user block, at 512, 1024, 2048, ..
        let at = std::iter::once(0).chain((9..usize::BITS).map(|power| 1 << power));
        let mut signatures = at.map_while(|offset| head.get(offset..));
        if signatures.any(|rest| rest.starts_with(b"\x89HDF\r\n\x1a\n")) {
            return Some(Self::Hdf5);
        }
        if is_safetensors(head) {
            return Some(Self::Safetensors);
        }
        // Protocols 2 to 5 begin with their number.
        if matches!(head, [0x80, 2..=5, ..]) {
            return Some(Self::Pickle);
        }
        if is_torch7(head) {
            return Some(Self::Torch7);
        }
        if is_onnx(head) {
            return Some(Self::Onnx);
        }
        is_caffe(head).then_some(Self::Caffe)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hdf5 => "HDF5",
            Self::Safetensors => "safetensors",
            Self::KerasArchive => "a Keras 3 archive (.keras)",
            Self::PytorchArchive => "a PyTorch archive (.pth)",
            Self::Pickle => "a pickle (PyTorch before 1.6)",
            Self::Zip => "a zip archive",
            Self::Matlab => "a MATLAB file (MatConvNet)",
            Self::Matlab73 => "a MATLAB 7.3 file (MatConvNet)",
            Self::Torch7 => "a Torch7 file (.t7)",
            Self::Caffe => "a Caffe model",
            Self::Onnx => "an ONNX model",
        })
    }
}

/// The format of a file that begins with `head` and, if it is an archive, holds files of these
/// names, if it is the one asked for.
pub(crate) fn told(
    path: &Path,
    head: &[u8],
    names: &[String],
    from: SourceFormat,
) -> Result<Format, Error> {
    let path = path.to_owned();
    if head.is_empty() {
        return Err(Error::Empty { path });
    }
    if head.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Err(Error::LfsPointer { path });
    }
    if head.starts_with(b"\x1f\x8b") {
        let reason = "it is a gzip archive; unpack it (`tar xzf`) and convert the file in it";
        return Err(Error::Unconvertible { path, reason: reason.to_owned() });
    }
    if is_web_page(head) {
        return Err(Error::WebPage { path });
    }
    match Format::of(head, names) {
        Some(format) if from.covers(format) => Ok(format),
        Some(format) => {
            Err(Error::FormatMismatch { path, expected: from, found: format.to_string() })
        }
        None => {
            let found = format!("\"{}\"", head[..head.len().min(8)].escape_ascii());
            match from {
                SourceFormat::Auto => Err(Error::UnknownFormat { path, found }),
                _ => Err(Error::FormatMismatch {
                    path,
                    expected: from,
                    found: format!("in no known format (it begins with {found})"),
                }),
            }
        }
    }
}

/// A download that ended on a page: HTML, or the XML in which object stores report errors.
fn is_web_page(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    ["<!doctype html", "<html", "<?xml"].iter().any(|tag| {
        text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
    })
}

/// Eight bytes of header length, then the header, a JSON object of at most 100 MB.
fn is_safetensors(head: &[u8]) -> bool {
    match head.split_first_chunk::<8>() {
        Some((length, rest)) => {
            rest.starts_with(b"{") && (2..=100_000_000).contains(&u64::from_le_bytes(*length))
        }
        None => false,
    }
}

/// A table (type 3) or an object (type 4) with index 1, in binary or in ASCII.
///
/// # Source
///
/// torch7, `File.lua`: `TYPE_TABLE`, `TYPE_TORCH`, `writeObject`.
fn is_torch7(head: &[u8]) -> bool {
    matches!(head, [3 | 4, 0, 0, 0, 1, 0, 0, 0, ..])
        || head.starts_with(b"3\n1\n")
        || head.starts_with(b"4\n1\n")
}

/// A `NetParameter`: its name (field 1, a printable string), if it has one, then one of the fields
/// that may follow it: layers (2 formerly, 100 now), input (3), its dimensions (4) or its shape (8).
///
/// # Source
///
/// BVLC caffe, `src/caffe/proto/caffe.proto`, message `NetParameter`.
fn is_caffe(head: &[u8]) -> bool {
    let is_next =
        |rest: &[u8]| matches!(rest, [0x12 | 0x1a | 0x20 | 0x42, _, ..] | [0xa2, 0x06, _, ..]);
    let mut fields = Fields::of(Bytes::copy_from_slice(head.get(..MAX_NAME_BYTES).unwrap_or(head)));
    match (head.first(), fields.next()) {
        (Some(0x0a), Some(Ok((1, Field::Bytes(name))))) => {
            let is_name = name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
            is_name && is_next(&fields.rest())
        }
        // A layer, which begins with its name or with what it takes.
        (Some(0x12), _) => {
            matches!(behind_length(&head[1..]), Some([0x0a | 0x12 | 0x1a | 0x22, ..]))
        }
        (Some(0xa2), _) => {
            head.get(1) == Some(&0x06)
                && matches!(behind_length(&head[2..]), Some([0x0a | 0x12 | 0x1a | 0x22, ..]))
        }
        _ => false,
    }
}

/// How long a name may be at the front of a Caffe model.
const MAX_NAME_BYTES: usize = 4096;

/// What follows a length of up to five bytes.
fn behind_length(bytes: &[u8]) -> Option<&[u8]> {
    let last = bytes.iter().take(5).position(|&byte| byte < 0x80)?;
    bytes.get(last + 1..)
}

/// A `ModelProto`: its version (field 1, a small number), then one of the fields that follow it:
/// producer (2), its version (3), domain (4), model version (5), a comment (6), the graph (7),
/// operator sets (8) or metadata (14).
///
/// # Source
///
/// ONNX 1.23, `onnx/onnx.proto`, message `ModelProto`.
fn is_onnx(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=0x7f, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(head: &[u8], from: SourceFormat) -> Result<Format, Error> {
        // The names in the archives below stand behind their signature.
        let names = [String::from_utf8_lossy(head.get(8..).unwrap_or_default()).into_owned()];
        told(Path::new("weights.bin"), head, &names, from)
    }

    /// Beginnings of real files, as their writers make them.
    const HEADS: [(&[u8], Format, SourceFormat); 17] = [
        (b"\x89HDF\r\n\x1a\n\0", Format::Hdf5, SourceFormat::Keras),
        (b"\x10\0\0\0\0\0\0\0{\"a\":", Format::Safetensors, SourceFormat::Safetensors),
        (b"PK\x03\x04....model.weights.h5", Format::KerasArchive, SourceFormat::Keras),
        (b"PK\x03\x04....archive/data.pkl", Format::PytorchArchive, SourceFormat::Pytorch),
        (b"PK\x03\x04....weights.npy", Format::Zip, SourceFormat::Auto),
        (b"\x80\x02\x8a\x0al\xfc\x9cF", Format::Pickle, SourceFormat::Pytorch),
        (b"MATLAB 5.0 MAT-file, Platform", Format::Matlab, SourceFormat::Matconvnet),
        (b"MATLAB 7.3 MAT-file, Platform", Format::Matlab73, SourceFormat::Matconvnet),
        (b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1", Format::Torch7, SourceFormat::Torch7),
        (b"\x03\0\0\0\x01\0\0\0", Format::Torch7, SourceFormat::Torch7),
        (b"4\n1\n3\nV 1\n", Format::Torch7, SourceFormat::Torch7),
        (b"\x0a\x12VGG_FACE_16_layers\x12\x50", Format::Caffe, SourceFormat::Caffe),
        (b"\x0a\x03VGG\xa2\x06\x50", Format::Caffe, SourceFormat::Caffe),
        (b"\x12\x80\x01\x12\x04data", Format::Caffe, SourceFormat::Caffe),
        (b"\xa2\x06\x80\x01\x0a\x04data", Format::Caffe, SourceFormat::Caffe),
        (b"\x08\x08\x12\x07pytorch", Format::Onnx, SourceFormat::Onnx),
        (b"\x08\x0a:\xff\x01", Format::Onnx, SourceFormat::Onnx),
    ];

    #[test]
    fn formats_are_told_by_content() {
        for (head, format, from) in HEADS {
            assert_eq!(tell(head, SourceFormat::Auto).unwrap(), format, "{head:?}");
            assert_eq!(tell(head, from).unwrap(), format, "{head:?}");
        }
    }

    #[test]
    fn hdf5_is_found_behind_a_user_block() {
        for offset in [512, 1024, 4096] {
            let mut head = vec![b' '; offset];
            head.extend(b"\x89HDF\r\n\x1a\n");
            assert_eq!(tell(&head, SourceFormat::Auto).unwrap(), Format::Hdf5);
        }
        assert!(
            tell(&[b" ".repeat(100), b"\x89HDF\r\n\x1a\n".to_vec()].concat(), SourceFormat::Auto)
                .is_err()
        );
    }

    #[test]
    fn content_of_another_format_than_asked_for_is_refused() {
        let error = tell(b"\x89HDF\r\n\x1a\n", SourceFormat::Caffe).unwrap_err();
        assert!(matches!(error, Error::FormatMismatch { expected: SourceFormat::Caffe, .. }));
        let error = tell(b"nonsense", SourceFormat::Keras).unwrap_err();
        assert!(matches!(error, Error::FormatMismatch { .. }));
    }

    #[test]
    fn what_is_no_file_of_weights_is_named() {
        let auto = |head| tell(head, SourceFormat::Auto);
        assert!(matches!(auto(b""), Err(Error::Empty { .. })));
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
        assert!(matches!(auto(pointer), Err(Error::LfsPointer { .. })));
        assert!(matches!(auto(b"\n  <!DOCTYPE html><html>"), Err(Error::WebPage { .. })));
        assert!(matches!(auto(b"<?xml version=\"1.0\"?><Error>"), Err(Error::WebPage { .. })));
        assert!(matches!(auto(b"hello"), Err(Error::UnknownFormat { .. })));
    }
}
