//! Where a sink writes.

use std::collections::BTreeMap;
use std::fmt;

use headwater_protocol::identity::{Offset, ShardId};

use super::follow::Deliveries;
use super::known::Known;
use super::range::Range;

/// Where a sink writes. What is written in one range is all there, or none of it counts: the cursor moves afterwards.
pub trait Destination: fmt::Debug + Send {
    /// Writes what was applied in a range, and returns once it is safe. A range that was written before, in whole or in
    /// part, is written again after a crash: that has to be harmless. `known` holds what records before the range said, and
    /// is told what those of the range say.
    ///
    /// # Errors
    /// If it is not safe there: the same range comes again.
    fn write(
        &mut self,
        range: &Range,
        deliveries: &mut Deliveries<'_>,
        known: &mut Known,
    ) -> Result<Written, WriteError>;

    /// Takes back what does not belong to the log as it is now: of each shard everything from its place on, but for the
    /// range that is begun there; of shards that have no place, everything. Called once, before anything is written.
    ///
    /// # Errors
    /// If it is not certain that all of it is taken back.
    fn withdraw(&mut self, places: &BTreeMap<ShardId, Place>) -> Result<u64, WriteError>;

    /// Deletes what a person said is not kept any longer, a bounded part of it; how many pieces is returned. Called often, and also
    /// while the disk is short.
    ///
    /// # Errors
    /// If something could not be deleted: it is tried again.
    fn expire(&mut self) -> Result<u64, WriteError> {
        Ok(0)
    }

    /// Puts together what many ranges wrote, a bounded part of it: called between ranges, when none is complete. `settled` says
    /// of each shard what is safe. `None` if there is nothing to put together, as for a destination that has no need to.
    ///
    /// # Errors
    /// If something stays apart. All of it is there as before, and what else can be put together is, the next times.
    fn merge(
        &mut self,
        _settled: &BTreeMap<ShardId, Settled>,
    ) -> Result<Option<Merged>, WriteError> {
        Ok(None)
    }
}

/// What of a shard is written for good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settled {
    /// All entries before this one, the cursor.
    pub end: Offset,
    /// The log's time up to which all is: of what is not written, the beginning; else of the last entry that is read.
    pub clock_us: i64,
}

/// What was put together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Merged {
    /// Where.
    pub place: String,
    /// Pieces that are one now.
    pub pieces: u64,
    /// Bytes that they took.
    pub bytes_before: u64,
    /// Bytes that it takes.
    pub bytes_after: u64,
}

/// Where a sink stands in a shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The last range that was written and that the log still has.
    pub from: Range,
    /// Where the next range ends, if it is begun.
    pub begun: Option<Offset>,
    /// Whether more was written, or begun, than the log still has.
    pub has_lost: bool,
}

/// What was written of a range.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// Files, or requests.
    pub pieces: u64,
    /// Bytes that they take there.
    pub bytes: u64,
}

/// Why a range is not written. It is tried again, and no other sink repeats anything.
#[derive(Debug, thiserror::Error)]
#[error("{what} {at:?}")]
pub struct WriteError {
    /// What was attempted.
    pub what: &'static str,
    /// Where.
    pub at: String,
    /// Why not.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl WriteError {
    /// An error with its place.
    pub fn new(
        what: &'static str,
        at: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what, at: at.into(), source: source.into() }
    }
}
