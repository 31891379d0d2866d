//! What a sink has not written of a shard, for whoever needs all rows at once: read from the log by a fold of its own, so that
//! neither the sink nor the fold waits for it.

use std::collections::VecDeque;

use headwater_protocol::body::Body;
use headwater_protocol::entry::EntryKind;
use headwater_protocol::identity::{Offset, ShardId};
use headwater_protocol::ledger::{Outcome, ShardLedger};

use super::driver::{Trouble, place};
use super::follow::{decode, fold, standing};
use super::known::Known;
use super::range::Range;
use super::store::SinkStore;
use crate::fold::AppliedBatch;
use crate::limits::READ_BYTES;
use crate::log::{Log, Stored};

/// What was applied in a shard from a sink's cursor on, up to where the log ended when this was begun.
#[derive(Debug)]
pub struct Unwritten<'log> {
    log: &'log dyn Log,
    ledger: ShardLedger,
    /// What is known before the next batch; to be told what each one says.
    pub known: Known,
    entries: VecDeque<Stored>,
    range: Range,
}

/// Why what a sink has not written can't be read.
#[derive(Debug, thiserror::Error)]
#[error("read what a sink has not written")]
pub struct UnwrittenError(#[source] Trouble);

impl<'log> Unwritten<'log> {
    /// Begins at the cursor that a sink has in a shard at this moment.
    pub(super) fn open(
        log: &'log dyn Log,
        sink: (&SinkStore, &str),
        shard: ShardId,
    ) -> Result<Self, UnwrittenError> {
        let from = place(log, sink, shard).map_err(UnwrittenError)?.from;
        let end = log.end(shard).map_err(|error| UnwrittenError(Trouble::Read(error)))?;
        let range = Range { first: from.end, end: end.max(from.end), ..from };
        let (ledger, known) = if range.first < range.end {
            standing(log, from).map_err(|error| UnwrittenError(Trouble::Follow(error)))?
        } else {
            (ShardLedger::new(shard), Known::default())
        };
        Ok(Self { log, ledger, known, entries: VecDeque::new(), range })
    }

    /// From the cursor to where the log ended; its clock is that of the last batch.
    #[must_use]
    pub fn range(&self) -> &Range {
        &self.range
    }

    /// The next batch that was applied. `None` if there are no more.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn next_applied(&mut self) -> Result<Option<AppliedBatch>, UnwrittenError> {
        let shard = self.range.shard;
        if self.range.first >= self.range.end {
            return Ok(None);
        }
        loop {
            if self.entries.is_empty() {
                let read = self.log.read(shard, self.ledger.next(), READ_BYTES);
                self.entries = read.map_err(|error| UnwrittenError(Trouble::Read(error)))?.into();
            }
            let next = self.entries.pop_front();
            let Some(stored) = next.filter(|it| it.offset < self.range.end) else {
                return Ok(None);
            };
            let follow = |error| UnwrittenError(Trouble::Follow(error));
            let entry = decode(shard, &stored).map_err(follow)?;
            let outcome = fold(&mut self.ledger, stored.offset, &entry).map_err(follow)?;
            self.range.clock_us = self.range.clock_us.max(entry.stamp_us);
            let stamp_us = entry.stamp_us;
            if let (Outcome::Applied(_), EntryKind::Batch { sent, batch }) = (outcome, entry.kind) {
                let place = (shard, stored.offset, self.ledger.generation());
                let body = Body::open(&batch).ok();
                return Ok(Some(AppliedBatch::again(place, (stamp_us, sent), &batch, body)));
            }
        }
    }

    /// The entry that is read next: the end of the range once all were.
    #[must_use]
    pub fn next(&self) -> Offset {
        if self.range.first < self.range.end { self.ledger.next() } else { self.range.end }
    }
}
