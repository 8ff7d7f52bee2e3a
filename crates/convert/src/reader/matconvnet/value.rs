//! MATLAB's values, as far as networks are made of them.

/// A value, whose large arrays are still in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Numbers(Numbers),
    Text(String),
    /// In column-major order, whatever its shape.
    Cell(Vec<Value>),
    /// One record for each element of the array, each with the same fields in the same order.
    Struct(Vec<Record>),
    /// `[]`, of any class.
    Empty,
    /// Something that no network is made of.
    Other,
}

/// The named fields of an element of a struct array.
pub(super) type Record = Vec<(String, Value)>;

/// A file's variables.
pub(super) type Variables = Record;

/// An array of numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    /// From the last axis to the first, so that the numbers are in row-major order of it.
    pub(super) shape: Vec<usize>,
    pub(super) place: Place,
}

/// Where an array's numbers lie.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// In versions 5 and 7: which part of the file, from where on, how many bytes of which type.
    Stretch { part: usize, offset: u64, bytes: u64, kind: u32 },
    /// In version 7.3: the path of a dataset.
    Dataset(String),
}

/// How deep values may lie in values.
pub(super) const MAX_NESTING: usize = 24;

/// How many values a file may have.
pub(super) const MAX_VALUES: usize = 1 << 17;

/// A field of a record.
pub(super) fn field<'a>(record: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    record.iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

impl Value {
    /// The only record of a struct.
    pub(super) fn record(&self) -> Option<&Record> {
        match self {
            Self::Struct(records) => match records.as_slice() {
                [record] => Some(record),
                _ => None,
            },
            _ => None,
        }
    }

    /// A field of the only record of a struct.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        field(self.record()?, name)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a cell, or a value that stands for a cell of itself.
    pub(super) fn elements(&self) -> &[Value] {
        match self {
            Self::Cell(elements) => elements,
            other => std::slice::from_ref(other),
        }
    }

    /// Whether it has no elements at all.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Numbers(numbers) => numbers.shape.contains(&0),
            _ => false,
        }
    }

    pub(super) fn numbers(&self) -> Option<&Numbers> {
        match self {
            Self::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }
}
