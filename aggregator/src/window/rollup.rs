//! From figures per device to figures per key.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::Series;

use super::device::{Cell, Device};
use super::partial::{Group, GroupRow};
use super::rules::Version;
use super::{Combination, DEVICE, Figures, Key};

/// Event time after which a silent device no longer counts as known: whoever was away for a day is not
/// missing in every average for ever.
const KNOWN_FOR_US: i64 = 86_400_000_000;

/// Adds a window's cells up by every combination. Keys that the shard knows and that sent nothing are
/// there without rows.
pub(super) fn groups(
    start_us: i64,
    cells: &BTreeMap<DeviceId, Cell>,
    devices: &BTreeMap<DeviceId, Device>,
    version: &Version,
) -> Vec<Group> {
    let mut groups = Vec::new();
    for combination in &version.combinations {
        if combination.is_device() {
            groups.extend(cells.iter().filter_map(|(id, cell)| {
                let device = devices.get(id)?;
                let rows = figures(cell, device);
                let rows = rows.map(|(series, figures)| GroupRow {
                    series: Arc::clone(series),
                    figures,
                    devices: 1,
                });
                let mut rows: Vec<GroupRow> = rows.collect();
                rows.sort_by(|one, other| one.series.cmp(&other.series));
                let (combination, key) = (Arc::clone(combination), Key::Of(vec![id.to_string()]));
                Some(Group { combination, key: Arc::new(key), known: 1, rows })
            }));
            continue;
        }
        let most = version.rules.keys_max as usize;
        let mut keys = Keys { combination, most, of: BTreeMap::new() };
        for (id, cell) in cells {
            if let (Some(key), Some(device)) =
                (key_of(combination, *id, &cell.facts), devices.get(id))
            {
                let sums = keys.of(key);
                figures(cell, device).for_each(|(series, figures)| sums.add(series, figures));
            }
        }
        for (id, device) in devices {
            if device.seen_us < start_us.saturating_sub(KNOWN_FOR_US) {
                continue;
            }
            if let Some(key) = key_of(combination, *id, &device.facts) {
                keys.of(key).known += 1;
            }
        }
        groups.extend(keys.into_groups());
    }
    groups
}

fn figures<'a>(
    cell: &'a Cell,
    device: &'a Device,
) -> impl Iterator<Item = (&'a Arc<Series>, Figures)> {
    device.series.iter().zip(&cell.figures).filter_map(|(series, it)| it.map(|it| (series, it)))
}

/// The key of a device. `None` if it has none of the labels: it belongs to no group then.
fn key_of(
    combination: &Combination,
    id: DeviceId,
    facts: &BTreeMap<String, String>,
) -> Option<Key> {
    let value = |label: &String| match label.as_str() {
        DEVICE => id.to_string(),
        label => facts.get(label).cloned().unwrap_or_default(),
    };
    let values: Vec<String> = combination.labels().iter().map(value).collect();
    values.iter().any(|value| !value.is_empty()).then_some(Key::Of(values))
}

/// The keys of one combination in one window.
struct Keys<'a> {
    combination: &'a Arc<Combination>,
    most: usize,
    of: BTreeMap<Key, Sums<'a>>,
}

#[derive(Default)]
struct Sums<'a> {
    known: u32,
    rows: BTreeMap<&'a Arc<Series>, (Figures, u32)>,
}

impl<'a> Keys<'a> {
    /// The sums of a key, or of `other` where there are too many keys.
    fn of(&mut self, key: Key) -> &mut Sums<'a> {
        let room = self.of.len() < self.most || self.of.contains_key(&key);
        self.of.entry(if room { key } else { Key::Other }).or_default()
    }

    fn into_groups(self) -> impl Iterator<Item = Group> {
        let combination = Arc::clone(self.combination);
        self.of.into_iter().map(move |(key, sums)| {
            let rows = sums.rows.into_iter().map(|(series, (figures, devices))| GroupRow {
                series: Arc::clone(series),
                figures,
                devices,
            });
            let rows = rows.collect();
            let combination = Arc::clone(&combination);
            Group { combination, key: Arc::new(key), known: sums.known, rows }
        })
    }
}

impl<'a> Sums<'a> {
    /// Adds one device's figures of a series.
    fn add(&mut self, series: &'a Arc<Series>, figures: Figures) {
        let sum = self.rows.entry(series).or_insert((figures, 0));
        if sum.1 > 0 {
            sum.0 = sum.0.plus(figures);
        }
        sum.1 += 1;
    }
}
