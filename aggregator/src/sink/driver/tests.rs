//! A sink in simulation: whatever fails, ends or is lost by the log, its destination holds each applied record once, with
//! what earlier records said of its device.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use headwater_protocol::batch::Batch;
use headwater_protocol::body::{Body, BodyBuilder};
use headwater_protocol::entry::{Control, Entry, EntryKind, SentClock, identity};
use headwater_protocol::header::{Clock, Header};
use headwater_protocol::identity::{
    DeviceId, Digest, Epoch, Generation, Lane, LogId, NodeId, Offset, Seq, ShardCount, ShardId, Tip,
};
use headwater_protocol::ledger::Outcome;
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Event, Part, Record, SourceInfo};
use proptest::prelude::*;

use super::super::destination::Destination;
use super::super::follow::Deliveries;
use super::super::known::Known;
use super::super::range::RangeRules;
use super::super::store::SinkStore;
use super::super::unwritten::Unwritten;
use super::*;
use crate::fold::ShardState;
use crate::log::{AppendError, DeadLetter, Durable, Log, MinFree, Space, Stored, StoredSnapshot};
use crate::metrics::Metrics;
use crate::sink::SinkAbout;

const LOG: LogId = LogId([5; 16]);
const SHARDS: u16 = 2;
const PANE_US: i64 = 1_000;

/// A log in memory that can lose its tail.
#[derive(Debug, Default)]
struct MemoryLog {
    shards: Mutex<BTreeMap<ShardId, Vec<Stored>>>,
    snapshots: Mutex<BTreeMap<(ShardId, Offset), StoredSnapshot>>,
}

impl MemoryLog {
    fn entries(&self, shard: ShardId) -> Vec<Stored> {
        self.shards.lock().unwrap().get(&shard).cloned().unwrap_or_default()
    }

    fn push(&self, shard: ShardId, entry: &Entry) {
        let mut shards = self.shards.lock().unwrap();
        let entries = shards.entry(shard).or_default();
        let (bytes, before) = (entry.encode(), entries.last().map_or([0; 32], |it| it.identity));
        let identity = identity(&before, &bytes);
        entries.push(Stored { offset: Offset(entries.len() as u64), identity, entry: bytes });
    }

    fn fold(&self, shard: ShardId) -> ShardState {
        let mut state = ShardState::new(shard);
        for stored in self.entries(shard) {
            state.fold(&stored).unwrap();
        }
        state
    }
}

impl Log for MemoryLog {
    fn id(&self) -> LogId {
        LOG
    }

    fn shards(&self) -> ShardCount {
        ShardCount::new(SHARDS).unwrap()
    }

    fn append(&self, _: ShardId, _: Vec<u8>, _: Durable) -> Result<(), AppendError> {
        unreachable!("a sink appends nothing")
    }

    fn read(&self, shard: ShardId, from: Offset, _: ByteCount) -> Result<Vec<Stored>, ReadError> {
        // A few at a time, so that ranges and reads do not end together.
        Ok(self.entries(shard).into_iter().filter(|it| it.offset >= from).take(3).collect())
    }

    fn start(&self, _: ShardId) -> Result<Offset, ReadError> {
        Ok(Offset(0))
    }

    fn end(&self, shard: ShardId) -> Result<Offset, ReadError> {
        Ok(Offset(self.entries(shard).len() as u64))
    }

    fn trim(&self, _: ShardId, _: Offset) {}

    fn put_snapshot(&self, shard: ShardId, snapshot: StoredSnapshot) {
        self.snapshots.lock().unwrap().insert((shard, snapshot.next), snapshot);
    }

    fn hold(&self, _: &str, _: ShardId, _: Offset) {}

    fn drop_snapshot(&self, shard: ShardId, next: Offset) {
        self.snapshots.lock().unwrap().remove(&(shard, next));
    }

    fn snapshots(&self, shard: ShardId) -> Result<Vec<Offset>, ReadError> {
        let snapshots = self.snapshots.lock().unwrap();
        let of_shard = snapshots.range((shard, Offset(0))..=(shard, Offset(u64::MAX)));
        Ok(of_shard.rev().map(|((_, next), _)| *next).collect())
    }

    fn snapshot(&self, shard: ShardId, next: Offset) -> Result<Option<StoredSnapshot>, ReadError> {
        Ok(self.snapshots.lock().unwrap().get(&(shard, next)).cloned())
    }

    fn put_dead_letter(&self, _: ShardId, _: DeadLetter) {}

    fn dead_letters(&self, _: ShardId) -> Result<Vec<DeadLetter>, ReadError> {
        Ok(Vec::new())
    }
}

/// What identifies a record, with its body and what was known of its device.
type Row = (DeviceId, u64, Vec<u8>, String);

/// A piece of a range: shard, generation, first, end, number.
type Name = (ShardId, Generation, Offset, Offset, u64);

/// What a destination holds, and the next things that go wrong there.
#[derive(Clone, Debug, Default)]
struct Shelf {
    pieces: Arc<Mutex<BTreeMap<Name, Vec<Row>>>>,
    /// Pieces after which the next writes fail.
    failures: Arc<Mutex<Vec<u64>>>,
}

/// Pieces that a range is written in.
const PIECES: u64 = 3;

impl Destination for Shelf {
    fn write(
        &mut self,
        range: &Range,
        deliveries: &mut Deliveries<'_>,
        known: &mut Known,
    ) -> Result<Written, WriteError> {
        let mut rows = Vec::new();
        while let Some(batch) = deliveries.next_applied().unwrap() {
            let device = batch.header.device;
            for record in batch.body.unwrap().records {
                known.note(device, &record.content);
                rows.extend(row(device, record, &known.tags(device).json));
            }
        }
        let fails_after = self.failures.lock().unwrap().pop().unwrap_or(u64::MAX);
        for number in 0..PIECES {
            if number == fails_after {
                return Err(WriteError::new("write", "the shelf", "it was told to fail"));
            }
            let part = rows.iter().filter(|row| row.1 % PIECES == number).cloned().collect();
            let name = (range.shard, range.generation, range.first, range.end, number);
            let before = self.pieces.lock().unwrap().insert(name, part);
            let after = self.pieces.lock().unwrap()[&name].clone();
            assert_eq!(before.unwrap_or(after.clone()), after, "a repeat holds the same rows");
        }
        if fails_after == PIECES {
            return Err(WriteError::new("write", "the shelf", "its answer was lost"));
        }
        Ok(Written { rows: rows.len() as u64, pieces: PIECES, bytes: 0 })
    }

    fn withdraw(&mut self, places: &BTreeMap<ShardId, Place>) -> Result<u64, WriteError> {
        let mut pieces = self.pieces.lock().unwrap();
        let before = pieces.len();
        pieces.retain(|(shard, _, first, end, _), _| match places.get(shard) {
            Some(place) => {
                *end <= place.from.end || (*first, Some(*end)) == (place.from.end, place.begun)
            }
            None => false,
        });
        Ok((before - pieces.len()) as u64)
    }
}

fn row(device: DeviceId, record: Record, tags: &str) -> Option<Row> {
    match record.content {
        Content::Event(event) => Some((device, record.start, event.body, tags.to_owned())),
        Content::Facts(_) | Content::Tick(_) | Content::Gap(_) => None,
    }
}

struct Simulation {
    log: Arc<MemoryLog>,
    shelf: Shelf,
    store: SinkStore,
    space: Arc<Space>,
    rules: RangeRules,
    driver: Option<Driver>,
    clock_us: i64,
    written: u64,
    _folder: tempfile::TempDir,
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// A device says lines, and perhaps where it is.
    Says {
        device: u8,
        lines: u8,
        site: Option<u8>,
        again: bool,
    },
    Time(u16),
    Snapshot(u8),
    /// The sink goes round so many times.
    Turns(u8),
    /// So many of its next writes fail, each after so many pieces.
    Fails(u8),
    /// The process ends and starts again, perhaps with other rules.
    Ends(Option<u8>),
    /// So does it, and the log has lost so many of its last entries.
    Loses(u8, u8),
}

impl Simulation {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::of(folder.path(), MinFree::Bytes(ByteCount(0))).unwrap();
        let rules = RangeRules { pane_us: PANE_US, records_max: 9, bytes_max: 1 << 20 };
        let store = SinkStore::open(&folder.path().join("sinks.redb"), LOG).unwrap();
        let mut simulation = Self {
            log: Arc::default(),
            shelf: Shelf::default(),
            store,
            space: Arc::new(space),
            rules,
            driver: None,
            clock_us: 0,
            written: 0,
            _folder: folder,
        };
        simulation.start();
        simulation
    }

    fn start(&mut self) {
        let options = SinkOptions {
            about: SinkAbout {
                name: "shelf".to_owned(),
                kind: "shelf",
                location: String::new(),
                claim: "",
            },
            log: Arc::clone(&self.log) as _,
            store: self.store.clone(),
            destination: Box::new(self.shelf.clone()),
            rules: self.rules,
            space: Arc::clone(&self.space),
            metrics: Metrics::default().sink,
        };
        let view = Arc::new(Mutex::new(SinkView::new(options.about.clone(), SinkState::Running)));
        self.driver = Some(Driver::new(options, view));
    }

    fn handle(&mut self, step: &Step) {
        match *step {
            Step::Says { device, lines, site, again } => self.say(device, lines, site, again),
            Step::Time(passed) => {
                self.clock_us += i64::from(passed);
                (0..SHARDS).for_each(|shard| self.append(ShardId(shard), EntryKind::Tick));
            }
            Step::Snapshot(shard) => {
                let shard = ShardId(u16::from(shard) % SHARDS);
                self.log.put_snapshot(shard, self.log.fold(shard).snapshot(LOG));
            }
            Step::Turns(turns) => {
                let driver = self.driver.as_mut().unwrap();
                for _ in 0..turns {
                    driver.turn(false);
                }
            }
            Step::Fails(after) => {
                self.shelf.failures.lock().unwrap().push(u64::from(after) % (PIECES + 1));
            }
            Step::Ends(records_max) => {
                if let Some(records_max) = records_max {
                    self.rules.records_max = u64::from(records_max);
                }
                self.start();
            }
            Step::Loses(shard, entries) => self.lose(ShardId(u16::from(shard) % SHARDS), entries),
        }
    }

    fn append(&self, shard: ShardId, kind: EntryKind) {
        let generation = self.log.fold(shard).generation();
        let (appender, stamp_us) = (NodeId([1; 16]), self.clock_us);
        self.log.push(shard, &Entry { appender, stamp_us, generation, kind });
    }

    /// Seals a batch on what the ledger has of the device, and appends it, perhaps twice.
    fn say(&mut self, device: u8, lines: u8, site: Option<u8>, again: bool) {
        let (device, stream) = (DeviceId([device; 16]), stream(device));
        let shard = ShardId::of(device, self.log.shards());
        let state = self.log.fold(shard);
        let lane = state.ledger().lane_state(device, Lane::Bulk, LOG);
        let mark = state.ledger().lanes().get(&(device, Lane::Bulk)).and_then(|lane| {
            let (_, known) = lane.streams().iter().find(|(it, _)| **it == stream)?;
            Some(known.mark)
        });
        let mut mark: Mark = mark.unwrap_or_default();
        let mut body = BodyBuilder::default();
        body.cover(stream, Some(&SourceInfo::Host), mark, Check::NONE);
        let facts = site
            .map(|site| Content::Facts(BTreeMap::from([("site".to_owned(), format!("s{site}"))])));
        let lines = (0..lines).map(|_| {
            self.written += 1;
            let line = format!("line {}", self.written).into_bytes();
            Content::Event(Event { body: line, part: Part::Whole })
        });
        for content in facts.into_iter().chain(lines.collect::<Vec<_>>()) {
            let start = mark.position;
            body.push(&Record { stream, start, end: start + 1, time_us: self.clock_us, content });
            mark = body.end(stream).unwrap();
        }
        let (packing, packed) = body.pack(1);
        let Tip { epoch, seq, digest } = lane.tip;
        let is_first = seq == 0;
        let header = Header {
            device,
            lane: Lane::Bulk,
            epoch: if is_first { Epoch([9; 16]) } else { epoch },
            seq: Seq::new(seq + 1).unwrap(),
            parent: is_first.then_some(Tip::GENESIS),
            rekeyed: is_first,
            lane_state: 0,
            clock: Clock { wall_us: self.clock_us, ..Clock::default() },
            counts: body.counts(),
            totals: lane.totals.plus(body.counts()),
            spans: body.spans(),
            packing,
        };
        let before: Digest = if is_first { Tip::GENESIS.digest } else { digest };
        let batch = Box::new(Batch::seal(header, &packed, before));
        let sent = SentClock { wall_us: self.clock_us, ..SentClock::default() };
        for _ in 0..1 + u8::from(again) {
            let batch = batch.clone();
            self.append(shard, EntryKind::Batch { sent, batch });
        }
    }

    /// The log loses its last entries while nobody runs, and its generation is raised.
    fn lose(&mut self, shard: ShardId, entries: u8) {
        let generation = self.log.fold(shard).generation();
        let left = {
            let mut shards = self.log.shards.lock().unwrap();
            let of_shard = shards.entry(shard).or_default();
            let left = of_shard.len().saturating_sub(usize::from(entries));
            of_shard.truncate(left);
            left
        };
        for next in self.log.snapshots(shard).unwrap() {
            if next > Offset(left as u64) {
                self.log.drop_snapshot(shard, next);
            }
        }
        let raised = Generation(generation.0 + 1);
        self.append(shard, EntryKind::Control(Control::Generation(raised)));
        self.start();
    }

    /// That pieces which begin before the sink's cursor and what it has not written are each applied record once.
    fn expect_all_once(&self) {
        for shard in (0..SHARDS).map(ShardId) {
            let mut unwritten = Unwritten::open(&*self.log, (&self.store, "shelf"), shard).unwrap();
            let cursor = unwritten.range().first;
            let pieces = self.shelf.pieces.lock().unwrap();
            let before = pieces
                .iter()
                .filter(|((of, _, first, ..), _)| (*of, *first < cursor) == (shard, true));
            let mut found: Vec<Row> = before.flat_map(|(_, rows)| rows).cloned().collect();
            while let Some(batch) = unwritten.next_applied().unwrap() {
                let device = batch.header.device;
                for record in batch.body.unwrap().records {
                    unwritten.known.note(device, &record.content);
                    found.extend(row(device, record, &unwritten.known.tags(device).json));
                }
            }
            assert_eq!(unwritten.next(), self.log.end(shard).unwrap());
            let mut expected = applied(&self.log, shard);
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "shard {shard} from {cursor} on");
        }
    }

    /// Lets all panes end and the sink write everything; then each applied record is there once.
    fn finish(mut self) {
        self.shelf.failures.lock().unwrap().clear();
        self.handle(&Step::Time(u16::try_from(3 * PANE_US).unwrap()));
        let driver = self.driver.as_mut().unwrap();
        let mut turns = 0;
        while driver.turn(false) == Duration::ZERO {
            turns += 1;
            assert!(turns < 10_000, "the sink comes to an end");
        }
        assert_eq!(driver.tries.view().error, None);
        let mut found: Vec<Row> =
            self.shelf.pieces.lock().unwrap().values().flatten().cloned().collect();
        let mut expected = Vec::new();
        for shard in (0..SHARDS).map(ShardId) {
            expected.extend(applied(&self.log, shard));
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}

/// What was applied, by the fold itself.
fn applied(log: &MemoryLog, shard: ShardId) -> Vec<Row> {
    let (mut state, mut rows, mut tags) = (ShardState::new(shard), Vec::new(), BTreeMap::new());
    for stored in log.entries(shard) {
        let folded = state.fold(&stored).unwrap();
        let (Outcome::Applied(_), EntryKind::Batch { batch, .. }) =
            (folded.outcome, folded.entry.kind)
        else {
            continue;
        };
        let device = batch.header().device;
        for record in Body::open(&batch).unwrap().records {
            if let Content::Facts(facts) = &record.content {
                tags.insert(device, serde_json::to_string(facts).unwrap());
            }
            let tags = tags.get(&device).map_or("{}", |tags| tags);
            rows.extend(row(device, record, tags));
        }
    }
    rows
}

fn stream(device: u8) -> Stream {
    Stream { source: SourceId([device; 16]), run: Run { number: 1, nonce: 1 } }
}

fn step() -> impl Strategy<Value = Step> {
    let site = prop::option::weighted(0.2, 0_u8..5);
    let says = (0_u8..4, 0_u8..6, site, any::<bool>())
        .prop_map(|(device, lines, site, again)| Step::Says { device, lines, site, again });
    prop_oneof![
        8 => says,
        2 => (1_u16..700).prop_map(Step::Time),
        1 => any::<u8>().prop_map(Step::Snapshot),
        5 => (1_u8..4).prop_map(Step::Turns),
        2 => any::<u8>().prop_map(Step::Fails),
        2 => prop::option::of(1_u8..20).prop_map(Step::Ends),
        1 => (any::<u8>(), 0_u8..12).prop_map(|(shard, entries)| Step::Loses(shard, entries)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// So is it at every moment, whatever fails, ends or is lost, if what is not written is read beside it.
    #[test]
    fn what_is_written_and_what_is_not_is_each_applied_record_once(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut simulation = Simulation::new();
        for step in &steps {
            simulation.handle(step);
            simulation.expect_all_once();
        }
    }

    #[test]
    fn a_destination_holds_each_applied_record_once(steps in prop::collection::vec(step(), 1..60)) {
        let mut simulation = Simulation::new();
        for step in &steps {
            simulation.handle(step);
        }
        simulation.finish();
    }
}
