//! How much a model may hold, found out before it is decoded: fields and packed lists take far
//! more memory than bytes.

use bytes::Bytes;

use crate::protobuf::{Field, Fields};

/// How many fields a model may have, and how many bytes of packed lists, but for its numbers.
const MAX_FIELDS: usize = 1 << 20;

/// How many axes an array may have.
const MAX_AXES: usize = 16;

/// The most bytes of a number of variable length.
const NUMBER_BYTES: usize = 10;

/// How deep fields are counted: model, graph, node, attribute.
const COUNTED_DEPTH: usize = 4;

/// A message whose lists are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

impl Part {
    /// The message in a field of this one.
    fn inner(self, tag: u64) -> Option<Self> {
        match (self, tag) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph | Self::Attribute, 5) => Some(Self::Tensor),
            (Self::Node, 5) => Some(Self::Attribute),
            _ => None,
        }
    }
}

/// Refuses a model that would take far more memory than it has bytes.
pub(super) fn check(model: &Bytes) -> Result<(), &'static str> {
    let mut count = 0;
    count_fields(model.clone(), COUNTED_DEPTH, &mut count)?;
    count_lists(model.clone(), Part::Model, &mut count)
}

/// Counts the fields of a message and of those in it.
fn count_fields(message: Bytes, depth: usize, count: &mut usize) -> Result<(), &'static str> {
    for field in Fields::of(message) {
        *count += 1;
        if MAX_FIELDS < *count {
            return Err("it has too many fields");
        }
        if let ((_, Field::Bytes(inner)), 1..) = (field?, depth) {
            // What is text or numbers need not be a message.
            let before = *count;
            if count_fields(inner, depth - 1, count).is_err() && MAX_FIELDS < *count {
                return Err("it has too many fields");
            }
            *count = (*count).max(before);
        }
    }
    Ok(())
}

/// Counts the axes of arrays and the packed integers of attributes.
fn count_lists(message: Bytes, part: Part, count: &mut usize) -> Result<(), &'static str> {
    let mut axes = 0;
    for field in Fields::of(message) {
        let (tag, field) = field?;
        match (part, tag, field) {
            (Part::Tensor, 1, Field::Bytes(packed)) => axes += packed.len().div_ceil(NUMBER_BYTES),
            (Part::Tensor, 1, _) => axes += 1,
            (Part::Attribute, 8, Field::Bytes(packed)) => *count += packed.len(),
            (_, _, Field::Bytes(inner)) => {
                if let Some(part) = part.inner(tag) {
                    count_lists(inner, part, count)?;
                }
            }
            _ => {}
        }
        if MAX_AXES < axes {
            return Err("an array in it has too many axes");
        }
        if MAX_FIELDS < *count {
            return Err("it has too many fields");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with a length before it.
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut message = vec![tag << 3 | 2];
        prost::encode_length_delimiter(content.len(), &mut message).unwrap();
        message.extend(content);
        message
    }

    fn checked(message: Vec<u8>) -> Result<(), &'static str> {
        check(&Bytes::from(message))
    }

    #[test]
    fn packed_axes_are_counted_before_they_are_decoded() {
        let model = |axes| field(7, &field(5, &field(1, &vec![1; axes])));
        assert_eq!(checked(model(4)), Ok(()));
        assert_eq!(checked(model(1000)), Err("an array in it has too many axes"));
        let constant = field(5, &field(5, &field(1, &[1; 1000])));
        let model = field(7, &field(1, &constant));
        assert_eq!(checked(model), Err("an array in it has too many axes"));
    }

    #[test]
    fn axes_that_are_not_packed_are_counted() {
        let model = |axes| field(7, &field(5, &b"\x08\x01".repeat(axes)));
        assert_eq!(checked(model(16)), Ok(()));
        assert_eq!(checked(model(17)), Err("an array in it has too many axes"));
    }

    #[test]
    fn lists_of_integers_are_counted() {
        let model = field(7, &field(1, &field(5, &field(8, &vec![1; MAX_FIELDS + 1]))));
        assert_eq!(checked(model), Err("it has too many fields"));
    }
}
