//! The shard fold as it reads in prose: a map for everything, each sample by itself. Tests hold `ShardWindows` against it,
//! output by output and byte by byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::body::Body;
use headwater_protocol::codec::put_varint;
use headwater_protocol::entry::{SentClock, WindowRules};
use headwater_protocol::header::Header;
use headwater_protocol::identity::{DeviceId, Generation, Offset};
use headwater_protocol::record::{Content, Series, Tick};

use super::clock::ClockOffset;
use super::output::{Output, OutputKind, Outputs, Position};
use super::partial::{Facts, Group, GroupRow, Partial, SeriesTable, encode_facts};
use super::rollup::KNOWN_FOR_US;
use super::rules::{Version, Versions};
use super::shard::{BEHIND_US_MAX, FIGURES_MAX, HOLD_US, LATE_WINDOWS_MAX, signed, window_start};
use super::{Combination, DEVICE, Figures, Key, SERIES_PER_DEVICE_MAX, Spread};

#[derive(Default)]
pub(super) struct Reference {
    versions: Versions,
    newest_us: Option<i64>,
    devices: BTreeMap<DeviceId, Device>,
    windows: BTreeMap<i64, Window>,
    floor_us: Option<i64>,
    emitted: Option<Position>,
    refused: u64,
}

#[derive(Default)]
struct Window {
    revision: u32,
    dirty: bool,
    addition: bool,
    is_spread: bool,
    cells: BTreeMap<DeviceId, Cell>,
}

#[derive(Default)]
struct Device {
    facts: Facts,
    told: bool,
    seen_us: i64,
    shift_us: i64,
    series: Vec<Arc<Series>>,
    places: BTreeMap<Arc<Series>, u32>,
}

#[derive(Default)]
struct Cell {
    facts: Facts,
    figures: Vec<Option<Held>>,
}

/// Figures, and each value where quantiles are kept.
#[derive(Clone)]
struct Held {
    figures: Figures,
    values: Vec<i64>,
}

impl Reference {
    /// Takes rules from a control entry; those that are not above the present ones change nothing.
    pub(super) fn handle_rules(&mut self, rules: &WindowRules) {
        self.versions.take(rules.clone());
    }

    /// Takes an applied batch; `sent` and `stamp_us` are those of its entry.
    pub(super) fn handle_batch(
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
        for record in &body.records {
            let time_us = offset.correct(record.time_us);
            newest_us = newest_us.max(Some(time_us));
            let device = self.devices.entry(header.device).or_default();
            device.shift_us = offset.shift_us();
            device.seen_us = device.seen_us.max(time_us);
            match &record.content {
                Content::Facts(facts) => device.learn(facts),
                Content::Tick(tick) => {
                    self.add(header.device, time_us, tick, &mut outputs);
                }
                Content::Event(_) | Content::Gap(_) => {}
            }
        }
        self.advance(newest_us, &mut outputs);
        self.finish(outputs)
    }

    /// Takes a tick: time goes on although nobody sends.
    pub(super) fn handle_tick(&mut self, at: (Generation, Offset), stamp_us: i64) -> Vec<Output> {
        let mut outputs = Outputs::new(at);
        self.advance(self.newest_us.max(Some(stamp_us)), &mut outputs);
        self.finish(outputs)
    }

    fn add(&mut self, id: DeviceId, time_us: i64, tick: &Tick, outputs: &mut Outputs) {
        let Some(rules) = self.versions.newest() else { return };
        let (length, lateness) = (signed(rules.length_us), signed(rules.lateness_us));
        let start_us = window_start(time_us, length);
        let watermark = self.newest_us.map(|newest| newest.saturating_sub(lateness));
        let end_us = start_us.saturating_add(length);
        let floor_us = self.floor_us;
        let version = self.versions.of_window(start_us);
        let is_spread = version.is_some_and(Version::keeps_quantiles);
        let device = self.devices.entry(id).or_default();
        let window = self.windows.entry(start_us).or_insert_with(|| {
            if watermark.is_none_or(|watermark| end_us > watermark) {
                outputs.push(OutputKind::Opened { start_us });
            }
            let addition = floor_us.is_some_and(|floor| start_us <= floor);
            Window { addition, is_spread, ..Window::default() }
        });
        window.dirty = true;
        let cell = window.cells.entry(id).or_insert_with(|| {
            let facts = Arc::clone(&device.facts);
            Cell { facts, figures: Vec::with_capacity(tick.len()) }
        });
        for sample in tick.iter() {
            match device.place(sample.series) {
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
        let groups = groups(start_us, window, &self.devices, version);
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
            let cells = window.cells.values();
            let cells = cells.map(|cell| cell.figures.len() + cell.sketched(window.is_spread));
            cells.sum()
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

impl Reference {
    /// The state's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = b"HWWN".to_vec();
        out.push(2);
        put_varint(&mut out, self.versions.all().len() as u64);
        for rules in self.versions.all() {
            rules.encode(&mut out);
            rules.encode_quantiles(&mut out);
        }
        put_time(self.newest_us, &mut out);
        put_time(self.floor_us, &mut out);
        out.push(u8::from(self.emitted.is_some()));
        if let Some(at) = self.emitted {
            at.encode(&mut out);
        }
        out.extend_from_slice(&self.refused.to_le_bytes());
        put_varint(&mut out, self.devices.len() as u64);
        for (id, device) in &self.devices {
            out.extend_from_slice(&id.0);
            device.encode(&mut out);
        }
        put_varint(&mut out, self.windows.len() as u64);
        for (start_us, window) in &self.windows {
            out.extend_from_slice(&start_us.to_le_bytes());
            window.encode(&self.devices, &mut out);
        }
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }
}

impl Device {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_facts(&self.facts, out);
        out.push(u8::from(self.told));
        out.extend_from_slice(&self.seen_us.to_le_bytes());
        out.extend_from_slice(&self.shift_us.to_le_bytes());
        let mut table = SeriesTable::default();
        self.series.iter().for_each(|series| table.add(series));
        table.encode(out);
    }
}

impl Window {
    fn encode(&self, devices: &BTreeMap<DeviceId, Device>, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.revision));
        let dirty = if self.dirty { 1 } else { 0 };
        let kept = if self.is_spread { 4 } else { 0 };
        out.push(dirty | kept | if self.addition { 2 } else { 0 });
        put_varint(out, self.cells.len() as u64);
        for (id, cell) in &self.cells {
            out.extend_from_slice(&id.0);
            // Labels mostly are still those of the device.
            let same = devices.get(id).is_some_and(|device| device.facts == cell.facts);
            out.push(u8::from(!same));
            if !same {
                encode_facts(&cell.facts, out);
            }
            put_varint(out, cell.figures.len() as u64);
            for figures in &cell.figures {
                match figures {
                    // A count of 0 stands for none.
                    None => out.push(0),
                    Some(held) => {
                        held.figures.encode(out);
                        spread([held], self.is_spread).encode(out);
                    }
                }
            }
        }
    }
}

fn put_time(time_us: Option<i64>, out: &mut Vec<u8>) {
    out.push(u8::from(time_us.is_some()));
    out.extend_from_slice(&time_us.unwrap_or_default().to_le_bytes());
}

impl Device {
    fn with_series(series: Vec<Arc<Series>>) -> Self {
        let places = (0..).zip(&series).map(|(place, series)| (Arc::clone(series), place));
        let places = places.collect();
        Self { series, places, ..Self::default() }
    }

    /// Takes labels and facts; the merge fold is told if they changed.
    fn learn(&mut self, facts: &BTreeMap<String, String>) {
        if *self.facts != *facts {
            self.facts = Arc::new(facts.clone());
            self.told = false;
        }
    }

    /// The place of a series, a new one if there is room. `None`: the device has too many, and this one is
    /// in no average.
    fn place(&mut self, series: &Arc<Series>) -> Option<u32> {
        if let Some(place) = self.places.get(series) {
            return Some(*place);
        }
        if self.series.len() >= SERIES_PER_DEVICE_MAX {
            return None;
        }
        let place = u32::try_from(self.series.len()).ok()?;
        self.series.push(Arc::clone(series));
        self.places.insert(Arc::clone(series), place);
        Some(place)
    }

    /// Whether the table is full: worth looking which series nobody holds figures of any more.
    fn is_full(&self) -> bool {
        self.series.len() >= SERIES_PER_DEVICE_MAX
    }

    /// Keeps the series of which a cell holds figures, and moves the figures to their new places.
    fn compact<'c>(&mut self, cells: impl Iterator<Item = &'c mut Cell>) {
        let mut cells: Vec<&mut Cell> = cells.collect();
        let holds =
            |cell: &&mut Cell, place: usize| cell.figures.get(place).is_some_and(Option::is_some);
        let mut kept = Vec::new();
        for place in 0..self.series.len() {
            if cells.iter().any(|cell| holds(cell, place)) {
                kept.push(place);
            }
        }
        for cell in &mut cells {
            cell.figures =
                kept.iter().map(|place| cell.figures.get(*place).cloned().flatten()).collect();
        }
        let series = kept.into_iter().map(|place| Arc::clone(&self.series[place])).collect();
        let with_less = Self::with_series(series);
        (self.series, self.places) = (with_less.series, with_less.places);
    }
}

impl Cell {
    /// Adds a value of the series with a place.
    fn add(&mut self, place: u32, value: i64) {
        let place = place as usize;
        if place >= self.figures.len() {
            self.figures.resize(place + 1, None);
        }
        match &mut self.figures[place] {
            Some(held) => {
                held.figures = held.figures.plus(Figures::of(value));
                held.values.push(value);
            }
            none => *none = Some(Held { figures: Figures::of(value), values: vec![value] }),
        }
    }

    /// Places that sketches take.
    fn sketched(&self, is_spread: bool) -> usize {
        let spreads = self.figures.iter().flatten().map(|held| spread([held], is_spread));
        let sketched = spreads.filter(|spread| spread.buckets() > 0);
        sketched.map(|spread| 2 + spread.buckets() / 4).sum()
    }
}

/// How all the values are spread, counted one by one.
fn spread<'a>(all: impl IntoIterator<Item = &'a Held>, is_spread: bool) -> Spread {
    if !is_spread {
        return Spread::Unknown;
    }
    let values = all.into_iter().flat_map(|held| &held.values);
    let mut sum: Option<(Figures, Spread)> = None;
    for value in values {
        let one = Figures::of(*value);
        sum = Some(match sum.take() {
            None => (one, Spread::Told),
            Some((figures, mut spread)) => {
                spread.add(figures, &Spread::Told, one);
                (figures.plus(one), spread)
            }
        });
    }
    sum.map(|(_, spread)| spread).unwrap_or_default()
}

/// Adds a window's cells up by every combination. Keys that the shard knows and that sent nothing are
/// there without rows.
fn groups(
    start_us: i64,
    window: &Window,
    devices: &BTreeMap<DeviceId, Device>,
    version: &Version,
) -> Vec<Group> {
    let cells = &window.cells;
    let mut groups = Vec::new();
    for (combination, is_kept) in version.combinations.iter().zip(&version.quantiles) {
        let is_spread = window.is_spread && *is_kept;
        if combination.is_device() {
            groups.extend(cells.iter().filter_map(|(id, cell)| {
                let device = devices.get(id)?;
                let rows = figures(cell, device);
                let rows = rows.map(|(series, held)| GroupRow {
                    series: Arc::clone(series),
                    figures: held.figures,
                    spread: spread([held], is_spread),
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
                figures(cell, device).for_each(|(series, held)| sums.add(series, held));
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
        groups.extend(keys.into_groups(is_spread));
    }
    groups
}

fn figures<'a>(
    cell: &'a Cell,
    device: &'a Device,
) -> impl Iterator<Item = (&'a Arc<Series>, &'a Held)> {
    let held = device.series.iter().zip(&cell.figures);
    held.filter_map(|(series, it)| it.as_ref().map(|it| (series, it)))
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
    rows: BTreeMap<&'a Arc<Series>, Vec<&'a Held>>,
}

impl<'a> Keys<'a> {
    /// The sums of a key, or of `other` where there are too many keys.
    fn of(&mut self, key: Key) -> &mut Sums<'a> {
        let room = self.of.len() < self.most || self.of.contains_key(&key);
        self.of.entry(if room { key } else { Key::Other }).or_default()
    }

    fn into_groups(self, is_spread: bool) -> impl Iterator<Item = Group> {
        let combination = Arc::clone(self.combination);
        self.of.into_iter().map(move |(key, sums)| {
            let rows = sums.rows.into_iter().map(|(series, all)| GroupRow {
                series: Arc::clone(series),
                figures: all.iter().map(|held| held.figures).reduce(Figures::plus).unwrap(),
                spread: spread(all.iter().copied(), is_spread),
                devices: u32::try_from(all.len()).unwrap(),
            });
            let rows = rows.collect();
            let combination = Arc::clone(&combination);
            Group { combination, key: Arc::new(key), known: sums.known, rows }
        })
    }
}

impl<'a> Sums<'a> {
    /// Adds one device's figures of a series.
    fn add(&mut self, series: &'a Arc<Series>, held: &'a Held) {
        self.rows.entry(series).or_default().push(held);
    }
}
