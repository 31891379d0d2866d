//! What `tap` answers, line by line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{GapRow, LineRow, Moment, SampleRow};

/// A line of `tap`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TapRow {
    /// A sample.
    Sample(SampleRow),
    /// A line of a log.
    Line(LineRow),
    /// A gap.
    Gap(GapRow),
    /// Labels and facts of a device; they hold from here on.
    Facts {
        /// When they were stated.
        time: Moment,
        /// Name of the device.
        device: String,
        /// All of them.
        facts: BTreeMap<String, String>,
    },
    /// A batch, and what the fold said of it.
    Batch(BatchRow),
    /// Lines that fit and were not shown, since the last time this was said.
    Skipped {
        /// How many.
        lines: u64,
    },
}

/// A batch as `tap --raw` shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BatchRow {
    /// When the aggregator appended it.
    pub time: Moment,
    /// Name of the device.
    pub device: String,
    /// `live` or `bulk`.
    pub lane: String,
    /// The epoch, its first digits.
    pub epoch: String,
    /// The seq.
    pub seq: u64,
    /// The shard.
    pub shard: u16,
    /// The offset.
    pub offset: u64,
    /// Records in it, samples counted one by one.
    pub records: u64,
    /// Bytes as they travelled, header included.
    pub bytes: u64,
    /// Bytes of its body, packed.
    pub packed_bytes: u64,
    /// Bytes of its body before it was packed.
    pub unpacked_bytes: u64,
    /// `applied`, `duplicate`, `ahead`, `fork`, `stale` or `undecodable` (applied as a gap).
    pub verdict: String,
}
