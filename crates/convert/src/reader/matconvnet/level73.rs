//! MATLAB's version 7.3, which is HDF5: cells are datasets of references, structs are groups.
//!
//! # Source
//!
//! The MathWorks, "MAT-File Versions"; the layout as MATLAB R2006b and later write it, with the
//! attributes `MATLAB_class` and `MATLAB_empty`.

use std::collections::HashMap;
use std::sync::Arc;

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use hdf5_reader::reference::read_object_references;
use hdf5_reader::storage::FileStorage;
use hdf5_reader::{Attribute, Dataset, Datatype, Hdf5File};

use super::MatFile;
use super::value::{MAX_NESTING, MAX_VALUES, Numbers, Place, Record, Value, Variables};
use crate::Error;
use crate::reader::keras::{damaged, dataset_values, open_hdf5};
use crate::reader::{guarded, printable};
use crate::source::Source;

/// The group in which the elements of cells lie.
const REFERENCES: &str = "#refs#";

/// The largest list of references that is read.
const MAX_SMALL_BYTES: usize = 1 << 20;

/// The largest text that is read: names, which references may use any number of times.
const MAX_TEXT_BYTES: usize = 1 << 10;

/// A file of version 7.3.
pub(super) struct Level73 {
    file: Hdf5File,
}

impl MatFile for Level73 {
    fn open(source: &Source) -> Result<(Self, Variables), Error> {
        guarded(source, || {
            let failed = damaged(source);
            let storage = FileStorage::from_file(source.file()?).map_err(&failed)?;
            let file = open_hdf5(source, Arc::new(storage))?;
            let root = file.root_group().map_err(&failed)?;
            let mut walk = Walk { referenced: HashMap::new(), count: 0 };
            walk.list_referenced(&root).map_err(&failed)?;
            let variables = walk
                .members(&root, "", MAX_NESTING)
                .map_err(|error| source.damaged(printable(&error.to_string())))?;
            Ok((Self { file }, variables))
        })
    }

    fn values(&self, source: &Source, name: &str, numbers: &Numbers) -> Result<Vec<f32>, Error> {
        let Place::Dataset(path) = &numbers.place else {
            return Err(source.damaged(format!("`{name}` lies nowhere in it")));
        };
        guarded(source, || {
            let dataset = self.file.dataset(path).map_err(damaged(source))?;
            dataset_values(source, name, &dataset)
        })
    }
}

/// A group or dataset that a reference leads to.
enum Referenced {
    Group(Group, String),
    Dataset(Box<Dataset>, String),
}

/// A walk through groups and references.
struct Walk {
    /// By address.
    referenced: HashMap<u64, Arc<Referenced>>,
    /// How many values there have been.
    count: usize,
}

impl Walk {
    fn list_referenced(&mut self, root: &Group) -> Result<(), Hdf5Error> {
        let (groups, _) = root.member_names()?;
        if !groups.iter().any(|name| name == REFERENCES) {
            return Ok(());
        }
        let (groups, datasets) = root.group(REFERENCES)?.members()?;
        for group in groups {
            let path = format!("/{REFERENCES}/{}", last_part(group.name()));
            self.referenced.insert(group.address(), Arc::new(Referenced::Group(group, path)));
        }
        for dataset in datasets {
            let path = format!("/{REFERENCES}/{}", last_part(dataset.name()));
            let address = dataset.address();
            self.referenced.insert(address, Arc::new(Referenced::Dataset(Box::new(dataset), path)));
        }
        Ok(())
    }

    /// The members of a group as the fields of a record.
    fn members(&mut self, group: &Group, path: &str, nesting: usize) -> Result<Record, Hdf5Error> {
        let (groups, datasets) = group.members()?;
        let mut record = Record::new();
        for inner in groups {
            let name = last_part(inner.name()).to_owned();
            if !name.starts_with('#') {
                let value = self.group(&inner, &format!("{path}/{name}"), nesting)?;
                record.push((name, value));
            }
        }
        for dataset in datasets {
            let name = last_part(dataset.name()).to_owned();
            let value = self.dataset(&dataset, &format!("{path}/{name}"), nesting)?;
            record.push((name, value));
        }
        Ok(record)
    }

    /// A struct, or a struct array, whose fields are lists of references without a class.
    fn group(&mut self, group: &Group, path: &str, nesting: usize) -> Result<Value, Hdf5Error> {
        let nesting = self.enter(nesting)?;
        let (groups, datasets) = group.members()?;
        let is_list = |dataset: &Dataset| is_reference(dataset) && class(dataset).is_none();
        if !groups.is_empty() || datasets.is_empty() || !datasets.iter().all(is_list) {
            return Ok(Value::Struct(vec![self.members(group, path, nesting)?]));
        }
        let mut records: Vec<Record> = Vec::new();
        for dataset in datasets {
            let name = last_part(dataset.name()).to_owned();
            for (place, value) in self.references(&dataset, nesting)?.into_iter().enumerate() {
                if records.len() <= place {
                    records.push(Record::new());
                }
                records[place].push((name.clone(), value));
            }
        }
        Ok(Value::Struct(records))
    }

    fn dataset(
        &mut self,
        dataset: &Dataset,
        path: &str,
        nesting: usize,
    ) -> Result<Value, Hdf5Error> {
        let nesting = self.enter(nesting)?;
        let is_empty = dataset.attributes().iter().any(|it| it.name == "MATLAB_empty");
        let class = class(dataset);
        if is_empty {
            return Ok(match class.as_deref() {
                Some("cell") => Value::Cell(Vec::new()),
                Some("char") => Value::Text(String::new()),
                _ => Value::Empty,
            });
        }
        if is_reference(dataset) {
            return Ok(Value::Cell(self.references(dataset, nesting)?));
        }
        if class.as_deref() == Some("char") {
            return text(dataset);
        }
        if !matches!(dataset.dtype(), Datatype::FloatingPoint { .. }) {
            return Ok(Value::Other);
        }
        let shape = dataset.shape().iter().map(|&extent| usize::try_from(extent));
        match shape.collect() {
            Ok(shape) => {
                Ok(Value::Numbers(Numbers { shape, place: Place::Dataset(path.to_owned()) }))
            }
            Err(_) => Err(Hdf5Error::Other(format!("`{path}` claims a shape beyond all memory"))),
        }
    }

    /// What a list of references leads to.
    fn references(&mut self, dataset: &Dataset, nesting: usize) -> Result<Vec<Value>, Hdf5Error> {
        if MAX_SMALL_BYTES < dataset.raw_byte_len()? {
            return Err(Hdf5Error::Other("a cell has too many elements".to_owned()));
        }
        let bytes = dataset.read_raw_bytes()?;
        let mut values = Vec::new();
        for address in read_object_references(&bytes, 8)? {
            let Some(referenced) = self.referenced.get(&address).cloned() else {
                return Err(Hdf5Error::Other("a reference in it leads nowhere".to_owned()));
            };
            values.push(match &*referenced {
                Referenced::Group(group, path) => self.group(group, path, nesting)?,
                Referenced::Dataset(dataset, path) => self.dataset(dataset, path, nesting)?,
            });
        }
        Ok(values)
    }

    fn enter(&mut self, nesting: usize) -> Result<usize, Hdf5Error> {
        self.count += 1;
        if MAX_VALUES < self.count {
            return Err(Hdf5Error::Other("it has too many values".to_owned()));
        }
        let nesting = nesting.checked_sub(1);
        nesting.ok_or_else(|| Hdf5Error::Other("its values are nested too deep".to_owned()))
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_reference(dataset: &Dataset) -> bool {
    matches!(dataset.dtype(), Datatype::Reference { .. })
}

fn class(dataset: &Dataset) -> Option<String> {
    let attributes = dataset.attributes();
    let class: Option<&Attribute> = attributes.iter().find(|it| it.name == "MATLAB_class");
    class?.read_string().ok()
}

/// A line of characters, of two bytes each.
fn text(dataset: &Dataset) -> Result<Value, Hdf5Error> {
    if MAX_TEXT_BYTES < dataset.raw_byte_len()? {
        return Ok(Value::Other);
    }
    let bytes = dataset.read_native_bytes()?;
    if !matches!(dataset.dtype(), Datatype::FixedPoint { size: 2, .. }) {
        return Ok(Value::Other);
    }
    let (pairs, _) = bytes.as_chunks();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_ne_bytes(*pair)).collect();
    Ok(Value::Text(String::from_utf16_lossy(&units)))
}
