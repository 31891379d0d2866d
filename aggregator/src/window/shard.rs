//! The shard fold: what one shard's devices measured, by windows of event time.
//!
//! A pure function of the shard's log. **A window opens** with the first sample that falls into it and is
//! announced; it closes when the watermark (the newest corrected time, or the stamp of a tick, minus the
//! lateness) has passed its end, and then its figures go out as revision 1. It is held a while longer:
//! what comes late makes another revision, whole. What comes later still goes out as an addition. Late
//! figures go out together, when the watermark passes the next end of a window: not batch by batch.

use std::collections::BTreeMap;

use headwater_protocol::body::Body;
use headwater_protocol::entry::{SentClock, WindowRules};
use headwater_protocol::header::Header;
use headwater_protocol::identity::{DeviceId, Generation, Offset};
use headwater_protocol::record::{Content, Record};

use super::batch::{Adding, Pane};
use super::cells::Cells;
use super::clock::ClockOffset;
use super::device::{Device, Devices};
use super::held::Window;
use super::keys::DeviceKeys;
use super::output::{Output, OutputKind, Outputs, Position};
use super::partial::{Facts, Partial};
use super::rollup;
use super::rules::{Version, Versions};

/// How long a window is held after it has closed. An agent that reconnects is back within this.
pub(super) const HOLD_US: i64 = 60_000_000;
/// How far the time of a shard may lie behind the stamps of its entries. Without a limit a device that
/// comes back with a backlog would be alone in its shard and on time, hours behind all others.
pub(super) const BEHIND_US_MAX: i64 = 30_000_000;
/// Windows with late figures that wait to go out: an hour of a backlog goes out in a few steps, and a
/// device that draws times at random opens no more than this.
pub(super) const LATE_WINDOWS_MAX: usize = 64;
/// Figures that the held windows of one shard may have: 64 MiB. Beyond it the oldest closed window goes,
/// and what is late for it becomes an addition.
pub(super) const FIGURES_MAX: usize = 1 << 20;

/// The windows of one shard.
#[derive(Clone, Debug, Default)]
pub struct ShardWindows {
    pub(super) versions: Versions,
    /// The newest corrected time or stamp of a tick; `None` before the first.
    pub(super) newest_us: Option<i64>,
    pub(super) devices: Devices,
    pub(super) windows: BTreeMap<i64, Window>,
    /// Windows that start here or before were let go: what comes for them is an addition. `None` before
    /// the first.
    pub(super) floor_us: Option<i64>,
    /// Where the last output was made; `None` before the first.
    pub(super) emitted: Option<Position>,
    /// Samples that are in no average, because their device has too many series.
    pub(super) refused: u64,
    /// The keys of devices, a cache of what their labels say.
    keys: DeviceKeys,
}

/// States are equal if their bytes are: how they came to be is no part of them.
impl PartialEq for ShardWindows {
    fn eq(&self, other: &Self) -> bool {
        self.encode() == other.encode()
    }
}

impl Eq for ShardWindows {}

impl ShardWindows {
    /// Takes rules from a control entry; those that are not above the present ones change nothing.
    pub fn handle_rules(&mut self, rules: &WindowRules) {
        self.versions.take(rules.clone());
    }

    /// Takes an applied batch; `sent` and `stamp_us` are those of its entry.
    pub fn handle_batch(
        &mut self,
        at: (Generation, Offset),
        (sent, stamp_us): (&SentClock, i64),
        header: &Header,
        body: &Body,
    ) -> Vec<Output> {
        let offset = ClockOffset::measure(&header.clock, sent, stamp_us);
        let mut outputs = Outputs::new(at);
        // A shard that was silent wakes up at the present: a backlog is late, whoever else is there.
        self.advance(self.newest_us.max(stamp_us.checked_sub(BEHIND_US_MAX)), &mut outputs);
        let mut newest_us = self.newest_us;
        if let Some(first) = body.records.first() {
            let slot = self.slot_of(header.device);
            let adding = Adding::new(slot, offset, offset.correct(first.time_us));
            let of_batch_us = self.add(header.device, adding, &body.records, &mut outputs);
            newest_us = newest_us.max(Some(of_batch_us));
        }
        self.advance(newest_us, &mut outputs);
        self.finish(outputs)
    }

    /// Takes a tick: time goes on although nobody sends.
    pub fn handle_tick(&mut self, at: (Generation, Offset), stamp_us: i64) -> Vec<Output> {
        let mut outputs = Outputs::new(at);
        self.advance(self.newest_us.max(Some(stamp_us)), &mut outputs);
        self.finish(outputs)
    }

    /// The stamp from which on a tick would let something out, microseconds since 1970 UTC. `None` while
    /// nothing waits.
    #[must_use]
    pub fn due_us(&self) -> Option<i64> {
        let rules = self.versions.newest()?;
        let (length, lateness) = (signed(rules.length_us), signed(rules.lateness_us));
        let watermark = self.newest_us?.saturating_sub(lateness);
        let next = window_start(watermark, length).saturating_add(length);
        let due = self.windows.iter().filter(|(_, window)| window.dirty);
        let due = due.map(|(start, _)| start.saturating_add(length).max(next)).min()?;
        Some(due.saturating_add(lateness))
    }

    /// The version of the rules that is in force, `None` if there is none.
    #[must_use]
    pub fn rules(&self) -> Option<&WindowRules> {
        self.versions.newest()
    }

    /// Where the last output was made. What the merge fold does not know up to there is lost to it if this
    /// state is gone on with.
    #[must_use]
    pub fn emitted(&self) -> Option<Position> {
        self.emitted
    }

    /// Samples that are in no average, because their device has too many series.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Adds a batch's records; the newest corrected time of them is returned.
    fn add(
        &mut self,
        id: DeviceId,
        mut adding: Adding,
        mut records: &[Record],
        outputs: &mut Outputs,
    ) -> i64 {
        let length_us = self.versions.newest().map(|rules| signed(rules.length_us));
        while let [record, after @ ..] = records {
            let time_us = adding.offset.correct(record.time_us);
            adding.newest_us = adding.newest_us.max(time_us);
            records = match (&record.content, length_us) {
                (Content::Tick(_), Some(length_us)) => {
                    let pane = Pane::of(time_us, length_us);
                    self.open_window(pane.start_us, outputs);
                    let window = self.windows.get_mut(&pane.start_us);
                    let window = window.expect("a window that was opened is held");
                    let added = adding.add(records, pane, window, &mut self.devices);
                    &records[added..]
                }
                (Content::Facts(facts), _) => {
                    self.learn(id, adding.slot, facts);
                    after
                }
                (Content::Tick(_) | Content::Event(_) | Content::Gap(_), _) => after,
            };
        }
        if adding.has_more_series {
            self.devices.share(adding.slot);
        }
        self.refused += adding.refused;
        let device = self.devices.get_mut(adding.slot);
        device.shift_us = adding.offset.shift_us();
        device.seen_us = device.seen_us.max(adding.newest_us);
        adding.newest_us
    }

    /// The slot of a device, which may be new.
    fn slot_of(&mut self, id: DeviceId) -> u32 {
        if let Some(slot) = self.devices.slot(id) {
            return slot;
        }
        let slot = self.devices.insert(Device::with_series(id, Vec::new()));
        self.keys.forget(id, slot);
        slot
    }

    /// Takes labels and facts of a device; the merge fold is told if they changed.
    fn learn(&mut self, id: DeviceId, slot: u32, facts: &BTreeMap<String, String>) {
        let before = Facts::clone(&self.devices.get(slot).facts);
        if *before == *facts {
            return;
        }
        self.windows.values_mut().for_each(|window| window.cells.keep_facts(slot, &before));
        self.devices.learn(id, slot, Facts::new(facts.clone()));
        self.keys.forget(id, slot);
    }

    /// Opens a window that is about to have figures, if it is not open.
    fn open_window(&mut self, start_us: i64, outputs: &mut Outputs) {
        if let Some(window) = self.windows.get_mut(&start_us) {
            window.dirty = true;
            return;
        }
        let Some(rules) = self.versions.newest() else { return };
        let (length, lateness) = (signed(rules.length_us), signed(rules.lateness_us));
        let watermark = self.newest_us.map(|newest| newest.saturating_sub(lateness));
        let end_us = start_us.saturating_add(length);
        let mut room = 0;
        if watermark.is_none_or(|watermark| end_us > watermark) {
            outputs.push(OutputKind::Opened { start_us });
            room = self.windows.values().next_back().map_or(0, |before| before.cells.held());
        }
        let addition = self.floor_us.is_some_and(|floor| start_us <= floor);
        let version = self.versions.of_window(start_us);
        let mut cells = Cells::with_room(room);
        if version.is_some_and(Version::keeps_quantiles) {
            cells = cells.with_sketches();
        }
        self.windows.insert(start_us, Window { dirty: true, addition, cells, revision: 0 });
    }

    /// Time has gone on: lets out what is due.
    fn advance(&mut self, newest_us: Option<i64>, outputs: &mut Outputs) {
        let (Some(rules), Some(newest)) = (self.versions.newest(), newest_us) else {
            self.newest_us = newest_us;
            return;
        };
        let (length, lateness) = (signed(rules.length_us), signed(rules.lateness_us));
        let watermark = newest.saturating_sub(lateness);
        let before = self.newest_us.map(|newest| newest.saturating_sub(lateness));
        self.newest_us = newest_us;
        let passed = before
            .is_none_or(|before| window_start(watermark, length) > window_start(before, length));
        let is_late = |start: &i64, window: &Window| {
            window.dirty && start.saturating_add(length) <= watermark
        };
        let late = || self.windows.iter().filter(|(start, window)| is_late(start, window)).count();
        if passed || self.windows.len() > LATE_WINDOWS_MAX && late() > LATE_WINDOWS_MAX {
            let due = self.windows.iter().filter(|(start, window)| is_late(start, window));
            let due: Vec<i64> = due.map(|(start, _)| *start).collect();
            due.into_iter().for_each(|start| self.let_out(start, outputs));
            self.drop_old(watermark.saturating_sub(length));
        }
    }

    fn let_out(&mut self, start_us: i64, outputs: &mut Outputs) {
        let version = self.versions.of_window(start_us).expect("windows are made by rules");
        let window = self.windows.get_mut(&start_us).expect("a window that is due is held");
        window.revision += 1;
        window.dirty = false;
        let facts = self.devices.tell(|slot| window.cells.contains(slot));
        let groups =
            rollup::groups(start_us, &window.cells, &self.devices, (&mut self.keys, version));
        let whole = Partial {
            start_us,
            length_us: version.rules.length_us,
            revision: window.revision,
            addition: window.addition,
            continued: false,
            keys_max: version.rules.keys_max,
            facts,
            groups,
        };
        outputs.push_partial(whole);
    }

    /// Lets go of closed windows that start before `before_us` minus the hold, and of more, the oldest
    /// first, if there are too many figures.
    fn drop_old(&mut self, before_us: i64) {
        self.let_go(before_us.saturating_sub(HOLD_US));
        let mut held: usize = self.windows.values().map(|window| window.cells.held()).sum();
        while held > FIGURES_MAX {
            let closed = self.windows.iter().find(|(_, window)| !window.dirty);
            let Some((start, window)) = closed else { break };
            held -= window.cells.held();
            self.let_go(*start);
        }
        self.devices.full().into_iter().for_each(|slot| self.compact(slot));
    }

    /// Keeps the series of a device of which a cell holds figures, and moves the figures to their new places.
    fn compact(&mut self, slot: u32) {
        let series = self.devices.get(slot).list.series().len();
        let mut is_held = vec![false; series];
        let cells = self.windows.values_mut().map(|window| &mut window.cells);
        let mut cells: Vec<&mut Cells> = cells.filter(|cells| cells.contains(slot)).collect();
        for cells in &cells {
            for (is_held, figures) in is_held.iter_mut().zip(cells.figures(slot)) {
                *is_held |= figures.is_some();
            }
        }
        let kept: Vec<usize> = (0..series).filter(|place| is_held[*place]).collect();
        for cells in &mut cells {
            let mut all: Vec<_> = cells.all(slot).collect();
            let kept = kept.iter().map(|place| all.get_mut(*place).and_then(Option::take));
            let kept = kept.collect();
            cells.set(slot, kept);
        }
        self.devices.keep(slot, &kept);
    }

    /// Lets go of the closed windows that start at `floor_us` or before.
    fn let_go(&mut self, floor_us: i64) {
        self.floor_us = self.floor_us.max(Some(floor_us));
        let floor = self.floor_us;
        self.windows.retain(|start, window| window.dirty || Some(*start) > floor);
    }

    fn finish(&mut self, outputs: Outputs) -> Vec<Output> {
        self.emitted = outputs.made.last().map(|output| output.at).or(self.emitted);
        outputs.made
    }
}

/// Where the window begins that a time lies in.
pub(super) fn window_start(time_us: i64, length_us: i64) -> i64 {
    time_us.saturating_sub(time_us.rem_euclid(length_us))
}

/// A length as a difference of times.
pub(super) fn signed(length_us: u64) -> i64 {
    i64::try_from(length_us).expect("lengths of windows were checked: at most an hour")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_protocol::header::{Clock, Codec, Counts, Packing};
    use headwater_protocol::identity::{Epoch, Lane, Seq};
    use headwater_protocol::position::{Run, SourceId, Stream};
    use headwater_protocol::record::{Sample, Series};
    use proptest::prelude::*;

    use super::super::{Figures, Spread};
    use super::*;

    const SECOND: i64 = 1_000_000;
    const LENGTH: i64 = 10 * SECOND;

    fn rules() -> WindowRules {
        WindowRules {
            version: 1,
            from_us: i64::MIN,
            length_us: LENGTH.unsigned_abs(),
            lateness_us: 1_000_000,
            keys_max: 10,
            combinations: vec![vec!["device".to_owned()], vec!["site".to_owned()]],
            quantiles: vec![vec!["site".to_owned()]],
        }
    }

    /// A batch of one device whose clock is right.
    fn header(device: u8, now_us: i64) -> Header {
        let packing = Packing { version: 2, codec: Codec::Plain, packed: 0, unpacked: 0 };
        Header {
            device: DeviceId([device; 16]),
            lane: Lane::Live,
            epoch: Epoch([1; 16]),
            seq: Seq::FIRST,
            parent: None,
            rekeyed: true,
            lane_state: 0,
            clock: Clock { wall_us: now_us, ..Clock::default() },
            counts: Counts::default(),
            totals: Counts::default(),
            spans: Vec::new(),
            packing,
        }
    }

    fn body(time_us: i64, value: i64) -> Body {
        let stream = Stream { source: SourceId([1; 16]), run: Run { number: 1, nonce: 1 } };
        let series = Arc::new(Series { metric: "m".to_owned(), labels: Vec::new(), scale: 0 });
        let site = BTreeMap::from([("site".to_owned(), "osl".to_owned())]);
        let contents = [Content::Facts(site), Content::Tick(vec![Sample { series, value }].into())];
        let record = |content| Record { stream, start: 0, end: 1, time_us, content };
        Body { streams: Vec::new(), records: contents.map(record).into() }
    }

    type Sum = (Figures, Spread);

    /// What a merge makes of the figures by site: a revision takes the place of the one before, an addition
    /// adds.
    #[derive(Default)]
    struct Reader {
        told: BTreeMap<i64, (Option<Sum>, Option<Sum>)>,
        last: Option<Position>,
    }

    impl Reader {
        fn read(&mut self, outputs: Vec<Output>) {
            for output in outputs {
                assert!(self.last < Some(output.at), "outputs come in order, each once");
                self.last = Some(output.at);
                let OutputKind::Partial(partial) = output.kind else { continue };
                let by_site = partial.groups.iter().filter(|it| !it.combination.is_device());
                for row in by_site.flat_map(|group| &group.rows) {
                    let (whole, added) = self.told.entry(partial.start_us).or_default();
                    let row = (row.figures, row.spread.clone());
                    match partial.addition {
                        true => *added = Some(plus(added.take(), row)),
                        false => *whole = Some(row),
                    }
                }
            }
        }

        fn by_site(&self, start_us: i64) -> Option<Sum> {
            let (whole, added) = self.told.get(&start_us)?.clone();
            whole.map_or(added.clone(), |whole| Some(plus(added, whole)))
        }
    }

    fn plus(before: Option<Sum>, more: Sum) -> Sum {
        let Some((figures, mut spread)) = before else { return more };
        spread.add(figures, &more.1, more.0);
        (figures.plus(more.0), spread)
    }

    proptest! {
        /// However late samples come, and whatever is restored in between, what is let out adds up to
        /// every sample, and a restored state goes on byte for byte as the one that was never stopped.
        #[test]
        fn what_is_let_out_is_every_sample_once(
            steps in prop::collection::vec((0_i64..8, 0_i64..200, 1_u8..4, any::<i32>(), 0_u8..20), 1..150)
        ) {
            let mut now = 1_700_000_000 * SECOND;
            let (mut shard, mut reader) = (ShardWindows::default(), Reader::default());
            shard.handle_rules(&rules());
            let mut expected: BTreeMap<i64, Sum> = BTreeMap::new();
            let mut offset = 0;
            for (passed, late, device, value, chance) in steps {
                now += passed * SECOND;
                // Most samples are of the present, some of up to three minutes ago.
                let time = now - if chance < 4 { late * SECOND } else { 0 };
                let at = (Generation(0), Offset(offset));
                let sent = SentClock { wall_us: now, ..SentClock::default() };
                let (header, body) = (header(device, now), body(time, i64::from(value)));
                let outputs = shard.handle_batch(at, (&sent, now), &header, &body);
                reader.read(outputs);
                let of = window_start(time, LENGTH);
                let sample = (Figures::of(i64::from(value)), Spread::Told);
                let sum = plus(expected.remove(&of), sample);
                expected.insert(of, sum);
                offset += 1;
                if chance == 7 {
                    let bytes = shard.encode();
                    let restored = ShardWindows::decode(&bytes).unwrap();
                    prop_assert_eq!(restored.encode(), bytes);
                    shard = restored;
                }
            }
            reader.read(shard.handle_tick((Generation(0), Offset(offset)), now + 60 * SECOND));
            prop_assert_eq!(shard.due_us(), None, "nothing waits once time has gone on");
            for (start, sum) in expected {
                prop_assert_eq!(reader.by_site(start), Some(sum), "window {}", start);
            }
        }
    }

    #[test]
    fn a_silent_shard_says_when_a_tick_would_help_and_the_tick_does() {
        let mut shard = ShardWindows::default();
        shard.handle_rules(&rules());
        let now = 1_700_000_003 * SECOND;
        let sent = SentClock { wall_us: now, ..SentClock::default() };
        let at = |offset| (Generation(0), Offset(offset));
        let told = shard.handle_batch(at(0), (&sent, now), &header(1, now), &body(now, 5));
        let start_us = window_start(now, LENGTH);
        assert_eq!(told[0].kind, OutputKind::Opened { start_us });
        let due = shard.due_us().unwrap();
        assert_eq!(due, start_us + LENGTH + SECOND, "its end and the lateness");
        assert!(shard.handle_tick(at(1), due - 1).is_empty());
        let told = shard.handle_tick(at(2), due);
        assert!(matches!(&told[0].kind, OutputKind::Partial(it) if it.revision == 1), "{told:?}");
        assert_eq!(shard.due_us(), None);
    }
}
