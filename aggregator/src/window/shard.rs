//! The shard fold: what one shard's devices measured, by windows of event time.
//!
//! A pure function of the shard's log. **A window opens** with the first sample that falls into it and is
//! announced; it closes when the watermark (the newest corrected time, or the stamp of a tick, minus the
//! lateness) has passed its end, and then its figures go out as revision 1. It is held a while longer:
//! what comes late makes another revision, whole. What comes later still goes out as an addition. Late
//! figures go out together, when the watermark passes the next end of a window: not batch by batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::body::Body;
use headwater_protocol::entry::{SentClock, WindowRules};
use headwater_protocol::header::Header;
use headwater_protocol::identity::{DeviceId, Generation, Offset};
use headwater_protocol::record::{Content, Sample, Series};

use super::Figures;
use super::clock::ClockOffset;
use super::device::{Cell, Device};
use super::output::{Output, OutputKind, Position};
use super::partial::{Partial, ROWS_PER_PARTIAL_MAX};
use super::rollup;
use super::rules::Versions;

/// How long a window is held after it has closed. An agent that reconnects is back within this.
pub(super) const HOLD_US: i64 = 60_000_000;
/// How far the time of a shard may lie behind the stamps of its entries. Without a limit a device that
/// comes back with a backlog would be alone in its shard and on time, hours behind all others.
const BEHIND_US_MAX: i64 = 30_000_000;
/// Windows with late figures that wait to go out: an hour of a backlog goes out in a few steps, and a
/// device that draws times at random opens no more than this.
const LATE_WINDOWS_MAX: usize = 64;
/// Figures that the held windows of one shard may have: 64 MiB. Beyond it the oldest closed window goes,
/// and what is late for it becomes an addition.
const FIGURES_MAX: usize = 1 << 20;

/// The windows of one shard.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ShardWindows {
    pub(super) versions: Versions,
    /// The newest corrected time or stamp of a tick; `None` before the first.
    pub(super) newest_us: Option<i64>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) windows: BTreeMap<i64, Window>,
    /// Windows that start here or before were let go: what comes for them is an addition. `None` before
    /// the first.
    pub(super) floor_us: Option<i64>,
    /// Where the last output was made; `None` before the first.
    pub(super) emitted: Option<Position>,
    /// Samples that are in no average, because their device has too many series.
    pub(super) refused: u64,
}

/// What a shard holds of one device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeviceHeld {
    /// How long a window is, in microseconds; 0 while there are no rules.
    pub length_us: i64,
    /// What is added to the device's times, in microseconds: positive for a clock that is behind.
    pub shift_us: i64,
    /// Whether it has as many series as are kept: those beyond are in no average.
    pub is_full: bool,
    /// Its windows, in order.
    pub windows: Vec<HeldWindow>,
}

/// One device's figures in one window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldWindow {
    /// Where it begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// Whether nothing of it was told yet.
    pub is_open: bool,
    /// Whether there may be more of it than what is held.
    pub is_addition: bool,
    /// The figures by series, in no particular order.
    pub figures: Vec<(Arc<Series>, Figures)>,
}

/// One window.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Window {
    /// The last revision that went out; 0 for none.
    pub(super) revision: u32,
    /// Whether there are figures that did not go out yet.
    pub(super) dirty: bool,
    /// Whether an earlier part of it may have gone out and been dropped.
    pub(super) addition: bool,
    pub(super) cells: BTreeMap<DeviceId, Cell>,
}

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
        let mut places = Places::default();
        // A shard that was silent wakes up at the present: a backlog is late, whoever else is there.
        self.advance(self.newest_us.max(stamp_us.checked_sub(BEHIND_US_MAX)), &mut outputs);
        let mut newest_us = self.newest_us;
        for record in &body.records {
            let time_us = offset.correct(record.time_us);
            newest_us = newest_us.max(Some(time_us));
            let device = self.devices.entry(header.device).or_default();
            device.shift_us = offset.shift_us();
            device.seen_us = device.seen_us.max(time_us);
            match &record.content {
                Content::Facts(facts) => device.learn(facts),
                Content::Tick(samples) => {
                    places.begin_tick();
                    self.add(header.device, time_us, samples, (&mut places, &mut outputs));
                }
                Content::Event(_) | Content::Gap(_) => {}
            }
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

    /// What is held of a device: its windows in order, those that closed not long ago included.
    #[must_use]
    pub fn held(&self, id: DeviceId) -> DeviceHeld {
        let Some(device) = self.devices.get(&id) else { return DeviceHeld::default() };
        let length_us = self.versions.newest().map_or(0, |rules| rules.length_us);
        let windows = self.windows.iter().filter_map(|(start_us, window)| {
            let cell = window.cells.get(&id)?;
            let figures = device.series.iter().zip(&cell.figures);
            let figures = figures.filter_map(|(series, it)| Some((Arc::clone(series), (*it)?)));
            Some(HeldWindow {
                start_us: *start_us,
                is_open: window.revision == 0,
                is_addition: window.addition,
                figures: figures.collect(),
            })
        });
        let windows = windows.collect();
        DeviceHeld {
            length_us: signed(length_us),
            shift_us: device.shift_us,
            is_full: device.is_full(),
            windows,
        }
    }

    /// Samples that are in no average, because their device has too many series.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn add(
        &mut self,
        id: DeviceId,
        time_us: i64,
        samples: &[Sample],
        (places, outputs): (&mut Places, &mut Outputs),
    ) {
        let Some(rules) = self.versions.newest() else { return };
        let (length, lateness) = (signed(rules.length_us), signed(rules.lateness_us));
        let start_us = window_start(time_us, length);
        let watermark = self.newest_us.map(|newest| newest.saturating_sub(lateness));
        let end_us = start_us.saturating_add(length);
        let floor_us = self.floor_us;
        let device = self.devices.entry(id).or_default();
        let window = self.windows.entry(start_us).or_insert_with(|| {
            if watermark.is_none_or(|watermark| end_us > watermark) {
                outputs.push(OutputKind::Opened { start_us });
            }
            let addition = floor_us.is_some_and(|floor| start_us <= floor);
            Window { addition, ..Window::default() }
        });
        window.dirty = true;
        let cell = window.cells.entry(id).or_insert_with(|| {
            let facts = Arc::clone(&device.facts);
            Cell { facts, figures: Vec::with_capacity(samples.len()) }
        });
        for sample in samples {
            match places.of(sample, device) {
                Some(place) => cell.add(place, sample.value),
                None => self.refused += 1,
            }
        }
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
        let late = self.windows.iter().filter(|(start, window)| is_late(start, window)).count();
        if passed || late > LATE_WINDOWS_MAX {
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
        let mut facts = Vec::new();
        for id in window.cells.keys() {
            if let Some(device) = self.devices.get_mut(id).filter(|device| !device.told) {
                device.told = true;
                facts.push((*id, Arc::clone(&device.facts)));
            }
        }
        let groups = rollup::groups(start_us, &window.cells, &self.devices, version);
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
        let figures = |window: &Window| -> usize {
            window.cells.values().map(|cell| cell.figures.len()).sum()
        };
        let mut held: usize = self.windows.values().map(figures).sum();
        while held > FIGURES_MAX {
            let closed = self.windows.iter().find(|(_, window)| !window.dirty);
            let Some((start, window)) = closed else { break };
            held -= figures(window);
            self.let_go(*start);
        }
        for (id, device) in &mut self.devices {
            if device.is_full() {
                let cells = self.windows.values_mut().filter_map(|it| it.cells.get_mut(id));
                device.compact(cells);
            }
        }
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

/// Places of a batch's series in their device's table. A body has one object per series, and ticks mostly
/// list them in one order, so most look-ups compare one address.
#[derive(Default)]
struct Places {
    known: Vec<(usize, Option<u32>)>,
    next: usize,
}

impl Places {
    fn begin_tick(&mut self) {
        self.next = 0;
    }

    fn of(&mut self, sample: &Sample, device: &mut Device) -> Option<u32> {
        let address = Arc::as_ptr(&sample.series).addr();
        let at = self.next;
        self.next += 1;
        if let Some((known, place)) = self.known.get(at)
            && *known == address
        {
            return *place;
        }
        let place = device.place(&sample.series);
        if at >= self.known.len() {
            self.known.resize(at + 1, (0, None));
        }
        self.known[at] = (address, place);
        place
    }
}

/// What one entry lets out.
struct Outputs {
    at: (Generation, Offset),
    made: Vec<Output>,
}

impl Outputs {
    fn new(at: (Generation, Offset)) -> Self {
        Self { at, made: Vec::new() }
    }

    fn push(&mut self, kind: OutputKind) {
        let index =
            u32::try_from(self.made.len()).expect("an entry lets out a few hundred outputs");
        let (generation, offset) = self.at;
        self.made.push(Output { at: Position { generation, offset, index }, kind });
    }

    /// A partial in pieces that fit into an entry.
    fn push_partial(&mut self, mut whole: Partial) {
        let mut groups = std::mem::take(&mut whole.groups).into_iter().peekable();
        loop {
            let mut piece = Partial { groups: Vec::new(), ..whole.clone() };
            let mut rows = 0;
            while let Some(group) = groups.next_if(|_| rows < ROWS_PER_PARTIAL_MAX) {
                rows += group.rows.len() + 1;
                piece.groups.push(group);
            }
            piece.continued = groups.peek().is_some();
            let more = piece.continued;
            self.push(OutputKind::Partial(piece));
            if !more {
                return;
            }
            whole.facts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocol::header::{Clock, Codec, Counts, Packing};
    use headwater_protocol::identity::{Epoch, Lane, Seq};
    use headwater_protocol::position::{Run, SourceId, Stream};
    use headwater_protocol::record::Record;
    use proptest::prelude::*;

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
        let contents = [Content::Facts(site), Content::Tick(vec![Sample { series, value }])];
        let record = |content| Record { stream, start: 0, end: 1, time_us, content };
        Body { streams: Vec::new(), records: contents.map(record).into() }
    }

    /// What a merge makes of the figures by site: a revision takes the place of the one before, an addition
    /// adds.
    #[derive(Default)]
    struct Reader {
        told: BTreeMap<i64, (Option<Figures>, Option<Figures>)>,
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
                    match partial.addition {
                        true => *added = plus(*added, row.figures),
                        false => *whole = Some(row.figures),
                    }
                }
            }
        }

        fn by_site(&self, start_us: i64) -> Option<Figures> {
            let (whole, added) = *self.told.get(&start_us)?;
            whole.map_or(added, |whole| plus(added, whole))
        }
    }

    fn plus(before: Option<Figures>, more: Figures) -> Option<Figures> {
        Some(before.map_or(more, |before| before.plus(more)))
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
            let mut expected: BTreeMap<i64, Figures> = BTreeMap::new();
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
                let sample = Figures::of(i64::from(value));
                expected.entry(of).and_modify(|it| *it = it.plus(sample)).or_insert(sample);
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
            for (start, figures) in expected {
                prop_assert_eq!(reader.by_site(start), Some(figures), "window {}", start);
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
