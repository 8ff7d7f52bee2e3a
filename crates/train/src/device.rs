//! Where the arithmetic runs.

use std::{fmt, str::FromStr};

use candle_core::Device;

use crate::Error;

/// The device that the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA or Metal device that this build knows and the machine has, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// The Metal device.
    Metal,
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if this build does not know it or the machine does not have it.
    pub fn open(self) -> Result<Device, Error> {
        match self {
            Self::Auto => {
                Ok(Device::new_cuda(0).or_else(|_| Device::new_metal(0)).unwrap_or(Device::Cpu))
            }
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(ordinal) => self.opened(cfg!(feature = "cuda"), Device::new_cuda(ordinal)),
            Self::Metal => self.opened(cfg!(feature = "metal"), Device::new_metal(0)),
        }
    }

    fn opened(
        self,
        is_built_in: bool,
        device: candle_core::Result<Device>,
    ) -> Result<Device, Error> {
        let name = self.to_string();
        let feature = name.split(':').next().unwrap_or_default();
        device.map_err(|cause| Error::Device {
            device: name.clone(),
            problem: if is_built_in {
                let cause = cause.to_string();
                format!("{}; use --device cpu", cause.lines().next().unwrap_or_default())
            } else {
                format!(
                    "this program was built without it; use `cargo xtask --features {feature} \
                     train ...`, or --device cpu"
                )
            },
        })
    }
}

/// The name of an opened device, as in `summary.json`.
pub fn device_name(device: &Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(_) => "cuda".to_owned(),
        Device::Metal(_) => "metal".to_owned(),
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "metal" => Ok(Self::Metal),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|ordinal| ordinal.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("`{text}` is none of auto, cpu, cuda:N, metal")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_themselves() {
        for text in ["auto", "cpu", "cuda:3", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert!("gpu".parse::<DeviceChoice>().is_err());
        assert!("cuda:x".parse::<DeviceChoice>().is_err());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_is_not_built_in_names_the_feature() {
        let error = DeviceChoice::Cuda(0).open().unwrap_err();
        assert!(matches!(error, Error::Device { .. }));
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }
}
