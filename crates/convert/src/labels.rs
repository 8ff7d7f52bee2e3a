//! Names behind the rows of `fc8`, from a file of text or of numpy's.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::Error;

/// The largest file of names that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Reads names, in the order of the rows: one a line, or numpy's array of strings, as keras-vggface
/// publishes them. Blanks around a name are dropped.
///
/// # Errors
///
/// [`Error::Labels`] if the file holds something else.
pub(crate) fn read(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let wrong = |reason: String| Error::Labels { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if MAX_BYTES < bytes.len() as u64 {
        return Err(wrong(format!("it has more than {MAX_BYTES} bytes")));
    }
    let names = match bytes.strip_prefix(b"\x93NUMPY") {
        Some(rest) => npy(rest).map_err(wrong)?,
        None => match str::from_utf8(&bytes) {
            Ok(text) => {
                text.trim_start_matches('\u{feff}').trim_end().lines().map(str::to_owned).collect()
            }
            Err(_) => return Err(wrong("it is neither text nor an .npy".to_owned())),
        },
    };
    let names: Vec<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
    match names.iter().position(|name| name.is_empty() || name.contains(char::is_control)) {
        _ if names.is_empty() => Err(wrong("it is empty".to_owned())),
        Some(row) => Err(wrong(format!("name {row} is {:?}", names[row]))),
        None => Ok(names),
    }
}

/// The strings of an array, behind the first six bytes.
///
/// # Source
///
/// numpy 2.4, `lib/_format_impl.py`: version, length of the header, a dictionary as Python prints
/// it, then the elements; `U` is UTF-32, `S` bytes, both filled up with zeros.
fn npy(bytes: &[u8]) -> Result<Vec<String>, String> {
    let cut = "it is cut short";
    let (version, rest) = bytes.split_first_chunk::<2>().ok_or(cut)?;
    let (length, rest) = match version {
        [1, _] => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(cut)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, _] => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(cut)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        [major, _] => return Err(format!("it is of version {major}")),
    };
    let (header, data) = rest.split_at_checked(length).ok_or(cut)?;
    let header = String::from_utf8_lossy(header);
    if entry(&header, "'fortran_order'") != Some("False") {
        return Err("it is in Fortran's order".to_owned());
    }
    let shape = entry(&header, "'shape'").and_then(|it| it.strip_prefix('('));
    let count: usize = match shape.map(|it| it.trim().parse()) {
        Some(Ok(count)) if header.contains(&format!("({count},)")) => count,
        _ => return Err("it is no plain list of names".to_owned()),
    };
    let descr = entry(&header, "'descr'").ok_or("its header has no `descr`")?;
    let descr = descr.trim_matches('\'');
    let (order, kind) = descr.split_at_checked(1).ok_or("its `descr` is empty")?;
    let (letter, width) = kind.split_at_checked(1).ok_or("its `descr` is short")?;
    let width: usize = match (letter, width.parse()) {
        ("U" | "S", Ok(width)) if width > 0 => width,
        _ => {
            return Err(format!(
                "its elements are `{}`, not strings; save it again with `np.save(FILE, \
                 labels.astype(str))`",
                descr.escape_debug()
            ));
        }
    };
    let element = |name: &[u8]| match letter {
        "S" => String::from_utf8(name.iter().copied().take_while(|&byte| byte != 0).collect())
            .map_err(|_| "a name is not UTF-8".to_owned()),
        _ => utf32(name, order == ">"),
    };
    let bytes_each = if letter == "U" { width.checked_mul(4) } else { Some(width) };
    let bytes_each = bytes_each.filter(|&each| each <= data.len()).ok_or(cut)?;
    if bytes_each.checked_mul(count) != Some(data.len()) {
        return Err(cut.to_owned());
    }
    data.chunks_exact(bytes_each).map(element).collect()
}

/// The text behind a key of the header, up to the next comma.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(key)?;
    let (value, _) = rest.trim_start().strip_prefix(':')?.split_once(',')?;
    Some(value.trim())
}

fn utf32(bytes: &[u8], is_big_endian: bool) -> Result<String, String> {
    let (codes, _) = bytes.as_chunks::<4>();
    codes
        .iter()
        .map(
            |&code| if is_big_endian { u32::from_be_bytes(code) } else { u32::from_le_bytes(code) },
        )
        .take_while(|&code| code != 0)
        .map(|code| char::from_u32(code).ok_or_else(|| "a name is not UTF-32".to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Vec<String>, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    fn npy(descr: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}          \n");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn text_and_arrays_of_strings_are_read() {
        let names = ["A.J._Buckley", "Zoë_Kazan"];
        let text = format!("\u{feff} {} \r\n{}\n\n", names[0], names[1]);
        assert_eq!(read_bytes(text.as_bytes()).unwrap(), names);
        let mut data = Vec::new();
        for name in names {
            let mut codes: Vec<u32> = name.chars().map(u32::from).collect();
            codes.resize(16, 0);
            data.extend(codes.into_iter().flat_map(u32::to_le_bytes));
        }
        assert_eq!(read_bytes(&npy("<U16", &data)).unwrap(), names);
        assert!(read_bytes(&npy("|S3", b"Ann\0\0\0")).is_err(), "a name is missing");
        assert_eq!(read_bytes(&npy("|S4", b"Ann\0Bob\0")).unwrap(), ["Ann", "Bob"]);
    }

    #[test]
    fn what_holds_no_names_is_refused() {
        let whole = npy("|S4", b"Ann\0Bob\0");
        let text = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&whole[10..]).replace(from, to);
            [&whole[..10], text.as_bytes()].concat()
        };
        assert!(read_bytes(&text("False", "True ")).is_err(), "another order");
        assert!(read_bytes(&text("(2,)", "(3,)")).is_err(), "another count");
        assert!(read_bytes(&text("(2,), ", "(1,2),")).is_err(), "no list");
        for bytes in [&b""[..], b"\xff\xfe", b"Ann\n\nBob\n", b"Ann\n\x1b[2J\n", &whole[..12]] {
            assert!(matches!(read_bytes(bytes), Err(Error::Labels { .. })), "{bytes:?}");
        }
        let error = read_bytes(&npy("|O", b"\x80\x04")).unwrap_err();
        assert!(error.to_string().contains("astype(str)"), "{error}");
        assert!(read_bytes(&npy("<U99999999999999999999", b"")).is_err());
        assert!(read_bytes(&npy("<U4611686018427387904", b"abcd")).is_err());
    }
}
