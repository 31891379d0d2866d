//! One lane of one device.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::header::{Counts, Header};
use crate::identity::{Generation, Offset, Seq, Tip};
use crate::position::{Check, Mark, Run, SourceId, Stream};
use crate::rules::{Rule, Rules};

/// What is known of a stream: how far it was applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The end of what was applied.
    pub mark: Mark,
    /// The check at that end.
    pub check: Check,
    /// How many batches the lane had applied when this stream was last in one.
    pub touched: u64,
}

/// What the fold says of a batch. Rule 3 of the contract, DESIGN page, section 3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is next: apply it.
    Next,
    /// It was applied before.
    Duplicate,
    /// Batches before it are missing.
    Ahead,
    /// It has the seq of another batch, or hangs on another chain.
    Fork,
    /// It is of an epoch that is closed or was never opened.
    Stale,
}

/// How often each verdict fell. Only `applied` counts batches that readers see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Tallies {
    /// Applied.
    pub applied: u64,
    /// Dropped as duplicates.
    pub duplicate: u64,
    /// Refused because batches before them are missing.
    pub ahead: u64,
    /// Refused as forks.
    pub fork: u64,
    /// Dropped as stale.
    pub stale: u64,
    /// Epochs that were opened.
    pub epochs: u64,
    /// Batches whose totals did not follow from those before: the sum of the ledger is in doubt.
    pub unequal: u64,
}

/// What stood in batches that could not be decoded: applied as gaps.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Dead {
    /// Batches.
    pub batches: u64,
    /// Records in them, by their headers.
    pub records: u64,
}

/// The ledger of one lane of one device.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LaneLedger {
    tip: Tip,
    totals: Counts,
    dead: Dead,
    streams: BTreeMap<Stream, Known>,
    horizon: u64,
    run_highest: u64,
    applied_at: Offset,
    applied_in: Generation,
    tallies: Tallies,
}

impl Default for LaneLedger {
    fn default() -> Self {
        Self {
            tip: Tip::GENESIS,
            totals: Counts::default(),
            dead: Dead::default(),
            streams: BTreeMap::new(),
            horizon: 0,
            run_highest: 0,
            applied_at: Offset(0),
            applied_in: Generation(0),
            tallies: Tallies::default(),
        }
    }
}

impl LaneLedger {
    /// The last batch that was applied.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// Everything up to the tip, as the headers say.
    #[must_use]
    pub fn totals(&self) -> Counts {
        self.totals
    }

    /// What of it could not be decoded.
    #[must_use]
    pub fn dead(&self) -> Dead {
        self.dead
    }

    /// How far each stream was applied.
    #[must_use]
    pub fn streams(&self) -> &BTreeMap<Stream, Known> {
        &self.streams
    }

    /// Whether any run of a source is remembered.
    #[must_use]
    pub fn knows(&self, source: SourceId) -> bool {
        let first = Stream { source, run: Run { number: 0, nonce: 0 } };
        self.streams.range(first..).next().is_some_and(|(stream, _)| stream.source == source)
    }

    /// Runs numbered at or below it may have been forgotten; 0 if none was.
    #[must_use]
    pub fn horizon(&self) -> u64 {
        self.horizon
    }

    /// The highest run number that was ever applied.
    #[must_use]
    pub fn run_highest(&self) -> u64 {
        self.run_highest
    }

    /// Where the tip was applied; without meaning at genesis.
    #[must_use]
    pub fn applied_at(&self) -> (Generation, Offset) {
        (self.applied_in, self.applied_at)
    }

    /// How often each verdict fell.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.tallies
    }

    /// Says what a batch is to this lane. Changes nothing.
    #[must_use]
    pub fn judge(&self, batch: &Batch, rules: Rules) -> Verdict {
        let header = batch.header();
        let seq = header.seq.number();
        let chain = |before| !rules.hold(Rule::CompareChain) || batch.follows(before);
        if header.epoch == self.tip.epoch && self.tip != Tip::GENESIS {
            if seq != self.tip.seq + 1 && !rules.hold(Rule::CompareSeq) {
                return Verdict::Next;
            }
            if seq <= self.tip.seq {
                let other = seq == self.tip.seq && batch.digest() != self.tip.digest;
                return if other { Verdict::Fork } else { Verdict::Duplicate };
            }
            if seq > self.tip.seq + 1 {
                return Verdict::Ahead;
            }
            return if chain(self.tip.digest) { Verdict::Next } else { Verdict::Fork };
        }
        let Some(parent) = header.parent else {
            return Verdict::Stale;
        };
        if header.seq != Seq::FIRST || (parent != self.tip && rules.hold(Rule::CompareParent)) {
            return Verdict::Stale;
        }
        if chain(parent.digest) { Verdict::Next } else { Verdict::Fork }
    }

    /// Counts a batch that is not applied.
    pub(super) fn count(&mut self, verdict: Verdict) {
        let tally = match verdict {
            Verdict::Next => return,
            Verdict::Duplicate => &mut self.tallies.duplicate,
            Verdict::Ahead => &mut self.tallies.ahead,
            Verdict::Fork => &mut self.tallies.fork,
            Verdict::Stale => &mut self.tallies.stale,
        };
        *tally += 1;
    }

    /// Applies a batch that is next.
    pub(super) fn apply(
        &mut self,
        batch: &Batch,
        at: (Generation, Offset),
        decoded: bool,
        streams_max: usize,
    ) {
        let header = batch.header();
        self.tallies.applied += 1;
        self.tallies.epochs += u64::from(header.parent.is_some());
        self.tallies.unequal += u64::from(self.totals.plus(header.counts) != header.totals);
        self.tip = batch.tip();
        self.totals = header.totals;
        if !decoded {
            self.dead.batches += 1;
            self.dead.records = self.dead.records.saturating_add(header.counts.records);
        }
        (self.applied_in, self.applied_at) = at;
        self.advance(header, streams_max);
    }

    fn advance(&mut self, header: &Header, streams_max: usize) {
        let touched = self.tallies.applied;
        for span in &header.spans {
            let number = span.stream.run.number;
            self.run_highest = self.run_highest.max(number);
            // A run that may have been forgotten is never stored again: what of it was applied can't
            // be told from what was not.
            if number > self.horizon || self.streams.contains_key(&span.stream) {
                let known = Known { mark: span.end, check: span.check, touched };
                self.streams.insert(span.stream, known);
            }
        }
        while self.streams.len() > streams_max {
            let quiet = self.streams.iter().min_by_key(|(stream, known)| (known.touched, **stream));
            let quiet = *quiet.expect("a map above its limit is not empty").0;
            self.streams.remove(&quiet);
            self.horizon = self.horizon.max(quiet.run.number);
        }
    }
}
