//! Torch7's serialised objects, as data: tables, objects of classes, tensors and storages. Functions
//! are passed over.
//!
//! # Source
//!
//! torch/torch7, `File.lua` (`readObject`), `lib/TH/THDiskFile.c`, `generic/Tensor.c` and
//! `generic/Storage.c` (`read`).

mod cursor;

use std::collections::HashMap;

use self::cursor::{Cursor, Form};
use crate::element::{ByteOrder, Element};

/// A value. Tables and objects lie in [`Objects`], so that circles are no danger.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Nil,
    Number(f64),
    Boolean,
    /// A [`Node`], by its place.
    Node(usize),
}

/// A value that has parts.
#[derive(Debug)]
enum Node {
    /// Not read to its end yet.
    Begun,
    Text(String),
    Table(Vec<(Value, Value)>),
    /// An object of a class, and the table of its fields.
    Object {
        class: String,
        fields: Value,
    },
    Tensor(Tensor),
    Storage(Numbers),
    Function,
}

/// A view of a storage.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) numbers: Numbers,
    /// Number at which it begins.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<u64>,
}

/// A storage's numbers, where they lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) kind: Kind,
    start: usize,
    count: u64,
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float(Element),
    /// Of so many bytes.
    Integer(usize),
}

/// Everything in a file.
pub(super) struct Objects {
    bytes: Vec<u8>,
    form: Form,
    nodes: Vec<Node>,
    root: Value,
}

/// How deep values may lie in values: Torch7 writes tables as it finds them, each in the last.
const MAX_NESTING: usize = 128;

/// How many axes a tensor may have.
const MAX_AXES: usize = 16;

/// How many texts, tables and objects a file may have: each takes far more memory than bytes.
const MAX_NODES: usize = 1 << 20;

const CUT_SHORT: &str = "it is cut short";

impl Objects {
    /// Reads a file's structure, and leaves its storages where they are.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, &'static str> {
        let form = Form::of(&bytes);
        let cursor = Cursor::new(&bytes, form);
        let mut parser = Parser { cursor, nodes: Vec::new(), known: HashMap::new() };
        let root = parser.value(MAX_NESTING)?;
        let nodes = parser.nodes;
        Ok(Self { bytes, form, nodes, root })
    }

    pub(super) fn root(&self) -> Value {
        self.root
    }

    fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(place) => self.nodes.get(place),
            _ => None,
        }
    }

    /// The class of an object.
    pub(super) fn class(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::Object { class, .. } => Some(class),
            _ => None,
        }
    }

    /// Whether a value may hold modules.
    pub(super) fn is_container(&self, value: Value) -> bool {
        matches!(self.node(value), Some(Node::Object { .. } | Node::Table(_)))
    }

    fn table(&self, value: Value) -> &[(Value, Value)] {
        match self.node(value) {
            Some(Node::Table(entries)) => entries,
            Some(&Node::Object { fields, .. }) => match self.node(fields) {
                Some(Node::Table(entries)) => entries,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// How many entries a table or object has.
    pub(super) fn count(&self, value: Value) -> usize {
        self.table(value).len()
    }

    /// The entries of a table or object, those with numbers first, in their order.
    pub(super) fn entries(&self, value: Value) -> Vec<(String, Value)> {
        let mut entries: Vec<(f64, String, Value)> = self
            .table(value)
            .iter()
            .filter_map(|&(key, value)| match key {
                Value::Number(number) => Some((number, number.to_string(), value)),
                key => Some((f64::INFINITY, self.text(key)?.to_owned(), value)),
            })
            .collect();
        entries.sort_by(|(a, _, _), (b, _, _)| a.total_cmp(b));
        entries.into_iter().map(|(_, name, value)| (name, value)).collect()
    }

    /// A field of a table or object.
    pub(super) fn get(&self, value: Value, name: &str) -> Option<Value> {
        let entries = self.table(value).iter();
        entries.into_iter().find(|(key, _)| self.text(*key) == Some(name)).map(|(_, value)| *value)
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, value: Value) -> Option<&Tensor> {
        match self.node(value)? {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// So many numbers of a storage, from `offset` on.
    pub(super) fn numbers(&self, numbers: &Numbers, offset: u64, count: u64) -> Option<Vec<f32>> {
        let Kind::Float(element) = numbers.kind else { return None };
        let end = offset.checked_add(count).filter(|&end| end <= numbers.count)?;
        let (offset, end) = (usize::try_from(offset).ok()?, usize::try_from(end).ok()?);
        match self.form {
            Form::Binary => {
                let bytes = self.bytes.get(numbers.start..)?;
                let bytes = bytes.get(offset * element.size()..end * element.size())?;
                Some(element.to_f32(bytes, ByteOrder::LittleEndian))
            }
            Form::Ascii => {
                let mut cursor = Cursor::new(self.bytes.get(numbers.start..)?, Form::Ascii);
                for _ in 0..offset {
                    cursor.word().ok()?;
                }
                (offset..end).map(|_| cursor.float().ok()).collect()
            }
        }
    }
}

impl Value {
    /// A whole number that counts something.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only whole numbers in this range come here"
    )]
    pub(super) fn count(self) -> Option<usize> {
        match self {
            Self::Number(number) if (0.0..1e9).contains(&number) && number.fract() == 0.0 => {
                Some(number as usize)
            }
            _ => None,
        }
    }
}

impl Kind {
    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::Float(_))
    }

    /// The type in the class of a tensor or storage, such as `torch.FloatStorage`.
    fn of(class: &str, suffix: &str) -> Option<Self> {
        let name = class.strip_prefix("torch.")?.strip_suffix(suffix)?;
        Some(match name {
            "Float" | "Cuda" => Self::Float(Element::F32),
            "Double" | "CudaDouble" => Self::Float(Element::F64),
            "Half" | "CudaHalf" => Self::Float(Element::F16),
            "Byte" | "Char" | "CudaByte" | "CudaChar" => Self::Integer(1),
            "Short" | "CudaShort" => Self::Integer(2),
            "Int" | "CudaInt" => Self::Integer(4),
            "Long" | "CudaLong" => Self::Integer(8),
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::Float(element) => element.size(),
            Self::Integer(size) => size,
        }
    }
}

/// Reads objects one after the other.
struct Parser<'a> {
    cursor: Cursor<'a>,
    nodes: Vec<Node>,
    /// Objects that have been read, by the number under which the file refers to them.
    known: HashMap<i64, usize>,
}

impl Parser<'_> {
    fn value(&mut self, nesting: usize) -> Result<Value, &'static str> {
        let nesting = nesting.checked_sub(1).ok_or("its objects are nested too deep")?;
        match self.cursor.int()? {
            0 => Ok(Value::Nil),
            1 => Ok(Value::Number(self.cursor.double()?)),
            2 => {
                let text = self.cursor.text()?;
                self.add(Node::Text(text)).map(Value::Node)
            }
            5 => {
                self.cursor.int()?;
                Ok(Value::Boolean)
            }
            3 => self.reference(nesting, Self::table),
            4 => self.reference(nesting, Self::object),
            // Functions of three ages: their code, then the values they use.
            6..=8 => self.reference(nesting, |parser, nesting| {
                parser.cursor.text()?;
                parser.value(nesting)?;
                Ok(Node::Function)
            }),
            _ => Err("it has an object of a kind that is not known"),
        }
    }

    fn add(&mut self, node: Node) -> Result<usize, &'static str> {
        if MAX_NODES <= self.nodes.len() {
            return Err("it has too many objects");
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// Something that the file may refer to again.
    fn reference(
        &mut self,
        nesting: usize,
        read: impl FnOnce(&mut Self, usize) -> Result<Node, &'static str>,
    ) -> Result<Value, &'static str> {
        let index = self.cursor.int()?;
        if let Some(&place) = self.known.get(&index) {
            return Ok(Value::Node(place));
        }
        let place = self.add(Node::Begun)?;
        self.known.insert(index, place);
        self.nodes[place] = read(self, nesting)?;
        Ok(Value::Node(place))
    }

    fn table(&mut self, nesting: usize) -> Result<Node, &'static str> {
        let count = self.cursor.int()?;
        // Not allocated by its count: that is only claimed.
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push((self.value(nesting)?, self.value(nesting)?));
        }
        Ok(Node::Table(entries))
    }

    fn object(&mut self, nesting: usize) -> Result<Node, &'static str> {
        let mut class = self.cursor.text()?;
        // Files of the first version have no version in front.
        if class.starts_with("V ") {
            class = self.cursor.text()?;
        }
        if let Some(kind) = Kind::of(&class, "Storage") {
            return self.storage(kind).map(Node::Storage);
        }
        if Kind::of(&class, "Tensor").is_some() {
            return self.tensor(nesting).map(Node::Tensor);
        }
        let fields = self.value(nesting)?;
        Ok(Node::Object { class, fields })
    }

    fn storage(&mut self, kind: Kind) -> Result<Numbers, &'static str> {
        let count = u64::try_from(self.cursor.long()?).map_err(|_| "a storage has no size")?;
        let start = self.cursor.place();
        self.cursor.skip_numbers(count, kind.size())?;
        Ok(Numbers { kind, start, count })
    }

    fn tensor(&mut self, nesting: usize) -> Result<Tensor, &'static str> {
        const NO_TENSOR: &str = "a tensor in it is not described as one";
        let axes = usize::try_from(self.cursor.int()?).map_err(|_| NO_TENSOR)?;
        if MAX_AXES < axes {
            return Err(NO_TENSOR);
        }
        let mut longs = || -> Result<Vec<u64>, &'static str> {
            (0..axes).map(|_| u64::try_from(self.cursor.long()?).map_err(|_| NO_TENSOR)).collect()
        };
        let (shape, strides) = (longs()?, longs()?);
        let shape: Result<Vec<usize>, _> = shape.into_iter().map(usize::try_from).collect();
        // Counted from one.
        let offset = self.cursor.long()?.checked_sub(1).and_then(|it| u64::try_from(it).ok());
        let storage = self.value(nesting)?;
        let numbers = match storage {
            Value::Node(place) => match &self.nodes[place] {
                Node::Storage(numbers) => numbers.clone(),
                _ => return Err(NO_TENSOR),
            },
            // An empty tensor has none.
            _ => Numbers { kind: Kind::Float(Element::F32), start: 0, count: 0 },
        };
        let shape = shape.map_err(|_| NO_TENSOR)?;
        Ok(Tensor { numbers, offset: offset.unwrap_or(0), shape, strides })
    }
}
