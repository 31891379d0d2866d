//! A device that no agent stands behind: it sends the samples that a test makes up, each second, with the
//! name, the labels and the clock that the test gives it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headwater_certs::identity::DeviceIdentity;
use headwater_certs::token::JoinToken;
use headwater_protocol::batch::Batch;
use headwater_protocol::body::BodyBuilder;
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Clock, Counts, Header};
use headwater_protocol::identity::{BootId, DeviceId, Digest, Epoch, Lane, Seq, Tip};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Record, Sample, Series, SourceInfo};
use headwater_protocol::wire::{Frame, LaneState, LastBatch, PROTOCOL_NEWEST};
use tokio::sync::oneshot::{Receiver, Sender, channel};

use crate::aggregator::Aggregator;
use crate::joining::enrol;
use crate::peer::{Bidi, Peer, device_of, hello, talk};

/// What a forged device says.
#[derive(Clone, Debug)]
pub struct Saying {
    /// What it calls itself, in enrolment and in each hello.
    pub name: String,
    /// Labels and facts of the device.
    pub facts: BTreeMap<String, String>,
    /// What its clock shows when it starts: microseconds since 1970 UTC. From there it runs like any other.
    pub clock_us: i64,
    /// The series, and the value that each starts at. Each tick moves all of them by one step.
    pub series: Vec<(Series, i64)>,
}

impl Saying {
    /// A name, the true time, and one share of a processor.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let busy = series("cpu.busy_ratio", &[], 4);
        Self {
            name: name.to_owned(),
            facts: BTreeMap::new(),
            clock_us: true_us(),
            series: vec![(busy, 2_500)],
        }
    }
}

/// A series by its metric, labels and scale.
#[must_use]
pub fn series(metric: &str, labels: &[(&str, &str)], scale: u8) -> Series {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Series { metric: metric.to_owned(), labels: labels.collect(), scale }
}

/// What the true clock shows: microseconds since 1970 UTC.
///
/// # Panics
/// If it shows a time before that.
#[must_use]
pub fn true_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// A forged device that is online until it is dropped.
#[derive(Debug)]
pub struct Forged {
    /// Its id.
    pub device: DeviceId,
    thread: Option<JoinHandle<()>>,
    end: Option<Sender<()>>,
}

impl Forged {
    /// Enrols it, and sends from then on.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn start(saying: Saying, aggregator: &Aggregator) -> Self {
        let address = aggregator.intake_address();
        let token = JoinToken::parse(&aggregator.token()).unwrap();
        let identity = talk(enrol(&saying.name, &token, Ipv4Addr::LOCALHOST)).unwrap();
        let device = device_of(&identity);
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let pace = Pace { first: Duration::ZERO, interval: Duration::from_secs(1) };
            runtime.unwrap().block_on(send(&saying, &identity, (&address, pace), ended));
        });
        Self { device, thread: Some(thread), end: Some(end) }
    }
}

impl Drop for Forged {
    fn drop(&mut self) {
        drop(self.end.take());
        let done = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(done.is_none_or(|done| done.is_ok()), "a forged device fails, see above");
        }
    }
}

/// When a forged device sends.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From its start to its session and first tick, so that not all of a fleet come at once.
    pub first: Duration,
    /// Between two ticks.
    pub interval: Duration,
}

/// Sends what a device says to an address, until somebody says or drops `ended`.
///
/// # Panics
/// If it is not served, or a batch is not acked.
pub async fn send(
    saying: &Saying,
    identity: &DeviceIdentity,
    (address, pace): (&str, Pace),
    mut ended: Receiver<()>,
) {
    tokio::time::sleep(pace.first).await;
    let peer = Peer::greeted_as(hello_of(saying), identity, address).await;
    let (mut stream, state) = peer.lane(Lane::Live).await;
    let mut chain = Chain::new(device_of(identity), saying, &state);
    let mut wait = Duration::ZERO;
    while tokio::time::timeout(wait, &mut ended).await.is_err() {
        for body in chain.bodies() {
            chain.send(&mut stream, &body).await;
        }
        wait = pace.interval;
    }
}

fn hello_of(saying: &Saying) -> headwater_protocol::wire::Hello {
    let plain = hello(1, PROTOCOL_NEWEST);
    let (name, labels) = (saying.name.clone(), saying.facts.clone());
    headwater_protocol::wire::Hello { name, labels, boot: BOOT, ..plain }
}

const BOOT: BootId = BootId([7; 16]);

/// The live lane of a forged device: where it stands, and what comes next.
struct Chain<'a> {
    device: DeviceId,
    saying: &'a Saying,
    series: Vec<Arc<Series>>,
    begun: Instant,
    stream: Stream,
    mark: Mark,
    parent: Option<Tip>,
    epoch: Epoch,
    seq: Seq,
    before: Digest,
    totals: Counts,
    ticks: i64,
    last: LastBatch,
}

impl<'a> Chain<'a> {
    fn new(device: DeviceId, saying: &'a Saying, state: &LaneState) -> Self {
        let run = Run { number: state.run_highest + 1, nonce: 7 };
        let mut epoch = [0; 16];
        epoch.copy_from_slice(&blake3::hash(&state.tip.digest.0).as_bytes()[..16]);
        Self {
            device,
            saying,
            series: saying.series.iter().map(|(series, _)| Arc::new(series.clone())).collect(),
            begun: Instant::now(),
            stream: Stream { source: SourceId([9; 16]), run },
            mark: Mark::default(),
            parent: Some(state.tip),
            epoch: Epoch(epoch),
            seq: Seq::FIRST,
            before: state.tip.digest,
            totals: state.totals,
            ticks: 0,
            last: LastBatch::default(),
        }
    }

    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap()
    }

    /// The next tick, in as many bodies as its series take.
    fn bodies(&mut self) -> Vec<BodyBuilder> {
        let time_us = self.saying.clock_us + self.elapsed_us();
        self.ticks += 1;
        let step = self.ticks % 60;
        let values = self.saying.series.iter().map(|(_, start)| start + step);
        let samples: Vec<Sample> = self.series.iter().cloned().zip(values).map(sample).collect();
        let mut bodies = Vec::new();
        for part in samples.chunks(SERIES_PER_BODY) {
            let mut body = BodyBuilder::default();
            body.cover(self.stream, Some(&SourceInfo::Host), self.mark, Check::NONE);
            if self.ticks == 1 && bodies.is_empty() {
                self.push(&mut body, Content::Facts(self.saying.facts.clone()), time_us);
            }
            self.push(&mut body, Content::Tick(part.iter().cloned().collect()), time_us);
            bodies.push(body);
        }
        bodies
    }

    fn push(&mut self, body: &mut BodyBuilder, content: Content, time_us: i64) {
        let (stream, start) = (self.stream, self.mark.position);
        let record = Record { stream, start, end: start + 1, time_us, content };
        body.push(&record);
        self.mark = body.end(stream).unwrap();
    }

    async fn send(&mut self, to: &mut Bidi, body: &BodyBuilder) {
        let elapsed_us = self.elapsed_us();
        let wall_us = self.saying.clock_us + elapsed_us;
        // A boot a minute before: a monotonic clock that shows nothing is none.
        let mono_us = u64::try_from(elapsed_us).unwrap() + 60_000_000;
        let (packing, packed) = body.pack(1);
        self.totals = self.totals.plus(body.counts());
        let header = Header {
            device: self.device,
            lane: Lane::Live,
            epoch: self.epoch,
            seq: self.seq,
            parent: self.parent.take(),
            rekeyed: true,
            lane_state: 0,
            clock: Clock { wall_us, boot: BOOT, mono_us },
            counts: body.counts(),
            totals: self.totals,
            spans: body.spans(),
            packing,
        };
        let batch = Batch::seal(header, &packed, self.before);
        self.before = batch.digest();
        self.seq = Seq::new(self.seq.number() + 1).unwrap();
        let sent = SentClock { wall_us, mono_us, boot: BOOT };
        let next = self.last.abbreviate(sent, batch.bytes()).map(Frame::Next);
        let frame = next.unwrap_or_else(|| Frame::Batch { sent, batch: Box::new(batch) });
        to.say(&frame.encode()).await;
        let answer = to.hear().await;
        let is_ack = matches!(answer, Some(Frame::Ack(_) | Frame::NextAck(_)));
        assert!(is_ack, "an ack, not {answer:?}");
    }
}

/// Far below what a batch may hold, so that labels of any length fit.
const SERIES_PER_BODY: usize = 2_000;

fn sample((series, value): (Arc<Series>, i64)) -> Sample {
    Sample { series, value }
}
