//! What a writer remembers of the lines of a lane: how those that are made alike are made.
//!
//! A batch of few lines can't tell what varies in them, and would hold what does not once more. Here stands, for each kind of
//! line that was met, which of its slots have varied so far, and its template as a **definition**: bytes that are the same in
//! every batch that needs them, so that they travel once a session (`wire::definitions`). A batch holds all of its definitions:
//! who reads it needs none of this, and to forget it costs nothing but bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Slice;
use crate::body::definitions;
use crate::codec::{put_bytes, put_varint};
use crate::limits;

/// Kinds of lines that were met, by the hash of what stands between their slots.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    shapes: BTreeMap<u64, Shape>,
    /// Bytes of memory, and of definitions.
    weight: usize,
    defined: usize,
    /// Batches so far, and when it was last looked for what is not used any more.
    batches: u64,
    swept: u64,
}

#[derive(Clone, Debug)]
struct Shape {
    /// A line of its kind.
    text: Vec<u8>,
    slots: Vec<Slice>,
    /// What each slot's values are the values of: slots with the same key share a field.
    keys: Vec<u16>,
    /// Which slots have varied.
    varying: Vec<bool>,
    /// The template, once it was needed. Empty where there was no room for it.
    definition: Option<Arc<[u8]>>,
    /// The last batch that it was in.
    used: u64,
}

/// A template that is a definition.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) definition: Arc<[u8]>,
    /// Which slots vary, and what of.
    pub(super) slots: Vec<(usize, u16)>,
    /// Whether it was in a body before.
    pub(super) is_told: bool,
}

/// Bytes of memory for one lane: 45 kinds of events of 6 KB take 0.4 MB.
const WEIGHT_MAX: usize = 1 << 20;
/// Batches after which what was not met again makes room for others.
const USED_WITHIN: u64 = 64;
/// Kinds of lines that are remembered of one batch: what never comes again should not push out what does.
const NOTED_MAX: usize = 256;

impl Shapes {
    /// A batch begins.
    pub(super) fn begin(&mut self) {
        self.batches += 1;
    }

    /// Whether a line with these slots is of a kind that was met.
    pub(super) fn knows(&self, hash: u64, source: &[u8], value: Slice, slots: &[Slice]) -> bool {
        let Some(shape) = self.shapes.get(&hash) else { return false };
        let whole = Slice::new(0, shape.text.len());
        shape.slots.len() == slots.len()
            && literals(value, slots)
                .zip(literals(whole, &shape.slots))
                .all(|(one, other)| one.of(source) == other.of(&shape.text))
    }

    /// Marks which slots of a line differ from those of the line that is remembered of its kind.
    pub(super) fn differ(&self, hash: u64, source: &[u8], slots: &[Slice], varying: &mut [bool]) {
        let Some(shape) = self.shapes.get(&hash) else { return };
        for ((slot, known), varies) in slots.iter().zip(&shape.slots).zip(varying) {
            *varies = *varies || slot.of(source) != known.of(&shape.text);
        }
    }

    /// The definition of a kind of lines, of which these slots vary as well; `None` where there is no room for it.
    pub(super) fn define(&mut self, hash: u64, varying: &[bool]) -> Option<Known> {
        let shape = self.shapes.get_mut(&hash)?;
        shape.used = self.batches;
        let is_new = |(known, now): (&bool, &bool)| *now && !*known;
        if shape.varying.iter().zip(varying).any(is_new) {
            shape.varying.iter_mut().zip(varying).for_each(|(known, now)| *known |= *now);
            self.defined -= shape.definition.take().map_or(0, |definition| definition.len());
        }
        let is_told = shape.definition.is_some();
        let definition = match &shape.definition {
            Some(definition) => Arc::clone(definition),
            None => {
                let packed = definitions::pack(&shape.template());
                let fits = packed.len() <= limits::DEFINITION_BYTES_MAX
                    && self.defined + packed.len() <= limits::DEFINITIONS_BYTES_MAX / 2;
                // That it has no room is not found out again with each batch.
                let definition = if fits { packed } else { Arc::default() };
                self.defined += definition.len();
                shape.definition = Some(Arc::clone(&definition));
                definition
            }
        };
        let has_room = !definition.is_empty();
        has_room.then(|| Known { definition, slots: shape.varying().collect(), is_told })
    }

    /// Remembers kinds of lines: hash, a line, its slots, what they are of, and which of them vary.
    pub(super) fn note<'a>(
        &mut self,
        source: &[u8],
        kinds: impl Iterator<Item = (u64, Slice, &'a [Slice], &'a [bool], Vec<u16>)>,
    ) {
        for (hash, value, slots, varying, keys) in kinds.take(NOTED_MAX) {
            let slots = slots
                .iter()
                .map(|slot| Slice { from: slot.from - value.from, to: slot.to - value.from });
            let shape = Shape {
                text: value.of(source).to_vec(),
                slots: slots.collect(),
                keys,
                varying: varying.to_vec(),
                definition: None,
                used: self.batches,
            };
            if self.weight + shape.weight() > WEIGHT_MAX {
                self.sweep();
                if self.weight + shape.weight() > WEIGHT_MAX {
                    return;
                }
            }
            self.weight += shape.weight();
            if let Some(before) = self.shapes.insert(hash, shape) {
                self.forget(&before);
            }
        }
    }

    /// Forgets what was not met in a while.
    fn sweep(&mut self) {
        if self.swept == self.batches {
            return;
        }
        self.swept = self.batches;
        let oldest = self.batches.saturating_sub(USED_WITHIN);
        let is_old = |_: &u64, shape: &mut Shape| shape.used < oldest;
        let old: Vec<(u64, Shape)> = self.shapes.extract_if(.., is_old).collect();
        old.iter().for_each(|(_, shape)| self.forget(shape));
        // There may be room now for what had none.
        let shapes = self.shapes.values_mut();
        shapes.for_each(|shape| {
            shape.definition = shape.definition.take().filter(|it| !it.is_empty())
        });
    }

    fn forget(&mut self, shape: &Shape) {
        self.weight -= shape.weight();
        self.defined -= shape.definition.as_ref().map_or(0, |definition| definition.len());
    }
}

impl Shape {
    fn weight(&self) -> usize {
        // A definition takes about a quarter of its text.
        128 + self.text.len() * 5 / 4 + self.slots.len() * 11
    }

    /// Its varying slots by their places, and what they are of.
    fn varying(&self) -> impl Iterator<Item = (usize, u16)> {
        let all = self.varying.iter().zip(&self.keys).enumerate();
        all.filter(|(_, (varies, _))| **varies).map(|(at, (_, key))| (at, *key))
    }

    /// The template as bytes: its slots, literals, and what each slot is of.
    fn template(&self) -> Vec<u8> {
        let varying: Vec<(usize, u16)> = self.varying().collect();
        let slots: Vec<Slice> = varying.iter().map(|(at, _)| self.slots[*at]).collect();
        let mut out = Vec::with_capacity(self.text.len() + 4 * slots.len() + 4);
        put_varint(&mut out, slots.len() as u64);
        for literal in literals(Slice::new(0, self.text.len()), &slots) {
            put_bytes(&mut out, literal.of(&self.text));
        }
        varying.iter().for_each(|(_, key)| out.extend_from_slice(&key.to_le_bytes()));
        out
    }
}

/// What stands before, between and behind slots.
pub(super) fn literals(value: Slice, slots: &[Slice]) -> impl Iterator<Item = Slice> {
    let from = std::iter::once(value.from).chain(slots.iter().map(|slot| slot.to));
    let to = slots.iter().map(|slot| slot.from).chain(std::iter::once(value.to));
    from.zip(to).map(|(from, to)| Slice { from, to })
}
