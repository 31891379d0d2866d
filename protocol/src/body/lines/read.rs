//! Lines, one after the other, from their fields. Nothing is taken in memory but what the fields are.

use std::collections::BTreeMap;

use super::numbers::ReadNumbers;
use super::planes::{self, Streams};
use super::times::Form;
use super::{Coding, DEPTH_MAX, FIELDS_MAX, LISTED_MAX, PARTS_MAX, TEMPLATES_MAX, VALUES_MAX};
use crate::codec::{DecodeError, Reader};
use crate::limits;

/// Lines that are read.
#[derive(Debug)]
pub(in crate::body) struct Lines<'a> {
    fields: Vec<Field<'a>>,
    cursors: Vec<Cursor>,
    /// Values that may still be read.
    left: usize,
}

#[derive(Debug)]
struct Field<'a> {
    count: usize,
    coding: Read<'a>,
}

/// How far a field is read.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Values.
    at: usize,
    /// The number before, or where the next text starts.
    last: i64,
}

#[derive(Debug)]
enum Read<'a> {
    Same(&'a [u8]),
    Listed { texts: Vec<&'a [u8]>, places: planes::Read<'a> },
    Number { width: usize, numbers: ReadNumbers<'a> },
    Hex { digits: usize, letters: &'static [u8; 16], bytes: &'a [u8] },
    Uuid(&'a [u8]),
    Time(Form, ReadNumbers<'a>),
    Text { lengths: planes::Read<'a>, bytes: &'a [u8] },
    Split { templates: Vec<Template<'a>>, places: planes::Read<'a> },
}

/// Each slot: the literal before it, and its field.
type Slots<'a> = Vec<(&'a [u8], usize)>;

#[derive(Debug)]
struct Template<'a> {
    slots: Slots<'a>,
    end: &'a [u8],
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

impl<'a> Lines<'a> {
    /// Reads what the fields are. Of version 4, templates may be definitions, of which an earlier one has none.
    ///
    /// # Errors
    /// For every malformed input.
    pub(in crate::body) fn new(
        fields: &'a [u8],
        values: &'a [u8],
        raw: &'a [u8],
        definitions: Option<&'a [Vec<u8>]>,
    ) -> Result<Self, DecodeError> {
        if fields.is_empty() {
            return Ok(Self { fields: Vec::new(), cursors: Vec::new(), left: 0 });
        }
        let mut reader = Reader::new(fields);
        let count = reader.length("count of fields", FIELDS_MAX)?;
        let (values, raw) = (Reader::new(values), Reader::new(raw));
        let mut streams = Streams { values, raw, is_apart: definitions.is_some() };
        let mut fields = Vec::new();
        let mut parts = PARTS_MAX;
        for at in 0..count {
            let definitions = definitions.filter(|_| at == 0).unwrap_or_default();
            let left = (count - at, &mut parts);
            fields.push(Field::take(&mut reader, &mut streams, left, definitions)?);
        }
        reader.finish("fields")?;
        streams.values.finish("values of fields")?;
        streams.raw.finish("raw values of fields")?;
        let cursors = vec![Cursor::default(); fields.len()];
        Ok(Self { fields, cursors, left: VALUES_MAX })
    }

    /// Appends the next line.
    ///
    /// # Errors
    /// For every malformed input, and where there is none, or it is longer than `most` bytes.
    pub(in crate::body) fn next(
        &mut self,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), DecodeError> {
        let Self { fields, cursors, left } = self;
        Reading { fields, cursors, left, out, most }.value(0, 0)
    }

    /// Checks that all of it was read.
    ///
    /// # Errors
    /// Where values are left.
    pub(in crate::body) fn finish(self) -> Result<(), DecodeError> {
        let left = self.fields.iter().zip(&self.cursors).map(|(it, cursor)| it.count - cursor.at);
        match left.sum() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { what: "values of lines", left }),
        }
    }
}

/// A line that is being read.
struct Reading<'r, 'a> {
    fields: &'r [Field<'a>],
    cursors: &'r mut [Cursor],
    left: &'r mut usize,
    out: &'r mut Vec<u8>,
    most: usize,
}

impl Reading<'_, '_> {
    fn value(&mut self, field: usize, depth: usize) -> Result<(), DecodeError> {
        let (Some(it), Some(cursor)) = (self.fields.get(field), self.cursors.get_mut(field)) else {
            return Err(outside("field", field));
        };
        if cursor.at == it.count || *self.left == 0 || depth > DEPTH_MAX {
            return Err(outside("values of a field", cursor.at));
        }
        let at = cursor.at;
        cursor.at += 1;
        *self.left -= 1;
        match &it.coding {
            Read::Same(text) => self.put(text)?,
            Read::Listed { texts, places } => {
                let place = places.get(at);
                let text = usize::try_from(place).ok().and_then(|place| texts.get(place));
                self.put(text.ok_or(outside("text of a list", at))?)?;
            }
            Read::Number { width, numbers } => {
                let number = numbers.next(at, &mut cursor.last);
                put_number(number, *width, self.out)?;
            }
            Read::Hex { digits, letters, bytes } => {
                let from = at * digits.div_ceil(2);
                let bytes = &bytes[from..from + digits.div_ceil(2)];
                put_hex(bytes, *digits, letters, self.out);
            }
            Read::Uuid(bytes) => put_uuid(&bytes[16 * at..16 * at + 16], self.out),
            Read::Time(form, numbers) => {
                form.write(numbers.next(at, &mut cursor.last), self.out)?;
            }
            Read::Text { lengths, bytes } => {
                let from = usize::try_from(cursor.last).unwrap_or(usize::MAX);
                let length = usize::try_from(lengths.get(at)).unwrap_or(usize::MAX);
                let text = bytes.get(from..).and_then(|rest| rest.get(..length));
                let text = text.ok_or(outside("length of a text", at))?;
                cursor.last += i64::try_from(length).unwrap_or(i64::MAX);
                self.put(text)?;
            }
            Read::Split { templates, places } => {
                let template = usize::try_from(places.get(at)).ok();
                let template = template.and_then(|place| templates.get(place));
                let template = template.ok_or(outside("template", at))?;
                for (literal, ahead) in &template.slots {
                    self.put(literal)?;
                    self.value(field + ahead, depth + 1)?;
                }
                self.put(template.end)?;
            }
        }
        if self.out.len() > self.most {
            return Err(outside("length of a line", self.out.len()));
        }
        Ok(())
    }

    fn put(&mut self, text: &[u8]) -> Result<(), DecodeError> {
        if text.len() > self.most - self.out.len().min(self.most) {
            return Err(outside("length of a line", text.len()));
        }
        self.out.extend_from_slice(text);
        Ok(())
    }
}

impl<'a> Field<'a> {
    /// `left`: fields from this one on, and texts and slots that there may still be.
    fn take(
        fields: &mut Reader<'a>,
        streams: &mut Streams<'a>,
        (left, parts): (usize, &mut usize),
        definitions: &'a [Vec<u8>],
    ) -> Result<Self, DecodeError> {
        let count = fields.length("values of a field", VALUES_MAX)?;
        let text = |it: &mut Reader<'a>| it.bytes("text of a field", limits::BODY_BYTES_MAX);
        let coding = match fields.u8("coding of a field")? {
            code if code == Coding::Same as u8 => Read::Same(text(streams.varying(fields))?),
            code if code == Coding::Listed as u8 => {
                let varying = streams.varying(fields);
                let listed = varying.length("texts of a list", LISTED_MAX.min(*parts))?;
                *parts -= listed;
                let mut texts = Vec::with_capacity(listed.min(varying.left()));
                for _ in 0..listed {
                    texts.push(text(varying)?);
                }
                Read::Listed { texts, places: planes::Read::take(fields, streams, count)? }
            }
            code if code == Coding::Number as u8 => {
                let width = fields.length("digits of a number", 18)?;
                Read::Number { width, numbers: ReadNumbers::take(fields, streams, count)? }
            }
            code if code == Coding::Hex as u8 => {
                let digits = fields.length("hex digits", limits::EVENT_BYTES_MAX)?;
                let letters = if fields.u8("case of hex digits")? == 0 { LOWER } else { UPPER };
                let bytes = digits.div_ceil(2).saturating_mul(count);
                Read::Hex { digits, letters, bytes: streams.raw.take("hex digits", bytes)? }
            }
            code if code == Coding::Uuid as u8 => {
                Read::Uuid(streams.raw.take("uuids", 16 * count)?)
            }
            code if code == Coding::Time as u8 => {
                let (form, numbers) = Form::take(fields, streams, count)?;
                Read::Time(form, numbers)
            }
            code if code == Coding::Text as u8 => {
                let lengths = planes::Read::take(fields, streams, count)?;
                let mut all = 0_usize;
                for at in 0..count {
                    let length = usize::try_from(lengths.get(at)).unwrap_or(usize::MAX);
                    all = all.saturating_add(length);
                }
                Read::Text { lengths, bytes: streams.values.take("texts", all)? }
            }
            code if code == Coding::Split as u8 => {
                let templates = take_templates(fields, left, parts)?;
                Read::Split { templates, places: planes::Read::take(fields, streams, count)? }
            }
            code if code == Coding::Defined as u8 => {
                let defined = fields.length("defined templates", definitions.len())?;
                // Of templates without a slot there is none.
                let first = fields.length("field of a slot", left)?;
                let defined = &definitions[..defined];
                let mut templates = defined_templates(defined, (first, left), parts)?;
                templates.append(&mut take_templates(fields, left, parts)?);
                Read::Split { templates, places: planes::Read::take(fields, streams, count)? }
            }
            code => return Err(outside("coding of a field", code.into())),
        };
        Ok(Self { count, coding })
    }
}

/// Templates of definitions, whose slots are of fields from the first one on, in order of their first appearance.
fn defined_templates<'a>(
    definitions: &'a [Vec<u8>],
    (first, left): (usize, usize),
    parts: &mut usize,
) -> Result<Vec<Template<'a>>, DecodeError> {
    let mut fields: BTreeMap<u16, usize> = BTreeMap::new();
    let mut templates = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let mut reader = Reader::new(definition);
        let (mut slots, end) = take_literals(&mut reader, 3, parts)?;
        for slot in &mut slots {
            let next = first + fields.len();
            let field = *fields.entry(reader.u16("what a slot is of")?).or_insert(next);
            if field == 0 || field >= left {
                return Err(outside("field of a slot", field));
            }
            slot.1 = field;
        }
        reader.finish("definition")?;
        templates.push(Template { slots, end });
    }
    Ok(templates)
}

/// The literals of a template, for each slot the one before it, and the one behind all of them. Each slot takes so many bytes
/// at least.
fn take_literals<'a>(
    fields: &mut Reader<'a>,
    each: usize,
    parts: &mut usize,
) -> Result<(Slots<'a>, &'a [u8]), DecodeError> {
    let slots = fields.length("slots", (*parts).min(fields.left() / each))?;
    *parts -= slots;
    let mut literals = Vec::with_capacity(slots);
    for _ in 0..slots {
        literals.push((fields.bytes("literal", limits::BODY_BYTES_MAX)?, 0));
    }
    Ok((literals, fields.bytes("literal", limits::BODY_BYTES_MAX)?))
}

fn take_templates<'a>(
    fields: &mut Reader<'a>,
    left: usize,
    parts: &mut usize,
) -> Result<Vec<Template<'a>>, DecodeError> {
    let count = fields.length("templates", TEMPLATES_MAX)?;
    let mut templates = Vec::with_capacity(count.min(fields.left()));
    for _ in 0..count {
        let (mut slots, end) = take_literals(fields, 2, parts)?;
        for slot in &mut slots {
            slot.1 = fields.length("field of a slot", left - 1)?;
            if slot.1 == 0 {
                return Err(outside("field of a slot", 0));
            }
        }
        templates.push(Template { slots, end });
    }
    Ok(templates)
}

/// Appends the digits of a number; so many of them, or as few as it takes for a width of 0.
fn put_number(number: i64, width: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut text = [b'0'; 19];
    let mut at = text.len();
    let mut left = u64::try_from(number).map_err(|_| outside("a number", width))?;
    while left > 0 {
        at -= 1;
        text[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    let least = (text.len() - at).max(1);
    if width > 0 && least > width {
        return Err(outside("a number", least));
    }
    out.extend_from_slice(&text[text.len() - least.max(width)..]);
    Ok(())
}

fn put_hex(bytes: &[u8], digits: usize, letters: &[u8; 16], out: &mut Vec<u8>) {
    let from = out.len();
    out.extend(
        bytes
            .iter()
            .flat_map(|byte| [letters[usize::from(byte >> 4)], letters[usize::from(byte & 15)]]),
    );
    out.truncate(from + digits);
}

fn put_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    for (at, part) in [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]]
        .into_iter()
        .enumerate()
    {
        if at > 0 {
            out.push(b'-');
        }
        put_hex(part, 2 * part.len(), LOWER, out);
    }
}

fn outside(what: &'static str, value: usize) -> DecodeError {
    DecodeError::Value { what, value: value as u64, expected: "what the fields of lines allow" }
}
