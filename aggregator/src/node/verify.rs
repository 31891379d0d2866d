//! The audit: an independent pass over the log that shares no code with the ledger.

mod walk;

use std::collections::BTreeMap;

use headwater_protocol::codec::DecodeError;
use headwater_protocol::entry::{Entry, EntryKind};
use headwater_protocol::header::Counts;
use headwater_protocol::identity::{DeviceId, Lane, Offset, ShardId};
use headwater_protocol::position::{Mark, Stream};
use headwater_protocol::record::Cause;

use crate::fold::Standing;
use crate::limits::READ_BYTES;
use crate::log::{Log, ReadError};

use walk::LaneWalk;

/// How far an audit is.
#[derive(Clone, Copy, Debug)]
pub struct VerifyProgress {
    /// Shards that are done.
    pub shards_done: usize,
    /// Shards in all.
    pub shards: usize,
    /// Entries read so far.
    pub entries: u64,
    /// Entries that there are to read.
    pub entries_total: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

impl VerifyProgress {
    /// Nothing of so many shards.
    pub(super) fn of(shards: usize) -> Self {
        Self { shards_done: 0, shards, entries: 0, entries_total: 0, bytes: 0 }
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Per lane, in order of devices.
    pub lanes: Vec<LaneReport>,
    /// Entries that were read.
    pub entries: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

impl VerifyReport {
    /// Whether nothing is missing, nothing repeated, every sum equal and every chain whole.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lanes.iter().all(LaneReport::is_clean)
    }
}

/// What an audit found in one lane.
#[derive(Clone, Debug)]
pub struct LaneReport {
    /// The device.
    pub device: DeviceId,
    /// The lane.
    pub lane: Lane,
    /// The shard.
    pub shard: ShardId,
    /// Batches that count: each seq once, each hanging on the one before.
    pub batches: u64,
    /// Entries with a batch that does not count: sent again, ahead, stale.
    pub not_applied: u64,
    /// Records and gaps, added up from the bodies.
    pub totals: Counts,
    /// Declared gaps by cause.
    pub gaps: BTreeMap<Cause, GapSum>,
    /// Records between the end of one batch and the start of the next that nothing declares.
    pub missing: u64,
    /// Where they are: stream, and from which mark to which. At most `GAP_RANGES_MAX`.
    pub missing_ranges: Vec<(Stream, Mark, Mark)>,
    /// Records that two batches cover.
    pub repeated: u64,
    /// Where they are: stream, and from which mark to which. At most `GAP_RANGES_MAX`.
    pub repeated_ranges: Vec<(Stream, Mark, Mark)>,
    /// Batches whose totals are not those of the batch before plus its records.
    pub unequal: u64,
    /// Batches in the place of the next one whose digest does not follow.
    pub chain_breaks: u64,
    /// Batches whose body can't be opened: applied as gaps.
    pub dead_batches: u64,
    /// Whether the fold's ledger says the same of tip, totals and positions.
    pub ledger_agrees: bool,
    /// The offset of the last batch that counts. `None` if none does.
    pub last: Option<Offset>,
}

impl LaneReport {
    /// Whether nothing is missing, nothing repeated, every sum equal and the chain whole.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missing == 0
            && self.repeated == 0
            && self.unequal == 0
            && self.chain_breaks == 0
            && self.ledger_agrees
    }
}

/// The declared gaps of one cause.
#[derive(Clone, Debug, Default)]
pub struct GapSum {
    /// How many.
    pub gaps: u64,
    /// Records that had been read.
    pub records: u64,
    /// Bytes that were gone before they could be read.
    pub bytes: u64,
    /// Where they are, in order of the log. At most `GAP_RANGES_MAX`.
    pub ranges: Vec<GapRange>,
}

/// One declared gap.
#[derive(Clone, Copy, Debug)]
pub struct GapRange {
    /// The stream that it is about.
    pub stream: Stream,
    /// Where it starts in the stream that it stands in.
    pub start: u64,
    /// Where it ends there.
    pub end: u64,
    /// Records that had been read.
    pub records: u64,
    /// Bytes that were gone before they could be read.
    pub bytes: u64,
    /// When, by the device's clock, microseconds since 1970 UTC.
    pub time_us: i64,
    /// The entry that declares it.
    pub offset: Offset,
}

/// Why an audit could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log can't be read.
    #[error("verify the ledger")]
    Read(#[source] ReadError),
    /// An entry can't be read: damaged, or of a newer build.
    #[error("verify the ledger: decode the entry at offset {offset} of shard {shard}")]
    Entry {
        /// The shard.
        shard: ShardId,
        /// The entry.
        offset: Offset,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The log was trimmed, and an audit begins at its beginning.
    #[error(
        "verify the ledger: the log of shard {shard} begins at offset {start}, what was before is not there to be read"
    )]
    Trimmed {
        /// The shard.
        shard: ShardId,
        /// The first entry that is there.
        start: Offset,
    },
    /// The node is stopping.
    #[error("verify the ledger: the node is stopping")]
    Stopping,
}

/// Ranges of one kind that are listed; all are counted.
pub const GAP_RANGES_MAX: usize = 1000;

/// Reads a shard's log from its beginning to where `standing` ends, and compares. `tell` is called with
/// entries and bytes after each read.
pub(crate) fn shard(
    log: &dyn Log,
    standing: &Standing,
    device: Option<DeviceId>,
    mut tell: impl FnMut(u64, u64),
) -> Result<Vec<LaneReport>, VerifyError> {
    let shard = standing.shard;
    let start = log.start(shard).map_err(VerifyError::Read)?;
    if start > Offset(0) {
        return Err(VerifyError::Trimmed { shard, start });
    }
    let mut lanes: BTreeMap<(DeviceId, Lane), LaneWalk> = BTreeMap::new();
    let mut next = Offset(0);
    while next < standing.next {
        let entries = log.read(shard, next, READ_BYTES).map_err(VerifyError::Read)?;
        let Some(last) = entries.last() else { break };
        let after = last.offset.next();
        let (mut count, mut bytes) = (0, 0);
        for stored in entries.into_iter().filter(|stored| stored.offset < standing.next) {
            (count, bytes) = (count + 1, bytes + stored.entry.len() as u64);
            let offset = stored.offset;
            let entry = Entry::decode(&stored.entry).map_err(|source| VerifyError::Entry {
                shard,
                offset,
                source,
            })?;
            let EntryKind::Batch { batch, .. } = entry.kind else { continue };
            let key = (batch.header().device, batch.header().lane);
            if device.is_none_or(|device| device == key.0) {
                lanes.entry(key).or_default().batch(offset, &batch);
            }
        }
        tell(count, bytes);
        next = after;
    }
    // A lane that the fold knows and the log does not is one that does not agree.
    for key in standing.lanes.keys().filter(|key| device.is_none_or(|device| device == key.0)) {
        lanes.entry(*key).or_default();
    }
    let report = |(key, walk): (_, LaneWalk)| walk.report(key, shard, standing.lanes.get(&key));
    Ok(lanes.into_iter().map(report).collect())
}
