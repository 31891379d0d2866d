//! Splitting a field: templates, and the values between their literals.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::listed::Table;
use super::scan::{Grain, hash};
use super::shapes::{Known, Shapes, literals};
use super::{Packed, Slice, TEMPLATES_MAX, VALUES_MAX};
use crate::codec::{put_bytes, put_varint};

/// A field that was split.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// The first templates, which are definitions, and whether each was in a body before.
    defined: Vec<(Arc<[u8]>, bool)>,
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
    /// A place among the children for each slot.
    children: Vec<usize>,
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
    seen: Vec<Seen>,
}

/// What is to be split.
#[derive(Clone, Copy)]
struct Given<'a> {
    source: &'a [u8],
    values: &'a [Slice],
    grain: Grain,
}

/// Values with the same literals.
#[derive(Clone, Copy)]
struct Seen {
    hash: u64,
    count: usize,
    first: usize,
    /// Whether such were met in batches before.
    is_known: bool,
}

/// Values for which it is looked whether they are made alike.
const TRIED: usize = 256;

impl Split {
    /// `None` where few values are made alike. There may be `most` new fields.
    pub(super) fn of(source: &[u8], values: &[Slice], grain: Grain, most: usize) -> Option<Self> {
        match values.len() {
            0 | 1 => None,
            _ => Self::known(source, values, grain, most, None),
        }
    }

    /// As `of`, of values that may be like those that were met before.
    pub(super) fn known(
        source: &[u8],
        values: &[Slice],
        grain: Grain,
        most: usize,
        mut shapes: Option<&mut Shapes>,
    ) -> Option<Self> {
        if grain == Grain::Whole {
            return None;
        }
        let tried = values.len().min(TRIED);
        let mut scanned = Scanned::default();
        scanned.add(source, &values[..tried], grain, shapes.as_deref());
        let mut is_worth_it = scanned.is_worth_it(values, 4);
        if is_worth_it {
            scanned.add(source, &values[tried..], grain, shapes.as_deref());
            is_worth_it = scanned.is_worth_it(values, 2) && scanned.slots.len() <= VALUES_MAX / 2;
        }
        if !is_worth_it && shapes.is_none() {
            return None;
        }
        let varying = scanned.varying(source, shapes.as_deref());
        let given = Given { source, values, grain };
        let mut split = None;
        if is_worth_it {
            split = scanned.split(given, &varying, most, shapes.as_deref_mut());
        }
        if let Some(shapes) = shapes {
            scanned.note(given, &varying, shapes);
        }
        split
    }

    /// Whether templates of it are definitions.
    pub(super) fn is_defined(&self) -> bool {
        !self.defined.is_empty()
    }

    /// Hands the templates over that are definitions, and appends how many there are, and where the first child is.
    pub(super) fn put_defined(&self, ahead: usize, fields: &mut Vec<u8>, packed: &mut Packed) {
        put_varint(fields, self.defined.len() as u64);
        put_varint(fields, ahead as u64);
        for (definition, is_told) in &self.defined {
            packed.told += if *is_told { definition.len() } else { 0 };
            packed.definitions.push(Arc::clone(definition));
        }
    }

    /// Appends the templates that are no definitions; the first child is so many fields further on.
    pub(super) fn put(&self, source: &[u8], ahead: usize, fields: &mut Vec<u8>) {
        put_varint(fields, self.templates.len() as u64);
        for template in &self.templates {
            put_varint(fields, template.children.len() as u64);
            for literal in &template.literals {
                put_bytes(fields, literal.of(source));
            }
            for child in &template.children {
                put_varint(fields, (ahead + child) as u64);
            }
        }
    }
}

impl Scanned {
    fn add(&mut self, source: &[u8], values: &[Slice], grain: Grain, shapes: Option<&Shapes>) {
        for value in values {
            let from = self.slots.len();
            let hash = grain.slots(source, *value, &mut self.slots);
            // Who writes lines can make hashes equal: then they do not come back, and stay as they are. Slots that are not
            // there could not be taken at all.
            let (ends, seen, count) = (&self.ends, &self.seen, self.slots.len() - from);
            let slots = |at: usize| ends[at] - at.checked_sub(1).map_or(0, |before| ends[before]);
            let has_as_many = |number: usize| slots(seen[number].first) == count;
            let (number, is_new) = self.table.number(hash, has_as_many);
            if is_new {
                let slots = &self.slots[from..];
                let is_known = shapes.is_some_and(|it| it.knows(hash, source, *value, slots));
                self.seen.push(Seen { hash, count: 0, first: self.ends.len(), is_known });
            }
            self.seen[number].count += 1;
            self.numbers.push(number);
            self.ends.push(self.slots.len());
        }
    }

    /// Whether one in `share` values at least is made like another, and not of one slot alone.
    fn is_worth_it(&self, values: &[Slice], share: usize) -> bool {
        let is_alike =
            |it: &&Seen| (it.count > 1 || it.is_known) && !self.is_whole(values, it.first);
        let alike = self.seen.iter().filter(is_alike).map(|it| it.count);
        share * alike.sum::<usize>() >= self.numbers.len()
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
    fn varying(&self, source: &[u8], shapes: Option<&Shapes>) -> Vec<bool> {
        let mut varying = vec![false; self.slots.len()];
        for (at, number) in self.numbers.iter().enumerate() {
            let seen = self.seen[*number];
            let (first, slots) = (self.range_of(seen.first), self.range_of(at));
            if seen.first == at {
                let known = shapes.filter(|_| seen.is_known);
                known.iter().for_each(|it| {
                    it.differ(
                        seen.hash,
                        source,
                        &self.slots[slots.clone()],
                        &mut varying[slots.clone()],
                    );
                });
                continue;
            }
            for (first, slot) in first.zip(slots) {
                varying[first] =
                    varying[first] || self.slots[first].of(source) != self.slots[slot].of(source);
            }
        }
        varying
    }

    fn split(
        &self,
        Given { source, values, grain }: Given<'_>,
        varying: &[bool],
        most: usize,
        mut shapes: Option<&mut Shapes>,
    ) -> Option<Split> {
        let mut making = Making { most, ..Making::default() };
        let mut templates: Vec<Option<usize>> = vec![None; self.seen.len()];
        let known = self.seen.iter().enumerate().filter(|(_, it)| it.is_known);
        for (number, seen) in known {
            let varying = &varying[self.range_of(seen.first)];
            let defined = shapes.as_mut().and_then(|it| it.define(seen.hash, varying));
            if let Some(known) = defined {
                templates[number] = Some(making.defined(known, grain)?);
            }
        }
        // What stands alone is a text of a field of its own.
        let mut alone: Option<usize> = None;
        for (at, value) in values.iter().enumerate() {
            let number = self.numbers[at];
            let is_alone = templates[number].is_none()
                && (self.seen[number].count == 1 || making.places.len() >= TEMPLATES_MAX - 1);
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
            let slots = if is_alone { std::slice::from_ref(value) } else { self.slots_of(at) };
            for (child, slot) in &making.places[template] {
                split.children[*child].values.push(slots[*slot]);
            }
        }
        Some(making.split)
    }

    /// Remembers the kinds of lines that are new.
    fn note(
        &self,
        Given { source, values, grain }: Given<'_>,
        varying: &[bool],
        shapes: &mut Shapes,
    ) {
        let is_new = |it: &&Seen| !it.is_known && !self.is_whole(values, it.first);
        let kinds = self.seen.iter().filter(is_new).map(|it| {
            let (value, slots) = (values[it.first], self.slots_of(it.first));
            let keys = keys_of(source, value, slots, grain);
            let keys = keys.into_iter().map(|key| (key & 0xffff) as u16).collect();
            (it.hash, value, slots, &varying[self.range_of(it.first)], keys)
        });
        shapes.note(source, kinds);
    }
}

/// A split in the making.
#[derive(Default)]
struct Making {
    split: Split,
    /// For each template its children, and which of the slots that were found each is.
    places: Vec<Vec<(usize, usize)>>,
    /// Fields by what they are the values of.
    children: BTreeMap<u64, usize>,
    most: usize,
}

impl Making {
    /// A template that is a definition. A reader numbers its children in the same way, in order of their first appearance.
    fn defined(&mut self, known: Known, grain: Grain) -> Option<usize> {
        let mut places = Vec::with_capacity(known.slots.len());
        for (at, key) in known.slots {
            places.push((self.child(Some(key.into()), grain.finer())?, at));
        }
        self.split.defined.push((known.definition, known.is_told));
        self.places.push(places);
        Some(self.places.len() - 1)
    }

    /// The template of what is like nothing else: all of it is a value.
    fn alone(&mut self, value: Slice) -> Option<usize> {
        let child = self.child(None, Grain::Whole)?;
        let nothing = Slice { from: value.from, to: value.from };
        Some(self.push(vec![nothing; 2], vec![(child, 0)]))
    }

    /// The template of a value and those like it, by its slots and which of them vary.
    fn template(
        &mut self,
        source: &[u8],
        value: Slice,
        (slots, varying): (&[Slice], &[bool]),
        grain: Grain,
    ) -> Option<usize> {
        let keys = keys_of(source, value, slots, grain);
        let mut places = Vec::with_capacity(slots.len());
        for (at, key) in keys.into_iter().enumerate().filter(|(at, _)| varying[*at]) {
            places.push((self.child(Some(key | OWN), grain.finer())?, at));
        }
        let slots: Vec<Slice> = places.iter().map(|(_, at)| slots[*at]).collect();
        Some(self.push(literals(value, &slots).collect(), places))
    }

    fn push(&mut self, literals: Vec<Slice>, places: Vec<(usize, usize)>) -> usize {
        let children = places.iter().map(|(child, _)| *child).collect();
        self.split.templates.push(Template { literals, children });
        self.places.push(places);
        self.places.len() - 1
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

/// Told apart from the keys of definitions, which have 16 bits.
const OWN: u64 = 1 << 63;

/// What each slot is of: a leaf is told by its name, anything else by its place among the same marks.
fn keys_of(source: &[u8], value: Slice, slots: &[Slice], grain: Grain) -> Vec<u64> {
    let is_object = grain == Grain::Leaf && value.of(source).first() == Some(&b'{');
    let between: Vec<Slice> = literals(value, slots).collect();
    if is_object {
        return between[..slots.len()].iter().map(|it| hash(1, it.of(source))).collect();
    }
    let shape = between.iter().fold(0, |shape, it| hash(shape, &shape_of(it.of(source))));
    (0..slots.len()).map(|at| hash(shape, &at.to_le_bytes())).collect()
}

/// A literal with every word made the same.
fn shape_of(literal: &[u8]) -> Vec<u8> {
    let letters = literal.iter().map(|byte| if byte.is_ascii_alphabetic() { b'a' } else { *byte });
    let mut shape: Vec<u8> = letters.collect();
    shape.dedup_by(|byte, before| *byte == b'a' && *before == b'a');
    shape
}
