//! A lane of a forged device: where it stands, what it sent last, and what comes next.

use std::sync::Arc;
use std::time::Instant;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::BodyBuilder;
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Clock, Counts, Header};
use headwater_protocol::identity::{BootId, DeviceId, Digest, Epoch, Lane, Seq, Tip};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Line, Part, Record, Sample, Series, SourceInfo};
use headwater_protocol::wire::{Frame, LaneState, LastBatch};

use super::Saying;
use crate::peer::Bidi;

/// The boot that every forged device is in.
pub(super) const BOOT: BootId = BootId([7; 16]);

/// A lane's chain of batches. It outlives the sessions that carry it.
#[derive(Debug)]
pub struct Chain {
    device: DeviceId,
    lane: Lane,
    facts: Content,
    series: Vec<(Arc<Series>, i64)>,
    clock_us: i64,
    begun: Instant,
    run: Run,
    mark: Mark,
    parent: Option<Tip>,
    epoch: Epoch,
    seq: Seq,
    before: Digest,
    totals: Counts,
    ticks: i64,
    /// The last batch, until it is acked.
    unacked: Option<Batch>,
}

impl Chain {
    /// A lane of a device that goes on, in an epoch of its own, from where the aggregator is.
    #[must_use]
    pub fn new(device: DeviceId, saying: &Saying, state: &LaneState) -> Self {
        let mut epoch = [0; 16];
        epoch.copy_from_slice(&blake3::hash(&state.tip.digest.0).as_bytes()[..16]);
        let series = saying.series.iter().map(|(series, start)| (Arc::new(series.clone()), *start));
        Self {
            device,
            lane: state.lane,
            facts: Content::Facts(saying.facts.clone()),
            series: series.collect(),
            clock_us: saying.clock_us,
            begun: Instant::now(),
            run: Run { number: state.run_highest + 1, nonce: 7 },
            mark: Mark::default(),
            parent: Some(state.tip),
            epoch: Epoch(epoch),
            seq: Seq::FIRST,
            before: state.tip.digest,
            totals: state.totals,
            ticks: 0,
            unacked: None,
        }
    }

    /// Takes the lane up in another session: what was sent and is applied is acked by the lane's state.
    ///
    /// # Panics
    /// If the aggregator is neither where the last batch ended nor where it began.
    pub fn resume(&mut self, state: &LaneState) {
        if state.tip.digest == self.before {
            self.unacked = None;
        }
        let begins_there = |batch: &Batch| batch.follows(state.tip.digest);
        let is_where_it_was = match &self.unacked {
            Some(batch) => begins_there(batch),
            None => state.tip.digest == self.before,
        };
        assert!(is_where_it_was, "the aggregator goes on from what it acked");
    }

    /// Whether the last batch waits for its ack.
    #[must_use]
    pub fn is_unacked(&self) -> bool {
        self.unacked.is_some()
    }

    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap()
    }

    /// The next tick, in as many bodies as its series take.
    pub fn tick(&mut self) -> Vec<BodyBuilder> {
        let time_us = self.clock_us + self.elapsed_us();
        self.ticks += 1;
        let step = self.ticks % 60;
        let moved = |(series, start): &(Arc<Series>, i64)| Sample {
            series: Arc::clone(series),
            value: start + step,
        };
        let samples: Vec<Sample> = self.series.iter().map(moved).collect();
        let stream = Stream { source: SourceId([9; 16]), run: self.run };
        let mut bodies = Vec::new();
        for part in samples.chunks(SERIES_PER_BODY) {
            let mut body = BodyBuilder::default();
            body.cover(stream, Some(&SourceInfo::Host), self.mark, Check::NONE);
            if self.ticks == 1 && bodies.is_empty() {
                self.push(&mut body, stream, self.facts.clone(), time_us);
            }
            self.push(&mut body, stream, Content::Tick(part.iter().cloned().collect()), time_us);
            bodies.push(body);
        }
        bodies
    }

    fn push(&mut self, body: &mut BodyBuilder, stream: Stream, content: Content, time_us: i64) {
        let start = self.mark.position;
        let record = Record { stream, start, end: start + 1, time_us, content };
        body.push(&record);
        self.mark = body.end(stream).unwrap();
    }

    /// The first line of so many files.
    #[must_use]
    pub fn files(&self, count: u8) -> BodyBuilder {
        let mut body = BodyBuilder::default();
        for number in 0..count {
            let stream = Stream { source: SourceId([number; 16]), run: self.run };
            let path = format!("/var/log/service-{number}/current.log").into_bytes();
            let info = SourceInfo::File { path, fingerprint: Default::default() };
            body.cover(stream, Some(&info), Mark::default(), Check::NONE);
            let bytes = b"service started";
            let taken = bytes.len() as u64 + 1;
            let time_us = self.clock_us + self.elapsed_us();
            body.push_line(stream, Line { taken, time_us, part: Part::Whole, body: bytes });
        }
        body
    }

    /// Seals a body as the next batch, which then waits for its ack.
    ///
    /// # Panics
    /// If another one does.
    pub fn seal(&mut self, body: &BodyBuilder) {
        assert!(self.unacked.is_none(), "one after the other");
        let (packing, packed) = body.pack(1);
        self.totals = self.totals.plus(body.counts());
        let SentClock { wall_us, mono_us, boot } = self.clock();
        let header = Header {
            device: self.device,
            lane: self.lane,
            epoch: self.epoch,
            seq: self.seq,
            parent: self.parent.take(),
            rekeyed: true,
            lane_state: 0,
            clock: Clock { wall_us, boot, mono_us },
            counts: body.counts(),
            totals: self.totals,
            spans: body.spans(),
            packing,
        };
        let batch = Batch::seal(header, &packed, self.before);
        self.before = batch.digest();
        self.seq = Seq::new(self.seq.number() + 1).unwrap();
        self.unacked = Some(batch);
    }

    fn clock(&self) -> SentClock {
        let elapsed_us = self.elapsed_us();
        // A boot a minute before: a monotonic clock that shows nothing is none.
        let mono_us = u64::try_from(elapsed_us).unwrap() + 60_000_000;
        SentClock { wall_us: self.clock_us + elapsed_us, mono_us, boot: BOOT }
    }

    /// Sends the batch that waits for its ack, if there is one. Returns what was heard instead of an ack.
    ///
    /// # Errors
    /// The frame that came, or `None` where the stream ended.
    pub async fn send(&mut self, to: &mut LaneStream) -> Result<(), Option<Frame>> {
        let Some(batch) = self.unacked.clone() else { return Ok(()) };
        let sent = self.clock();
        let next = to.last.abbreviate(sent, batch.bytes()).map(Frame::Next);
        let frame = next.unwrap_or_else(|| Frame::Batch { sent, batch: Box::new(batch) });
        to.stream.say(&frame.encode()).await;
        match to.stream.hear().await {
            Some(Frame::Ack(_) | Frame::NextAck(_)) => self.unacked = None,
            other => return Err(other),
        }
        Ok(())
    }
}

/// Far below what a batch may hold, so that labels of any length fit.
const SERIES_PER_BODY: usize = 2_000;

/// The stream of a lane in one session.
#[derive(Debug)]
pub struct LaneStream {
    stream: Bidi,
    last: LastBatch,
}

impl LaneStream {
    /// A lane's stream on which no batch was sent.
    #[must_use]
    pub fn new(stream: Bidi) -> Self {
        Self { stream, last: LastBatch::default() }
    }
}
