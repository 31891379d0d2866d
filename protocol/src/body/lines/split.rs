//! Splitting a field: templates, and the values between their literals.

use std::collections::BTreeMap;
use std::ops::Range;

use super::listed::Table;
use super::scan::{Grain, hash};
use super::{Slice, TEMPLATES_MAX, VALUES_MAX};
use crate::codec::{put_bytes, put_varint};

/// A field that was split.
#[derive(Debug, Default)]
pub(super) struct Split {
    templates: Vec<Template>,
    /// The template of each value.
    pub(super) places: Vec<u64>,
    /// The fields of its slots.
    pub(super) children: Vec<Child>,
}

/// A field of values between literals.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) values: Vec<Slice>,
    pub(super) grain: Grain,
}

#[derive(Debug)]
struct Template {
    /// One more than there are slots.
    literals: Vec<Slice>,
    /// A place among the children for each slot, and which of the slots that were found it is.
    children: Vec<(usize, usize)>,
}

/// What was found in values before it is known which of it is worth a template.
#[derive(Default)]
struct Scanned {
    table: Table,
    slots: Vec<Slice>,
    /// Per value where its slots end.
    ends: Vec<usize>,
    /// Per value the number of its literals.
    numbers: Vec<usize>,
    /// Per number how many values have it, and the first of them.
    seen: Vec<(usize, usize)>,
}

/// Values for which it is looked whether they are made alike.
const TRIED: usize = 256;

impl Split {
    /// `None` where few values are made alike. There may be `most` new fields.
    pub(super) fn of(source: &[u8], values: &[Slice], grain: Grain, most: usize) -> Option<Self> {
        if grain == Grain::Whole || values.len() < 2 {
            return None;
        }
        let tried = values.len().min(TRIED);
        let mut scanned = Scanned::default();
        scanned.add(source, &values[..tried], grain);
        if !scanned.is_worth_it(values, 4) {
            return None;
        }
        scanned.add(source, &values[tried..], grain);
        if !scanned.is_worth_it(values, 2) || scanned.slots.len() > VALUES_MAX / 2 {
            return None;
        }
        scanned.split(source, values, grain, most)
    }

    /// Appends the templates; the first child is so many fields further on.
    pub(super) fn put(&self, source: &[u8], ahead: usize, fields: &mut Vec<u8>) {
        put_varint(fields, self.templates.len() as u64);
        for template in &self.templates {
            put_varint(fields, template.children.len() as u64);
            for literal in &template.literals {
                put_bytes(fields, literal.of(source));
            }
            for (child, _) in &template.children {
                put_varint(fields, (ahead + child) as u64);
            }
        }
    }
}

impl Scanned {
    fn add(&mut self, source: &[u8], values: &[Slice], grain: Grain) {
        for value in values {
            let from = self.slots.len();
            let hash = grain.slots(source, *value, &mut self.slots);
            // Who writes lines can make hashes equal: then they do not come back, and stay as they are. Slots that are not
            // there could not be taken at all.
            let (ends, seen, count) = (&self.ends, &self.seen, self.slots.len() - from);
            let slots = |at: usize| ends[at] - at.checked_sub(1).map_or(0, |before| ends[before]);
            let has_as_many = |number: usize| slots(seen[number].1) == count;
            let (number, is_new) = self.table.number(hash, has_as_many);
            if is_new {
                self.seen.push((0, self.ends.len()));
            }
            self.seen[number].0 += 1;
            self.numbers.push(number);
            self.ends.push(self.slots.len());
        }
    }

    /// Whether one in `share` values at least is made like another, and not of one slot alone.
    fn is_worth_it(&self, values: &[Slice], share: usize) -> bool {
        let alike =
            self.seen.iter().filter(|(count, first)| *count > 1 && !self.is_whole(values, *first));
        share * alike.map(|(count, _)| count).sum::<usize>() >= self.numbers.len()
    }

    /// Whether a value is one slot alone.
    fn is_whole(&self, values: &[Slice], at: usize) -> bool {
        matches!(self.slots_of(at), [slot] if slot.len() == values[at].len())
    }

    fn slots_of(&self, at: usize) -> &[Slice] {
        &self.slots[self.range_of(at)]
    }

    /// The places of a value's slots among all.
    fn range_of(&self, at: usize) -> Range<usize> {
        at.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[at]
    }

    /// Which of the slots of each number's first value differ in another value of that number, by their places among all.
    /// What does not is a literal.
    fn varying(&self, source: &[u8]) -> Vec<bool> {
        let mut varying = vec![false; self.slots.len()];
        for (at, number) in self.numbers.iter().enumerate() {
            let (first, slots) = (self.range_of(self.seen[*number].1), self.range_of(at));
            for (first, slot) in first.zip(slots) {
                varying[first] =
                    varying[first] || self.slots[first].of(source) != self.slots[slot].of(source);
            }
        }
        varying
    }

    fn split(self, source: &[u8], values: &[Slice], grain: Grain, most: usize) -> Option<Split> {
        let varying = self.varying(source);
        let mut making = Making { most, ..Making::default() };
        // What stands alone is a text of a field of its own.
        let mut alone: Option<usize> = None;
        let mut templates: Vec<Option<usize>> = vec![None; self.seen.len()];
        for (at, value) in values.iter().enumerate() {
            let number = self.numbers[at];
            let is_alone =
                self.seen[number].0 == 1 || making.split.templates.len() == TEMPLATES_MAX - 1;
            let known = if is_alone { alone } else { templates[number] };
            let template = match known {
                Some(template) => template,
                None if is_alone => *alone.insert(making.alone(*value)?),
                None => {
                    let varying = &varying[self.range_of(at)];
                    let slots = (self.slots_of(at), varying);
                    let made = making.template(source, *value, slots, grain)?;
                    *templates[number].insert(made)
                }
            };
            let split = &mut making.split;
            split.places.push(template as u64);
            let children = &split.templates[template].children;
            let slots = if is_alone { std::slice::from_ref(value) } else { self.slots_of(at) };
            for (child, slot) in children {
                split.children[*child].values.push(slots[*slot]);
            }
        }
        Some(making.split)
    }
}

/// A split in the making.
#[derive(Default)]
struct Making {
    split: Split,
    /// Fields by what they are the values of.
    children: BTreeMap<u64, usize>,
    most: usize,
}

impl Making {
    /// The template of what is like nothing else: all of it is a value.
    fn alone(&mut self, value: Slice) -> Option<usize> {
        let child = self.child(None, Grain::Whole)?;
        let nothing = Slice { from: value.from, to: value.from };
        self.split
            .templates
            .push(Template { literals: vec![nothing; 2], children: vec![(child, 0)] });
        Some(self.split.templates.len() - 1)
    }

    /// The template of a value and those like it, by its slots and which of them vary.
    fn template(
        &mut self,
        source: &[u8],
        value: Slice,
        (slots, varying): (&[Slice], &[bool]),
        grain: Grain,
    ) -> Option<usize> {
        let between = literals(value, slots);
        let is_object = grain == Grain::Leaf && value.of(source).first() == Some(&b'{');
        let shape =
            between.iter().fold(0, |shape, literal| hash(shape, &shape_of(literal.of(source))));
        let mut children = Vec::with_capacity(slots.len());
        for (at, literal) in
            between.iter().take(slots.len()).enumerate().filter(|(at, _)| varying[*at])
        {
            // A leaf is told by its name, anything else by its place among the same marks.
            let key = if is_object {
                hash(1, literal.of(source))
            } else {
                hash(shape, &at.to_le_bytes())
            };
            children.push((self.child(Some(key), grain.finer())?, at));
        }
        let slots: Vec<Slice> = children.iter().map(|(_, at)| slots[*at]).collect();
        self.split.templates.push(Template { literals: literals(value, &slots), children });
        Some(self.split.templates.len() - 1)
    }

    fn child(&mut self, key: Option<u64>, grain: Grain) -> Option<usize> {
        let next = self.split.children.len();
        let child = match key {
            Some(key) => *self.children.entry(key).or_insert(next),
            None => next,
        };
        if child == next {
            if next == self.most {
                return None;
            }
            self.split.children.push(Child { values: Vec::new(), grain });
        }
        Some(child)
    }
}

/// What stands before, between and behind slots.
fn literals(value: Slice, slots: &[Slice]) -> Vec<Slice> {
    let from = std::iter::once(value.from).chain(slots.iter().map(|slot| slot.to));
    let to = slots.iter().map(|slot| slot.from).chain(std::iter::once(value.to));
    from.zip(to).map(|(from, to)| Slice { from, to }).collect()
}

/// A literal with every word made the same.
fn shape_of(literal: &[u8]) -> Vec<u8> {
    let letters = literal.iter().map(|byte| if byte.is_ascii_alphabetic() { b'a' } else { *byte });
    let mut shape: Vec<u8> = letters.collect();
    shape.dedup_by(|byte, before| *byte == b'a' && *before == b'a');
    shape
}
