//! The fold of a shard, as far as delivery goes: entries in by offset, verdicts out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lane::{LaneLedger, Verdict};
use crate::batch::Batch;
use crate::entry::{Control, Entry, EntryKind};
use crate::header::Counts;
use crate::identity::{DeviceId, Generation, Lane, LogId, Offset, Receipt, ShardId, Tip};
use crate::limits;
use crate::rules::Rules;
use crate::wire::{Ack, KnownStream, LaneState};

/// The version of the fold's rules that a fresh log starts with.
const RULES_VERSION: u32 = 1;

/// A shard's ledger: a pure function of the shard's log up to `next`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ShardLedger {
    pub(super) shard: ShardId,
    pub(super) rules_version: u32,
    pub(super) generation: Generation,
    pub(super) next: Offset,
    pub(super) stamp_us: i64,
    /// Streams kept per lane. Part of the state, so that a replay forgets the same ones.
    pub(super) streams_max: usize,
    pub(super) lanes: BTreeMap<(DeviceId, Lane), LaneLedger>,
}

/// Proof that the fold applied a lane up to a tip: the only thing an ack can be made of.
///
/// Neither `Clone` nor publicly constructible, so nobody can acknowledge what was not applied.
#[derive(Debug, Eq, PartialEq)]
#[must_use = "dropping it leaves its batch unacknowledged"]
pub struct Applied {
    lane: Lane,
    tip: Tip,
    generation: Generation,
    shard: ShardId,
    offset: Offset,
}

impl Applied {
    /// Where in the log the tip was applied.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The ack, cumulative for its lane.
    #[must_use]
    pub fn ack(self, log: LogId) -> Ack {
        let receipt =
            Receipt { log, generation: self.generation, shard: self.shard, offset: self.offset };
        Ack { lane: self.lane, tip: self.tip, receipt }
    }
}

/// What an entry did.
#[derive(Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The batch is applied.
    Applied(Applied),
    /// The batch had been applied: acked again.
    Duplicate(Applied),
    /// The batch is not applied.
    Refused(Refusal),
    /// A tick or control entry.
    Noted,
}

/// Why a batch was not applied. The agent says hello for the lane again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// Batches before it are missing: the agent rewinds.
    Ahead,
    /// It contradicts what was applied.
    Fork,
    /// It is of an epoch that is closed or was never opened.
    Stale,
}

/// Why a shard can't go on. A person decides; data stays where it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Entries were handed over out of order: a mistake of the caller.
    #[error("fold offset {found}: offset {expected} is next")]
    Order {
        /// What should have come.
        expected: Offset,
        /// What came.
        found: Offset,
    },
    /// A control entry brings rules that this build does not know.
    #[error(
        "fold offset {offset}: rules of version {version} are not known to this build; install the newer one"
    )]
    Rules {
        /// The entry.
        offset: Offset,
        /// The version that it brings into force.
        version: u32,
    },
}

impl ShardLedger {
    /// The ledger of an empty log.
    #[must_use]
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            rules_version: RULES_VERSION,
            generation: Generation(0),
            next: Offset(0),
            stamp_us: 0,
            streams_max: limits::STREAMS_PER_LANE_MAX,
            lanes: BTreeMap::new(),
        }
    }

    /// The ledger of an empty log that keeps fewer streams per lane, so that a test meets the horizon.
    #[cfg(feature = "sabotage")]
    #[must_use]
    pub fn with_streams_max(mut self, streams_max: usize) -> Self {
        self.streams_max = streams_max;
        self
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The offset that is folded next: everything below it is in.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.next
    }

    /// The log's generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The latest stamp of any entry, microseconds since 1970 UTC. Never goes back.
    #[must_use]
    pub fn stamp_us(&self) -> i64 {
        self.stamp_us
    }

    /// Every lane that ever sent a batch here.
    #[must_use]
    pub fn lanes(&self) -> &BTreeMap<(DeviceId, Lane), LaneLedger> {
        &self.lanes
    }

    /// Folds one entry. `decoded` says whether the batch's body could be opened; it is asked for
    /// batches that are next and for no others.
    ///
    /// # Errors
    /// `Fault`: the shard stops here.
    pub fn fold(
        &mut self,
        offset: Offset,
        entry: &Entry,
        decoded: impl FnOnce(&Batch) -> bool,
        rules: Rules,
    ) -> Result<Outcome, Fault> {
        if offset != self.next {
            return Err(Fault::Order { expected: self.next, found: offset });
        }
        if let EntryKind::Control(Control::Rules(version)) = entry.kind
            && version > RULES_VERSION
        {
            return Err(Fault::Rules { offset, version });
        }
        self.next = offset.next();
        self.stamp_us = self.stamp_us.max(entry.stamp_us);
        Ok(match &entry.kind {
            EntryKind::Batch { batch, .. } => self.judge(offset, batch, decoded, rules),
            EntryKind::Tick => Outcome::Noted,
            EntryKind::Control(Control::Generation(generation)) => {
                self.generation = self.generation.max(*generation);
                Outcome::Noted
            }
            EntryKind::Control(Control::Rules(version)) => {
                self.rules_version = *version;
                Outcome::Noted
            }
            // Nothing that is delivered hangs on it.
            EntryKind::Control(Control::Windows(_)) => Outcome::Noted,
        })
    }

    fn judge(
        &mut self,
        offset: Offset,
        batch: &Batch,
        decoded: impl FnOnce(&Batch) -> bool,
        rules: Rules,
    ) -> Outcome {
        let (device, lane) = (batch.header().device, batch.header().lane);
        let ledger = self.lanes.entry((device, lane)).or_default();
        let verdict = ledger.judge(batch, rules);
        ledger.count(verdict);
        match verdict {
            Verdict::Next => {
                let at = (self.generation, offset);
                ledger.apply(batch, at, decoded(batch), self.streams_max);
                Outcome::Applied(standing(self.shard, lane, ledger))
            }
            Verdict::Duplicate => Outcome::Duplicate(standing(self.shard, lane, ledger)),
            Verdict::Ahead => Outcome::Refused(Refusal::Ahead),
            Verdict::Fork => Outcome::Refused(Refusal::Fork),
            Verdict::Stale => Outcome::Refused(Refusal::Stale),
        }
    }

    /// The answer to an agent that says hello for a lane.
    #[must_use]
    pub fn lane_state(&self, device: DeviceId, lane: Lane, log: LogId) -> LaneState {
        let fresh = LaneLedger::default();
        let ledger = self.lanes.get(&(device, lane)).unwrap_or(&fresh);
        let streams = ledger.streams().iter().map(|(stream, known)| KnownStream {
            stream: *stream,
            mark: known.mark,
            check: known.check,
        });
        LaneState {
            lane,
            tip: ledger.tip(),
            totals: ledger.totals(),
            streams: streams.collect(),
            horizon: ledger.horizon(),
            run_highest: ledger.run_highest(),
            log,
            generation: self.generation,
        }
    }

    /// All lanes together.
    #[must_use]
    pub fn totals(&self) -> Counts {
        self.lanes.values().fold(Counts::default(), |sum, lane| sum.plus(lane.totals()))
    }
}

fn standing(shard: ShardId, lane: Lane, ledger: &LaneLedger) -> Applied {
    let (generation, offset) = ledger.applied_at();
    Applied { lane, tip: ledger.tip(), generation, shard, offset }
}
