//! Taking parameters out of a file so that every name is accounted for.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::Tensor;

use super::WeightsFile;
use crate::{Error, ParameterSpec};

/// Offenders of each kind that a report names before it counts the rest.
const NAMED: usize = 3;

/// What became of every name, wanted or present.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Wanted, present and of the right shape.
    pub loaded: Vec<String>,
    /// Wanted, but not in the file.
    pub missing: Vec<String>,
    /// In the file, but not wanted.
    pub unexpected: Vec<String>,
    /// Wanted and present, but of another shape, and so not loaded.
    pub wrong_shape: Vec<WrongShape>,
}

/// A tensor that is not of the shape that the network wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongShape {
    /// Its name.
    pub name: String,
    /// The shape wanted.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
}

/// Takes the wanted parameters out of a file.
///
/// Every name that is wanted must be in the file with its shape, and every name in the file must
/// be wanted, unless one of the `excused` patterns matches it: a name, or the beginning of one
/// followed by `*`, as in `fc8.*`. Excused parameters are still loaded where they fit; a caller
/// that wants new ones leaves them out of `specs`.
///
/// # Errors
///
/// [`Error::Unaccounted`] if a name that is not excused is missing, unexpected or of another
/// shape, or if nothing that was wanted could be loaded.
pub fn take(
    file: &WeightsFile,
    specs: &[ParameterSpec],
    excused: &[&str],
) -> Result<(BTreeMap<String, Tensor>, LoadReport), Error> {
    let mut tensors = BTreeMap::new();
    let mut report = LoadReport::default();
    for ParameterSpec { name, shape } in specs {
        match file.tensors().get(name) {
            None => report.missing.push(name.clone()),
            Some(tensor) if tensor.dims() == shape => {
                tensors.insert(name.clone(), tensor.clone());
                report.loaded.push(name.clone());
            }
            Some(tensor) => report.wrong_shape.push(WrongShape {
                name: name.clone(),
                expected: shape.clone(),
                found: tensor.dims().to_vec(),
            }),
        }
    }
    report.unexpected = file
        .tensors()
        .keys()
        .filter(|name| specs.iter().all(|spec| spec.name != **name))
        .cloned()
        .collect();

    let offenders = report.without_excused(excused);
    let nothing_loaded = report.loaded.is_empty() && !specs.is_empty();
    if nothing_loaded || offenders.has_misfits() {
        return Err(Error::Unaccounted { path: file.path().to_owned(), report: offenders });
    }
    Ok((tensors, report))
}

impl LoadReport {
    /// The report with only those misfits that no pattern excuses.
    fn without_excused(&self, excused: &[&str]) -> Self {
        let offends = |name: &str| !excused.iter().any(|pattern| matches(pattern, name));
        Self {
            loaded: self.loaded.clone(),
            missing: self.missing.iter().filter(|name| offends(name)).cloned().collect(),
            unexpected: self.unexpected.iter().filter(|name| offends(name)).cloned().collect(),
            wrong_shape: self
                .wrong_shape
                .iter()
                .filter(|wrong| offends(&wrong.name))
                .cloned()
                .collect(),
        }
    }

    fn has_misfits(&self) -> bool {
        !(self.missing.is_empty() && self.unexpected.is_empty() && self.wrong_shape.is_empty())
    }
}

/// One line: `26 loaded; 2 missing: fc8.weight, fc8.bias`.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} loaded", self.loaded.len())?;
        list(f, "missing", &self.missing)?;
        list(f, "unexpected", &self.unexpected)?;
        list(f, "of another shape", &self.wrong_shape)
    }
}

impl fmt::Display for WrongShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, expected {:?})", self.name, self.found, self.expected)
    }
}

/// Whether an excusing pattern covers a name.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

/// Counts misfits of one kind and names the first few.
fn list(f: &mut fmt::Formatter<'_>, what: &str, misfits: &[impl fmt::Display]) -> fmt::Result {
    if misfits.is_empty() {
        return Ok(());
    }
    write!(f, "; {} {what}: ", misfits.len())?;
    for (place, misfit) in misfits.iter().take(NAMED).enumerate() {
        let separator = if place == 0 { "" } else { ", " };
        write!(f, "{separator}{misfit}")?;
    }
    if NAMED < misfits.len() { write!(f, ", ..") } else { Ok(()) }
}
