//! Which coding fits a field.

use std::collections::VecDeque;

use super::listed::Listed;
use super::numbers::Numbers;
use super::planes::Planes;
use super::scan::Grain;
use super::shapes::Shapes;
use super::split::{Child, Split};
use super::times;
use super::{Coding, FIELDS_MAX, Packed, Slice};
use crate::codec::{put_bytes, put_varint};

/// Writes field after field: those that a field is split into come after it.
pub(super) struct Writer<'a> {
    source: &'a [u8],
    waiting: VecDeque<Child>,
    /// Fields that were written, and those that wait.
    fields: usize,
    /// What is remembered of lines before: for the first field, which they are.
    shapes: Option<&'a mut Shapes>,
}

/// Digits of a number at most: all of them fit into 63 bits.
const DIGITS_MAX: usize = 18;
/// Hex digits of a value at least: a few of them are as well a number or a word.
const HEX_DIGITS_MIN: usize = 8;
/// Texts of a list that stand for numbers.
const LISTED_NUMBERS_MAX: usize = 256;

impl<'a> Writer<'a> {
    pub(super) fn new(source: &'a [u8], lines: Vec<Slice>, shapes: Option<&'a mut Shapes>) -> Self {
        let lines = Child { values: lines, grain: Grain::Leaf };
        Self { source, waiting: VecDeque::from([lines]), fields: 1, shapes }
    }

    /// Writes the next field; `false` if there is none.
    pub(super) fn write_next(&mut self, fields: &mut Vec<u8>, packed: &mut Packed) -> bool {
        let Some(Child { values, grain }) = self.waiting.pop_front() else { return false };
        put_varint(fields, values.len() as u64);
        let mut finer = grain;
        if let Some(shapes) = self.shapes.take() {
            shapes.begin();
            let (source, most) = (self.source, FIELDS_MAX - self.fields);
            let split = Split::known(source, &values, grain, most, Some(shapes));
            if let Some(split) = split {
                self.put_split(split, fields, packed);
                return true;
            }
            finer = finer.finer();
        }
        if let Some(chosen) = Chosen::of(self.source, &values) {
            chosen.put(self.source, fields, packed);
            return true;
        }
        let listed = Listed::of(self.source, &values);
        if let Some(listed) = &listed
            && 4 * listed.texts.len() <= values.len()
        {
            put_listed(self.source, listed, fields, packed);
            return true;
        }
        while finer != Grain::Whole {
            let most = FIELDS_MAX - self.fields;
            if let Some(split) = Split::of(self.source, &values, finer, most) {
                self.put_split(split, fields, packed);
                return true;
            }
            finer = finer.finer();
        }
        match listed {
            Some(listed) => put_listed(self.source, &listed, fields, packed),
            None => put_texts(self.source, &values, fields, packed),
        }
        true
    }

    fn put_split(&mut self, split: Split, fields: &mut Vec<u8>, packed: &mut Packed) {
        // Those that wait come first.
        let ahead = self.waiting.len() + 1;
        if split.is_defined() {
            fields.push(Coding::Defined as u8);
            split.put_defined(ahead, fields, packed);
        } else {
            fields.push(Coding::Split as u8);
        }
        split.put(self.source, ahead, fields);
        Planes::of(&split.places).put(fields, packed);
        self.fields += split.children.len();
        self.waiting.extend(split.children);
    }
}

fn put_listed(source: &[u8], listed: &Listed, fields: &mut Vec<u8>, packed: &mut Packed) {
    fields.push(Coding::Listed as u8);
    let varying = packed.varying(fields);
    put_varint(varying, listed.texts.len() as u64);
    listed.texts.iter().for_each(|text| put_bytes(varying, text.of(source)));
    Planes::of(&listed.places).put(fields, packed);
}

fn put_texts(source: &[u8], values: &[Slice], fields: &mut Vec<u8>, packed: &mut Packed) {
    fields.push(Coding::Text as u8);
    let lengths: Vec<u64> = values.iter().map(|value| value.len() as u64).collect();
    Planes::of(&lengths).put(fields, packed);
    values.iter().for_each(|value| packed.values.extend_from_slice(value.of(source)));
}

/// A coding that fits every value of a field.
enum Chosen {
    Same(Option<Slice>),
    Listed(Listed),
    Number { width: usize, numbers: Numbers },
    Hex { digits: usize, is_upper: bool, bytes: Vec<u8> },
    Uuid(Vec<u8>),
    Time(times::Form, Numbers),
}

impl Chosen {
    /// `None` where a list, templates or texts remain.
    fn of(source: &[u8], values: &[Slice]) -> Option<Self> {
        let Some(first) = values.first() else { return Some(Self::Same(None)) };
        let length = first.len();
        if values.iter().all(|value| value.of(source) == first.of(source)) {
            let told = (values.len() == 1).then(|| Self::single(source, values)).flatten();
            return Some(told.unwrap_or(Self::Same(Some(*first))));
        }
        let mut all = 0;
        for value in values {
            all |= kinds_of(value.of(source));
            if all & OTHER != 0 {
                break;
            }
        }
        let is_even = values.iter().all(|value| value.len() == length);
        if all == DIGIT {
            return Self::number(source, values, is_even.then_some(length));
        }
        let is_hex = all & OTHER == 0 && all & (LOWER | UPPER) != (LOWER | UPPER);
        if is_hex && is_even && length >= HEX_DIGITS_MIN {
            return Self::hex(source, values, length, all & UPPER != 0);
        }
        if length == 36 && is_even && uuid(first.of(source)).is_some() {
            let uuids = values.iter().map(|value| uuid(value.of(source)));
            let uuids: Option<Vec<[u8; 16]>> = uuids.collect();
            return uuids.map(|uuids| Self::Uuid(uuids.concat()));
        }
        let (form, _) = times::parse(first.of(source))?;
        let times = values
            .iter()
            .map(|value| times::parse(value.of(source)).filter(|(other, _)| *other == form));
        let times: Option<Vec<i64>> = times.map(|time| time.map(|(_, number)| number)).collect();
        times.map(|times| Self::Time(form, Numbers::of(&times)))
    }

    /// A single value that is told shorter by what it is.
    fn single(source: &[u8], values: &[Slice]) -> Option<Self> {
        let text = values[0].of(source);
        if let Some(uuid) = (text.len() == 36).then(|| uuid(text)).flatten() {
            return Some(Self::Uuid(uuid.to_vec()));
        }
        let all = kinds_of(text);
        let is_hex = all & OTHER == 0 && all != DIGIT && all & (LOWER | UPPER) != (LOWER | UPPER);
        if is_hex && text.len() >= HEX_DIGITS_MIN {
            return Self::hex(source, values, text.len(), all & UPPER != 0);
        }
        None
    }

    /// Digits alone: as numbers, or as a list of few of them.
    fn number(source: &[u8], values: &[Slice], length: Option<usize>) -> Option<Self> {
        let is_short = |value: &Slice| (1..=DIGITS_MAX).contains(&value.len());
        if !values.iter().all(is_short) {
            return None;
        }
        let is_plain = |value: &Slice| value.len() == 1 || value.of(source)[0] != b'0';
        let width = if values.iter().all(is_plain) { 0 } else { length? };
        let number = |value: &Slice| {
            value.of(source).iter().fold(0, |number, digit| 10 * number + i64::from(digit - b'0'))
        };
        let numbers: Vec<i64> = values.iter().map(number).collect();
        let numbers = Numbers::of(&numbers);
        let listed = Listed::of(source, values).filter(|it| it.texts.len() <= LISTED_NUMBERS_MAX);
        let bits = |listed: &Listed| {
            let texts: usize = listed.texts.iter().map(|text| text.len() + 1).sum();
            Planes::of(&listed.places).bits + 8.0 * texts as f64
        };
        match listed {
            Some(listed) if bits(&listed) < numbers.bits() => Some(Self::Listed(listed)),
            _ => Some(Self::Number { width, numbers }),
        }
    }

    fn hex(source: &[u8], values: &[Slice], digits: usize, is_upper: bool) -> Option<Self> {
        let listed = Listed::of(source, values);
        if listed.is_some_and(|listed| 2 * listed.texts.len() < values.len()) {
            return None;
        }
        let mut bytes = Vec::with_capacity(values.len() * digits.div_ceil(2));
        for value in values {
            for pair in value.of(source).chunks(2) {
                let low = pair.get(1).map_or(0, |digit| nibble(*digit));
                bytes.push(nibble(pair[0]) << 4 | low);
            }
        }
        Some(Self::Hex { digits, is_upper, bytes })
    }

    fn put(&self, source: &[u8], fields: &mut Vec<u8>, packed: &mut Packed) {
        match self {
            Self::Same(text) => {
                fields.push(Coding::Same as u8);
                put_bytes(packed.varying(fields), text.map_or(&[], |text| text.of(source)));
            }
            Self::Listed(listed) => put_listed(source, listed, fields, packed),
            Self::Number { width, numbers } => {
                fields.push(Coding::Number as u8);
                put_varint(fields, *width as u64);
                numbers.put(fields, packed);
            }
            Self::Hex { digits, is_upper, bytes } => {
                fields.push(Coding::Hex as u8);
                put_varint(fields, *digits as u64);
                fields.push(u8::from(*is_upper));
                packed.raw.extend_from_slice(bytes);
            }
            Self::Uuid(bytes) => {
                fields.push(Coding::Uuid as u8);
                packed.raw.extend_from_slice(bytes);
            }
            Self::Time(form, numbers) => {
                fields.push(Coding::Time as u8);
                form.put(numbers, fields, packed);
            }
        }
    }
}

const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const OTHER: u8 = 8;

/// Which kinds of bytes a text has, those of hex digits told apart.
fn kinds_of(text: &[u8]) -> u8 {
    if text.is_empty() {
        return OTHER;
    }
    text.iter().fold(0, |all, byte| all | KINDS[usize::from(*byte)])
}

const KINDS: [u8; 256] = {
    let mut kinds = [OTHER; 256];
    let mut at = 0;
    while at < 10 {
        kinds[b'0' as usize + at] = DIGIT;
        if at < 6 {
            kinds[b'a' as usize + at] = LOWER;
            kinds[b'A' as usize + at] = UPPER;
        }
        at += 1;
    }
    kinds
};

/// The value of a hex digit.
fn nibble(digit: u8) -> u8 {
    // Letters have bit 6, and the low bits of the first one are 1.
    (digit & 15) + 9 * (digit >> 6)
}

/// The bytes of a UUID in its usual form of lower case digits; `None` for any other text.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut at = 0;
    for (place, byte) in text.iter().enumerate() {
        match (place, byte) {
            (8 | 13 | 18 | 23, b'-') => continue,
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9' | b'a'..=b'f') => {}
            _ => return None,
        }
        bytes[at / 2] |= nibble(*byte) << (if at % 2 == 0 { 4 } else { 0 });
        at += 1;
    }
    Some(bytes)
}
