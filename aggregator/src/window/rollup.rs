//! From figures per device to figures per key, when a window closes: one pass over its cells for all combinations.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;

use super::cells::Cells;
use super::columns::{Columns, Visit};
use super::device::Devices;
use super::keys::{DeviceKeys, NO_KEY};
use super::partial::{Group, GroupRow};
use super::rules::Version;
use super::sums::{Sum, Sums};
use super::{Combination, Spread};

/// Event time after which a silent device no longer counts as known: whoever was away for a day is not
/// missing in every average for ever.
pub(super) const KNOWN_FOR_US: i64 = 86_400_000_000;

/// Adds a window's cells up by every combination. Keys that the shard knows and that sent nothing are
/// there without rows.
pub(super) fn groups(
    start_us: i64,
    cells: &Cells,
    devices: &Devices,
    (keys, version): (&mut DeviceKeys, &Version),
) -> Vec<Group> {
    keys.prepare(version, devices);
    let changed = changed_keys(cells, devices, (keys, version));
    let keys = &*keys;
    let numbers_of = |slot| changed.get(&slot).map_or_else(|| keys.of(slot), Vec::as_slice);
    let columns = Columns::of(cells, devices);
    let most = version.rules.keys_max as usize;
    let sums = version.quantiles.iter().enumerate();
    // A window that opened before its rules were known keeps none.
    let sums =
        sums.map(|(at, is_kept)| Sums::new(keys.table(at), most, *is_kept && cells.are_sketched()));
    let mut sums: Vec<Sums<'_>> = sums.collect();
    let known_since_us = start_us.saturating_sub(KNOWN_FOR_US);
    if sums.iter().any(Sums::may_overflow) {
        // First come, first served: devices that sent something come before those that are only known.
        let sent = devices.iter().filter(|(_, slot, _)| cells.contains(*slot));
        let sent = sent.map(|(_, slot, _)| numbers_of(slot));
        let known = devices.iter().filter(|(_, _, device)| device.seen_us >= known_since_us);
        for numbers in sent.chain(known.map(|(_, slot, _)| keys.of(slot))) {
            each(&mut sums, numbers, |_| ());
        }
    }
    let mut visits: &[Visit] = &[];
    let mut visited = None;
    // Which of the sums a key has is settled, so the order is that in which memory is.
    for slot in devices.slots() {
        let device = devices.get(slot);
        if device.seen_us >= known_since_us {
            each(&mut sums, keys.of(slot), |sum| sum.known += 1);
        }
        if !cells.contains(slot) {
            continue;
        }
        if visited != Some(Arc::as_ptr(&device.list)) {
            visited = Some(Arc::as_ptr(&device.list));
            visits = columns.of_list(&device.list);
        }
        each(&mut sums, numbers_of(slot), |sum| sum.add((visits, slot), cells, &columns));
    }
    let mut groups = Vec::new();
    for (combination, sums) in version.combinations.iter().zip(sums) {
        if combination.is_device() {
            let combination = (combination, sums.is_spread());
            groups.extend(by_device(combination, (cells, devices), (keys, &columns)));
        } else {
            groups.extend(sums.into_groups(combination));
        }
    }
    groups
}

/// The keys of the cells whose labels are no longer those of their devices.
fn changed_keys(
    cells: &Cells,
    devices: &Devices,
    (keys, version): (&mut DeviceKeys, &Version),
) -> BTreeMap<u32, Vec<u32>> {
    if cells.changed_facts().next().is_none() {
        return BTreeMap::new();
    }
    let ids: BTreeMap<u32, DeviceId> = devices.iter().map(|(id, slot, _)| (slot, *id)).collect();
    let changed = cells.changed_facts();
    changed.map(|(slot, facts)| (slot, keys.look_up(version, ids[&slot], facts))).collect()
}

/// Does something with the sum of each key that a device has.
fn each(sums: &mut [Sums<'_>], numbers: &[u32], mut act: impl FnMut(&mut Sum)) {
    let keys = sums.iter_mut().zip(numbers).filter(|(_, number)| **number != NO_KEY);
    keys.for_each(|(sums, number)| act(sums.of(*number)));
}

/// The groups of the combination that keeps devices apart.
fn by_device(
    (combination, is_spread): (&Arc<Combination>, bool),
    (cells, devices): (&Cells, &Devices),
    (keys, columns): (&DeviceKeys, &Columns<'_>),
) -> Vec<Group> {
    let group = |slot| {
        let (tallies, sketches) = (cells.tallies(slot), cells.sketches(slot));
        let mut rows = Vec::with_capacity(tallies.len());
        for visit in columns.of_list(&devices.get(slot).list) {
            let tally = tallies.get(visit.place as usize);
            if let Some(figures) = tally.and_then(|tally| cells.figures_of(*tally)) {
                let series = Arc::clone(columns.series(visit.column));
                let spread = match is_spread {
                    true => {
                        Spread::of(sketches.get(visit.place as usize).and_then(Option::as_deref))
                    }
                    false => Spread::Unknown,
                };
                rows.push(GroupRow { series, figures, spread, devices: 1 });
            }
        }
        let (combination, key) = (Arc::clone(combination), Arc::clone(keys.own(slot)));
        Group { combination, key, known: 1, rows }
    };
    // Made in the order in which memory is, and put in that of ids.
    let sent = |slot: &u32| cells.contains(*slot);
    let made = devices.slots().map(|slot| sent(&slot).then(|| group(slot)));
    let mut made: Vec<Option<Group>> = made.collect();
    devices.iter().filter_map(|(_, slot, _)| made[slot as usize].take()).collect()
}
