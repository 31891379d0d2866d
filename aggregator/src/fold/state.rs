//! A shard's state: a pure function of its log. No clock, no I/O.

use headwater_protocol::body::{Body, BodyError};
use headwater_protocol::codec::DecodeError;
use headwater_protocol::entry::{Control, Entry, EntryKind};
use headwater_protocol::identity::{Generation, LogId, Offset, ShardId};
use headwater_protocol::ledger::{Fault, LogTip, Outcome, ShardLedger, Snapshot};
use headwater_protocol::rules::Rules;

use super::view::{View, ViewError};
use crate::log::{Stored, StoredSnapshot};
use crate::window::{Output, ShardWindows};

/// What a shard's log amounts to, up to an offset.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardState {
    ledger: ShardLedger,
    view: View,
    windows: ShardWindows,
    /// The last entry; `None` for an empty log.
    tip: Option<LogTip>,
}

/// What an entry did.
#[derive(Debug)]
pub struct Folded {
    /// What the ledger says.
    pub outcome: Outcome,
    /// The entry.
    pub entry: Entry,
    /// The body of an applied batch; `None` for everything else.
    pub opened: Option<Result<Body, BodyError>>,
    /// Whether the totals of an applied batch did not follow from those before.
    pub unequal: bool,
    /// What the merge fold is told, in order.
    pub outputs: Vec<Output>,
}

/// Why a shard can't go on. A person decides; data stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// An entry can't be read: damaged, or of a newer build.
    #[error("fold shard {shard}: decode the entry at offset {offset}")]
    Entry {
        /// The shard.
        shard: ShardId,
        /// The entry.
        offset: Offset,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The ledger can't go on.
    #[error("fold shard {shard}")]
    Ledger {
        /// The shard.
        shard: ShardId,
        /// Why.
        source: Fault,
    },
}

/// Why a snapshot is of no use here. An older one, or the log, gives the same state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The ledger can't be read.
    #[error("read the ledger of a snapshot")]
    Ledger(#[source] DecodeError),
    /// The view can't be read.
    #[error("read the view of a snapshot")]
    View(#[source] ViewError),
    /// The windows can't be read.
    #[error("read the windows of a snapshot")]
    Windows(#[source] DecodeError),
    /// It is of another log or shard, or of another offset than it says.
    #[error("use a snapshot: it is of another log, shard or offset")]
    Foreign,
}

impl ShardState {
    /// The state of an empty log.
    #[must_use]
    pub fn new(shard: ShardId) -> Self {
        Self {
            ledger: ShardLedger::new(shard),
            view: View::default(),
            windows: ShardWindows::default(),
            tip: None,
        }
    }

    /// The state of a snapshot. Whether its tip is in the log is for the caller to see.
    ///
    /// # Errors
    /// If it can't be read, or is not of this log and shard.
    pub fn restore(
        log: LogId,
        shard: ShardId,
        stored: &StoredSnapshot,
    ) -> Result<Self, RestoreError> {
        let snapshot = Snapshot::decode(&stored.ledger).map_err(RestoreError::Ledger)?;
        let view = View::decode(&stored.view).map_err(RestoreError::View)?;
        let windows = ShardWindows::decode(&stored.windows).map_err(RestoreError::Windows)?;
        let (ledger, tip) = (snapshot.ledger, snapshot.tip);
        let next = tip.map_or(Offset(0), |tip| tip.offset.next());
        if snapshot.log != log
            || ledger.shard() != shard
            || [ledger.next(), stored.next] != [next; 2]
        {
            return Err(RestoreError::Foreign);
        }
        Ok(Self { ledger, view, windows, tip })
    }

    /// The state as a snapshot.
    #[must_use]
    pub fn snapshot(&self, log: LogId) -> StoredSnapshot {
        let snapshot = Snapshot { log, tip: self.tip, ledger: self.ledger.clone() };
        let (view, windows) = (self.view.encode(), self.windows.encode());
        StoredSnapshot { next: self.ledger.next(), ledger: snapshot.encode(), view, windows }
    }

    /// Folds the entry that is next.
    ///
    /// # Errors
    /// If the shard stops here.
    pub fn fold(&mut self, stored: &Stored) -> Result<Folded, FoldError> {
        let (shard, offset) = (self.ledger.shard(), stored.offset);
        let entry = Entry::decode(&stored.entry).map_err(|source| FoldError::Entry {
            shard,
            offset,
            source,
        })?;
        let before = self.unequal(&entry);
        let mut opened = None;
        let open = |batch: &_| opened.insert(Body::open(batch)).is_ok();
        let outcome = self
            .ledger
            .fold(offset, &entry, open, Rules::default())
            .map_err(|source| FoldError::Ledger { shard, source })?;
        let generation = entry.generation;
        self.tip = Some(LogTip { offset, generation, identity: stored.identity });
        if let (EntryKind::Batch { batch, .. }, Some(opened)) = (&entry.kind, &opened) {
            let lane = self.ledger.lanes().get(&(batch.header().device, batch.header().lane));
            let is_known = |source| lane.is_some_and(|lane| lane.knows(source));
            self.view.apply(batch.header(), entry.stamp_us, opened.as_ref().ok(), is_known);
        }
        let unequal = self.unequal(&entry) > before;
        let outputs = self.measure(offset, &entry, opened.as_ref());
        Ok(Folded { outcome, entry, opened, unequal, outputs })
    }

    /// Adds what an entry brings to the windows; `opened` is the body of a batch that was applied.
    fn measure(
        &mut self,
        offset: Offset,
        entry: &Entry,
        opened: Option<&Result<Body, BodyError>>,
    ) -> Vec<Output> {
        let at = (self.ledger.generation(), offset);
        match (&entry.kind, opened) {
            (EntryKind::Batch { sent, batch }, Some(Ok(body))) => {
                let clocks = (sent, entry.stamp_us);
                self.windows.handle_batch(at, clocks, batch.header(), body)
            }
            (EntryKind::Tick, _) => self.windows.handle_tick(at, entry.stamp_us),
            (EntryKind::Control(Control::Windows(rules)), _) => {
                self.windows.handle_rules(rules);
                Vec::new()
            }
            (EntryKind::Batch { .. } | EntryKind::Control(_), _) => Vec::new(),
        }
    }

    fn unequal(&self, entry: &Entry) -> u64 {
        let EntryKind::Batch { batch, .. } = &entry.kind else { return 0 };
        let key = (batch.header().device, batch.header().lane);
        self.ledger.lanes().get(&key).map_or(0, |lane| lane.tallies().unequal)
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &ShardLedger {
        &self.ledger
    }

    /// What is shown of the devices.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// What the devices measured.
    #[must_use]
    pub fn windows(&self) -> &ShardWindows {
        &self.windows
    }

    /// The last entry; `None` for an empty log.
    #[must_use]
    pub fn tip(&self) -> Option<LogTip> {
        self.tip
    }

    /// The offset that is folded next.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.ledger.next()
    }

    /// The log's generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.ledger.generation()
    }
}
