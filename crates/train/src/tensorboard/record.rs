//! The frame of a record: its length, its bytes, and a checksum of each.

use std::io::{self, Write};

/// What TensorFlow adds to a rotated checksum, so that one of data that hold checksums is no trivial
/// one.
const MASK: u32 = 0xa282_ead8;

/// Writes a record.
///
/// # Errors
///
/// Those of the writer.
pub(super) fn write_record(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = (bytes.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_checksum(&length).to_le_bytes())?;
    out.write_all(bytes)?;
    out.write_all(&masked_checksum(bytes).to_le_bytes())
}

/// CRC-32C, rotated and moved.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_framed_as_tensorflow_does() {
        let mut out = Vec::new();
        write_record(&mut out, b"abc").unwrap();
        // As TensorBoard 2.21's `RecordWriter` writes it.
        let golden: [u8; 19] =
            [3, 0, 0, 0, 0, 0, 0, 0, 176, 153, 73, 14, 97, 98, 99, 110, 87, 241, 33];
        assert_eq!(out, golden);
    }
}
