//! What one shard says of one window, held until no more of it is expected.
//!
//! While a window is open its figures lie as they came. Once it is closed they are asked for only if something comes
//! late: they are packed then, a row in some 16 bytes instead of 64, and series are named once for all windows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::codec::{DecodeError, Reader, put_varint};
use headwater_protocol::record::Series;

use super::window::{KeyOf, sum};
use crate::window::partial::{Group, GroupRow};
use crate::window::{Combination, Key};

/// A shard's figures of a window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// As they came.
    Open(Vec<Group>),
    /// Of a closed window.
    Packed(Packed),
}

/// Groups whose rows are bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Packed {
    /// In order of first use.
    series: Arc<[Arc<Series>]>,
    groups: Vec<PackedGroup>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct PackedGroup {
    combination: Arc<Combination>,
    key: Arc<Key>,
    known: u32,
    /// Whether it is kept of any row how its values are spread.
    is_spread: bool,
    /// Per row: place of the series, then the row itself.
    rows: Box<[u8]>,
}

impl Default for Part {
    fn default() -> Self {
        Self::Open(Vec::new())
    }
}

impl Part {
    /// The groups as they came.
    pub(super) fn into_groups(self) -> Vec<Group> {
        match self {
            Self::Open(groups) => groups,
            Self::Packed(packed) => packed.groups().collect(),
        }
    }

    /// A copy of the groups.
    pub(super) fn groups(&self) -> Vec<Group> {
        match self {
            Self::Open(groups) => groups.clone(),
            Self::Packed(packed) => packed.groups().collect(),
        }
    }

    /// Takes the groups of devices out of an open part; a packed one has none.
    pub(super) fn take_devices(&mut self) -> Vec<Group> {
        match self {
            Self::Open(groups) => take_devices(groups),
            Self::Packed(_) => Vec::new(),
        }
    }

    /// Calls `each` with the rows of every key that is wanted and has any.
    pub(super) fn visit<'a>(
        &'a self,
        is_wanted: impl Fn(&KeyOf) -> bool,
        mut each: impl FnMut(KeyOf, Cow<'a, [GroupRow]>),
    ) {
        match self {
            Self::Open(groups) => {
                for group in groups.iter().filter(|group| !group.rows.is_empty()) {
                    let of = key_of(group);
                    if is_wanted(&of) {
                        each(of, Cow::Borrowed(&group.rows));
                    }
                }
            }
            Self::Packed(packed) => {
                for group in packed.groups.iter().filter(|group| !group.rows.is_empty()) {
                    let of = (Arc::clone(&group.combination), Arc::clone(&group.key));
                    if is_wanted(&of) {
                        each(of, Cow::Owned(packed.rows(group)));
                    }
                }
            }
        }
    }

    /// Packs the figures. `before` is the same shard's part of the window before: its names are shared if they are the
    /// same ones.
    pub(super) fn pack(&mut self, before: Option<&Self>) {
        let Self::Open(groups) = self else { return };
        let groups = std::mem::take(groups);
        let mut table = Table::default();
        let groups = groups.into_iter().map(|group| table.pack(group)).collect();
        let series = match before {
            Some(Self::Packed(before)) if *before.series == *table.order => {
                Arc::clone(&before.series)
            }
            _ => table.order.into(),
        };
        *self = Self::Packed(Packed { series, groups });
    }
}

impl Packed {
    fn groups(&self) -> impl Iterator<Item = Group> {
        self.groups.iter().map(|group| Group {
            combination: Arc::clone(&group.combination),
            key: Arc::clone(&group.key),
            known: group.known,
            rows: self.rows(group),
        })
    }

    fn rows(&self, group: &PackedGroup) -> Vec<GroupRow> {
        let mut reader = Reader::new(&group.rows);
        let mut rows = Vec::new();
        while reader.left() > 0 {
            let row = self.row(group.is_spread, &mut reader);
            rows.push(row.expect("this process packed it, from rows that it had"));
        }
        rows
    }

    fn row(&self, is_spread: bool, reader: &mut Reader<'_>) -> Result<GroupRow, DecodeError> {
        let place = reader.length("series", self.series.len())?;
        GroupRow::decode(Arc::clone(&self.series[place]), is_spread, reader)
    }
}

/// The series of a part, as they turn up.
#[derive(Default)]
struct Table {
    places: BTreeMap<Arc<Series>, u64>,
    order: Vec<Arc<Series>>,
}

impl Table {
    fn pack(&mut self, group: Group) -> PackedGroup {
        let mut rows = Vec::new();
        let is_spread = group.is_spread();
        for row in &group.rows {
            put_varint(&mut rows, self.place(&row.series));
            row.encode(is_spread, &mut rows);
        }
        let Group { combination, key, known, .. } = group;
        PackedGroup { combination, key, known, is_spread, rows: rows.into() }
    }

    fn place(&mut self, series: &Arc<Series>) -> u64 {
        if let Some(place) = self.places.get(series) {
            return *place;
        }
        let place = self.order.len() as u64;
        self.places.insert(Arc::clone(series), place);
        self.order.push(Arc::clone(series));
        place
    }
}

pub(super) fn key_of(group: &Group) -> KeyOf {
    (Arc::clone(&group.combination), Arc::clone(&group.key))
}

/// Takes the groups of devices out of others.
pub(super) fn take_devices(groups: &mut Vec<Group>) -> Vec<Group> {
    let all = std::mem::take(groups).into_iter();
    let (devices, others) = all.partition(|group| group.combination.is_device());
    *groups = others;
    devices
}

/// The figures of groups by their keys: those of one key are added up.
pub(super) fn by_key(groups: impl IntoIterator<Item = Group>) -> BTreeMap<KeyOf, Vec<GroupRow>> {
    let mut sums: BTreeMap<KeyOf, Vec<GroupRow>> = BTreeMap::new();
    for group in groups.into_iter().filter(|group| !group.rows.is_empty()) {
        let rows = sums.entry((group.combination, group.key)).or_default();
        *rows = if rows.is_empty() { group.rows } else { sum(&[rows, &group.rows]) };
    }
    sums
}
