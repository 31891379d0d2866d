//! One window as the merge fold holds it: what each shard says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocol::identity::ShardId;
use headwater_protocol::record::Series;

use crate::window::partial::{Group, GroupRow};
use crate::window::{Combination, Figures, Key};

/// A key of a combination.
pub(super) type KeyOf = (Arc<Combination>, Arc<Key>);

/// A window, with the newest that each shard said of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct MergeWindow {
    pub(super) length_us: u64,
    /// How often its figures were told; 0 while its first revision is open.
    pub(super) revision: u32,
    pub(super) without: BTreeSet<ShardId>,
    pub(super) parts: BTreeMap<ShardId, Vec<Group>>,
}

impl MergeWindow {
    /// Puts what a shard says in the place of what it said before.
    pub(super) fn replace(&mut self, shard: ShardId, groups: Vec<Group>) {
        self.parts.insert(shard, groups);
    }

    /// Adds more to what a shard said.
    pub(super) fn add(&mut self, shard: ShardId, more: Vec<Group>) {
        let groups = self.parts.entry(shard).or_default();
        for group in more {
            let same = groups
                .iter_mut()
                .find(|it| it.key == group.key && it.combination == group.combination);
            match same {
                Some(same) => same.rows = sum([&same.rows, &group.rows]),
                None => groups.push(group),
            }
        }
    }

    /// The figures of keys over all shards: of those that are asked for, or of all. In order of
    /// combination and key.
    pub(super) fn sums(&self, of: Option<&BTreeSet<KeyOf>>) -> BTreeMap<KeyOf, Vec<GroupRow>> {
        let mut parts: BTreeMap<KeyOf, Vec<&Vec<GroupRow>>> = BTreeMap::new();
        for group in self.parts.values().flatten().filter(|group| !group.rows.is_empty()) {
            let key = (Arc::clone(&group.combination), Arc::clone(&group.key));
            if of.is_none_or(|of| of.contains(&key)) {
                parts.entry(key).or_default().push(&group.rows);
            }
        }
        parts.into_iter().map(|(key, rows)| (key, sum(rows))).collect()
    }
}

/// Rows of several parts as one, in order of series.
pub(super) fn sum<'a>(parts: impl IntoIterator<Item = &'a Vec<GroupRow>>) -> Vec<GroupRow> {
    let parts: Vec<&Vec<GroupRow>> = parts.into_iter().collect();
    if let [only] = parts[..] {
        return only.clone();
    }
    let mut sums: BTreeMap<Arc<Series>, (Figures, u32)> = BTreeMap::new();
    for row in parts.into_iter().flatten() {
        sums.entry(Arc::clone(&row.series))
            .and_modify(|(figures, devices)| {
                *figures = figures.plus(row.figures);
                *devices = devices.saturating_add(row.devices);
            })
            .or_insert((row.figures, row.devices));
    }
    let row = |(series, (figures, devices))| GroupRow { series, figures, devices };
    sums.into_iter().map(row).collect()
}
