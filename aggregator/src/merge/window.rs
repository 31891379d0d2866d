//! One window as the merge fold holds it: what each shard says of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocol::identity::ShardId;
use headwater_protocol::record::Series;

use super::part::{Part, by_key};
use crate::window::partial::{Group, GroupRow};
use crate::window::{Combination, Key};

/// A key of a combination.
pub(super) type KeyOf = (Arc<Combination>, Arc<Key>);

/// A window, with the newest that each shard said of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct MergeWindow {
    pub(super) length_us: u64,
    /// How often its figures were told; 0 while its first revision is open.
    pub(super) revision: u32,
    pub(super) without: BTreeSet<ShardId>,
    pub(super) parts: BTreeMap<ShardId, Part>,
}

impl MergeWindow {
    /// Puts what a shard says in the place of what it said before.
    pub(super) fn replace(&mut self, shard: ShardId, groups: Vec<Group>) {
        self.parts.insert(shard, Part::Open(groups));
    }

    /// Adds more to what a shard said.
    pub(super) fn add(&mut self, shard: ShardId, more: Vec<Group>) {
        let part = self.parts.entry(shard).or_default();
        let mut groups = std::mem::take(part).into_groups();
        for group in more {
            let same = groups
                .iter_mut()
                .find(|it| it.key == group.key && it.combination == group.combination);
            match same {
                Some(same) => same.rows = sum(&[&same.rows, &group.rows]),
                None => groups.push(group),
            }
        }
        *part = Part::Open(groups);
    }

    /// The figures of all keys over all shards, in order of combination and key. Those of devices go with it: a device
    /// is in one shard, whose next word on it is whole or an addition, so nothing that is said later needs them.
    pub(super) fn close(&mut self) -> BTreeMap<KeyOf, Vec<GroupRow>> {
        let devices = by_key(self.take_devices());
        let mut sums = self.sums(None);
        sums.extend(devices);
        sums
    }

    /// The groups of devices, which are held no longer.
    pub(super) fn take_devices(&mut self) -> Vec<Group> {
        self.parts.values_mut().flat_map(Part::take_devices).collect()
    }

    /// Packs what is held of a closed window. `before` is the window before it.
    pub(super) fn pack(&mut self, before: Option<&Self>) {
        for (shard, part) in &mut self.parts {
            part.pack(before.and_then(|before| before.parts.get(shard)));
        }
    }

    /// The figures of keys over all shards: of those that are asked for, or of all. In order of
    /// combination and key.
    pub(super) fn sums(&self, of: Option<&BTreeSet<KeyOf>>) -> BTreeMap<KeyOf, Vec<GroupRow>> {
        let mut parts: BTreeMap<KeyOf, Vec<Cow<'_, [GroupRow]>>> = BTreeMap::new();
        let is_wanted = |key: &KeyOf| of.is_none_or(|of| of.contains(key));
        for part in self.parts.values() {
            part.visit(is_wanted, |key, rows| parts.entry(key).or_default().push(rows));
        }
        let of_key = |(key, rows): (KeyOf, Vec<Cow<'_, [GroupRow]>>)| {
            let rows: Vec<&[GroupRow]> = rows.iter().map(AsRef::as_ref).collect();
            (key, sum(&rows))
        };
        parts.into_iter().map(of_key).collect()
    }
}

/// Rows of several parts as one, in order of series.
pub(super) fn sum(parts: &[&[GroupRow]]) -> Vec<GroupRow> {
    if let [only] = parts {
        return only.to_vec();
    }
    let mut sums: BTreeMap<&Arc<Series>, GroupRow> = BTreeMap::new();
    for row in parts.iter().copied().flatten() {
        sums.entry(&row.series).and_modify(|sum| sum.add(row)).or_insert_with(|| row.clone());
    }
    sums.into_values().collect()
}
