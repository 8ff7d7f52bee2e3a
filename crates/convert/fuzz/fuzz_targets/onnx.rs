#![no_main]

use convert::SourceFormat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| convert_fuzz::convert(bytes, SourceFormat::Onnx));
