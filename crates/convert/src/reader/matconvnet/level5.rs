//! MATLAB's version 5 and, compressed, version 7.
//!
//! # Source
//!
//! The MathWorks, "MAT-File Format" (R2019b), chapter 1.

use std::io::{Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;

use super::MatFile;
use super::value::{MAX_NESTING, MAX_VALUES, Numbers, Place, Record, Value, Variables};
use crate::Error;
use crate::element::{ByteOrder, Element, rounded};
use crate::source::{Source, inflation_limit};

/// Bytes before the first element.
const HEADER_BYTES: u64 = 128;

// Types of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;
const UTF16: u32 = 17;

// Classes of arrays.
const CELL: u8 = 1;
const STRUCT: u8 = 2;
const OBJECT: u8 = 3;
const CHAR: u8 = 4;
const DOUBLES: u8 = 6;
const SINGLES: u8 = 7;

/// The longest name, and list of field names, that is read.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// The longest name of a field: MATLAB allows 63 characters.
const MAX_FIELD_NAME_BYTES: usize = 64;

/// A file of version 5 or 7.
pub(super) struct Level5 {
    order: ByteOrder,
    parts: Vec<Part>,
}

/// Bytes that elements lie in.
enum Part {
    /// The file itself.
    File,
    /// What a compressed element held.
    Inflated(Vec<u8>),
}

/// An element's header.
#[derive(Debug, Clone, Copy)]
struct Tag {
    kind: u32,
    /// Where its content begins.
    start: u64,
    bytes: u64,
    /// Where the next element begins.
    next: u64,
}

impl MatFile for Level5 {
    fn open(source: &Source) -> Result<(Self, Variables), Error> {
        let order = match source.bytes(126, 2)?.as_slice() {
            b"IM" => ByteOrder::LittleEndian,
            b"MI" => ByteOrder::BigEndian,
            _ => return Err(source.damaged("its header names no byte order")),
        };
        let mut file = Self { order, parts: vec![Part::File] };
        let mut variables = Vec::new();
        let mut count = 0;
        let mut budget = inflation_limit(source.size());
        let mut place = HEADER_BYTES;
        while place < source.size() {
            let tag = file.tag(source, 0, place, source.size())?;
            match tag.kind {
                MATRIX => {
                    let mut walk = Walk { file: &file, source, part: 0, count: &mut count };
                    variables.push(walk.array(tag, MAX_NESTING)?);
                }
                COMPRESSED => {
                    let inflated = inflated(source, tag, &mut budget)?;
                    let end = inflated.len() as u64;
                    file.parts.push(Part::Inflated(inflated));
                    let part = file.parts.len() - 1;
                    let tag = file.tag(source, part, 0, end)?;
                    let mut walk = Walk { file: &file, source, part, count: &mut count };
                    variables.push(walk.array(tag, MAX_NESTING)?);
                }
                0 => return Err(source.damaged("there is nothing where an element belongs")),
                _ => {}
            }
            // Compressed elements are not padded.
            place = if tag.kind == COMPRESSED { tag.start + tag.bytes } else { tag.next };
        }
        Ok((file, variables))
    }

    fn values(&self, source: &Source, name: &str, numbers: &Numbers) -> Result<Vec<f32>, Error> {
        let Place::Stretch { part, offset, bytes, kind } = numbers.place else {
            return Err(source.damaged(format!("`{name}` lies nowhere in it")));
        };
        let element = match kind {
            SINGLE => Element::F32,
            DOUBLE => Element::F64,
            // MATLAB stores numbers that happen to be whole as integers.
            INT8 | UINT8 | INT16 | UINT16 | INT32 | UINT32 => {
                let raw = self.bytes(source, part, offset, bytes)?;
                return Ok(whole_numbers(&raw, kind, self.order));
            }
            other => {
                return Err(Error::ElementType {
                    path: source.path.clone(),
                    name: name.to_owned(),
                    found: format!("elements of MATLAB's type {other}"),
                });
            }
        };
        match &self.parts[part] {
            Part::File => {
                source.numbers(offset, bytes / element.size() as u64, element, self.order)
            }
            Part::Inflated(all) => {
                Ok(element.to_f32(inflated_stretch(source, all, offset, bytes)?, self.order))
            }
        }
    }
}

impl Level5 {
    fn bytes(
        &self,
        source: &Source,
        part: usize,
        offset: u64,
        count: u64,
    ) -> Result<Vec<u8>, Error> {
        match &self.parts[part] {
            Part::File => source.bytes(offset, count),
            Part::Inflated(all) => inflated_stretch(source, all, offset, count).map(<[u8]>::to_vec),
        }
    }

    fn word(&self, bytes: &[u8]) -> u32 {
        let word = bytes.first_chunk().copied().unwrap_or_default();
        match self.order {
            ByteOrder::LittleEndian => u32::from_le_bytes(word),
            ByteOrder::BigEndian => u32::from_be_bytes(word),
        }
    }

    /// The header at `place` of an element that ends before `end`.
    fn tag(&self, source: &Source, part: usize, place: u64, end: u64) -> Result<Tag, Error> {
        let cut = || source.damaged("one of its elements reaches beyond the one that holds it");
        if end.checked_sub(place).is_none_or(|rest| rest < 8) {
            return Err(cut());
        }
        let header = self.bytes(source, part, place, 8)?;
        let (first, second) = (self.word(&header), self.word(&header[4..]));
        let tag = match first >> 16 {
            0 => {
                let start = place + 8;
                let bytes = u64::from(second);
                let next = start + bytes.next_multiple_of(8);
                Tag { kind: first, start, bytes, next }
            }
            // Up to four bytes stand in the header itself.
            bytes @ 1..=4 => {
                let bytes = u64::from(bytes);
                Tag { kind: first & 0xffff, start: place + 4, bytes, next: place + 8 }
            }
            _ => return Err(source.damaged("one of its elements has a header of no kind")),
        };
        // Writers may leave out the padding behind the last element.
        if end < tag.start + tag.bytes {
            return Err(cut());
        }
        Ok(tag)
    }
}

/// A walk through the elements of one part.
struct Walk<'a> {
    file: &'a Level5,
    source: &'a Source,
    part: usize,
    /// How many values there have been.
    count: &'a mut usize,
}

impl Walk<'_> {
    /// Name and value of an array.
    fn array(&mut self, matrix: Tag, nesting: usize) -> Result<(String, Value), Error> {
        let Some(nesting) = nesting.checked_sub(1) else {
            return Err(self.source.damaged("its values are nested too deep"));
        };
        *self.count += 1;
        if MAX_VALUES < *self.count {
            return Err(self.source.damaged("it has too many values"));
        }
        if matrix.kind != MATRIX {
            return Err(self.source.damaged("something else stands where an array belongs"));
        }
        if matrix.bytes == 0 {
            return Ok((String::new(), Value::Empty));
        }
        let end = matrix.start + matrix.bytes;
        let (flags, next) = self.content(matrix.start, end, 8)?;
        let class = self.file.word(&flags).to_le_bytes()[0];
        let (dimensions, next) = self.content(next, end, MAX_NAME_BYTES)?;
        let (name, next) = self.content(next, end, MAX_NAME_BYTES)?;
        let shape: Vec<usize> =
            dimensions.chunks_exact(4).rev().map(|it| self.file.word(it) as usize).collect();
        let value = match class {
            CELL => {
                let (elements, _) = self.arrays(next, end, product(&shape), nesting)?;
                Value::Cell(elements)
            }
            STRUCT => self.records(next, end, product(&shape), nesting)?,
            OBJECT => {
                let class_name = self.file.tag(self.source, self.part, next, end)?;
                self.records(class_name.next, end, product(&shape), nesting)?
            }
            CHAR => self.text(next, end)?,
            DOUBLES | SINGLES => {
                let tag = self.file.tag(self.source, self.part, next, end)?;
                let place = Place::Stretch {
                    part: self.part,
                    offset: tag.start,
                    bytes: tag.bytes,
                    kind: tag.kind,
                };
                Value::Numbers(Numbers { shape, place })
            }
            _ => Value::Other,
        };
        Ok((String::from_utf8_lossy(&name).into_owned(), value))
    }

    /// The content of a short element, and where the next begins.
    fn content(&self, place: u64, end: u64, limit: u64) -> Result<(Vec<u8>, u64), Error> {
        let tag = self.file.tag(self.source, self.part, place, end)?;
        if limit < tag.bytes {
            return Err(self.source.damaged("a name in it is longer than any name"));
        }
        Ok((self.file.bytes(self.source, self.part, tag.start, tag.bytes)?, tag.next))
    }

    /// So many arrays one after the other, and where they end.
    fn arrays(
        &mut self,
        mut place: u64,
        end: u64,
        count: usize,
        nesting: usize,
    ) -> Result<(Vec<Value>, u64), Error> {
        // Not allocated by its count: that is only claimed.
        let mut values = Vec::new();
        for _ in 0..count {
            let tag = self.file.tag(self.source, self.part, place, end)?;
            values.push(self.array(tag, nesting)?.1);
            place = tag.next;
        }
        Ok((values, place))
    }

    /// The records of a struct array.
    fn records(
        &mut self,
        place: u64,
        end: u64,
        count: usize,
        nesting: usize,
    ) -> Result<Value, Error> {
        let (length, next) = self.content(place, end, 8)?;
        let (names, mut place) = self.content(next, end, MAX_NAME_BYTES)?;
        let length = (self.file.word(&length) as usize).max(1);
        if MAX_FIELD_NAME_BYTES < length {
            return Err(self.source.damaged("a field of a struct has a name that is too long"));
        }
        let names: Vec<String> = names
            .chunks(length)
            .map(|name| name.split(|&byte| byte == 0).next().unwrap_or_default())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let mut records: Vec<Record> = Vec::new();
        if names.is_empty() {
            return Ok(Value::Struct(records));
        }
        for _ in 0..count {
            let (values, next) = self.arrays(place, end, names.len(), nesting)?;
            records.push(names.iter().cloned().zip(values).collect());
            place = next;
        }
        Ok(Value::Struct(records))
    }

    /// A line of characters.
    fn text(&self, place: u64, end: u64) -> Result<Value, Error> {
        let tag = self.file.tag(self.source, self.part, place, end)?;
        if MAX_NAME_BYTES < tag.bytes {
            return Ok(Value::Other);
        }
        let bytes = self.file.bytes(self.source, self.part, tag.start, tag.bytes)?;
        let text = match tag.kind {
            UINT16 | UTF16 => {
                let pair = |pair: &[u8; 2]| match self.file.order {
                    ByteOrder::LittleEndian => u16::from_le_bytes(*pair),
                    ByteOrder::BigEndian => u16::from_be_bytes(*pair),
                };
                let (pairs, _) = bytes.as_chunks();
                String::from_utf16_lossy(&pairs.iter().map(pair).collect::<Vec<u16>>())
            }
            INT8 | UINT8 | UTF8 => String::from_utf8_lossy(&bytes).into_owned(),
            _ => return Ok(Value::Other),
        };
        Ok(Value::Text(text))
    }
}

/// How many elements an array has; more than fit are as many as will fail.
fn product(shape: &[usize]) -> usize {
    shape.iter().try_fold(1_usize, |product, &it| product.checked_mul(it)).unwrap_or(usize::MAX)
}

/// Integers of one, two or four bytes.
fn whole_numbers(bytes: &[u8], kind: u32, order: ByteOrder) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], order: ByteOrder, of: fn([u8; N]) -> f64) -> Vec<f32> {
        let (numbers, _) = bytes.as_chunks::<N>();
        let little = |number: &[u8; N]| {
            let mut number = *number;
            if order == ByteOrder::BigEndian {
                number.reverse();
            }
            rounded(of(number))
        };
        numbers.iter().map(little).collect()
    }
    match kind {
        INT8 => each(bytes, order, |it| i8::from_le_bytes(it).into()),
        UINT8 => each(bytes, order, |it| u8::from_le_bytes(it).into()),
        INT16 => each(bytes, order, |it| i16::from_le_bytes(it).into()),
        UINT16 => each(bytes, order, |it| u16::from_le_bytes(it).into()),
        INT32 => each(bytes, order, |it| i32::from_le_bytes(it).into()),
        _ => each(bytes, order, |it| u32::from_le_bytes(it).into()),
    }
}

/// A stretch of what a compressed element held.
fn inflated_stretch<'a>(
    source: &Source,
    all: &'a [u8],
    offset: u64,
    count: u64,
) -> Result<&'a [u8], Error> {
    let start = usize::try_from(offset).ok();
    let end = offset.checked_add(count).and_then(|end| usize::try_from(end).ok());
    let range = start.zip(end).and_then(|(start, end)| all.get(start..end));
    range.ok_or_else(|| source.damaged("a part of it is cut short"))
}

/// The content of a compressed element, which takes its bytes from a budget for all of them.
fn inflated(source: &Source, tag: Tag, budget: &mut u64) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| source.damaged(format!("its compression: {error}"));
    let mut file = source.file()?;
    file.seek(SeekFrom::Start(tag.start)).map_err(failed)?;
    let limit = *budget;
    let mut bytes = Vec::new();
    ZlibDecoder::new(file.take(tag.bytes))
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if limit < bytes.len() as u64 {
        return Err(source.damaged(format!("it inflates to more than {limit} bytes")));
    }
    *budget -= bytes.len() as u64;
    Ok(bytes)
}
