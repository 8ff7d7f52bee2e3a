//! MatConvNet's files: SimpleNN and DagNN networks in MATLAB's versions 5, 7 and 7.3.

mod level5;
mod level73;
mod network;
mod value;

use std::collections::HashMap;

use super::{Contents, Reader, SourceArray};
use crate::Error;
use crate::source::Source;
use level5::Level5;
use level73::Level73;
use network::Network;
use value::{Numbers, Variables};

/// A file of MATLAB's.
struct MatconvnetReader<F> {
    file: F,
    arrays: HashMap<String, Numbers>,
}

/// A version of MATLAB's format.
trait MatFile: Sized {
    /// Reads the file's structure, and none of its large arrays.
    fn open(source: &Source) -> Result<(Self, Variables), Error>;

    /// The values of an array, from its last axis to its first.
    fn values(&self, source: &Source, name: &str, numbers: &Numbers) -> Result<Vec<f32>, Error>;
}

/// Lists the layers of a file of version 5 or 7.
pub(super) fn open5(source: &Source) -> Result<Contents, Error> {
    open::<Level5>(source)
}

/// Lists the layers of a file of version 7.3.
pub(super) fn open73(source: &Source) -> Result<Contents, Error> {
    open::<Level73>(source)
}

fn open<F: MatFile + 'static>(source: &Source) -> Result<Contents, Error> {
    let (file, variables) = F::open(source)?;
    let read = |numbers: &Numbers| file.values(source, "averageImage", numbers);
    let Network { layers, arrays, metadata } = network::network(source, &variables, read)?;
    Ok(Contents { layers, metadata, reader: Box::new(MatconvnetReader { file, arrays }) })
}

impl<F: MatFile> Reader for MatconvnetReader<F> {
    fn values(&self, source: &Source, array: &SourceArray) -> Result<Vec<f32>, Error> {
        let numbers = self.arrays.get(&array.name).expect("arrays are listed from these");
        self.file.values(source, &array.name, numbers)
    }
}
