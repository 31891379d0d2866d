//! Lines of a body of version 3: what varies in them, field by field.
//!
//! A **field** is a list of values: the lines themselves are the first one. Where many values are made alike they are split:
//! what is the same in all of them stands once, as a **template**, and what stands between its literals are values of other
//! fields, each of which is told in the way that fits it: as numbers, times, hex digits, places in a list, or split again.
//! How a field is split is the writer's choice; a reader needs to know nothing of it. `docs/wire.md` has the tables.

mod choose;
mod listed;
mod numbers;
mod planes;
mod read;
mod scan;
mod shapes;
mod split;
#[cfg(test)]
mod tests;
mod times;

pub(super) use read::Lines;
pub use shapes::Shapes;

use std::sync::Arc;

use crate::codec::put_varint;

/// Fields of one body.
const FIELDS_MAX: usize = 4096;
/// Templates of one field.
const TEMPLATES_MAX: usize = 4096;
/// Values of all fields: each takes a byte of a line at least, or two quotation marks.
const VALUES_MAX: usize = 4 << 20;
/// Texts of one list.
const LISTED_MAX: usize = 65_536;
/// Texts of all lists and slots of all templates: each takes 16 or 24 bytes of memory when it is read, all of them 3 MiB.
const PARTS_MAX: usize = 131_072;
/// Fields are split, and what they are split into, so often at most.
const DEPTH_MAX: usize = 6;

/// How a field's values are told.
#[derive(Clone, Copy)]
enum Coding {
    /// All of them are the same.
    Same = 0,
    /// Places in a list of texts.
    Listed = 1,
    /// Decimal numbers.
    Number = 2,
    /// Hex digits, so many in each.
    Hex = 3,
    /// UUIDs in their usual form.
    Uuid = 4,
    /// Times of day, with a date or without one.
    Time = 5,
    /// Texts.
    Text = 6,
    /// Templates, and values of other fields between their literals.
    Split = 7,
    /// As `Split`, where the first templates are definitions. Of the first field alone, from version 4 on.
    Defined = 8,
}

/// A value's place in the bytes of all lines.
#[derive(Clone, Copy, Debug)]
struct Slice {
    from: u32,
    to: u32,
}

impl Slice {
    fn new(from: usize, to: usize) -> Self {
        let number = |at| u32::try_from(at).expect("lines of a body are at most 4 MiB");
        Self { from: number(from), to: number(to) }
    }

    fn of(self, source: &[u8]) -> &[u8] {
        &source[self.from as usize..self.to as usize]
    }

    fn len(self) -> usize {
        (self.to - self.from) as usize
    }
}

/// Lines as they are stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    /// What the fields are: their codings, templates and lists.
    pub(super) fields: Vec<u8>,
    /// What varies.
    pub(super) values: Vec<u8>,
    /// What varies and nothing makes smaller.
    pub(super) raw: Vec<u8>,
    /// The templates that are definitions, in order.
    pub(super) definitions: Vec<Arc<[u8]>>,
    /// Bytes of those that were in a body before.
    pub(super) told: usize,
    /// Whether bases of numbers and texts stand among the values, so that the fields of bodies that are alike are the same.
    is_apart: bool,
}

impl Packed {
    /// Where bases of numbers and texts stand.
    fn varying<'a>(&'a mut self, fields: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
        if self.is_apart { &mut self.values } else { fields }
    }
}

/// Takes lines apart: all of them one after the other, and how long each is. With what is remembered of lines before,
/// templates that were met before are definitions.
pub(super) fn pack(
    source: &[u8],
    lengths: impl Iterator<Item = usize>,
    shapes: Option<&mut Shapes>,
) -> Packed {
    let mut at = 0;
    let lines = lengths.map(|length| {
        at += length;
        Slice::new(at - length, at)
    });
    let mut fields = Vec::new();
    let mut packed = Packed { is_apart: shapes.is_some(), ..Packed::default() };
    let mut writer = choose::Writer::new(source, lines.collect(), shapes);
    let mut count = 0;
    while writer.write_next(&mut fields, &mut packed) {
        count += 1;
    }
    put_varint(&mut packed.fields, count);
    packed.fields.append(&mut fields);
    packed
}
