//! A spool in a folder of its own, what is put into it, and a ledger to judge it by.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_agent::clock::Clocks;
use headwater_agent::config::{ByteCount, Config, Room, SpoolConfig};
use headwater_agent::spool::{
    self, LaneView, OpenError, Spool, SpoolLanding, SpoolReader, SpoolRunning, SpoolWriter,
};
use headwater_agent::tail::{Chunk, Landed, Landing, Line, Start};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::{Body, VERSION_NEWEST};
use headwater_protocol::chain::{Acked, Resumed, Row};
use headwater_protocol::entry::{Entry, EntryKind, SentClock};
use headwater_protocol::identity::{
    DeviceId, Digest, Epoch, Generation, Lane, LogId, NodeId, ShardId, Tip,
};
use headwater_protocol::ledger::{Outcome, ShardLedger};
use headwater_protocol::position::{Check, SourceId, Stream};
use headwater_protocol::record::{Content, Fingerprint, Part, Record, Sample, Series, SourceInfo};
use headwater_protocol::rules::Rules;
use headwater_protocol::wire::{Ack, LaneState};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const DEVICE: DeviceId = DeviceId([7; 16]);
/// A file.
pub(crate) const FILE: SourceId = SourceId([9; 16]);

const LOG: LogId = LogId([1; 16]);
const DEADLINE: Duration = Duration::from_secs(30);

/// A spool that runs.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) config: SpoolConfig,
    pub(crate) writer: SpoolWriter,
    pub(crate) landing: SpoolLanding,
    pub(crate) reader: SpoolReader,
    running: SpoolRunning,
    runtime: Runtime,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut SpoolConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = quick(folder.path());
        change(&mut config);
        Self::open(folder, config)
    }

    /// Opens the spool that a folder holds.
    pub(crate) fn open(folder: TempDir, mut config: SpoolConfig) -> Self {
        config.dir = folder.path().to_owned();
        let Spool { writer, landing, reader, thread } = open(&config, DEVICE).unwrap();
        let running = thread.start().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { folder, config, writer, landing, reader, running, runtime }
    }

    /// What a crash would leave behind: the files as they are.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    /// Goes on with what a crash at the time of a copy left behind.
    pub(crate) fn crash_to(self, copy: TempDir) -> Self {
        Self::open(copy, self.config)
    }

    /// Stops in order and gives the folder back.
    pub(crate) fn stop(self) -> (TempDir, SpoolConfig) {
        let Self { folder, config, running, .. } = self;
        running.stop().unwrap();
        (folder, config)
    }

    /// Stops a spool whose file may be damaged still: redb can panic when it closes one.
    pub(crate) fn stop_whatever(self) -> (TempDir, SpoolConfig) {
        let Self { folder, config, running, writer, landing, reader, .. } = self;
        let stopped = || {
            drop(running.stop());
            drop((writer, landing, reader));
        };
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(stopped)));
        (folder, config)
    }

    pub(crate) fn lane(&self, lane: Lane) -> LaneView {
        self.reader.view().borrow().lane(lane).clone()
    }

    /// Waits until a lane shows what is asked for.
    pub(crate) fn wait(
        &self,
        lane: Lane,
        rule: &str,
        seen: impl Fn(&LaneView) -> bool,
    ) -> LaneView {
        let mut view = self.reader.view();
        let found = self.runtime.block_on(async {
            let wait = view.wait_for(|view| seen(view.lane(lane)));
            tokio::time::timeout(DEADLINE, wait)
                .await
                .map(|found| found.unwrap().lane(lane).clone())
        });
        found.unwrap_or_else(|_| panic!("{rule}: {:#?}", self.lane(lane)))
    }

    /// Waits until all that was put into a lane is sealed and committed.
    pub(crate) fn wait_sealed(&self, lane: Lane, batches: u64) -> LaneView {
        self.wait(lane, "what waits is sealed", |view| {
            view.pending_records == 0 && view.head.next().0 >= batches
        })
    }

    pub(crate) fn begin(&mut self, start: u64) -> Stream {
        self.landing.begin(FILE, file_info(), Start::new(start, b"first\n")).unwrap()
    }

    /// Appends lines to a stream from a position on, and gives the position after them.
    pub(crate) fn append(&mut self, stream: Stream, start: u64, texts: &[String]) -> (u64, Landed) {
        let chunk = lines(stream, start, texts);
        let end = start + texts.iter().map(|text| text.len() as u64 + 1).sum::<u64>();
        (end, self.landing.append(chunk).unwrap())
    }

    /// Hands a row to a ledger and the ledger's answer back.
    pub(crate) fn ship(&self, node: &mut Node, lane: Lane, row: Row) -> Acked {
        let bytes = self.read(lane, row).expect("the row is held");
        match node.apply(&bytes) {
            Outcome::Applied(applied) | Outcome::Duplicate(applied) => self.ack(applied.ack(LOG)),
            other => panic!("row {} of lane {lane}: {other:?}", row.0),
        }
    }

    pub(crate) fn ack(&self, ack: Ack) -> Acked {
        self.runtime.block_on(self.reader.handle_ack(ack)).unwrap()
    }

    pub(crate) fn read(&self, lane: Lane, row: Row) -> Option<Vec<u8>> {
        self.runtime.block_on(self.reader.read(lane, row)).unwrap()
    }

    /// Shakes hands with a ledger, which must find room.
    pub(crate) fn greet(&self, node: &Node, lane: Lane) -> Resumed {
        let state = node.ledger.lane_state(DEVICE, lane, LOG);
        self.runtime.block_on(self.reader.handle_state(state, VERSION_NEWEST)).unwrap().unwrap()
    }

    /// Shakes hands with whatever ledger; `None` if the spool ends over it.
    pub(crate) fn try_greet(&self, state: LaneState) -> Option<Resumed> {
        self.runtime.block_on(self.reader.handle_state(state, VERSION_NEWEST)).ok()?.ok()
    }

    /// The bytes of a row; `None` if the spool ends over it.
    pub(crate) fn try_read(&self, lane: Lane, row: Row) -> Option<Vec<u8>> {
        self.runtime.block_on(self.reader.read(lane, row)).ok()?
    }

    /// Waits until nothing of a lane waits; `None` if the spool ends instead.
    pub(crate) fn try_wait_sealed(&self, lane: Lane) -> Option<()> {
        let mut view = self.reader.view();
        let wait = view.wait_for(|view| view.lane(lane).pending_records == 0);
        let waited = async { tokio::time::timeout(DEADLINE, wait).await.expect("in time").is_ok() };
        let sealed = self.runtime.block_on(self.reader.seal()).is_ok();
        (sealed && self.runtime.block_on(waited)).then_some(())
    }

    /// Hands a batch to a ledger and the ledger's answer back.
    pub(crate) fn ship_bytes(&self, node: &mut Node, bytes: &[u8]) {
        match node.apply(bytes) {
            Outcome::Applied(applied) | Outcome::Duplicate(applied) => {
                _ = self.ack(applied.ack(LOG))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits for a spool that can't go on, and gives what is left of it.
    pub(crate) fn end(self) -> (TempDir, SpoolConfig) {
        let Self { folder, config, running, writer, landing, reader, .. } = self;
        // It ends with the reason, or because nobody uses it: a reader meets damage before the thread does.
        // redb can panic once more when it is dropped after a panic; a released build has ended by then.
        let ended = || {
            drop((writer, landing, reader));
            drop(running.join());
        };
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(ended)));
        (folder, config)
    }

    /// Shakes hands and ships all that is sealed.
    pub(crate) fn ship_all(&self, node: &mut Node, lane: Lane) {
        let (Resumed::InChain(from) | Resumed::Opened { from, .. }) = self.greet(node, lane);
        let to = self.lane(lane).head.next();
        for row in from.0..to.0 {
            self.ship(node, lane, Row(row));
        }
    }

    /// The records of a lane's rows from `from` on.
    pub(crate) fn records(&self, lane: Lane, from: Row) -> Vec<Record> {
        let to = self.lane(lane).head.next();
        let batches = (from.0..to.0).map(|row| Batch::parse(self.read(lane, Row(row)).unwrap()));
        batches.flat_map(|batch| Body::open(&batch.unwrap()).unwrap().records).collect()
    }
}

/// A ledger, and every record that it applied.
pub(crate) struct Node {
    pub(crate) ledger: ShardLedger,
    pub(crate) applied: Vec<Record>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self { ledger: ShardLedger::new(ShardId(0)), applied: Vec::new() }
    }

    pub(crate) fn state(&self, lane: Lane) -> LaneState {
        self.ledger.lane_state(DEVICE, lane, LOG)
    }

    pub(crate) fn apply(&mut self, bytes: &[u8]) -> Outcome {
        let batch = Batch::parse(bytes.to_vec()).unwrap();
        let body = Body::open(&batch).unwrap();
        let kind = EntryKind::Batch { sent: SentClock::default(), batch: Box::new(batch) };
        let (appender, generation) = (NodeId([2; 16]), Generation(0));
        let entry = Entry { appender, stamp_us: 0, generation, kind };
        let outcome =
            self.ledger.fold(self.ledger.next(), &entry, |_| true, Rules::default()).unwrap();
        if let Outcome::Applied(_) = outcome {
            self.applied.extend(body.records);
        }
        outcome
    }

    /// The texts of all lines that were applied, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        texts(&self.applied)
    }

    /// Fails unless the ledger's sums are those of the records that it applied.
    pub(crate) fn check(&self) {
        for ((_, lane), ledger) in self.ledger.lanes() {
            assert_eq!(
                ledger.tallies().unequal,
                0,
                "totals follow from batch to batch in lane {lane}"
            );
        }
        let count: u64 = self.applied.iter().map(Record::count).sum();
        assert_eq!(self.ledger.totals().read(), count, "read = applied + declared");
    }
}

pub(crate) fn texts(records: &[Record]) -> Vec<String> {
    let bodies = records.iter().filter_map(|record| match &record.content {
        Content::Event(event) => Some(String::from_utf8(event.body.clone()).unwrap()),
        Content::Tick(_) | Content::Facts(_) | Content::Gap(_) => None,
    });
    bodies.collect()
}

pub(crate) fn open(config: &SpoolConfig, device: DeviceId) -> Result<Spool, OpenError> {
    spool::open(config, device, Clocks::of_this_boot(Path::new("/proc")), 1)
}

/// A spool that seals at once and minds no disk.
pub(crate) fn quick(folder: &Path) -> SpoolConfig {
    let mut config = Config::default().spool;
    config.dir = folder.to_owned();
    config.max_bytes = ByteCount::mib(64);
    config.grace_bytes = ByteCount::mib(16);
    config.min_free = Room::Bytes(ByteCount(0));
    config.reserve = ByteCount::kib(64);
    config.live_seal_after = Duration::from_millis(5);
    config.bulk_seal_after = Duration::from_millis(5);
    config
}

pub(crate) fn file_info() -> SourceInfo {
    SourceInfo::File { path: b"/var/log/app.log".to_vec(), fingerprint: Fingerprint::of(b"line") }
}

pub(crate) fn lines(stream: Stream, start: u64, texts: &[String]) -> Chunk {
    let mut bytes = Vec::new();
    let mut lines = Vec::new();
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        let body = u32::try_from(text.len()).unwrap();
        lines.push(Line { body, taken: body + 1, part: Part::Whole });
    }
    let check = Check::of(&bytes[bytes.len().saturating_sub(Check::BYTES)..]);
    Chunk::Lines { stream, start, bytes, lines, check, time_us: 1 }
}

/// Numbered lines.
pub(crate) fn numbered(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("line {number}")).collect()
}

/// One sample of one series.
pub(crate) fn sample(value: i64) -> Vec<Sample> {
    let series = Series { metric: "load.1m".to_owned(), labels: Vec::new(), scale: 2 };
    vec![Sample { series: Arc::new(series), value }]
}

/// Facts of a device.
pub(crate) fn facts(site: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("site".to_owned(), site.to_owned())])
}

/// Waits for something that only asking shows.
pub(crate) fn wait_for(rule: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "{rule}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The values of all samples, in order.
pub(crate) fn values(records: &[Record]) -> Vec<i64> {
    let ticks = records.iter().filter_map(|record| match &record.content {
        Content::Tick(samples) => Some(samples.iter().map(|sample| sample.value)),
        Content::Event(_) | Content::Facts(_) | Content::Gap(_) => None,
    });
    ticks.flatten().collect()
}

/// A ledger's state that no spool here has in its chain.
pub(crate) fn foreign_state(lane: Lane) -> LaneState {
    let mut state = ShardLedger::new(ShardId(0)).lane_state(DEVICE, lane, LOG);
    state.tip = Tip { epoch: Epoch([8; 16]), seq: 9, digest: Digest([8; 32]) };
    state
}
