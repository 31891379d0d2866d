//! What was applied, read again from the log: each batch once, in order, by a fold of its own.

use std::collections::VecDeque;

use headwater_protocol::body::Body;
use headwater_protocol::entry::{Entry, EntryKind};
use headwater_protocol::identity::{Offset, ShardId};
use headwater_protocol::ledger::{Outcome, ShardLedger};
use headwater_protocol::rules::Rules;

use super::live::{AppliedBatch, Place};
use super::state::{FoldError, ShardState};
use crate::limits::READ_BYTES;
use crate::log::{Log, ReadError, Stored};

/// A reader of what was applied in a shard, up to where its log ended when it began.
#[derive(Debug)]
pub struct Replay<'log> {
    log: &'log dyn Log,
    ledger: ShardLedger,
    from: Offset,
    end: Offset,
    entries: VecDeque<Stored>,
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log can't be read.
    #[error("replay")]
    Read(#[source] ReadError),
    /// An entry stops the fold.
    #[error("replay")]
    Fold(#[source] FoldError),
}

impl<'log> Replay<'log> {
    /// Begins at an offset, on the ground of the newest snapshot that does not go beyond it.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn from(log: &'log dyn Log, shard: ShardId, from: Offset) -> Result<Self, ReplayError> {
        let mut ledger = ShardLedger::new(shard);
        for next in log.snapshots(shard).map_err(ReplayError::Read)? {
            let stored = if next > from {
                None
            } else {
                log.snapshot(shard, next).map_err(ReplayError::Read)?
            };
            let state =
                stored.and_then(|stored| ShardState::restore(log.id(), shard, &stored).ok());
            if let Some(state) = state {
                ledger = state.ledger().clone();
                break;
            }
        }
        let end = log.end(shard).map_err(ReplayError::Read)?;
        Ok(Self { log, ledger, from, end, entries: VecDeque::new() })
    }

    /// The next batch that was applied; `None` at the end.
    ///
    /// # Errors
    /// If the log can't be read, or an entry stops the fold.
    pub fn next_applied(&mut self) -> Result<Option<AppliedBatch>, ReplayError> {
        let shard = self.ledger.shard();
        while self.ledger.next() < self.end {
            if self.entries.is_empty() {
                let read = self.log.read(shard, self.ledger.next(), READ_BYTES);
                self.entries = read.map_err(ReplayError::Read)?.into();
            }
            let Some(stored) = self.entries.pop_front() else { return Ok(None) };
            if let Some(applied) = self.fold(shard, &stored).map_err(ReplayError::Fold)? {
                return Ok(Some(applied));
            }
        }
        Ok(None)
    }

    fn fold(&mut self, shard: ShardId, stored: &Stored) -> Result<Option<AppliedBatch>, FoldError> {
        let offset = stored.offset;
        let entry = Entry::decode(&stored.entry).map_err(|source| FoldError::Entry {
            shard,
            offset,
            source,
        })?;
        let wanted = offset >= self.from;
        let mut body = None;
        // Which batches are applied does not hang on their bodies: those before the start stay closed.
        let open = |batch: &_| {
            body = wanted.then(|| Body::open(batch).ok()).flatten();
            body.is_some() || !wanted
        };
        let outcome = self
            .ledger
            .fold(offset, &entry, open, Rules::default())
            .map_err(|source| FoldError::Ledger { shard, source })?;
        let (Outcome::Applied(_), EntryKind::Batch { sent, batch }, true) =
            (outcome, &entry.kind, wanted)
        else {
            return Ok(None);
        };
        let (generation, stamp_us) = (self.ledger.generation(), entry.stamp_us);
        let place = Place { shard, offset, generation, stamp_us, sent: *sent };
        Ok(Some(AppliedBatch::new(place, batch, body)))
    }
}
