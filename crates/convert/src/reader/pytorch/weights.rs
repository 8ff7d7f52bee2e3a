//! The weights among what a pickle describes: a `state_dict`, plain or in a checkpoint, or the
//! parameters of a module.

use super::objects::{Node, Objects, Tensor, Value};
use super::pickle::Pickle;
use crate::reader::MAX_NAME_BYTES;

/// How deep modules may lie in modules.
const MAX_NESTING: usize = 32;

/// How many values are looked at: references let a small pickle hold one value any number of times.
const MAX_VISITS: usize = 1 << 18;

/// How much of what is left out is told.
const MAX_LEFT_OUT: usize = 64;

/// The weights of a pickle.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// By name, in the order of the network.
    pub(super) tensors: Vec<(String, Tensor)>,
    /// What else a checkpoint holds.
    pub(super) left_out: Vec<String>,
}

/// How many kernels make a backbone.
const BACKBONE_KERNELS: usize = 13;

/// Finds the weights in what was pickled, or says why there are none to be found.
pub(super) fn weights(pickle: &Pickle) -> Result<Weights, String> {
    let Pickle { objects, root, .. } = pickle;
    let entries = objects.dict(*root).unwrap_or_default();
    let mut visits = 0;
    let mut candidates = Vec::new();
    let mut left_out = Vec::new();
    for (key, value) in entries {
        let Some(name) = objects.text(*key) else { continue };
        let holds_parts =
            matches!(objects.node(*value), Some(Node::Dict(_) | Node::Instance { .. }));
        let tensors =
            if holds_parts { Walk::over(objects, *value, &mut visits)? } else { Vec::new() };
        let kernels = tensors.iter().filter(|(_, tensor)| tensor.shape.ends_with(&[3, 3]));
        if BACKBONE_KERNELS <= kernels.count() {
            candidates.push((name, tensors));
        } else if left_out.len() < MAX_LEFT_OUT && name.len() <= MAX_NAME_BYTES {
            left_out.push(name.to_owned());
        }
    }
    if let [(first, _), (second, _), ..] = candidates.as_slice() {
        let (first, second) = (first.escape_debug(), second.escape_debug());
        return Err(format!(
            "it holds the weights of more than one network, `{first}` and `{second}`: save the one \
             that you want"
        ));
    }
    match candidates.pop() {
        Some((_, tensors)) => Ok(Weights { tensors, left_out }),
        None => {
            Ok(Weights { tensors: Walk::over(objects, *root, &mut visits)?, left_out: Vec::new() })
        }
    }
}

/// A walk through dictionaries and modules.
struct Walk<'a> {
    objects: &'a Objects,
    visits: usize,
    tensors: Vec<(String, Tensor)>,
}

impl<'a> Walk<'a> {
    fn over(
        objects: &'a Objects,
        value: Value,
        visits: &mut usize,
    ) -> Result<Vec<(String, Tensor)>, String> {
        let mut walk = Self { objects, visits: *visits, tensors: Vec::new() };
        walk.visit("", value, MAX_NESTING).map_err(str::to_owned)?;
        *visits = walk.visits;
        Ok(walk.tensors)
    }

    fn visit(&mut self, path: &str, value: Value, nesting: usize) -> Result<(), &'static str> {
        let nesting = nesting.checked_sub(1).ok_or("its modules are nested too deep")?;
        self.visits += 1;
        if MAX_VISITS < self.visits {
            return Err("it has too many parts");
        }
        match self.objects.node(value) {
            Some(Node::Tensor(tensor)) => {
                self.tensors.push((path.to_owned(), tensor.clone()));
                Ok(())
            }
            Some(Node::Dict(_)) => self.visit_entries(path, value, nesting),
            Some(&Node::Instance { state, .. }) => {
                let part = |name| self.objects.get(state, name);
                let parts = [part("_parameters"), part("_buffers"), part("_modules")];
                match parts {
                    // TorchScript's modules have their parts as attributes.
                    [None, None, None] => self.visit_entries(path, state, nesting),
                    parts => parts
                        .into_iter()
                        .flatten()
                        .try_for_each(|part| self.visit_entries(path, part, nesting)),
                }
            }
            _ => Ok(()),
        }
    }

    fn visit_entries(
        &mut self,
        path: &str,
        dict: Value,
        nesting: usize,
    ) -> Result<(), &'static str> {
        let objects = self.objects;
        for (key, value) in objects.dict(dict).unwrap_or_default() {
            let Some(key) = objects.text(*key) else { continue };
            if MAX_NAME_BYTES < path.len() + key.len() {
                return Err("a name in it is too long");
            }
            let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            self.visit(&name, *value, nesting)?;
        }
        Ok(())
    }
}
