//! A lane whose batches hang on one another, as an agent seals them.

use headwater_protocol::batch::Batch;
use headwater_protocol::body::BodyBuilder;
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Clock, Counts, Header, Packing};
use headwater_protocol::identity::{BootId, DeviceId, Digest, Epoch, Lane as LaneName, Seq, Tip};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Record, SourceInfo};

use super::Tick;

/// zstd's level, as an agent has it.
pub(crate) const LEVEL: i32 = 3;
/// How long after its first tick a batch is sealed, and sent after that: microseconds.
const SEALED_AFTER_US: i64 = 250_000;
const SENT_AFTER_US: i64 = 3_000;
pub(crate) const NOON_US: i64 = 1_795_262_400_000_000;
const STREAM: Stream = Stream {
    source: SourceId(*b"headwater.host:0"),
    run: Run { number: 4, nonce: 0x5851_f42d_4c95_7f2d },
};

/// What the first batch hangs on.
pub(crate) const GENESIS: Digest = Tip::GENESIS.digest;

/// The header of a device's first batch.
pub(crate) fn first(body: &BodyBuilder, packing: Packing) -> Header {
    Header {
        device: DeviceId([7; 16]),
        lane: LaneName::Live,
        epoch: Epoch([9; 16]),
        seq: Seq::FIRST,
        parent: Some(Tip::GENESIS),
        rekeyed: true,
        lane_state: 0,
        clock: Clock { wall_us: NOON_US, ..Clock::default() },
        counts: body.counts(),
        totals: body.counts(),
        spans: body.spans(),
        packing,
    }
}

pub(crate) struct Lane {
    device: DeviceId,
    mark: Mark,
    totals: Counts,
    last: Option<Batch>,
}

impl Default for Lane {
    fn default() -> Self {
        Self::of(DeviceId([7; 16]))
    }
}

impl Lane {
    /// The lane of a device.
    pub(crate) fn of(device: DeviceId) -> Self {
        Self { device, mark: Mark::default(), totals: Counts::default(), last: None }
    }

    /// Seals ticks, one after the other, in a batch.
    pub(crate) fn seal(&mut self, ticks: &[Tick]) -> Batch {
        let mut body = BodyBuilder::default();
        body.cover(STREAM, Some(&SourceInfo::Host), self.mark, Check::NONE);
        let mut sealed_us = NOON_US;
        for (at_us, samples) in ticks {
            let (start, time_us) = (self.mark.position, NOON_US + at_us);
            let content = Content::Tick(samples.iter().cloned().collect());
            body.push(&Record { stream: STREAM, start, end: start + 1, time_us, content });
            self.mark = body.end(STREAM).unwrap_or(self.mark);
            sealed_us = time_us + SEALED_AFTER_US;
        }
        let (packing, packed) = body.pack(LEVEL);
        self.totals = self.totals.plus(body.counts());
        let seq = self.last.as_ref().and_then(|last| last.header().seq.next());
        let clock = Clock {
            wall_us: sealed_us,
            boot: BootId([3; 16]),
            mono_us: (sealed_us - NOON_US).cast_unsigned() + 60_000_000,
        };
        let header = Header {
            device: self.device,
            seq: seq.unwrap_or(Seq::FIRST),
            parent: seq.is_none().then_some(Tip::GENESIS),
            clock,
            totals: self.totals,
            ..first(&body, packing)
        };
        let before = self.last.as_ref().map_or(GENESIS, Batch::digest);
        let batch = Batch::seal(header, &packed, before);
        self.last = Some(batch.clone());
        batch
    }

    /// The clocks when a batch is sent.
    pub(crate) fn sent(batch: &Batch) -> SentClock {
        let clock = batch.header().clock;
        SentClock {
            wall_us: clock.wall_us + SENT_AFTER_US,
            mono_us: clock.mono_us + SENT_AFTER_US.cast_unsigned(),
            boot: BootId::default(),
        }
    }
}
