//! Following the fold of a shard: a ledger of its own says what was applied, headers alone say where ranges end, and bodies
//! are opened once, when their range is written.

use std::collections::VecDeque;

use headwater_protocol::body::Body;
use headwater_protocol::entry::{Entry, EntryKind};
use headwater_protocol::identity::{Offset, ShardId};
use headwater_protocol::ledger::{Outcome, ShardLedger};
use headwater_protocol::rules::Rules;

use super::known::Known;
use super::range::{Planned, Planner, Range, RangeRules, Seen, Weight};
use crate::fold::{AppliedBatch, FoldError, ShardState};
use crate::limits::READ_BYTES;
use crate::log::{Log, ReadError, Stored};

/// Why a shard can't be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// The log can't be read.
    #[error("follow the fold")]
    Read(#[source] ReadError),
    /// An entry stops the fold.
    #[error("follow the fold")]
    Fold(#[source] FoldError),
    /// Entries that the sink needs are not kept any more.
    #[error(
        "follow the fold of shard {shard}: the sink stands at offset {next}, the log begins at {start} and no snapshot lies between"
    )]
    NoGround { shard: ShardId, next: Offset, start: Offset },
}

/// A shard, as a sink follows it.
#[derive(Debug)]
pub(super) struct Follower {
    ledger: ShardLedger,
    planner: Planner,
    known: Known,
    /// Read and not yet folded.
    entries: VecDeque<Stored>,
}

/// What a step led to.
pub(super) enum Step {
    /// A range is complete.
    Range(Planned),
    /// There may be more to read.
    More,
    /// Everything was read.
    End,
}

impl Follower {
    /// Goes on where a range ended, on the ground of the newest snapshot that does not go beyond it. `decided` is where
    /// the next range ends, if that is known.
    pub(super) fn open(
        log: &dyn Log,
        from: Range,
        rules: RangeRules,
        decided: Option<Offset>,
    ) -> Result<Self, FollowError> {
        let (ledger, known) = standing(log, from)?;
        let planner = Planner::new(rules, from, decided);
        Ok(Self { ledger, planner, known, entries: VecDeque::new() })
    }

    /// Reads on, a few MiB at most, until a range is complete or there is nothing more.
    pub(super) fn step(&mut self, log: &dyn Log) -> Result<Step, FollowError> {
        let shard = self.ledger.shard();
        if self.entries.is_empty() {
            let read = log.read(shard, self.ledger.next(), READ_BYTES);
            self.entries = read.map_err(FollowError::Read)?.into();
            if self.entries.is_empty() {
                return Ok(Step::End);
            }
        }
        while let Some(stored) = self.entries.pop_front() {
            let entry = decode(shard, &stored)?;
            let outcome = fold(&mut self.ledger, stored.offset, &entry)?;
            let applied = match (outcome, &entry.kind) {
                (Outcome::Applied(_), EntryKind::Batch { batch, .. }) => {
                    let (counts, packing) = (batch.header().counts, batch.header().packing);
                    let (records, bytes) = (counts.records, u64::from(packing.unpacked));
                    Some(Weight { records, bytes })
                }
                _ => None,
            };
            let generation = self.ledger.generation();
            let (offset, identity) = (stored.offset, stored.identity);
            let seen = Seen { offset, identity, stamp_us: entry.stamp_us, generation, applied };
            if let Some(planned) = self.planner.take(seen) {
                return Ok(Step::Range(planned));
            }
        }
        Ok(Step::More)
    }

    /// What was applied in a range, and what is known where it begins.
    pub(super) fn deliver<'a>(
        &self,
        log: &'a dyn Log,
        planned: &'a Planned,
    ) -> (Deliveries<'a>, Known) {
        (Deliveries::new(log, planned), self.known.clone())
    }

    /// A range is written: what its records said holds for the next one.
    pub(super) fn note_written(&mut self, known: Known) {
        self.known = known;
        self.known.forget_ended(&self.ledger);
    }

    /// The entry that is read next.
    pub(super) fn next(&self) -> Offset {
        self.ledger.next()
    }

    /// What is read and waits for its range to end.
    pub(super) fn planner(&self) -> &Planner {
        &self.planner
    }
}

/// What is known where a range ends: from the newest snapshot that is not beyond it on, by the log.
pub(super) fn standing(log: &dyn Log, from: Range) -> Result<(ShardLedger, Known), FollowError> {
    let (mut ledger, mut known) = ground(log, from)?;
    let start = log.start(from.shard).map_err(FollowError::Read)?;
    if ledger.next() < start {
        return Err(FollowError::NoGround { shard: from.shard, next: from.end, start });
    }
    while ledger.next() < from.end {
        let entries = log.read(from.shard, ledger.next(), READ_BYTES).map_err(FollowError::Read)?;
        if entries.is_empty() {
            break;
        }
        for stored in entries.iter().take_while(|stored| stored.offset < from.end) {
            let entry = decode(from.shard, stored)?;
            let outcome = fold(&mut ledger, stored.offset, &entry)?;
            if let (Outcome::Applied(_), EntryKind::Batch { batch, .. }) = (outcome, entry.kind)
                && let Ok(body) = Body::open(&batch)
            {
                known.note_batch(batch.header(), &body);
            }
        }
    }
    known.forget_ended(&ledger);
    Ok((ledger, known))
}

/// The state of the newest snapshot that is not beyond a range's end; that of an empty log, if there is none.
fn ground(log: &dyn Log, from: Range) -> Result<(ShardLedger, Known), FollowError> {
    for next in log.snapshots(from.shard).map_err(FollowError::Read)? {
        if next > from.end {
            continue;
        }
        let stored = log.snapshot(from.shard, next).map_err(FollowError::Read)?;
        let state =
            stored.and_then(|stored| ShardState::restore(log.id(), from.shard, &stored).ok());
        if let Some(state) = state {
            return Ok((state.ledger().clone(), Known::of(state.view())));
        }
    }
    Ok((ShardLedger::new(from.shard), Known::default()))
}

pub(super) fn decode(shard: ShardId, stored: &Stored) -> Result<Entry, FollowError> {
    let offset = stored.offset;
    let entry = Entry::decode(&stored.entry);
    entry.map_err(|source| FollowError::Fold(FoldError::Entry { shard, offset, source }))
}

/// Which batches are applied does not hang on their bodies: they stay closed.
pub(super) fn fold(
    ledger: &mut ShardLedger,
    offset: Offset,
    entry: &Entry,
) -> Result<Outcome, FollowError> {
    let shard = ledger.shard();
    let outcome = ledger.fold(offset, entry, |_| true, Rules::default());
    outcome.map_err(|source| FollowError::Fold(FoldError::Ledger { shard, source }))
}

/// What was applied in a range, batch by batch, read from the log.
#[derive(Debug)]
pub struct Deliveries<'a> {
    log: &'a dyn Log,
    range: Range,
    /// Those that are still to come.
    applied: &'a [Offset],
    entries: VecDeque<Stored>,
    next: Offset,
}

/// Why what was applied can't be read again.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The log can't be read.
    #[error("read what was applied")]
    Read(#[source] ReadError),
    /// An entry that was there is not there any more, or is not what it was.
    #[error("read what was applied: the entry at offset {0} has gone")]
    Gone(Offset),
}

impl<'a> Deliveries<'a> {
    fn new(log: &'a dyn Log, planned: &'a Planned) -> Self {
        let (range, applied) = (planned.range, &planned.applied[..]);
        Self { log, range, applied, entries: VecDeque::new(), next: range.first }
    }

    /// The next batch that was applied. `None` at the range's end.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn next_applied(&mut self) -> Result<Option<AppliedBatch>, DeliveryError> {
        let Some((offset, rest)) = self.applied.split_first() else { return Ok(None) };
        loop {
            if self.entries.is_empty() {
                let next = self.next.max(*offset);
                let read = self.log.read(self.range.shard, next, READ_BYTES);
                self.entries = read.map_err(DeliveryError::Read)?.into();
            }
            let Some(stored) = self.entries.pop_front() else {
                return Err(DeliveryError::Gone(*offset));
            };
            self.next = stored.offset.next();
            if stored.offset < *offset {
                continue;
            }
            self.applied = rest;
            let entry = Entry::decode(&stored.entry).ok().filter(|_| stored.offset == *offset);
            let Some(Entry { stamp_us, kind: EntryKind::Batch { sent, batch }, .. }) = entry else {
                return Err(DeliveryError::Gone(*offset));
            };
            let place = (self.range.shard, *offset, self.range.generation);
            let body = Body::open(&batch).ok();
            return Ok(Some(AppliedBatch::again(place, (stamp_us, sent), &batch, body)));
        }
    }
}
