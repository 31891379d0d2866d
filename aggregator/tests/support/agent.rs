//! An agent in memory: the protocol's own chain over a spool that is a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::{BodyBuilder, VERSION_NEWEST};
use headwater_protocol::chain::{Acked, Chain, Fresh, Link, Resumed, Row, Rows, Sealing};
use headwater_protocol::header::Clock;
use headwater_protocol::identity::{DeviceId, Epoch, Lane};
use headwater_protocol::position::{SourceId, Stream};
use headwater_protocol::record::{Content, Event, Part, Record, Sample, Series, SourceInfo};
use headwater_protocol::wire::{Ack, LaneState};

/// A spool that is a map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spool(BTreeMap<u64, Batch>);

impl Rows for Spool {
    type Error = String;

    fn read(&self, row: Row) -> Result<Batch, String> {
        self.0.get(&row.0).cloned().ok_or_else(|| format!("row {} is not there", row.0))
    }

    fn link(&self, row: Row) -> Result<Link, String> {
        self.read(row).map(|batch| Link::of(&batch))
    }

    fn write(&mut self, row: Row, batch: &Batch) -> Result<(), String> {
        self.0.insert(row.0, batch.clone());
        Ok(())
    }

    fn remove(&mut self, row: Row) -> Result<(), String> {
        self.0.remove(&row.0);
        Ok(())
    }
}

/// An agent's one lane. It seals one line per batch, unless told otherwise.
#[derive(Clone, Debug)]
pub(crate) struct TestAgent {
    pub(crate) chain: Chain,
    pub(crate) spool: Spool,
    stream: Stream,
    drawn: u64,
}

impl TestAgent {
    pub(crate) fn new(device: DeviceId, lane: Lane) -> Self {
        let mut chain = Chain::new(device, lane, fresh(1));
        let info = SourceInfo::File {
            path: b"/var/log/app.log".to_vec(),
            fingerprint: Default::default(),
        };
        let stream = chain.begin_run(SourceId([7; 16]), info, 0, 1);
        Self { chain, spool: Spool::default(), stream, drawn: 1 }
    }

    /// Seals a line.
    pub(crate) fn line(&mut self, text: &str) -> Row {
        self.lines(&[text])
    }

    /// Seals lines as one batch.
    pub(crate) fn lines(&mut self, lines: &[&str]) -> Row {
        let mut body = BodyBuilder::default();
        self.chain.cover(&mut body, self.stream);
        for (line, time_us) in lines.iter().zip(1_000..) {
            let start = body.end(self.stream).unwrap().position;
            let end = start + line.len() as u64 + 1;
            let event = Event { body: line.as_bytes().to_vec(), part: Part::Whole };
            let content = Content::Event(event);
            body.push(&Record { stream: self.stream, start, end, time_us, content });
        }
        self.seal(&body)
    }

    /// Seals a sample and a fact of the device.
    pub(crate) fn sample(&mut self, metric: &str, value: i64) -> Row {
        let mut body = BodyBuilder::default();
        self.chain.cover(&mut body, self.stream);
        let start = body.end(self.stream).unwrap().position;
        let series = Arc::new(Series { metric: metric.to_owned(), labels: Vec::new(), scale: 0 });
        let facts = BTreeMap::from([("role".to_owned(), format!("web-{value}"))]);
        let contents =
            [Content::Tick(vec![Sample { series, value }].into()), Content::Facts(facts)];
        for (content, at) in contents.into_iter().zip(start..) {
            let record =
                Record { stream: self.stream, start: at, end: at + 1, time_us: 2_000, content };
            body.push(&record);
        }
        self.seal(&body)
    }

    fn seal(&mut self, body: &BodyBuilder) -> Row {
        self.chain.seal(&mut self.spool, body, sealing()).unwrap()
    }

    pub(crate) fn batch(&self, row: Row) -> Batch {
        self.spool.read(row).unwrap()
    }

    pub(crate) fn handle_state(&mut self, state: &LaneState) -> Resumed {
        self.drawn += 1;
        let fresh = fresh(self.drawn);
        self.chain.handle_state(&mut self.spool, state, fresh, sealing()).unwrap()
    }

    pub(crate) fn handle_ack(&mut self, ack: Ack) -> Acked {
        self.chain.handle_ack(&self.spool, ack.tip, ack.receipt).unwrap()
    }

    /// Whether every batch is acked.
    pub(crate) fn is_quiet(&self) -> bool {
        self.chain.head().acked() == self.chain.head().next()
    }
}

/// A device's id; devices of different numbers are most often of different shards.
pub(crate) fn device(number: u8) -> DeviceId {
    DeviceId([number; 16])
}

fn sealing() -> Sealing {
    Sealing { clock: Clock { wall_us: 5_000, ..Clock::default() }, level: 1, body: VERSION_NEWEST }
}

fn fresh(number: u64) -> Fresh {
    let mut epoch = [0xe0; 16];
    epoch[..8].copy_from_slice(&number.to_le_bytes());
    Fresh { epoch: Epoch(epoch), seed: number }
}
