//! What a Keras file says of its kernels, its numbers and its network, and what follows from it.

use std::fs::{self, File};
use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use convert::{Conversion, Error, KerasBackend, Layers, Request};
use hdf5_pure::{AttrValue, Datatype, DatatypeByteOrder, FileBuilder, FloatingPointLayout};
use model::WeightsFile;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::golden::{VGGFACE, convert, converts_as, golden, request};

/// Kernels of the one-channel networks below: whole numbers, and no palindrome.
const KERNEL: [f32; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, -9.0];

/// A VGG16 of one channel as Keras 1 to 3 lay it out in HDF5.
struct OneChannel {
    /// What follows a layer's name in those of its kernel and its bias.
    suffixes: [&'static str; 2],
    backend: Option<&'static str>,
    /// Bytes of a number, and bits of its exponent and its mantissa.
    float: (u32, u8, u8),
    /// Takes an f32 to the bytes of such a number.
    bytes: fn(f32) -> Vec<u8>,
}

const KERAS_2: OneChannel = OneChannel {
    suffixes: ["/kernel:0", "/bias:0"],
    backend: None,
    float: (4, 8, 23),
    bytes: |value| value.to_le_bytes().to_vec(),
};

impl OneChannel {
    fn write(&self, file: &Path, more: impl FnOnce(&mut FileBuilder)) {
        let mut builder = FileBuilder::new();
        let convolutions = [2, 2, 3, 3, 3].into_iter().zip(1..);
        let names: Vec<String> = convolutions
            .flat_map(|(count, block)| (1..=count).map(move |at| format!("conv{block}_{at}")))
            .collect();
        if let Some(backend) = self.backend {
            builder.set_attr("backend", AttrValue::AsciiString(backend.to_owned()));
        }
        builder.set_attr("layer_names", AttrValue::AsciiStringArray(names.clone()));
        for name in names {
            let mut layer = builder.create_group(&name);
            let weight_names = self.suffixes.map(|suffix| format!("{name}{suffix}"));
            layer.set_attr("weight_names", AttrValue::AsciiStringArray(weight_names.to_vec()));
            let inputs = if name == "conv1_1" { 3 } else { 1 };
            let kernel = KERNEL.iter().flat_map(|&value| vec![value; inputs]).collect();
            let shapes = [vec![3, 3, inputs as u64, 1], vec![1]];
            let arrays = [kernel, vec![0.5]];
            let mut inner = layer.create_group(&name);
            for ((suffix, shape), values) in self.suffixes.iter().zip(shapes).zip(arrays) {
                let group = if suffix.starts_with('/') { &mut inner } else { &mut layer };
                let own = format!("{name}{suffix}");
                let own = suffix.strip_prefix('/').unwrap_or(&own);
                let bytes = values.iter().flat_map(|&value| (self.bytes)(value)).collect();
                let count = values.len() as u64;
                group
                    .create_dataset(own)
                    .with_raw_data(self.datatype(), bytes, count)
                    .with_shape(&shape);
            }
            layer.add_group(inner.finish());
            builder.add_group(layer.finish());
        }
        more(&mut builder);
        builder.finish_to(File::create(file).unwrap()).unwrap();
    }

    fn datatype(&self) -> Datatype {
        let (size, exponent_size, mantissa_size) = self.float;
        Datatype::FloatingPoint {
            size,
            byte_order: DatatypeByteOrder::LittleEndian,
            layout: FloatingPointLayout {
                bit_offset: 0,
                bit_precision: u16::try_from(size * 8).unwrap(),
                exponent_location: mantissa_size,
                exponent_size,
                mantissa_location: 0,
                mantissa_size,
                exponent_bias: (1 << (exponent_size - 1)) - 1,
            },
        }
    }

    /// Converts the file, and gives the kernel of the second convolution.
    fn converted(&self, backend: Option<KerasBackend>) -> Result<Vec<f32>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let (file, out) = (folder.path().join("weights"), folder.path().join("out.safetensors"));
        self.write(&file, |_| ());
        convert(&Request { keras_backend: backend, ..request(&file, &out) })?;
        let file = WeightsFile::read(&out).unwrap();
        let kernel = &file.tensors()["conv1_2.weight"];
        Ok(kernel.flatten_all().unwrap().to_vec1().unwrap())
    }
}

fn mirrored() -> Vec<f32> {
    KERNEL.into_iter().rev().collect()
}

#[test]
fn kernels_of_keras_1_without_a_backend_may_be_mirrored_in_any_order() {
    let file = OneChannel { suffixes: ["_W", "_b"], ..KERAS_2 };
    let error = file.converted(None).unwrap_err();
    assert!(matches!(error, Error::KerasBackend { .. }), "{error}");
    assert!(error.to_string().contains("`--keras-backend tensorflow`"), "{error}");
    assert_eq!(file.converted(Some(KerasBackend::Theano)).unwrap(), mirrored());
    assert_eq!(file.converted(Some(KerasBackend::Tensorflow)).unwrap(), KERNEL);
}

#[test]
fn names_of_tensorflows_variables_and_of_keras_2_say_that_kernels_are_not_mirrored() {
    for suffixes in [["_W_1:0", "_b_1:0"], ["/kernel:0", "/bias:0"], ["/kernel", "/bias"]] {
        let file = OneChannel { suffixes, ..KERAS_2 };
        assert_eq!(file.converted(None).unwrap(), KERNEL);
    }
}

#[test]
fn stated_backends_decide_and_are_not_contradicted() {
    let theano = OneChannel { backend: Some("theano"), ..KERAS_2 };
    let tensorflow = OneChannel { backend: Some("tensorflow"), ..KERAS_2 };
    assert_eq!(theano.converted(None).unwrap(), mirrored());
    assert_eq!(theano.converted(Some(KerasBackend::Theano)).unwrap(), mirrored());
    assert_eq!(tensorflow.converted(Some(KerasBackend::Tensorflow)).unwrap(), KERNEL);
    for (file, backend) in [(theano, KerasBackend::Tensorflow), (tensorflow, KerasBackend::Theano)]
    {
        let error = file.converted(Some(backend)).unwrap_err();
        assert!(matches!(error, Error::KerasOrder { .. }), "{error}");
        assert!(error.to_string().contains("leave that option out"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["keras3.weights.h5", "keras3.keras"] {
        let mut request = request(&golden(name), &folder.path().join("out.safetensors"));
        request.keras_backend = Some(KerasBackend::Theano);
        assert!(matches!(convert(&request), Err(Error::KerasOrder { .. })), "{name}");
    }
}

#[test]
fn floats_are_read_by_their_bits_and_not_by_their_size() {
    let bfloat16 = |value: f32| value.to_le_bytes()[2..].to_vec();
    let half = |value: f32| {
        // Whole numbers from 1 to 15 and one half: their exponents and ten bits of mantissa.
        let bits = value.to_bits();
        let exponent = (bits >> 23 & 0xFF) + 15 - 127;
        let bits = bits >> 31 << 15 | exponent << 10 | bits >> 13 & 0x3FF;
        u16::try_from(bits).unwrap().to_le_bytes().to_vec()
    };
    let file = OneChannel { float: (2, 8, 7), bytes: bfloat16, ..KERAS_2 };
    assert_eq!(file.converted(None).unwrap(), KERNEL);
    let file = OneChannel { float: (2, 5, 10), bytes: half, ..KERAS_2 };
    assert_eq!(file.converted(None).unwrap(), KERNEL);
    let double = |value: f32| f64::from(value).to_le_bytes().to_vec();
    let file = OneChannel { float: (8, 11, 52), bytes: double, ..KERAS_2 };
    assert_eq!(file.converted(None).unwrap(), KERNEL);
    for (float, bytes) in [
        ((2, 6, 9), half as fn(f32) -> Vec<u8>),
        ((4, 11, 20), KERAS_2.bytes),
        ((8, 15, 48), double),
    ] {
        let error = OneChannel { float, bytes, ..KERAS_2 }.converted(None).unwrap_err();
        assert!(matches!(error, Error::ElementType { .. }), "{error}");
    }
}

#[test]
fn lists_of_names_are_bounded_and_have_no_name_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights");
    let names = |count: usize| (0..count).map(|name| format!("{name:x}")).collect::<Vec<_>>();
    let twice = vec!["conv1_1".to_owned(); 2];
    for (list, reason) in [(names(4097), "more than 4096 names"), (twice, "\"conv1_1\" twice")] {
        for attribute in ["layer_names", "weight_names"] {
            let mut builder = FileBuilder::new();
            let mut layer = builder.create_group("conv1_1");
            layer.set_attr("weight_names", AttrValue::AsciiStringArray(list.clone()));
            builder.add_group(layer.finish());
            let layers = match attribute {
                "layer_names" => list.clone(),
                _ => vec!["conv1_1".to_owned()],
            };
            builder.set_attr("layer_names", AttrValue::AsciiStringArray(layers));
            builder.finish_to(File::create(&file).unwrap()).unwrap();
            let error = convert(&request(&file, &folder.path().join("out"))).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(reason) && text.contains(attribute), "{text}");
        }
    }
}

#[test]
fn optimizers_are_reported_as_left_out() {
    let conversion = converts_as("keras2_model.h5", VGGFACE, |_| ());
    assert_eq!(conversion.left_out, ["optimizer_weights"]);
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("weights"), folder.path().join("out.safetensors"));
    KERAS_2.write(&file, |builder| {
        let group = builder.create_group("optimizer").finish();
        builder.add_group(group);
    });
    assert_eq!(convert(&request(&file, &out)).unwrap().left_out, ["optimizer"]);
}

#[test]
fn configurations_that_cannot_be_read_are_not_absent() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("weights"), folder.path().join("out.safetensors"));
    let convert_with = |config: &str| {
        let config = AttrValue::AsciiString(config.to_owned());
        KERAS_2.write(&file, |builder| builder.set_attr("model_config", config));
        convert(&request(&file, &out))
    };
    let error = convert_with("{\"class_name\": ").unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("model_config"), "{error}");
    let error = convert_with(
        "{\"class_name\": \"Sequential\", \"x\": [NaN, -Infinity], \"config\": [{\"class_name\": \
         \"Conv2D\", \"config\": {\"name\": \"a\", \"strides\": [2, 2]}}]}",
    );
    assert!(error.unwrap_err().to_string().contains("Conv2D `a` has strides [2,2]"));
}

/// The golden archive with another configuration, in a folder that is returned to be kept.
fn archive(edit: impl FnOnce(&mut Vec<Value>)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edited.keras");
    let mut read = ZipArchive::new(Cursor::new(fs::read(golden("keras3.keras")).unwrap())).unwrap();
    let mut written = ZipWriter::new(File::create(&file).unwrap());
    let mut edit = Some(edit);
    for index in 0..read.len() {
        let mut entry = read.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if name == "config.json" {
            let mut config: Value = serde_json::from_slice(&bytes).unwrap();
            edit.take().unwrap()(config["config"]["layers"].as_array_mut().unwrap());
            bytes = config.to_string().into_bytes();
        }
        written.start_file(name, SimpleFileOptions::default()).unwrap();
        written.write_all(&bytes).unwrap();
    }
    written.finish().unwrap();
    (folder, file)
}

/// Converts the golden archive with another configuration.
fn convert_edited(layers: Layers, edit: impl FnOnce(&mut Vec<Value>)) -> Result<Conversion, Error> {
    let (folder, file) = archive(edit);
    convert(&Request { layers, ..request(&file, &folder.path().join("out.safetensors")) })
}

fn position(layers: &[Value], class: &str) -> usize {
    layers.iter().position(|layer| layer["class_name"] == class).unwrap()
}

fn layer(class: &str, mut config: Value) -> Value {
    config["name"] = json!("added");
    json!({"class_name": class, "config": config})
}

#[track_caller]
fn refused(layers: Layers, said: &str, edit: impl FnOnce(&mut Vec<Value>)) {
    let error = convert_edited(layers, edit).unwrap_err();
    assert!(matches!(error, Error::NotVgg16 { .. }), "{error}");
    assert!(error.to_string().contains(said), "{error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

#[test]
fn convolutions_that_compute_something_else_are_refused() {
    for (key, value) in [
        ("strides", json!([2, 2])),
        ("dilation_rate", json!(2)),
        ("activation", json!("tanh")),
        ("activation", json!({"class_name": "function", "config": "relu6"})),
        ("activation", json!({"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}})),
    ] {
        refused(Layers::Base, "Conv2D `conv1_1` has", |layers| {
            let at = position(layers, "Conv2D");
            layers[at]["config"][key] = value;
        });
    }
    for added in [
        layer("Activation", json!({"activation": "elu"})),
        layer("ReLU", json!({"max_value": 6.0})),
        layer("LeakyReLU", json!({})),
    ] {
        refused(Layers::Base, "`added`", |layers| layers.insert(2, added));
    }
}

#[test]
fn heads_that_compute_something_else_convert_without_them() {
    let additions = [
        layer("GlobalAveragePooling2D", json!({})),
        layer("GlobalMaxPooling2D", json!({})),
        layer("Permute", json!({"dims": [3, 1, 2]})),
        layer("Reshape", json!({"target_shape": [4, 6]})),
    ];
    for added in additions {
        let edit = |layers: &mut Vec<Value>| {
            let at = position(layers, "Flatten");
            layers.insert(at, added);
        };
        refused(Layers::All, "`--base-only` keeps the convolutions", edit.clone());
        assert_eq!(convert_edited(Layers::Base, edit).unwrap().converted.len(), 26);
    }
    let edit = |layers: &mut Vec<Value>| {
        let at = position(layers, "Dense");
        layers[at]["config"]["activation"] = json!("tanh");
    };
    refused(Layers::All, "Dense `fc6` has the activation `tanh`", edit);
    assert!(convert_edited(Layers::Base, edit).is_ok());
}

#[test]
fn layers_that_change_nothing_convert() {
    let conversion = convert_edited(Layers::All, |layers| {
        let at = position(layers, "Flatten");
        layers[at] = layer("Reshape", json!({"target_shape": [24]}));
        layers.insert(2, layer("ReLU", json!({"max_value": null, "negative_slope": 0.0})));
        layers.insert(1, layer("RandomFlip", json!({"mode": "horizontal"})));
        layers.push(layer("GlobalAveragePooling2D", json!({})));
    });
    assert_eq!(conversion.unwrap().converted.len(), VGGFACE);
}

#[test]
fn layers_that_are_lost_are_named() {
    let (folder, file) = archive(|layers| {
        layers.insert(1, layer("Lambda", json!({})));
        layers.insert(1, layer("Rescaling", json!({"scale": 0.003_921_57})));
        layers.insert(1, layer("RandomZoom", json!({})));
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_convert-weights"));
    command.arg(file).arg("--out").arg(folder.path().join("out.safetensors"));
    let output = command.assert().code(0).get_output().clone();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("Rescaling, Lambda is not converted"), "{stderr}");
    assert!(stderr.contains("--pixels") && !stderr.contains("RandomZoom"), "{stderr}");
}
