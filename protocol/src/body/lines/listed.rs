//! Lists of texts, in order of their first appearance.

use super::scan::hash;
use super::{LISTED_MAX, Slice};

/// Numbers for hashes, or for what is told apart by more than its hash.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// One more than a number, with its hash; 0 where none is. Its length is a power of two.
    places: Vec<(u64, u32)>,
    count: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { places: vec![(0, 0); 64], count: 0 }
    }
}

impl Table {
    /// The number under a hash for which `is_it` holds, or the next one, which is new.
    pub(super) fn number(&mut self, hash: u64, is_it: impl Fn(usize) -> bool) -> (usize, bool) {
        if 2 * self.count >= self.places.len() {
            self.grow();
        }
        let mask = self.places.len() - 1;
        let mut at = place_of(hash, mask);
        loop {
            let (known, number) = self.places[at];
            if number == 0 {
                self.count += 1;
                self.places[at] = (hash, u32::try_from(self.count).expect("values are numbered"));
                return (self.count - 1, true);
            }
            if known == hash && is_it(number as usize - 1) {
                return (number as usize - 1, false);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let larger = vec![(0, 0); 4 * self.places.len()];
        let mask = larger.len() - 1;
        for (hash, number) in std::mem::replace(&mut self.places, larger) {
            if number == 0 {
                continue;
            }
            let mut at = place_of(hash, mask);
            while self.places[at].1 != 0 {
                at = (at + 1) & mask;
            }
            self.places[at] = (hash, number);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
fn place_of(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// Values as places in a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub(super) texts: Vec<Slice>,
    pub(super) places: Vec<u64>,
}

impl Listed {
    /// `None` where so many values differ that a list is not worth it.
    pub(super) fn of(source: &[u8], values: &[Slice]) -> Option<Self> {
        let mut table = Table::default();
        let mut listed = Self::default();
        listed.places.reserve(values.len());
        for (at, value) in values.iter().enumerate() {
            let text = value.of(source);
            let texts = &listed.texts;
            let is_it = |number: usize| texts[number].of(source) == text;
            let (number, is_new) = table.number(hash(0, text), is_it);
            if is_new {
                listed.texts.push(*value);
                let many = at >= PROBED && listed.texts.len() > at / 2;
                if many || listed.texts.len() > LISTED_MAX {
                    return None;
                }
            }
            listed.places.push(number as u64);
        }
        Some(listed)
    }
}

/// Values after which a list that holds half of them is given up.
const PROBED: usize = 128;
