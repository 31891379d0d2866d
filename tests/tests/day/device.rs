//! An agent's machines: a chain for each lane, rows in memory, a grace buffer that is soon full.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_agent::limits::{RUNS_KEPT, RUNS_MAX, RUNS_STEP};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::{BodyBuilder, VERSION_NEWEST};
use headwater_protocol::chain::{Acked, Chain, Fresh, Link, Resumed, Row, Rows, Sealing};
use headwater_protocol::entry::{Entry, EntryKind, SentClock};
use headwater_protocol::header::Clock;
use headwater_protocol::identity::{
    BootId, DeviceId, Epoch, Generation, Lane, NodeId, Receipt, Tip,
};
use headwater_protocol::position::{Run, SourceId, Stream};
use headwater_protocol::record::{
    Content, Fingerprint, Line, Part, Record, Sample, Series, SourceInfo,
};

use super::folds::Folds;

const SAMPLER: SourceId = SourceId([7; 16]);
const BOOT: BootId = BootId([5; 16]);
const GRACE_BYTES: u64 = 64 << 10;
/// Series of a tick, about as many as a small host has.
const SERIES: usize = 60;
/// Lines of a log between two reads.
const LINES: u64 = 20;

/// A device that never fails.
pub(crate) struct Device {
    id: DeviceId,
    number: u8,
    series: Vec<Arc<Series>>,
    lanes: [(Chain, Held); 2],
    log: Option<Stream>,
    rotations: u32,
    starts: u64,
    read: u64,
}

impl Device {
    pub(crate) fn new(number: u8) -> Self {
        let id = DeviceId([number + 1; 16]);
        let lane = |lane| {
            let fresh = Fresh { epoch: Epoch([number + 1; 16]), seed: 1 };
            (Chain::new(id, lane, fresh), Held::default())
        };
        let series = (0..SERIES).map(|at| {
            let metric = if at == 0 { "cpu.busy_ratio".to_owned() } else { format!("some.{at}") };
            Arc::new(Series { metric, labels: Vec::new(), scale: 4 })
        });
        Self {
            id,
            number,
            series: series.collect(),
            lanes: Lane::ALL.map(lane),
            log: None,
            rotations: 0,
            starts: 0,
            read: 0,
        }
    }

    /// The process begins again with what is durable, and says hello.
    pub(crate) fn start(&mut self, folds: &Folds) {
        self.starts += 1;
        for (lane, (chain, rows)) in Lane::ALL.into_iter().zip(&mut self.lanes) {
            *chain = Chain::restore(chain.head().clone(), chain.streams().clone());
            let fresh = Fresh { epoch: Epoch([0xee; 16]), seed: self.starts };
            let state = folds.state(self.id, lane);
            let resumed = chain.handle_state(rows, &state, fresh, sealing(0)).unwrap();
            assert!(matches!(resumed, Resumed::InChain(_)), "nothing was lost: {resumed:?}");
            let_go(chain, rows);
        }
    }

    /// The log is another file from here on.
    pub(crate) fn rotate(&mut self) {
        self.rotations += 1;
        let first = self.rotations.to_le_bytes();
        let mut source = [0; 16];
        source[..4].copy_from_slice(&first);
        let path = format!("/var/log/some/where/app-{}.log", self.number).into_bytes();
        let info = SourceInfo::File { path, fingerprint: Fingerprint::of(&first) };
        let nonce = Run::nonce_of(self.rotations, u64::from(self.rotations));
        let (chain, rows) = &mut self.lanes[1];
        let_go(chain, rows);
        self.log = Some(chain.begin_run(SourceId(source), info, 0, nonce));
    }

    /// What was read since the last time, as the entry that an intake would append.
    pub(crate) fn seal(&mut self, lane: Lane, at: u64) -> Entry {
        let time_us = i64::try_from(at * 1_000_000).unwrap();
        let mut body = BodyBuilder::default();
        let (chain, rows) = match lane {
            Lane::Live => {
                let (chain, rows) = &mut self.lanes[0];
                let stream = chain.sampler(SAMPLER, &SourceInfo::Host, self.starts);
                chain.cover(&mut body, stream);
                // High for ten minutes in each two hours, for the shipped alert.
                let is_busy = at % 7_200 < 600;
                let value = |index: usize| match index {
                    0 if is_busy => 9_000,
                    _ => (at as i64 / 10 + index as i64 * 37) % 5_000,
                };
                let samples = self.series.iter().cloned().enumerate();
                let samples = samples.map(|(index, series)| Sample { series, value: value(index) });
                let start = body.end(stream).unwrap().position;
                let content = Content::Tick(samples.collect());
                body.push(&Record { stream, start, end: start + 1, time_us, content });
                (chain, rows)
            }
            Lane::Bulk => {
                let (chain, rows) = &mut self.lanes[1];
                let stream = self.log.unwrap();
                chain.cover(&mut body, stream);
                for line in 0..LINES {
                    let text = format!("{at} {line} GET /some/where/{} 200", (at * line) % 977);
                    let (taken, part) = (text.len() as u64 + 1, Part::Whole);
                    body.push_line(stream, Line { taken, time_us, part, body: text.as_bytes() });
                }
                (chain, rows)
            }
        };
        self.read += body.counts().read();
        let row = chain.seal(rows, &body, sealing(time_us)).unwrap();
        drop(chain.take_changed());
        let batch = Box::new(rows.read(row).unwrap());
        let sent = SentClock { wall_us: time_us, mono_us: at * 1_000_000 + 1, boot: BOOT };
        let kind = EntryKind::Batch { sent, batch };
        Entry { appender: NodeId([4; 16]), stamp_us: time_us, generation: Generation(0), kind }
    }

    /// What was sealed last is acked, and the grace buffer trimmed. The entry is given back with it.
    pub(crate) fn acked(&mut self, lane: Lane, (tip, receipt): (Tip, Receipt), sent: Entry) {
        drop(sent);
        let (chain, rows) = &mut self.lanes[usize::from(lane == Lane::Bulk)];
        let acked = chain.handle_ack(rows, tip, receipt).unwrap();
        assert!(matches!(acked, Acked::Through(_)), "an ack of this chain: {acked:?}");
        chain.trim(rows, GRACE_BYTES).unwrap();
    }

    /// Records that were read.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }
}

/// Lets ended runs go, as the spool and the tail do.
fn let_go(chain: &mut Chain, rows: &mut Held) {
    if chain.streams().len() < RUNS_KEPT + RUNS_STEP {
        return;
    }
    let mut runs: Vec<Stream> = chain.streams().keys().copied().collect();
    runs.sort_by_key(|stream| stream.run);
    runs.truncate(runs.len() - RUNS_KEPT);
    let ended = runs.len();
    let gone = chain.let_go(rows, runs, RUNS_MAX).unwrap();
    assert_eq!(gone.len(), ended, "all of them were acked long ago");
}

fn sealing(wall_us: i64) -> Sealing {
    let mono_us = u64::try_from(wall_us).unwrap() + 1;
    Sealing { clock: Clock { wall_us, boot: BOOT, mono_us }, level: 1, body: VERSION_NEWEST }
}

/// Rows in memory.
#[derive(Default)]
struct Held(BTreeMap<Row, Batch>);

/// There is no such row.
#[derive(Debug)]
pub(crate) struct NoRow;

impl Rows for Held {
    type Error = NoRow;

    fn read(&self, row: Row) -> Result<Batch, NoRow> {
        self.0.get(&row).cloned().ok_or(NoRow)
    }

    fn link(&self, row: Row) -> Result<Link, NoRow> {
        self.0.get(&row).map(Link::of).ok_or(NoRow)
    }

    fn write(&mut self, row: Row, batch: &Batch) -> Result<(), NoRow> {
        self.0.insert(row, batch.clone());
        Ok(())
    }

    fn remove(&mut self, row: Row) -> Result<(), NoRow> {
        self.0.remove(&row).map(drop).ok_or(NoRow)
    }
}
