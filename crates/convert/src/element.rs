//! Element types: numbers as their bytes lie in a file, to f32.

use std::fmt;

use half::{bf16, f16};

/// A type of numbers that weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    LittleEndian,
    BigEndian,
}

impl Element {
    /// Bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The numbers in some bytes, as f32; those of f64 are rounded to the nearest, so that what is
    /// beyond f32 becomes infinite. Bytes that do not fill a number are left alone.
    pub(crate) fn to_f32(self, bytes: &[u8], order: ByteOrder) -> Vec<f32> {
        match self {
            Self::F16 => numbers(bytes, order, |it| f16::from_le_bytes(it).to_f32()),
            Self::Bf16 => numbers(bytes, order, |it| bf16::from_le_bytes(it).to_f32()),
            Self::F32 => numbers(bytes, order, f32::from_le_bytes),
            Self::F64 => numbers(bytes, order, |it| rounded(f64::from_le_bytes(it))),
        }
    }
}

/// A number to the nearest f32.
#[expect(clippy::cast_possible_truncation, reason = "weights are f32 here; rounding is meant")]
pub(crate) fn rounded(value: f64) -> f32 {
    value as f32
}

fn numbers<const N: usize>(
    bytes: &[u8],
    order: ByteOrder,
    number: impl Fn([u8; N]) -> f32,
) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<N>();
    match order {
        ByteOrder::LittleEndian => numbers.iter().map(|it| number(*it)).collect(),
        ByteOrder::BigEndian => numbers
            .iter()
            .map(|it| {
                let mut reversed = *it;
                reversed.reverse();
                number(reversed)
            })
            .collect(),
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_in_both_byte_orders() {
        let cases: [(Element, Vec<u8>); 4] = [
            (Element::F16, f16::from_f32(-1.5).to_le_bytes().to_vec()),
            (Element::Bf16, bf16::from_f32(-1.5).to_le_bytes().to_vec()),
            (Element::F32, (-1.5_f32).to_le_bytes().to_vec()),
            (Element::F64, (-1.5_f64).to_le_bytes().to_vec()),
        ];
        for (element, mut bytes) in cases {
            assert_eq!(bytes.len(), element.size());
            assert_eq!(element.to_f32(&bytes, ByteOrder::LittleEndian), [-1.5]);
            bytes.reverse();
            assert_eq!(element.to_f32(&bytes, ByteOrder::BigEndian), [-1.5]);
        }
    }

    #[test]
    fn doubles_are_rounded_to_the_nearest() {
        let bytes = [0.1_f64.to_le_bytes(), 1e300_f64.to_le_bytes()].concat();
        let values = Element::F64.to_f32(&bytes, ByteOrder::LittleEndian);
        assert_eq!(values, [0.1_f32, f32::INFINITY]);
    }
}
