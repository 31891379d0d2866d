//! The ledger: what the fold of a shard knows of each lane of each device.
//!
//! A pure function of the log. Entries go in by offset, verdicts come out; the same entries give the
//! same bytes on every node, whoever appended them and however often. Nothing else may make an ack.

mod lane;
mod shard;
mod snapshot;

pub use lane::{Dead, Known, LaneLedger, Tallies, Verdict};
pub use shard::{Applied, Fault, Outcome, Refusal, ShardLedger};
pub use snapshot::{LogTip, Snapshot};
