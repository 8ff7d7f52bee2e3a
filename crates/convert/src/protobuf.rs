//! The wire format of protocol buffers, walked without making anything of it: how many parts a
//! message has is known before they are decoded.
//!
//! # Source
//!
//! Protocol Buffers' documentation, "Encoding".

use bytes::{Buf, Bytes};

/// A field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// A number, or a message or string, without copying it.
    Number(u64),
    Bytes(Bytes),
    /// Eight or four bytes, little-endian.
    Fixed(Bytes),
}

/// Walks through the fields of a message; `Err` with a reason where they do not hold together.
pub(crate) struct Fields {
    rest: Bytes,
}

impl Fields {
    pub(crate) fn of(message: Bytes) -> Self {
        Self { rest: message }
    }

    /// What has not been walked through.
    pub(crate) fn rest(&self) -> Bytes {
        self.rest.clone()
    }

    /// The next number of a packed list.
    pub(crate) fn packed_number(&mut self) -> Option<Result<u64, &'static str>> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.varint().ok_or("a list in it is cut short"))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.rest.try_get_u8().ok()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: u64) -> Option<Bytes> {
        let count = usize::try_from(count).ok().filter(|&count| count <= self.rest.len())?;
        Some(self.rest.split_to(count))
    }

    fn field(&mut self) -> Option<(u64, Field)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Fixed(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, field))
    }
}

impl Iterator for Fields {
    type Item = Result<(u64, Field), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest.clear();
        }
        Some(field.ok_or("a message in it is cut short or has no fields"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &'static [u8]) -> Vec<Result<(u64, Field), &'static str>> {
        Fields::of(Bytes::from_static(message)).collect()
    }

    #[test]
    fn fields_are_told_by_their_wire_type() {
        let found = fields(b"\x08\x96\x01\x12\x02hi\x1d\x01\x02\x03\x04\xa2\x06\x00");
        let expected = [
            (1, Field::Number(150)),
            (2, Field::Bytes(Bytes::from_static(b"hi"))),
            (3, Field::Fixed(Bytes::from_static(b"\x01\x02\x03\x04"))),
            (100, Field::Bytes(Bytes::new())),
        ];
        assert_eq!(found, expected.map(Ok));
    }

    #[test]
    fn what_is_cut_short_ends_the_walk() {
        for message in [&b"\x08"[..], b"\x12\x05hi", b"\x1d\x01", b"\x0b", b"\xff\xff", b"\x08\xff"]
        {
            assert_eq!(fields(message).len(), 1, "{message:?}");
            assert!(fields(message)[0].is_err(), "{message:?}");
        }
        assert!(fields(&[0xff; 12])[0].is_err(), "a number of more than 64 bits");
    }
}
