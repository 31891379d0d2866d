//! The merge fold: a pure function of the merge log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocol::identity::{DeviceId, ShardId};

use super::entry::{MergeEntry, MergeKind};
use super::part::{by_key, key_of, take_devices};
use super::pooled::pooled;
use super::window::{KeyOf, MergeWindow};
use crate::alert::{AlertChange, Alerts};
use crate::window::partial::{Facts, Group, GroupRow, Partial};
use crate::window::{ClosedWindow, Combination, Key, Output, OutputKind, Position, Row};

/// How long a window is held after its first revision, by event time: longer than any shard holds it and
/// may lie behind.
const HOLD_US: i64 = 180_000_000;

/// What all shards know, merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MergeState {
    pub(super) shards: BTreeMap<ShardId, Shard>,
    pub(super) windows: BTreeMap<i64, MergeWindow>,
    pub(super) facts: BTreeMap<DeviceId, Facts>,
    pub(super) keys: BTreeMap<Arc<Combination>, Keys>,
    /// Where the newest window begins whose first revision is made; `None` before the first.
    pub(super) closed_us: Option<i64>,
    /// Figures that came for a window that was let go, and could be put in no place.
    pub(super) strayed: u64,
    /// Thresholds and alerts: first revisions alone go in.
    pub(super) alerts: Alerts,
}

/// What a shard has told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Shard {
    pub(super) at: Option<Position>,
    /// Windows that it announced and has not told yet.
    pub(super) open: BTreeSet<i64>,
    /// The pieces so far of a partial that is continued.
    pub(super) pieces: Vec<Group>,
}

/// The keys of one combination.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Keys {
    /// Keys that have figures of their own: first come, first served.
    pub(super) admitted: BTreeSet<Arc<Key>>,
    /// Devices that each shard knows of each key, as it said last.
    pub(super) known: BTreeMap<ShardId, BTreeMap<Arc<Key>, u32>>,
}

impl Keys {
    /// Devices of a key that any shard knows.
    pub(super) fn known(&self, key: &Key) -> u32 {
        self.known.values().filter_map(|known| known.get(key)).sum()
    }
}

/// What an entry did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Merging {
    /// Windows whose first revision was made, in order.
    pub closed: Vec<ClosedWindow>,
    /// Whether thresholds or alerts may have changed.
    pub alerts_changed: bool,
    /// Changes of alerts, in order.
    pub changes: Vec<AlertChange>,
    /// What the store is to hold from now on.
    pub writes: Vec<Write>,
}

/// Figures of one key in one window, for the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// Where the window begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// What is added up by.
    pub combination: Arc<Combination>,
    /// The key.
    pub key: Arc<Key>,
    /// Which revision of the window it is: 1 is the first. 0 for an addition, which makes the next one of
    /// what the store holds.
    pub revision: u32,
    /// Devices of this key that are known.
    pub known: u32,
    /// The figures, in order of series.
    pub rows: Vec<GroupRow>,
}

impl MergeState {
    /// Folds one entry.
    pub fn fold(&mut self, entry: MergeEntry) -> Merging {
        let mut merging = Merging::default();
        match entry.kind {
            MergeKind::Output { shard, output } => self.output(shard, output, &mut merging),
            MergeKind::Without { start_us, shards } => {
                for id in shards {
                    let shard = self.shards.entry(id).or_default();
                    let kept = shard.open.split_off(&start_us.saturating_add(1));
                    let stayed_away = !std::mem::replace(&mut shard.open, kept).is_empty();
                    // Of a window that no shard has told there is nothing to close.
                    if let (true, Some(window)) = (stayed_away, self.windows.get_mut(&start_us)) {
                        window.without.insert(id);
                    }
                }
                self.close(&mut merging);
            }
            MergeKind::Rules(rules) => {
                self.alerts.publish(*rules);
                merging.alerts_changed = true;
            }
        }
        merging
    }

    /// Up to where a shard's outputs are in. `None` if none is.
    #[must_use]
    pub fn position(&self, shard: ShardId) -> Option<Position> {
        self.shards.get(&shard).and_then(|shard| shard.at)
    }

    /// Up to where each shard's outputs are in.
    pub fn positions(&self) -> impl Iterator<Item = (ShardId, Position)> {
        self.shards.iter().filter_map(|(shard, it)| Some((*shard, it.at?)))
    }

    /// The oldest window that is waited for, and the shards that have not told it.
    #[must_use]
    pub fn waited_for(&self) -> Option<(i64, Vec<ShardId>)> {
        let firsts = self.shards.values().filter_map(|shard| shard.open.first());
        let start_us = *firsts.min()?;
        let lacking = self.shards.iter().filter(|(_, shard)| shard.open.contains(&start_us));
        Some((start_us, lacking.map(|(id, _)| *id).collect()))
    }

    /// Where the newest window begins whose first revision is made.
    #[must_use]
    pub fn closed_us(&self) -> Option<i64> {
        self.closed_us
    }

    /// Thresholds and alerts.
    #[must_use]
    pub fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Figures that came for a window that was let go, and could be put in no place.
    #[must_use]
    pub fn strayed(&self) -> u64 {
        self.strayed
    }

    fn output(&mut self, id: ShardId, output: Output, merging: &mut Merging) {
        let shard = self.shards.entry(id).or_default();
        if shard.at >= Some(output.at) {
            return;
        }
        // A log that lost its tail tells anew what it had announced there.
        if shard.at.is_some_and(|at| at.generation < output.at.generation) {
            shard.open.clear();
            shard.pieces.clear();
        }
        shard.at = Some(output.at);
        match output.kind {
            OutputKind::Opened { start_us } => {
                if Some(start_us) > self.closed_us {
                    shard.open.insert(start_us);
                }
            }
            OutputKind::Partial(mut partial) => {
                self.facts.extend(std::mem::take(&mut partial.facts));
                shard.pieces.append(&mut partial.groups);
                if !partial.continued {
                    partial.groups = std::mem::take(&mut shard.pieces);
                    shard.open.remove(&partial.start_us);
                    self.partial(id, partial, merging);
                }
            }
        }
    }

    fn partial(&mut self, shard: ShardId, mut partial: Partial, merging: &mut Merging) {
        self.admit(shard, &mut partial);
        let start_us = partial.start_us;
        if Some(start_us) > self.closed_us {
            self.take(shard, partial);
            return self.close(merging);
        }
        let oldest = self.closed_us.map(|closed| closed.saturating_sub(HOLD_US));
        if Some(start_us) > oldest {
            let devices = by_key(take_devices(&mut partial.groups));
            let keys = partial.groups.iter().map(key_of).collect();
            let is_addition = partial.addition;
            self.take(shard, partial);
            let window = self.windows.get_mut(&start_us).expect("it was just taken");
            window.revision += 1;
            let (revision, sums) = (window.revision, window.sums(Some(&keys)));
            self.pack(start_us);
            self.write(start_us, if is_addition { 0 } else { revision }, devices, merging);
            return self.write(start_us, revision, sums, merging);
        }
        self.stray(partial, merging);
    }

    fn take(&mut self, shard: ShardId, partial: Partial) {
        let window = self.windows.entry(partial.start_us).or_default();
        window.length_us = partial.length_us;
        match partial.addition {
            true => window.add(shard, partial.groups),
            false => window.replace(shard, partial.groups),
        }
    }

    /// Figures of a window that is held no longer. What the store has never heard of is added to what it
    /// holds; a whole key takes the place of what is there.
    fn stray(&mut self, partial: Partial, merging: &mut Merging) {
        let is_new = partial.addition || partial.revision == 1;
        let has_place = |group: &Group| is_new || group.combination.is_device();
        let (kept, strayed): (Vec<_>, Vec<_>) = partial.groups.into_iter().partition(has_place);
        self.strayed += strayed.iter().map(|group| group.rows.len() as u64).sum::<u64>();
        let sums = by_key(kept);
        // Other revisions of it are counted by nobody any more: the store goes on from its own.
        let revision = if is_new { 0 } else { partial.revision };
        self.write(partial.start_us, revision, sums, merging);
    }

    /// Makes the first revision of every window that is complete, in order.
    fn close(&mut self, merging: &mut Merging) {
        loop {
            let after = self.closed_us.map_or(i64::MIN, |closed| closed.saturating_add(1));
            let Some((&start_us, window)) = self.windows.range_mut(after..).next() else { break };
            let waits = |shard: &Shard| shard.open.first().is_some_and(|open| *open <= start_us);
            if self.shards.values().any(waits) {
                break;
            }
            window.revision = 1;
            self.closed_us = Some(start_us);
            let mut sums = window.close();
            sums.extend(pooled(&sums, &self.keys));
            let length_us = i64::try_from(window.length_us).unwrap_or(i64::MAX);
            let without = window.without.iter().copied().collect();
            let rows = self.rows(&sums);
            let window = ClosedWindow { start_us, length_us, without, rows };
            merging.changes.extend(self.alerts.handle_window(&window));
            merging.alerts_changed = true;
            merging.closed.push(window);
            self.write(start_us, 1, sums, merging);
            let oldest = start_us.saturating_sub(HOLD_US);
            self.windows = self.windows.split_off(&oldest.saturating_add(1));
            self.pack(start_us);
        }
    }

    /// Packs what came of a closed window.
    pub(super) fn pack(&mut self, start_us: i64) {
        let Some(mut window) = self.windows.remove(&start_us) else { return };
        let before = self.windows.range(..start_us).next_back();
        window.pack(before.map(|(_, window)| window));
        self.windows.insert(start_us, window);
    }

    fn rows(&self, sums: &BTreeMap<KeyOf, Vec<GroupRow>>) -> Vec<Row> {
        let mut rows = Vec::new();
        for (of, figures) in sums {
            let (labels, known) = (self.labels(of), self.known(of, figures));
            rows.extend(figures.iter().map(|row| Row {
                combination: Arc::clone(&of.0),
                key: Arc::clone(&of.1),
                labels: Arc::clone(&labels),
                series: Arc::clone(&row.series),
                figures: row.figures,
                devices: row.devices,
                known,
            }));
        }
        rows
    }

    fn labels(&self, (combination, key): &KeyOf) -> Facts {
        if combination.is_device() {
            let id = key.value(0).parse::<DeviceId>().ok();
            return id.and_then(|id| self.facts.get(&id).cloned()).unwrap_or_default();
        }
        let labels = combination.labels().iter().enumerate();
        let labels = labels.map(|(index, label)| (label.clone(), key.value(index).to_owned()));
        Arc::new(labels.collect())
    }

    /// Devices of a key: those that shards know, and no fewer than have sent something.
    fn known(&self, (combination, key): &KeyOf, rows: &[GroupRow]) -> u32 {
        let sent = rows.iter().map(|row| row.devices).max().unwrap_or(0);
        let known = match combination.is_device() {
            true => 1,
            false => self.keys.get(combination).map_or(0, |keys| keys.known(key)),
        };
        known.max(sent)
    }

    fn write(
        &self,
        start_us: i64,
        revision: u32,
        sums: BTreeMap<KeyOf, Vec<GroupRow>>,
        merging: &mut Merging,
    ) {
        merging.writes.extend(sums.into_iter().map(|(of, rows)| {
            let known = self.known(&of, &rows);
            let (combination, key) = of;
            Write { start_us, combination, key, revision, known, rows }
        }));
    }

    /// Puts a partial's groups under keys that are admitted, and notes how many devices the shard knows of each.
    fn admit(&mut self, shard: ShardId, partial: &mut Partial) {
        let most = partial.keys_max as usize;
        let mut counted: BTreeMap<Arc<Combination>, BTreeMap<Arc<Key>, u32>> = BTreeMap::new();
        for group in &mut partial.groups {
            if !group.combination.is_device() {
                let combination = Arc::clone(&group.combination);
                let keys = self.keys.entry(combination).or_default();
                if let Some(admitted) = keys.admitted.get(&group.key) {
                    // One copy for all windows.
                    group.key = Arc::clone(admitted);
                } else if *group.key != Key::Other && keys.admitted.len() < most {
                    keys.admitted.insert(Arc::clone(&group.key));
                } else {
                    group.key = Arc::new(Key::Other);
                }
                let counted = counted.entry(Arc::clone(&group.combination)).or_default();
                *counted.entry(Arc::clone(&group.key)).or_default() += group.known;
            }
        }
        for (combination, known) in counted {
            self.keys.entry(combination).or_default().known.insert(shard, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocol::identity::{Generation, NodeId, Offset};
    use headwater_protocol::record::Series;

    use super::*;
    use crate::window::{DEVICE, Figures, Spread};

    const LENGTH_US: i64 = 10;

    fn fold(state: &mut MergeState, kind: MergeKind) -> Merging {
        state.fold(MergeEntry { appender: NodeId([1; 16]), stamp_us: 0, kind })
    }

    /// What a shard says at an offset of its log.
    fn output(shard: u16, offset: u64, kind: OutputKind) -> MergeKind {
        let at = Position { generation: Generation(0), offset: Offset(offset), index: 0 };
        MergeKind::Output { shard: ShardId(shard), output: Output { at, kind } }
    }

    fn opened(start_us: i64) -> OutputKind {
        OutputKind::Opened { start_us }
    }

    fn partial(start_us: i64, revision: u32, value: i64) -> OutputKind {
        let series = Series { metric: "m".to_owned(), labels: Vec::new(), scale: 0 };
        let figures = Figures::of(value);
        let row = GroupRow { series: Arc::new(series), figures, spread: Spread::Told, devices: 1 };
        let group = Group {
            combination: Arc::new(Combination::new(vec!["site".to_owned()])),
            key: Arc::new(Key::Of(vec!["osl".to_owned()])),
            known: 2,
            rows: vec![row],
        };
        OutputKind::Partial(Partial {
            start_us,
            length_us: LENGTH_US.unsigned_abs(),
            revision,
            keys_max: 5,
            groups: vec![group],
            ..Partial::default()
        })
    }

    #[test]
    fn a_window_is_closed_once_all_who_announced_it_have_told_it_and_never_again() {
        let mut state = MergeState::default();
        for shard in [1, 2] {
            fold(&mut state, output(shard, 1, opened(0)));
        }
        let first = fold(&mut state, output(1, 2, partial(0, 1, 5)));
        assert_eq!(first, Merging::default(), "the other shard is waited for");
        assert_eq!(state.waited_for(), Some((0, vec![ShardId(2)])));
        let both = fold(&mut state, output(2, 2, partial(0, 1, 9)));
        let [of_combinations, row] = &both.closed[0].rows[..] else { panic!("two rows: {both:?}") };
        assert_eq!(of_combinations.figures, Figures::of(0), "each device has a key of its own");
        let sum = Figures::of(5).plus(Figures::of(9));
        assert_eq!((row.figures, row.devices, row.known), (sum, 2, 4));
        assert_eq!((both.writes[1].revision, both.writes[1].rows[0].figures), (1, sum));

        let again = fold(&mut state, output(2, 2, partial(0, 1, 9)));
        assert_eq!(again, Merging::default(), "what is sent twice is in once");
        let late = fold(&mut state, output(1, 3, partial(0, 2, 6)));
        assert!(late.closed.is_empty(), "the first revision is frozen");
        let sum = Figures::of(6).plus(Figures::of(9));
        assert_eq!((late.writes[0].revision, late.writes[0].rows[0].figures), (2, sum));
    }

    #[test]
    fn devices_beyond_the_most_keys_are_counted_until_they_have_keys() {
        let mut state = MergeState::default();
        let keys = |start_us, names: &[&str]| {
            let OutputKind::Partial(mut partial) = partial(start_us, 1, 5) else { unreachable!() };
            let group = partial.groups.remove(0);
            let of = |name: &&str| Group {
                key: Arc::new(Key::Of(vec![(*name).to_owned()])),
                ..group.clone()
            };
            partial.groups = names.iter().map(of).collect();
            partial.keys_max = 2;
            OutputKind::Partial(partial)
        };
        let mut told = |at: u64, start_us, names: &[&str]| {
            fold(&mut state, output(1, 2 * at, opened(start_us)));
            let closed = fold(&mut state, output(1, 2 * at + 1, keys(start_us, names))).closed;
            let rows = closed.into_iter().flat_map(|window| window.rows);
            let of = rows.filter(|row| *row.combination == Combination::of_combinations());
            let row: Vec<_> = of.map(|it| (it.key.value(0).to_owned(), it.figures.max)).collect();
            row
        };
        let site = |devices| vec![("site".to_owned(), devices)];
        assert_eq!(told(1, 0, &["osl", "bgo"]), site(0));
        assert_eq!(told(2, 10, &["osl", "bgo", "trd", "svg"]), site(4), "two of each");
        assert_eq!(told(3, 20, &["osl"]), site(0));
    }

    #[test]
    fn figures_of_devices_are_held_until_their_window_is_closed_and_written_as_they_come_after() {
        let mut state = MergeState::default();
        let of_device = |revision, addition, value| {
            let OutputKind::Partial(mut partial) = partial(0, revision, value) else {
                unreachable!()
            };
            let mut device = partial.groups[0].clone();
            device.combination = Arc::new(Combination::new(vec![DEVICE.to_owned()]));
            partial.groups.insert(0, device);
            partial.addition = addition;
            OutputKind::Partial(partial)
        };
        fold(&mut state, output(1, 1, opened(0)));
        let first = fold(&mut state, output(1, 2, of_device(1, false, 5)));
        assert_eq!(first.closed[0].rows.len(), 3, "a device, a site, and how full it is");
        let groups = |state: &MergeState| state.windows[&0].parts[&ShardId(1)].groups().len();
        assert_eq!(groups(&state), 1, "that of the site");
        let told = |merging: Merging| -> Vec<_> {
            let writes = merging.writes.into_iter();
            writes.map(|it| (it.combination.is_device(), it.revision, it.rows[0].figures)).collect()
        };
        let whole = told(fold(&mut state, output(1, 3, of_device(2, false, 6))));
        assert_eq!(whole, [(true, 2, Figures::of(6)), (false, 2, Figures::of(6))]);
        let more = told(fold(&mut state, output(1, 4, of_device(1, true, 7))));
        let sum = Figures::of(6).plus(Figures::of(7));
        assert_eq!(more, [(true, 0, Figures::of(7)), (false, 3, sum)], "the store adds it up");
        assert_eq!(groups(&state), 1);
    }

    #[test]
    fn a_shard_that_stays_away_is_left_out_and_named() {
        let mut state = MergeState::default();
        for shard in [1, 2] {
            fold(&mut state, output(shard, 1, opened(0)));
        }
        let without = || MergeKind::Without { start_us: 0, shards: vec![ShardId(2)] };
        let nothing = fold(&mut state.clone(), without());
        assert!(nothing.closed.is_empty(), "nobody has told the window yet");
        fold(&mut state, output(1, 2, partial(0, 1, 5)));
        let closed = fold(&mut state, without()).closed;
        assert_eq!((closed[0].without.as_slice(), closed[0].length_us), (&[ShardId(2)][..], 10));
        let late = fold(&mut state, output(2, 2, partial(0, 1, 9)));
        assert_eq!((late.closed.len(), late.writes[0].revision), (0, 2), "its figures follow");
    }

    #[test]
    fn a_replay_from_any_snapshot_gives_identical_bytes() {
        let mut entries = Vec::new();
        for window in 0..40_i64 {
            let (start, offset) = (window * LENGTH_US, window.unsigned_abs() * 2);
            for shard in [1, 2, 3] {
                entries.push(output(shard, offset + 1, opened(start)));
            }
            for shard in [3, 1, 2] {
                let value = window * 7 - i64::from(shard);
                entries.push(output(shard, offset + 2, partial(start, 1, value)));
            }
        }
        let bytes = |state: &MergeState| {
            let mut out = Vec::new();
            state.encode(&mut out);
            out
        };
        let mut whole = MergeState::default();
        let mut kept = Vec::new();
        for entry in &entries {
            kept.push(bytes(&whole));
            fold(&mut whole, entry.clone());
        }
        for (at, snapshot) in kept.iter().enumerate().step_by(17) {
            let mut reader = headwater_protocol::codec::Reader::new(snapshot);
            let mut state = MergeState::decode(&mut reader).unwrap();
            entries[at..].iter().for_each(|entry| drop(fold(&mut state, entry.clone())));
            assert_eq!(bytes(&state), bytes(&whole), "from entry {at}");
        }
    }
}
