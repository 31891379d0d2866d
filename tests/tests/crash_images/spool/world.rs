//! A spool on a disk that is recorded, the files that it reads, and the ledger that it ships to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_agent::clock::Clocks;
use headwater_agent::config::{ByteCount, Config, Room, SpoolConfig};
use headwater_agent::spool::{
    self, LaneView, OpenError, Spool, SpoolError, SpoolLanding, SpoolReader, SpoolRunning,
    SpoolWriter,
};
use headwater_agent::tail::{Chunk, Known, Landed, Landing, Line, Start};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::{Body, VERSION_NEWEST};
use headwater_protocol::chain::{Acked, Resumed, Row};
use headwater_protocol::entry::{Entry, EntryKind, SentClock};
use headwater_protocol::identity::{DeviceId, Generation, Lane, LogId, NodeId, ShardId};
use headwater_protocol::ledger::{Outcome, ShardLedger};
use headwater_protocol::position::{Check, SourceId, Stream};
use headwater_protocol::record::{Content, Fingerprint, Part, Record, Sample, Series, SourceInfo};
use headwater_protocol::rules::Rules;
use headwater_protocol::wire::Ack;
use headwater_tests::draws::Draws;
use headwater_tests::peer;
use headwater_tests::recorder::Recorder;
use tokio::runtime::Runtime;

const DEVICE: DeviceId = DeviceId([7; 16]);
const LOG: LogId = LogId([1; 16]);
/// What strays are of.
pub(crate) const STRAY: SourceId = SourceId([9; 16]);
/// Longer than any test: batches are sealed when the test says so.
const NEVER: Duration = Duration::from_secs(3_600);

/// The spool has ended.
#[derive(Debug)]
pub(crate) struct Ended;

/// A spool that seals when it is told to, and minds no disk.
pub(crate) fn config(folder: &Path, grace: ByteCount) -> SpoolConfig {
    let mut config = Config::default().spool;
    config.dir = folder.to_owned();
    config.max_bytes = ByteCount::mib(64);
    config.grace_bytes = grace;
    config.min_free = Room::Bytes(ByteCount(0));
    config.reserve = ByteCount::kib(64);
    (config.live_seal_after, config.bulk_seal_after) = (NEVER, NEVER);
    config
}

/// A file with all the lines that it will ever have.
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) lines: Vec<String>,
    /// Where each line starts, and where the last one ends.
    pub(crate) starts: Vec<u64>,
}

impl Source {
    pub(crate) fn drawn(id: u8, lines: usize, draws: &mut Draws) -> Self {
        let text = |number: usize, draws: &mut Draws| {
            let noise = (0..draws.of(1..24)).map(|_| format!("{:016x}", draws.number()));
            format!("{id} line {number} {}", noise.collect::<String>())
        };
        let lines: Vec<String> = (0..lines).map(|number| text(number, draws)).collect();
        let mut starts = vec![0];
        for line in &lines {
            starts.push(starts.last().unwrap() + line.len() as u64 + 1);
        }
        Self { id: SourceId([id; 16]), lines, starts }
    }

    fn chunk(&self, stream: Stream, lines: std::ops::Range<usize>) -> Chunk {
        let start = self.starts[lines.start];
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for line in &self.lines[lines] {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            let body = u32::try_from(line.len()).unwrap();
            places.push(Line { body, taken: body + 1, part: Part::Whole });
        }
        let check = Check::of(&bytes[bytes.len().saturating_sub(Check::BYTES)..]);
        Chunk::Lines { stream, start, bytes, lines: places, check, time_us: 1 }
    }
}

/// A spool that runs.
pub(crate) struct World {
    writer: SpoolWriter,
    landing: SpoolLanding,
    reader: SpoolReader,
    running: SpoolRunning,
    runtime: Runtime,
}

impl World {
    pub(crate) fn open(disk: &Recorder, config: &SpoolConfig) -> Result<Self, OpenError> {
        let clocks = Clocks::of_this_boot(Path::new("/proc"));
        let opened = spool::open_on(disk.clone(), config, DEVICE, clocks, 1)?;
        let Spool { writer, landing, reader, thread } = opened;
        let running = thread.start().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Ok(Self { writer, landing, reader, running, runtime })
    }

    pub(crate) fn lane(&self, lane: Lane) -> LaneView {
        self.reader.view().borrow().lane(lane).clone()
    }

    /// Stops in order.
    pub(crate) fn stop(self) -> Result<(), SpoolError> {
        self.running.stop()
    }

    /// Waits for the end of a spool that can't go on.
    pub(crate) fn end(self) -> Result<(), SpoolError> {
        let Self { running, writer, landing, reader, .. } = self;
        drop((writer, landing, reader));
        running.join()
    }

    pub(crate) fn known(&mut self) -> Result<Known, Ended> {
        self.landing.known().ok_or(Ended)
    }

    /// The number of the next line of a file that the spool takes, and its stream; a file that is not
    /// known is begun.
    pub(crate) fn next_of(&mut self, source: &Source) -> Result<(Stream, usize), Ended> {
        let known = self.known()?;
        let mut streams = known.streams.iter().filter(|(stream, _)| stream.source == source.id);
        if let Some((stream, known)) = streams.next_back() {
            let line = source.starts.binary_search(&known.position);
            return Ok((*stream, line.expect("a position is where a line starts")));
        }
        let path = source.id.0.to_vec();
        let info = SourceInfo::File { path, fingerprint: Fingerprint::of(b"line") };
        let start = Start::new(0, source.lines[0].as_bytes());
        let stream = self.landing.begin(source.id, info, start).map_err(|_| Ended)?;
        Ok((stream, 0))
    }

    /// Reads a file on, up to a line.
    pub(crate) fn read_to(&mut self, source: &Source, to: usize) -> Result<(), Ended> {
        let (stream, from) = self.next_of(source)?;
        if from < to {
            let landed = self.landing.append(source.chunk(stream, from..to)).map_err(|_| Ended)?;
            assert_eq!(landed, Landed::Taken, "the positions were just asked for");
        }
        Ok(())
    }

    pub(crate) fn tick(&self, value: i64) -> Result<(), Ended> {
        let series = Series { metric: "load.1m".to_owned(), labels: Vec::new(), scale: 2 };
        let samples = vec![Sample { series: Arc::new(series), value }];
        self.writer.tick(value, samples).map_err(|_| Ended)
    }

    pub(crate) fn seal(&self) -> Result<(), Ended> {
        self.runtime.block_on(self.reader.seal()).map_err(|_| Ended)
    }

    /// The bytes of a row; `None` if it can't be read.
    pub(crate) fn row(&self, lane: Lane, row: u64) -> Option<Vec<u8>> {
        self.runtime.block_on(self.reader.read(lane, Row(row))).ok().flatten()
    }

    pub(crate) fn ack(&self, ack: Ack) -> Result<Acked, Ended> {
        self.runtime.block_on(self.reader.handle_ack(ack)).map_err(|_| Ended)
    }

    pub(crate) fn greet(&self, node: &Node, lane: Lane) -> Result<Resumed, Ended> {
        let state = node.ledger.lane_state(DEVICE, lane, LOG);
        let greeted = self.reader.handle_state(state, VERSION_NEWEST);
        let resumed = self.runtime.block_on(greeted).map_err(|_| Ended)?;
        Ok(resumed.expect("the disk has room"))
    }
}

/// A ledger, and what it applied.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) ledger: ShardLedger,
    pub(crate) lines: Vec<String>,
    pub(crate) values: Vec<i64>,
    pub(crate) records: u64,
    /// Of what this spool or its files hold.
    pub(crate) gaps: u64,
}

impl Node {
    pub(crate) fn new() -> Self {
        let ledger = ShardLedger::new(ShardId(0));
        Self { ledger, lines: Vec::new(), values: Vec::new(), records: 0, gaps: 0 }
    }

    /// Folds a batch, and gives the ack; `None` if it is refused.
    pub(crate) fn apply(&mut self, bytes: Vec<u8>) -> Option<Ack> {
        let batch = Batch::parse(bytes).unwrap();
        let body = Body::open(&batch).unwrap();
        let kind = EntryKind::Batch { sent: SentClock::default(), batch: Box::new(batch) };
        let (appender, generation) = (NodeId([2; 16]), Generation(0));
        let entry = Entry { appender, stamp_us: 0, generation, kind };
        let next = self.ledger.next();
        match self.ledger.fold(next, &entry, |_| true, Rules::default()).unwrap() {
            Outcome::Applied(applied) => {
                body.records.iter().for_each(|record| self.take(record));
                Some(applied.ack(LOG))
            }
            Outcome::Duplicate(applied) => Some(applied.ack(LOG)),
            Outcome::Refused(_) | Outcome::Noted => None,
        }
    }

    /// Takes a batch of each lane that another spool of this device sealed, so that no chain here goes on
    /// from it.
    pub(crate) fn take_strays(&mut self) {
        for lane in Lane::ALL {
            let stray = peer::batch(DEVICE, &self.ledger.lane_state(DEVICE, lane, LOG));
            self.apply(stray.into_bytes()).expect("it is the first of an epoch on the ledger's");
        }
    }

    fn take(&mut self, record: &Record) {
        self.records += record.count();
        match &record.content {
            Content::Event(event) => {
                self.lines.push(String::from_utf8(event.body.clone()).unwrap());
            }
            Content::Tick(samples) => {
                self.values.extend(samples.iter().map(|sample| sample.value));
            }
            // A ledger that goes back once more forgets a stray, which no spool here can send again.
            Content::Gap(gap) => {
                let about = gap.about.unwrap_or(record.stream);
                self.gaps += u64::from(about.source != STRAY);
            }
            Content::Facts(_) => {}
        }
    }
}
