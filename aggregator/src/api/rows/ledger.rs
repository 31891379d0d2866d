//! What the ledger answers.

use headwater_protocol::header::Counts;
use headwater_protocol::ledger::{Dead, Tallies};
use serde::{Deserialize, Serialize};

use super::Moment;

/// Totals that must add up: read = applied + gaps. What the agent holds in its spool is known there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Totals {
    /// Batches that were applied.
    pub batches: u64,
    /// Records that were read.
    pub records_read: u64,
    /// Records that are stored.
    pub records_applied: u64,
    /// Gaps.
    pub gaps: u64,
    /// Records that had been read, and that gaps stand for.
    pub gap_records: u64,
    /// Bytes that were gone before they could be read; they stand beside the sum.
    pub gap_bytes: u64,
    /// Records of batches whose body could not be decoded; kept, shown as gaps.
    pub undecoded_records: u64,
    /// Batches that came again and were dropped.
    pub duplicates: u64,
    /// Batches of closed epochs, dropped.
    pub stale: u64,
    /// Batches that contradicted what was applied, refused.
    pub forks: u64,
    /// Batches that came too early, refused until those before them came.
    pub ahead: u64,
    /// Batches whose totals did not follow from those before them.
    pub unequal: u64,
    /// Whether it adds up.
    pub adds_up: bool,
}

impl Totals {
    /// Nothing, which adds up.
    pub const NONE: Self = Self {
        batches: 0,
        records_read: 0,
        records_applied: 0,
        gaps: 0,
        gap_records: 0,
        gap_bytes: 0,
        undecoded_records: 0,
        duplicates: 0,
        stale: 0,
        forks: 0,
        ahead: 0,
        unequal: 0,
        adds_up: true,
    };

    /// The totals of one lane, or of all lanes together.
    #[must_use]
    pub fn of(counts: Counts, dead: Dead, tallies: Tallies) -> Self {
        Self {
            batches: tallies.applied,
            records_read: counts.read(),
            // What can't be decoded is kept, but as a gap: it is not stored as records.
            records_applied: counts.records.saturating_sub(dead.records),
            gaps: counts.gaps.saturating_add(dead.batches),
            gap_records: counts.gap_records.saturating_add(dead.records),
            gap_bytes: counts.gap_bytes,
            undecoded_records: dead.records,
            duplicates: tallies.duplicate,
            stale: tallies.stale,
            forks: tallies.fork,
            ahead: tallies.ahead,
            unequal: tallies.unequal,
            adds_up: tallies.unequal == 0,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            batches: self.batches + other.batches,
            records_read: self.records_read.saturating_add(other.records_read),
            records_applied: self.records_applied.saturating_add(other.records_applied),
            gaps: self.gaps.saturating_add(other.gaps),
            gap_records: self.gap_records.saturating_add(other.gap_records),
            gap_bytes: self.gap_bytes.saturating_add(other.gap_bytes),
            undecoded_records: self.undecoded_records.saturating_add(other.undecoded_records),
            duplicates: self.duplicates + other.duplicates,
            stale: self.stale + other.stale,
            forks: self.forks + other.forks,
            ahead: self.ahead + other.ahead,
            unequal: self.unequal + other.unequal,
            adds_up: self.adds_up && other.adds_up,
        }
    }
}

/// What the ledger says of a device.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LedgerRow {
    /// Name of the device.
    pub device: String,
    /// Its id.
    pub id: String,
    /// The shard that holds it.
    pub shard: u16,
    /// Both lanes together.
    #[serde(flatten)]
    pub totals: Totals,
    /// Each lane that ever sent a batch.
    pub lanes: Vec<LaneRow>,
    /// Each gap, in the order of the log; empty unless asked for.
    pub gap_list: Vec<GapRow>,
}

/// What the ledger says of a lane.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LaneRow {
    /// `live` or `bulk`.
    pub lane: String,
    /// The epoch of the last batch that was applied.
    pub epoch: String,
    /// Its seq.
    pub seq: u64,
    /// The chained digest up to it.
    pub digest: String,
    /// Where it was applied.
    pub receipt: ReceiptRow,
    /// Epochs that were opened.
    pub epochs: u64,
    /// Everything up to the last batch.
    #[serde(flatten)]
    pub totals: Totals,
    /// How far each stream was applied.
    pub streams: Vec<StreamRow>,
}

/// Where in which log a batch was applied.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReceiptRow {
    /// The log's generation.
    pub generation: u64,
    /// The shard.
    pub shard: u16,
    /// The offset.
    pub offset: u64,
}

/// How far a stream was applied.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StreamRow {
    /// What it is: `host`, `device`, or a path; `null` where the log does not say it any more.
    pub source: Option<String>,
    /// The source's id.
    pub source_id: String,
    /// The run.
    pub run: u64,
    /// Bytes of a file, ticks of a sampler.
    pub position: u64,
    /// Records up to there, gaps included.
    pub records: u64,
}

/// A gap.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GapRow {
    /// Name of the device.
    pub device: String,
    /// `live` or `bulk`.
    pub lane: String,
    /// Why, in a word.
    pub cause: String,
    /// What it is about: `host`, `device`, or a path.
    pub source: String,
    /// The run.
    pub run: u64,
    /// Where it starts in the stream.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// Records that had been read.
    pub records: u64,
    /// Bytes that were gone before they could be read.
    pub bytes: u64,
    /// When the agent declared it.
    pub time: Moment,
    /// The log's entry that holds it.
    pub offset: u64,
}

/// A line of the answer to `verify`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum VerifyRow {
    /// How far the audit is.
    Progress {
        /// Entries read so far.
        entries: u64,
        /// Entries that there are to read.
        entries_total: u64,
        /// Bytes read so far.
        bytes: u64,
    },
    /// What it found; the last line.
    Report(AuditRow),
}

/// What an audit found.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditRow {
    /// Whether nothing is missing, nothing repeated, every sum equal and every chain whole.
    pub clean: bool,
    /// Devices that were looked at.
    pub devices: u64,
    /// Records that nothing declares as missing, and that are not there.
    pub missing: u64,
    /// Records that are there more than once.
    pub repeated: u64,
    /// Declared gaps.
    pub gaps: u64,
    /// Records that they stand for.
    pub gap_records: u64,
    /// Bytes that were gone before they could be read.
    pub gap_bytes: u64,
    /// Records that are there.
    pub records: u64,
    /// Batches that count.
    pub batches: u64,
    /// Entries of the log that were read.
    pub entries: u64,
    /// Bytes of the log that were read.
    pub bytes: u64,
    /// Lanes, in order of devices.
    pub lanes: Vec<AuditLaneRow>,
    /// Each gap, in order of devices; at most 10,000 per lane and cause.
    pub gap_list: Vec<GapRow>,
}

/// What an audit found in one lane.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditLaneRow {
    /// Name of the device.
    pub device: String,
    /// `live` or `bulk`.
    pub lane: String,
    /// Whether nothing of it is wrong.
    pub clean: bool,
    /// Batches that count.
    pub batches: u64,
    /// Batches that came again, too early or too late, and were not applied.
    pub not_applied: u64,
    /// Records that are there.
    pub records: u64,
    /// Declared gaps.
    pub gaps: u64,
    /// Records that they stand for.
    pub gap_records: u64,
    /// Records that are missing.
    pub missing: u64,
    /// Records that are repeated.
    pub repeated: u64,
    /// Batches whose totals do not follow from the batch before.
    pub unequal: u64,
    /// Batches whose digest does not follow from the batch before.
    pub chain_breaks: u64,
    /// Batches that can't be opened.
    pub undecodable: u64,
    /// Whether the ledger says the same of tip, totals and positions.
    pub ledger_agrees: bool,
    /// Where something is missing or repeated, in words.
    pub places: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_applied_or_a_gap() {
        let counts = Counts { records: 100, gaps: 2, gap_records: 7, gap_bytes: 9 };
        let dead = Dead { batches: 1, records: 10 };
        let totals = Totals::of(counts, dead, Tallies::default());
        assert_eq!(totals.records_read, totals.records_applied + totals.gap_records);
        assert_eq!((totals.records_applied, totals.gaps), (90, 3));
        assert!(totals.adds_up && Totals::NONE.adds_up);
        let unequal = Tallies { unequal: 1, ..Tallies::default() };
        assert!(!totals.and(Totals::of(counts, dead, unequal)).adds_up);
    }
}
