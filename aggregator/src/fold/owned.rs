//! A shard and the worker that owns it: what is on its way to the log, and who waits for it.

use std::collections::{BTreeMap, VecDeque};

use headwater_protocol::identity::{DeviceId, Generation, Lane, Offset, Receipt, ShardId};

use super::answer::{Answer, Reply};
use super::state::ShardState;
use crate::limits::{GENERATIONS_AHEAD_MAX, REGRESSIONS_PER_START_MAX};

/// An agent that says hello for a lane.
#[derive(Debug)]
pub struct Hello {
    /// The device, as its certificate names it.
    pub device: DeviceId,
    /// The lane.
    pub lane: Lane,
    /// The agent's last receipt. `None` if it has none.
    pub receipt: Option<Receipt>,
    /// Where the answer goes.
    pub reply: Reply,
}

/// A shard as its worker owns it.
#[derive(Debug)]
pub(super) struct OwnedShard {
    pub(super) state: ShardState,
    /// Entries that were handed to the log, ever.
    pub(super) dispatched: u64,
    /// How many of them are folded.
    pub(super) returned: u64,
    /// Batches folded since the last snapshot.
    pub(super) unsaved: u64,
    /// The log's time when a batch was last applied; after a start, that of its last entry.
    pub(super) applied_us: i64,
    /// Hellos that wait until as many entries have returned as were dispatched before them.
    parked: VecDeque<(u64, Hello)>,
    /// Answers to own entries that were met while reading the log, before the log had called back.
    overtaken: BTreeMap<Offset, Option<Answer>>,
    /// Times that receipts raised the generation since the start.
    raised: u32,
}

/// What a receipt says of our log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReceiptSays {
    /// Nothing that the fold does not know.
    Known,
    /// There should be more than the fold has read.
    ReadOn,
    /// There was more than the log holds: a generation above this one is due.
    TailLost(Generation),
    /// What no honest node can have said.
    Impossible,
}

impl OwnedShard {
    pub(super) fn new(state: ShardState) -> Self {
        let applied_us = state.ledger().stamp_us();
        Self {
            state,
            applied_us,
            dispatched: 0,
            returned: 0,
            unsaved: 0,
            parked: VecDeque::new(),
            overtaken: BTreeMap::new(),
            raised: 0,
        }
    }

    pub(super) fn shard(&self) -> ShardId {
        self.state.ledger().shard()
    }

    /// Whether entries are on their way.
    pub(super) fn is_waiting(&self) -> bool {
        self.dispatched > self.returned
    }

    /// Whether a stretch of time has ended by the clock, but not in the log, in which something was applied.
    pub(super) fn lacks_beat(&self, beat_us: i64, now_us: i64) -> bool {
        let stretch = |time_us: i64| time_us.div_euclid(beat_us);
        let has_any = self.state.next().0 > 0;
        let is_untold = stretch(self.state.ledger().stamp_us()) == stretch(self.applied_us);
        has_any && is_untold && stretch(self.applied_us) < stretch(now_us)
    }

    /// Keeps a hello until what was dispatched before it is folded.
    pub(super) fn park(&mut self, hello: Hello) {
        self.parked.push_back((self.dispatched, hello));
    }

    /// The next hello that has waited long enough.
    pub(super) fn unpark(&mut self) -> Option<Hello> {
        let (until, _) = self.parked.front()?;
        if *until > self.returned {
            return None;
        }
        self.parked.pop_front().map(|(_, hello)| hello)
    }

    /// Keeps the answer to an entry that was read from the log, if it may be an own one on its way back.
    pub(super) fn remember(&mut self, offset: Offset, answer: Option<Answer>) {
        if self.is_waiting() {
            self.overtaken.insert(offset, answer);
        }
    }

    /// The answer to an own entry that comes back after it was read from the log.
    pub(super) fn recall(&mut self, offset: Offset) -> Option<Answer> {
        self.overtaken.remove(&offset).flatten()
    }

    /// An own entry has come back.
    pub(super) fn note_returned(&mut self) {
        self.returned += 1;
        if !self.is_waiting() {
            self.overtaken.clear();
        }
    }

    /// Compares a receipt of this log and shard with what is folded. `read_to_end` says whether the fold
    /// has just read up to the log's end.
    pub(super) fn compare(&self, receipt: &Receipt, read_to_end: bool) -> ReceiptSays {
        let ours = self.state.generation();
        if receipt.generation < ours
            || receipt.generation == ours && receipt.offset < self.state.next()
        {
            return ReceiptSays::Known;
        }
        if !read_to_end {
            return ReceiptSays::ReadOn;
        }
        let ahead = receipt.generation.0 - ours.0;
        if ahead > GENERATIONS_AHEAD_MAX || self.raised >= REGRESSIONS_PER_START_MAX {
            return ReceiptSays::Impossible;
        }
        ReceiptSays::TailLost(receipt.generation)
    }

    /// Notes that the generation is being raised.
    pub(super) fn note_raised(&mut self) {
        self.raised += 1;
    }
}
