//! What averages take: the windows of all shards on one core, from batches to partials.

mod fleet;

use anyhow::{Context, Result};
use headwater_aggregator::window::{Output, OutputKind, ShardWindows};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::Body;
use headwater_protocol::header::Header;
use headwater_protocol::identity::{Generation, Offset, ShardCount};
use headwater_protocol::record::Content;
use serde::Serialize;

use crate::cpu_ns;
use crate::lane::Lane;
use fleet::{COMBINATIONS, Device, Fleet};

/// Seconds that windows are held, and one more of them: from then on as many go as come.
const WARM_SECONDS: usize = 80;
/// Rounds that are measured in parts, and as many that are measured as a whole.
const ROUNDS: usize = 3;
/// How often the batches of a round are opened when that is measured by itself.
const OPENED: usize = 1_000;

/// What a fleet's averages take. An event is the samples of one device at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Averages {
    devices: usize,
    ticks: usize,
    combinations: usize,
    /// Keys of one window, over all shards and combinations.
    keys: usize,
    /// Resident memory of windows that are held and of what is known of devices, by devices.
    bytes_per_device: f64,
    /// CPU time for an event, of each round: opening bodies, adding what is opened, closing windows, and all of
    /// it in turn as batches come.
    open_ns: Vec<f64>,
    add_ns: Vec<f64>,
    close_ns: Vec<f64>,
    whole_ns: Vec<f64>,
}

/// The shards of a node.
struct Node {
    shards: Vec<ShardWindows>,
    offset: u64,
}

/// What is sent in a round: batches, each with its header once more, to be the header of any device.
struct Round {
    batches: Vec<Batch>,
    headers: Vec<Header>,
    stamp_us: i64,
}

pub(crate) fn measure(devices: usize, ticks: usize, with_quantiles: bool) -> Result<Averages> {
    let mut fleet = Fleet::new();
    let mut devices = fleet.devices(devices);
    let before = resident_bytes()?;
    let mut node = Node::new(with_quantiles);
    node.learn(&devices, &mut fleet);
    let mut found = Averages {
        devices: devices.len(),
        ticks,
        combinations: COMBINATIONS.len(),
        keys: 0,
        bytes_per_device: 0.0,
        open_ns: Vec::new(),
        add_ns: Vec::new(),
        close_ns: Vec::new(),
        whole_ns: Vec::new(),
    };
    let events = each(devices.len(), ticks);
    let warm = WARM_SECONDS.div_ceil(ticks);
    for number in 0..warm + 2 * ROUNDS {
        fleet.shuffle(&mut devices);
        let round = Round::new(&mut fleet, number, ticks);
        let (opening, bodies) = round.open();
        node.lead(&devices, &round, &bodies);
        let begun = cpu_ns();
        match number.checked_sub(warm) {
            Some(measured) if measured % 2 == 1 => {
                node.take(&devices, &round, |at| Body::open(&round.batches[at]).ok());
                node.close(&round);
                found.whole_ns.push((cpu_ns() - begun) / events);
            }
            measured => {
                node.take(&devices, &round, |at| bodies.get(at));
                let added = cpu_ns();
                found.keys = node.close(&round);
                if measured.is_some() {
                    found.open_ns.push(opening);
                    found.add_ns.push((added - begun) / events);
                    found.close_ns.push((cpu_ns() - added) / events);
                }
            }
        }
    }
    found.bytes_per_device = (resident_bytes()? - before) / each(devices.len(), 1);
    Ok(found)
}

impl Node {
    fn new(with_quantiles: bool) -> Self {
        let shard = |_| {
            let mut shard = ShardWindows::default();
            shard.handle_rules(&Fleet::rules(with_quantiles));
            shard
        };
        Self { shards: ShardCount::DEFAULT.shards().map(shard).collect(), offset: 0 }
    }

    /// Each device says who it is.
    fn learn(&mut self, devices: &[Device], fleet: &mut Fleet) {
        let round = Round::new(fleet, 0, 1);
        let Ok(mut body) = Body::open(&round.batches[0]) else { return };
        for device in devices {
            body.records.iter_mut().for_each(|it| it.content = Content::Facts(fleet.labels()));
            self.take(std::slice::from_ref(device), &round, |_| Some(&body));
        }
    }

    /// A device of each shard says what time it is, with its last tick: else the first batch of many ticks would close
    /// its own windows before those of the others are there.
    fn lead(&mut self, devices: &[Device], round: &Round, bodies: &[Body]) {
        let mut body = bodies[0].clone();
        body.records.drain(..body.records.len() - 1);
        for shard in 0..self.shards.len() {
            if let Some(device) = devices.iter().find(|device| device.shard == shard) {
                self.take(std::slice::from_ref(device), round, |_| Some(&body));
            }
        }
    }

    /// Takes a batch of each device.
    fn take<B: std::borrow::Borrow<Body>>(
        &mut self,
        devices: &[Device],
        round: &Round,
        mut opened: impl FnMut(usize) -> Option<B>,
    ) {
        let mut headers = round.headers.clone();
        let sent = Lane::sent(&round.batches[0]);
        for (number, device) in devices.iter().enumerate() {
            let at = number % headers.len();
            let body = opened(at).expect("what was sealed can be opened");
            let header = &mut headers[at];
            header.device = device.id;
            self.offset += 1;
            let place = (Generation(0), Offset(self.offset));
            let clocks = (&sent, round.stamp_us);
            drop(self.shards[device.shard].handle_batch(place, clocks, header, body.borrow()));
        }
    }

    /// Lets the time of the last window pass, and its lateness; the keys of that window are returned.
    fn close(&mut self, round: &Round) -> usize {
        self.offset += 1;
        let mut keys = 0;
        for shard in &mut self.shards {
            let at = (Generation(0), Offset(self.offset));
            let outputs = shard.handle_tick(at, round.stamp_us + 2_000_000);
            let last = outputs.iter().filter_map(start_us).max();
            keys += outputs.iter().filter(|it| start_us(it) == last).map(groups).sum::<usize>();
        }
        keys
    }
}

impl Round {
    fn new(fleet: &mut Fleet, number: usize, ticks: usize) -> Self {
        let first = i64::try_from(number * ticks).unwrap_or(i64::MAX);
        let batches = fleet.batches(first, ticks);
        let headers: Vec<Header> = batches.iter().map(|batch| batch.header().clone()).collect();
        let stamp_us = headers[0].clock.wall_us;
        Self { batches, headers, stamp_us }
    }

    /// The bodies, and the time for an event to open them.
    fn open(&self) -> (f64, Vec<Body>) {
        let all = || self.batches.iter().map(|batch| Body::open(batch).expect("a sealed body"));
        let begun = cpu_ns();
        let opened = (0..OPENED).map(|_| all().map(|body| body.records.len()).sum::<usize>());
        let events = opened.sum();
        ((cpu_ns() - begun) / each(events, 1), all().collect())
    }
}

fn start_us(output: &Output) -> Option<i64> {
    match &output.kind {
        OutputKind::Opened { .. } => None,
        OutputKind::Partial(partial) => Some(partial.start_us),
    }
}

fn groups(output: &Output) -> usize {
    match &output.kind {
        OutputKind::Opened { .. } => 0,
        OutputKind::Partial(partial) => partial.groups.len(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "some millions")]
fn each(devices: usize, ticks: usize) -> f64 {
    (devices * ticks) as f64
}

/// Memory of this process that is in use.
fn resident_bytes() -> Result<f64> {
    let pages = std::fs::read_to_string("/proc/self/statm").context("read the memory in use")?;
    let pages = pages.split(' ').nth(1).context("the second number is what is resident")?;
    let pages: f64 = pages.parse().context("pages are a number")?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a page")]
    let page_bytes = rustix::param::page_size() as f64;
    Ok(pages * page_bytes)
}
