//! What the fold applied, as live subscribers and replays see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_protocol::batch::Batch;
use headwater_protocol::body::Body;
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::Header;
use headwater_protocol::identity::{Digest, Generation, Offset, ShardId};
use tokio::sync::broadcast;

use crate::limits::{LIVE_BATCHES_MAX, LIVE_BYTES_MAX};

/// A batch that the fold applied.
#[derive(Debug)]
pub struct AppliedBatch {
    /// The shard.
    pub shard: ShardId,
    /// The entry that holds it.
    pub offset: Offset,
    /// The log's generation there.
    pub generation: Generation,
    /// The appender's clock, microseconds since 1970 UTC.
    pub stamp_us: i64,
    /// The device's clocks when the frame was sent.
    pub sent: SentClock,
    /// The batch's header.
    pub header: Header,
    /// The batch's digest.
    pub digest: Digest,
    /// Bytes of the batch as it travelled.
    pub bytes: u64,
    /// Its records. `None` if they could not be decoded: the batch is applied as a gap.
    pub body: Option<Body>,
    /// Batches before this one that were not published because slow subscribers held too much memory;
    /// always 0 in a replay.
    pub skipped_before: u64,
    held: Option<Held>,
}

impl AppliedBatch {
    pub(super) fn new(place: Place, batch: &Batch, body: Option<Body>) -> Self {
        Self {
            shard: place.shard,
            offset: place.offset,
            generation: place.generation,
            stamp_us: place.stamp_us,
            sent: place.sent,
            header: batch.header().clone(),
            digest: batch.digest(),
            bytes: batch.bytes().len() as u64,
            body,
            skipped_before: 0,
            held: None,
        }
    }

    /// As it was read again at a place (shard, offset and generation), with its clocks.
    pub(crate) fn again(
        (shard, offset, generation): (ShardId, Offset, Generation),
        (stamp_us, sent): (i64, SentClock),
        batch: &Batch,
        body: Option<Body>,
    ) -> Self {
        Self::new(Place { shard, offset, generation, stamp_us, sent }, batch, body)
    }

    /// About how many bytes of memory it takes: a decoded record takes a multiple of its place in the
    /// columns.
    fn weight(&self) -> u64 {
        let records = self.body.as_ref().map_or(0, |_| self.header.counts.records);
        1024 + u64::from(self.header.packing.unpacked) + records.saturating_mul(40)
    }
}

/// Where a batch was applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) shard: ShardId,
    pub(super) offset: Offset,
    pub(super) generation: Generation,
    pub(super) stamp_us: i64,
    pub(super) sent: SentClock,
}

/// Publishes what is applied to whoever listens; never waits for anyone.
#[derive(Clone, Debug)]
pub struct Live {
    sender: broadcast::Sender<Arc<AppliedBatch>>,
    /// Shared by all workers and all published batches, which add and subtract; a message would come
    /// after the memory is taken.
    held_bytes: Arc<AtomicU64>,
    skipped: Arc<AtomicU64>,
}

impl Default for Live {
    fn default() -> Self {
        let (sender, _) = broadcast::channel(LIVE_BATCHES_MAX);
        Self { sender, held_bytes: Arc::default(), skipped: Arc::default() }
    }
}

impl Live {
    /// What is applied from here on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<AppliedBatch>> {
        self.sender.subscribe()
    }

    /// Whether anyone listens.
    pub(super) fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Publishes a batch. `false` if subscribers hold too much memory: then nobody is shown it.
    pub(super) fn publish(&self, mut batch: AppliedBatch) -> bool {
        let weight = batch.weight();
        if self.held_bytes.load(Ordering::Relaxed) + weight > LIVE_BYTES_MAX {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.held_bytes.fetch_add(weight, Ordering::Relaxed);
        batch.held = Some(Held { weight, held_bytes: Arc::clone(&self.held_bytes) });
        batch.skipped_before = self.skipped.swap(0, Ordering::Relaxed);
        // Nobody listens any more: that is nobody's loss.
        drop(self.sender.send(Arc::new(batch)));
        true
    }
}

/// Memory that a published batch takes until the last subscriber lets go of it.
#[derive(Debug)]
struct Held {
    weight: u64,
    held_bytes: Arc<AtomicU64>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held_bytes.fetch_sub(self.weight, Ordering::Relaxed);
    }
}
