//! Torch7's files, binary and ASCII: networks of `nn`, `cudnn` and `loadcaffe`.
//!
//! # Source
//!
//! torch/nn, `SpatialConvolution.lua`, `SpatialConvolutionMM.lua`, `Linear.lua`, `Container.lua`;
//! soumith/cudnn.torch, `SpatialConvolution.lua`; szagoruyko/loadcaffe, which names layers.

mod objects;

use std::collections::HashMap;

use self::objects::{Numbers, Objects, Value};
use super::strided::{extent, gathered};
use super::{
    Contents, MAX_NAME_BYTES, Reader, SourceArray, SourceLayer, SourceMetadata, printable,
};
use crate::axes::Axes;
use crate::source::Source;
use crate::{Error, Pixels};

/// How deep modules may lie in modules.
const MAX_NESTING: usize = 32;

/// How many modules and their parts are visited: references let a small file hold one any number
/// of times.
const MAX_VISITS: usize = 1 << 18;

/// The longest part of a class's name that is printed.
const PRINTED_CHARACTERS: usize = 80;

/// A file that Torch7 has written.
struct Torch7Reader {
    objects: Objects,
    arrays: HashMap<String, Array>,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone)]
struct Array {
    numbers: Numbers,
    offset: u64,
    shape: Vec<usize>,
    strides: Vec<u64>,
}

/// Why no layers can be listed.
enum Misfit {
    Damaged(&'static str),
    /// A module of this class has parameters.
    OtherModule(String),
}

impl From<&'static str> for Misfit {
    fn from(reason: &'static str) -> Self {
        Self::Damaged(reason)
    }
}

/// Lists the layers of a file.
pub(super) fn open(source: &Source) -> Result<Contents, Error> {
    let bytes = source.all()?;
    let objects = Objects::read(bytes).map_err(|reason| source.damaged(reason))?;
    let mut walk =
        Walk { objects: &objects, visits: 0, layers: Vec::new(), arrays: HashMap::new() };
    walk.visit("", objects.root(), MAX_NESTING).map_err(|misfit| match misfit {
        Misfit::Damaged(reason) => source.damaged(reason),
        Misfit::OtherModule(class) => Error::Unconvertible {
            path: source.path.clone(),
            reason: format!("a module in it is `{class}`, which is no layer of VGG16"),
        },
    })?;
    let Walk { layers, arrays, .. } = walk;
    let metadata = SourceMetadata {
        pixels: Some(Pixels::Bgr),
        states_flattening: true,
        ..SourceMetadata::default()
    };
    let reader = Box::new(Torch7Reader { objects, arrays });
    Ok(Contents { layers, metadata, reader })
}

impl Reader for Torch7Reader {
    fn values(&self, source: &Source, array: &SourceArray) -> Result<Vec<f32>, Error> {
        let found = self.arrays.get(&array.name).expect("arrays are listed from these");
        let beyond = || source.damaged(format!("`{}` reaches beyond its storage", array.name));
        let reach = extent(&found.shape, &found.strides).ok_or_else(beyond)?;
        if !found.numbers.kind.is_float() {
            return Err(Error::ElementType {
                path: source.path.clone(),
                name: array.name.clone(),
                found: "integers".to_owned(),
            });
        }
        let values =
            self.objects.numbers(&found.numbers, found.offset, reach).ok_or_else(beyond)?;
        gathered(values, &found.shape, &found.strides).ok_or_else(beyond)
    }
}

/// A walk through modules.
struct Walk<'a> {
    objects: &'a Objects,
    visits: usize,
    layers: Vec<SourceLayer>,
    arrays: HashMap<String, Array>,
}

impl Walk<'_> {
    /// Adds a module's layers, of its children first to last if it is a container.
    fn visit(&mut self, path: &str, value: Value, nesting: usize) -> Result<(), Misfit> {
        let nesting = nesting.checked_sub(1).ok_or("its modules are nested too deep")?;
        self.visits += 1;
        if MAX_VISITS < self.visits {
            return Err(Misfit::Damaged("it has too many modules"));
        }
        let objects = self.objects;
        let class = objects.class(value).unwrap_or_default();
        // A file may hold a table of networks, or a network in a table with other things.
        let children = match class.rsplit('.').next() {
            Some("SpatialConvolution" | "SpatialConvolutionMM") => {
                return Ok(self.add(path, value, 4)?);
            }
            Some("Linear") => return Ok(self.add(path, value, 2)?),
            Some(_) if self.has_parameters(value) => {
                let class: String = class.chars().take(PRINTED_CHARACTERS).collect();
                return Err(Misfit::OtherModule(printable(&class)));
            }
            _ => objects.get(value, "modules").unwrap_or(value),
        };
        self.visits += objects.count(children);
        for (key, child) in objects.entries(children) {
            if objects.is_container(child) {
                if MAX_NAME_BYTES < path.len() + key.len() {
                    return Err(Misfit::Damaged("a name in it is too long"));
                }
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                self.visit(&path, child, nesting)?;
            }
        }
        Ok(())
    }

    /// Whether an object has numbers that a layer has learnt.
    fn has_parameters(&self, value: Value) -> bool {
        let objects = self.objects;
        let tensor = |part| objects.get(value, part).and_then(|it| objects.tensor(it));
        let is_object = objects.class(value).is_some();
        is_object && ["weight", "bias", "running_mean"].into_iter().any(|it| tensor(it).is_some())
    }

    /// Adds a layer with a weight of so many axes.
    fn add(&mut self, path: &str, module: Value, rank: usize) -> Result<(), &'static str> {
        let objects = self.objects;
        let name = objects.get(module, "name").and_then(|name| objects.text(name));
        let name = name.map_or_else(|| path.to_owned(), str::to_owned);
        let mut arrays = Vec::new();
        for part in ["weight", "bias"] {
            let tensor = objects.get(module, part).and_then(|it| objects.tensor(it));
            let Some(mut array) = tensor.map(Array::from) else { continue };
            if part == "weight" && rank == 4 && array.shape.len() == 2 {
                array = self.unrolled(module, array)?;
            }
            let array_name = format!("{path}.{part}");
            arrays.push(SourceArray { name: array_name.clone(), shape: array.shape.clone() });
            self.arrays.insert(array_name, array);
        }
        self.layers.push(SourceLayer::new(name, arrays, Axes::CHANNELS_FIRST));
        Ok(())
    }

    /// The kernel of a convolution that keeps it as (out, in * rows * columns).
    fn unrolled(&self, module: Value, array: Array) -> Result<Array, &'static str> {
        let field = |name| self.objects.get(module, name).and_then(Value::count);
        let (Some(inputs), Some(rows), Some(columns)) =
            (field("nInputPlane"), field("kH"), field("kW"))
        else {
            return Err("a convolution in it does not say how large its kernels are");
        };
        let [outputs, features] = *array.shape.as_slice() else { return Ok(array) };
        let unrolled = inputs.checked_mul(rows).and_then(|it| it.checked_mul(columns));
        if unrolled != Some(features) || array.strides.get(1) != Some(&1) {
            return Err("the kernels of a convolution in it have another size than it says");
        }
        let places = rows * columns;
        let strides = vec![array.strides[0], places as u64, columns as u64, 1];
        Ok(Array { shape: vec![outputs, inputs, rows, columns], strides, ..array })
    }
}

impl From<&objects::Tensor> for Array {
    fn from(tensor: &objects::Tensor) -> Self {
        Self {
            numbers: tensor.numbers.clone(),
            offset: tensor.offset,
            shape: tensor.shape.clone(),
            strides: tensor.strides.clone(),
        }
    }
}
