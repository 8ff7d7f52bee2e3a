//! What a pickle describes, as data. Nothing that it names is ever imported or called: a closed list
//! of functions and classes is known by name, and everything else is refused.

use crate::element::Element;

/// A value of Python's. Those with parts lie in an [`Objects`], so that no nesting, however deep
/// or circular, can exhaust the stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Anything that no weights depend on: a float, a device, a hook.
    Opaque,
    /// A [`Node`], by its place.
    Node(usize),
}

/// A value that has parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// A function or class, as `module.name`.
    Global(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    /// In the order of insertion.
    Dict(Vec<(Value, Value)>),
    /// An instance of a class and its attributes.
    Instance {
        class: String,
        state: Value,
    },
    Storage(Storage),
    Tensor(Tensor),
}

/// Where a tensor's numbers lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// Its name among the file's storages.
    pub(super) key: String,
    /// Its type of numbers: `float`, `half`, `long`, .., as in `torch.FloatStorage`.
    pub(super) kind: String,
    /// How many there are.
    pub(super) count: u64,
}

/// An array: a view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    /// Number at which it begins.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// Numbers from one index to the next, for each axis.
    pub(super) strides: Vec<u64>,
}

/// Why a pickle cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not hold together.
    Damaged(&'static str),
    /// It names something that is not in the closed list.
    Forbidden(String),
}

/// Every value with parts of a pickle.
#[derive(Debug, Default)]
pub(super) struct Objects {
    nodes: Vec<Node>,
}

/// How many values with parts a pickle may have; a checkpoint of VGG16 has some thousand.
const MAX_NODES: usize = 1 << 18;

/// The longest name of a function, class or storage: references let a small pickle use a long text
/// any number of times.
const MAX_NAME_BYTES: usize = 256;

/// How many arguments a function and axes a tensor may have, for the same reason.
const MAX_ARGUMENTS: usize = 64;

/// Among how many attributes of an instance those of a module are looked for.
const MAX_ATTRIBUTES: usize = 256;

/// Classes that are read as plain records. Instances of others are let pass only if they turn out
/// to be modules of PyTorch's, by their attributes.
const RECORDS: [&str; 6] = [
    "torch.nn.",
    "torchvision.models.",
    "__torch__.",
    "argparse.Namespace",
    "collections.",
    "torch.jit.",
];

impl Storage {
    /// The type of its numbers, if weights are stored in it.
    pub(super) fn element(&self) -> Option<Element> {
        match self.kind.as_str() {
            "half" | "float16" => Some(Element::F16),
            "bfloat16" => Some(Element::Bf16),
            "float" | "float32" => Some(Element::F32),
            "double" | "float64" => Some(Element::F64),
            _ => None,
        }
    }

    /// Bytes of one number.
    pub(super) fn element_bytes(&self) -> Option<u64> {
        match self.kind.as_str() {
            "byte" | "char" | "bool" | "uint8" | "int8" | "untyped" => Some(1),
            "short" | "int16" => Some(2),
            "int" | "int32" => Some(4),
            "long" | "int64" => Some(8),
            _ => self.element().map(|element| element.size() as u64),
        }
    }
}

impl Objects {
    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        MAX_NODES < self.nodes.len()
    }

    /// Keeps a node.
    pub(super) fn add(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        Value::Node(self.nodes.len() - 1)
    }

    /// The node of a value, if it has one.
    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(place) => self.nodes.get(place),
            _ => None,
        }
    }

    pub(super) fn node_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(place) => self.nodes.get_mut(place),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.node(value) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value) {
            Some(Node::Dict(entries)) => Some(entries),
            _ => None,
        }
    }

    /// The value behind a text key.
    pub(super) fn get(&self, dict: Value, key: &str) -> Option<Value> {
        let entries = self.dict(dict)?;
        entries.iter().find(|(it, _)| self.text(*it) == Some(key)).map(|(_, value)| *value)
    }

    /// The texts in a list.
    pub(super) fn texts(&self, list: Value) -> Vec<&str> {
        let items = self.items(list).unwrap_or_default();
        items.iter().filter_map(|&item| self.text(item)).collect()
    }

    /// Every storage.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// A function or class whose name is made of two texts.
    pub(super) fn imported(&mut self, module: Value, name: Value) -> Result<Value, Refusal> {
        let text = |value| {
            let text = self.text(value).filter(|text| text.len() <= MAX_NAME_BYTES);
            text.map(str::to_owned).ok_or(Refusal::Damaged("its pickle imports what has no name"))
        };
        let (module, name) = (text(module)?, text(name)?);
        self.named(&module, &name)
    }

    /// A function or class of this name.
    pub(super) fn named(&mut self, module: &str, name: &str) -> Result<Value, Refusal> {
        if MAX_NAME_BYTES < module.len() + name.len() {
            return Err(Refusal::Damaged("its pickle has a name that is too long"));
        }
        Ok(self.add(Node::Global(format!("{module}.{name}"))))
    }

    fn items(&self, value: Value) -> Option<&[Value]> {
        match self.node(value) {
            Some(Node::Tuple(items) | Node::List(items)) => Some(items),
            _ => None,
        }
    }

    fn global(&self, value: Value) -> Option<&str> {
        match self.node(value) {
            Some(Node::Global(name)) => Some(name),
            _ => None,
        }
    }

    /// What calling a function would give.
    pub(super) fn called(&mut self, function: Value, arguments: Value) -> Result<Value, Refusal> {
        let Some(name) = self.global(function).map(str::to_owned) else {
            return Err(Refusal::Damaged("it calls something that is no function"));
        };
        let arguments = match self.items(arguments) {
            Some(arguments) if arguments.len() <= MAX_ARGUMENTS => arguments.to_vec(),
            _ => return Err(Refusal::Damaged("it calls a function without fit arguments")),
        };
        let first = arguments.first().copied().unwrap_or(Value::None);
        match name.as_str() {
            "collections.OrderedDict" | "builtins.dict" | "__builtin__.dict" => {
                Ok(self.add(Node::Dict(Vec::new())))
            }
            "torch._utils._rebuild_tensor"
            | "torch._utils._rebuild_tensor_v2"
            | "torch._utils._rebuild_tensor_v3" => self.tensor(&arguments),
            "torch._utils._rebuild_parameter"
            | "torch._utils._rebuild_parameter_with_state"
            | "torch.jit._pickle.restore_type_tag"
            | "torch.jit._pickle.build_intlist"
            | "torch.jit._pickle.build_doublelist"
            | "torch.jit._pickle.build_boollist"
            | "torch.jit._pickle.build_tensorlist" => Ok(first),
            "torch._tensor._rebuild_from_type_v2" => {
                let (function, arguments) = (first, arguments.get(2).copied());
                // Of the functions it may stand for, only those that do not call others.
                match self.global(function) {
                    Some("torch._tensor._rebuild_from_type_v2") | None => {
                        Err(Refusal::Damaged("a tensor's type is nested"))
                    }
                    Some(_) => self.called(function, arguments.unwrap_or(Value::None)),
                }
            }
            "copyreg._reconstructor" | "copy_reg._reconstructor" => self.instance(first),
            "_codecs.encode"
            | "builtins.set"
            | "__builtin__.set"
            | "builtins.frozenset"
            | "builtins.getattr"
            | "builtins.complex"
            | "builtins.bytearray"
            | "torch.device"
            | "torch.Size"
            | "torch.serialization._get_layout"
            | "torch._C.Generator"
            | "numpy.core.multiarray.scalar"
            | "numpy._core.multiarray.scalar"
            | "numpy.dtype"
            | "pathlib.PosixPath"
            | "pathlib.WindowsPath"
            | "datetime.datetime"
            | "torch.cuda.amp.grad_scaler._refresh_per_optimizer_state"
            | "collections.defaultdict"
            | "collections.Counter" => Ok(Value::Opaque),
            _ => Err(Refusal::Forbidden(name)),
        }
    }

    /// An instance of a class, whose attributes are still to come.
    pub(super) fn instance(&mut self, class: Value) -> Result<Value, Refusal> {
        match self.global(class).map(str::to_owned) {
            Some(class) if class == "collections.OrderedDict" => {
                Ok(self.add(Node::Dict(Vec::new())))
            }
            Some(class) => Ok(self.add(Node::Instance { class, state: Value::None })),
            None => Err(Refusal::Damaged("it makes an instance of no class")),
        }
    }

    /// Refuses instances of classes that are neither known nor modules.
    pub(super) fn check_classes(&self) -> Result<(), Refusal> {
        for node in &self.nodes {
            let Node::Instance { class, state } = node else { continue };
            let is_known = RECORDS.iter().any(|known| class.starts_with(known));
            let attributes = self.dict(*state).unwrap_or_default().iter().take(MAX_ATTRIBUTES);
            let mut names = attributes.map(|(name, _)| self.text(*name));
            if !is_known && !names.any(|name| name == Some("_modules")) {
                return Err(Refusal::Forbidden(class.clone()));
            }
        }
        Ok(())
    }

    /// A storage from a persistent id: ("storage", type, key, place, count, ..).
    pub(super) fn storage(&mut self, id: Value) -> Result<Value, Refusal> {
        let parts = self.items(id).unwrap_or_default();
        if let [tag, class, ..] = *parts
            && self.text(tag) == Some("module")
        {
            // Before 1.6, a module's class with its source code.
            return Ok(class);
        }
        let damaged = Refusal::Damaged("a storage is not described as one");
        let [tag, class, key, _, count, ref rest @ ..] = *parts else { return Err(damaged) };
        // Before 1.6 a storage could be a view of another.
        if rest.first().is_some_and(|&view| view != Value::None) {
            return Err(Refusal::Damaged("a storage in it is a view of another one"));
        }
        if self.text(tag) != Some("storage") {
            return Err(damaged);
        }
        let class = self.global(class).and_then(|class| class.rsplit('.').next());
        let kind = class.and_then(|class| class.strip_suffix("Storage"));
        match (kind, self.text(key), count) {
            (Some(kind), Some(key), Value::Int(count)) if key.len() <= MAX_NAME_BYTES => {
                let count = u64::try_from(count).map_err(|_| damaged)?;
                let kind = kind.to_lowercase();
                let storage = Storage { key: key.to_owned(), kind, count };
                Ok(self.add(Node::Storage(storage)))
            }
            _ => Err(damaged),
        }
    }

    /// A tensor from (storage, offset, shape, strides, .., dtype).
    fn tensor(&mut self, arguments: &[Value]) -> Result<Value, Refusal> {
        let damaged = || Refusal::Damaged("a tensor is not described as one");
        let [storage, offset, shape, strides, ..] = *arguments else { return Err(damaged()) };
        let Some(Node::Storage(storage)) = self.node(storage) else { return Err(damaged()) };
        let mut storage = storage.clone();
        // What else may be said of a tensor: that all of its numbers are to be negated.
        let rest = arguments.get(if storage.kind == "untyped" { 7 } else { 6 }).copied();
        let says_more = rest.is_some_and(|it| self.dict(it).is_some_and(|it| !it.is_empty()));
        if says_more {
            return Err(Refusal::Damaged("a tensor in it is negated or otherwise marked"));
        }
        if storage.kind == "untyped" {
            // It counts bytes; the type is an argument of its own.
            let dtype = arguments.get(6).and_then(|&dtype| self.global(dtype));
            let dtype = dtype.and_then(|dtype| dtype.strip_prefix("torch.")).ok_or_else(damaged)?;
            dtype.clone_into(&mut storage.kind);
            storage.count /= storage.element_bytes().ok_or_else(damaged)?;
        }
        let numbers = |values: Value| {
            let values = self.items(values).filter(|it| it.len() <= MAX_ARGUMENTS)?.iter();
            let number = |&value: &Value| match value {
                Value::Int(number) => u64::try_from(number).ok(),
                _ => None,
            };
            values.map(number).collect::<Option<Vec<u64>>>()
        };
        let (Value::Int(offset), Some(shape), Some(strides)) =
            (offset, numbers(shape), numbers(strides))
        else {
            return Err(damaged());
        };
        let offset = u64::try_from(offset).map_err(|_| damaged())?;
        let shape = shape.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| damaged())?;
        if shape.len() != strides.len() {
            return Err(damaged());
        }
        Ok(self.add(Node::Tensor(Tensor { storage, offset, shape, strides })))
    }
}
