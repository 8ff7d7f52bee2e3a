//! In how many bits features are kept.

use std::{borrow::Cow, fmt};

use clap::ValueEnum;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

/// The type of a kept feature, by candle's names; what is read back is f32 always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FeatureDtype {
    /// As it was computed.
    #[default]
    F32,
    /// Half the bytes.
    ///
    /// Rounded to 11 bits, and to a multiple of 6e-8 below 6e-5; at most 65,504.
    F16,
}

impl FeatureDtype {
    /// Whether a recipe need not name it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What it takes in a file, in bytes.
    pub(super) fn size_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// The same in a file.
    pub(super) fn in_file(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
        }
    }

    /// The little-endian bytes of some features; `Err` is one that is finite but too large.
    pub(super) fn encode(self, features: &[f32]) -> Result<Cow<'_, [u8]>, f32> {
        match self {
            Self::F32 if cfg!(target_endian = "little") => {
                Ok(Cow::Borrowed(bytemuck::cast_slice(features)))
            }
            Self::F32 => Ok(features.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Self::F16 => {
                let mut halves = vec![f16::ZERO; features.len()];
                halves.convert_from_f32_slice(features);
                let lost = features
                    .iter()
                    .zip(&halves)
                    .find(|(feature, half)| feature.is_finite() && half.is_infinite());
                if let Some((&feature, _)) = lost {
                    return Err(feature);
                }
                let mut bytes = vec![0; 2 * halves.len()];
                for (bytes, half) in bytes.chunks_exact_mut(2).zip(&halves) {
                    bytes.copy_from_slice(&half.to_le_bytes());
                }
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Features from their bytes, as many as `features` has room for; `read` fills what it is given.
    pub(super) fn decode<E>(
        self,
        features: &mut [f32],
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::F32 => {
                // Straight into their place: the file has the bytes of little-endian machines.
                read(bytemuck::cast_slice_mut(features))?;
                if cfg!(target_endian = "big") {
                    for value in features {
                        *value = f32::from_bits(value.to_bits().swap_bytes());
                    }
                }
            }
            Self::F16 => {
                let mut bits = vec![0_u16; features.len()];
                read(bytemuck::cast_slice_mut(&mut bits))?;
                if cfg!(target_endian = "big") {
                    for bits in &mut bits {
                        *bits = bits.swap_bytes();
                    }
                }
                bits.reinterpret_cast::<f16>().convert_to_f32_slice(features);
            }
        }
        Ok(())
    }
}

impl fmt::Display for FeatureDtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(dtype: FeatureDtype, features: &[f32]) -> Vec<f32> {
        let bytes = dtype.encode(features).unwrap();
        assert_eq!(bytes.len(), features.len() * dtype.size_bytes());
        let mut found = vec![f32::NAN; features.len()];
        let read = dtype.decode(&mut found, |to| {
            to.copy_from_slice(&bytes);
            Ok::<_, ()>(())
        });
        read.unwrap();
        found
    }

    #[test]
    fn halves_are_rounded_to_eleven_bits() {
        let features = [0.0, 1.0 + 1.0 / 4096.0, 1.0 + 3.0 / 2048.0, -3.5e-5, 65_504.0];
        assert_eq!(read_back(FeatureDtype::F32, &features), features);
        let expected = [0.0, 1.0, 1.0 + 2.0 / 1024.0, -3.498_792_6e-5, 65_504.0];
        assert_eq!(read_back(FeatureDtype::F16, &features), expected);
    }

    #[test]
    fn a_feature_too_large_for_half_is_refused_but_infinity_is_not() {
        assert_eq!(FeatureDtype::F16.encode(&[1.0, 7e4]), Err(7e4));
        let found = read_back(FeatureDtype::F16, &[f32::INFINITY, f32::NAN]);
        assert!(found[0].is_infinite() && found[1].is_nan());
    }
}
