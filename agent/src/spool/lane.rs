//! One lane of the spool: its chain, what waits to be sealed, and how much it may hold.

mod ages;
mod expansion;
mod form;
mod gather;
mod pending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_protocol::batch::Batch;
use headwater_protocol::chain::{Acked, Chain, Fresh, Head, Resumed, Row, Rows, Sealed, Sealing};
use headwater_protocol::header::Counts;
use headwater_protocol::identity::Lane;
use headwater_protocol::limits;
use headwater_protocol::position::Stream;
use headwater_protocol::record::SourceInfo;
use headwater_protocol::wire::{Ack, LaneState};

use self::ages::Ages;
use self::expansion::Expansion;
use self::form::Form;
use self::gather::Gather;
pub(super) use self::pending::{Lines, NotNext, Pending};
use super::database::{DatabaseError, LaneRows, StoredLane, Transaction};
use super::room::{self, Disk, Share, Stall};
use crate::limits::{CHUNK_BYTES_WAITING_MAX, RUNS_KEPT, RUNS_MAX, RUNS_STEP};

/// What a lane is given at the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneSettings {
    pub(super) share: Share,
    pub(super) seal_after: Duration,
    pub(super) seal_bytes: u64,
}

/// What is seen of a lane from outside. Its head is durable, but for acks.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// The chain's head.
    pub head: Head,
    /// Records that wait to be sealed.
    pub pending_records: u64,
    /// Why nothing is taken; `None` while something is.
    pub stall: Option<Stall>,
    /// About what the rows take of the file.
    pub footprint: u64,
    /// What they may take of it.
    pub share_bytes: u64,
    /// Bytes of acked and archived batches that are kept.
    pub grace_bytes: u64,
    /// Bytes sealed since the start.
    pub sealed_bytes: u64,
    /// Unsent records that were dropped because the spool was full, and that no gap declares yet.
    pub dropped_records: u64,
    /// What the ledger had applied when it last spoke; `None` before its first word since the start.
    pub ledger: Option<Counts>,
    /// Records acked since then.
    pub acked_records: u64,
    /// When the oldest batch that is not acked was sealed, as far as it was since the start.
    pub oldest_unsent: Option<Instant>,
    /// From seal to ack, in 99 of the last 100 batches; `None` if none was acked yet.
    pub ack_p99: Option<Duration>,
    /// The batch that was sealed last, as it is in the file, so that who sends it need not read it there;
    /// `None` before the first since the start, and for a large one.
    pub(super) newest: Option<Newest>,
}

/// A small batch that was sealed and committed.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) row: Row,
    pub(super) bytes: Arc<[u8]>,
}

impl LaneView {
    /// The bytes of a row, if it is the newest and still belongs to the chain.
    pub(super) fn newest_at(&self, row: Row) -> Option<&[u8]> {
        let newest = self.newest.as_ref().filter(|newest| newest.row == row);
        newest.filter(|newest| newest.row >= self.head.first()).map(|newest| &*newest.bytes)
    }

    /// Whether more has changed than that more waits to be sealed.
    pub(super) fn is_news_after(&self, before: &Self) -> bool {
        self.head != before.head
            || self.stall != before.stall
            || self.dropped_records != before.dropped_records
            || self.ledger != before.ledger
            || self.pending_records < before.pending_records
    }
}

/// A lane of the spool.
#[derive(Debug)]
pub(super) struct LaneSpool {
    pub(super) chain: Chain,
    pub(super) pending: Pending,
    settings: LaneSettings,
    expansion: Expansion,
    form: Form,
    footprint: u64,
    stall: Option<Stall>,
    dirty: bool,
    sealed_bytes: u64,
    dropped_records: u64,
    ledger: Option<Counts>,
    acked_records: u64,
    ages: Ages,
    newest: Option<Newest>,
}

impl LaneSpool {
    pub(super) fn fresh(chain: Chain, settings: LaneSettings) -> Self {
        let mut lane = Self::new(chain, 0, settings);
        lane.dirty = true;
        lane
    }

    pub(super) fn stored(stored: StoredLane, settings: LaneSettings) -> Self {
        let chain = Chain::restore(stored.head, stored.streams);
        Self::new(chain, stored.footprint, settings)
    }

    /// Takes a batch over that was found in a damaged file.
    pub(super) fn shelve(
        &mut self,
        write: &Transaction,
        batch: &Batch,
    ) -> Result<(), DatabaseError> {
        let mut rows = write.rows(self.lane(), self.chain.head().first())?;
        self.chain.shelve(&mut rows, batch)?;
        self.footprint = rows.footprint(self.footprint);
        self.dirty = true;
        Ok(())
    }

    /// Declares that more may be missing than what was found shows.
    pub(super) fn suspect(
        &mut self,
        write: &Transaction,
        sealing: Sealing,
        seed: u64,
    ) -> Result<(), DatabaseError> {
        let mut rows = write.rows(self.lane(), self.chain.head().first())?;
        self.chain.suspect(&mut rows, sealing, seed)?;
        self.footprint = rows.footprint(self.footprint);
        self.dirty = true;
        Ok(())
    }

    fn new(chain: Chain, footprint: u64, settings: LaneSettings) -> Self {
        Self {
            chain,
            pending: Pending::default(),
            settings,
            expansion: Expansion::new(settings.seal_bytes),
            form: Form::default(),
            footprint,
            stall: None,
            dirty: false,
            sealed_bytes: 0,
            dropped_records: 0,
            ledger: None,
            acked_records: 0,
            ages: Ages::default(),
            newest: None,
        }
    }

    fn lane(&self) -> Lane {
        self.chain.head().lane()
    }

    /// Whether the ledger has spoken since the start.
    pub(super) fn has_heard(&self) -> bool {
        self.ledger.is_some()
    }

    /// Whether the head or a stream changed since it was last written.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Something in memory changed that has to be written some time.
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Nothing more comes for a time. What waits is sealed at once if it would be sealed before that anyway.
    pub(super) fn expect_nothing_for(&mut self, lull: Duration) {
        if lull >= self.settings.seal_after {
            self.pending.complete();
        }
    }

    /// When what waits is to be sealed; `None` if nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let gather = Gather {
            lane: self.lane(),
            seal_after: self.settings.seal_after,
            unsent: self.chain.head().stock().unsent.batches,
            packed: self.expansion.next_packed(self.pending.cost()),
            is_hasty: self.pending.is_hasty(),
            is_complete: self.pending.is_complete(),
        };
        self.pending.since().map(|since| since + gather.wait())
    }

    /// Whether what waits fills a batch, or nearly all of the memory for what waits.
    pub(super) fn is_full(&self) -> bool {
        self.pending.cost() >= self.expansion.target() || self.pending.held() >= HELD_MAX
    }

    /// Why the lane takes nothing.
    pub(super) fn stall(&self) -> Option<Stall> {
        self.stall
    }

    /// Says why the lane takes nothing, or that it does.
    pub(super) fn stand_still(&mut self, stall: Option<Stall>) {
        self.stall = stall;
    }

    /// Looks whether there is room for what waits. Gives what to say if that changed.
    pub(super) fn look(&mut self, disk: Disk) -> Option<Option<Stall>> {
        let more = room::footprint(self.expansion.next_packed(self.pending.cost()));
        let stall = room::stall(self.settings.share, disk, self.footprint, more);
        let changed = stall != self.stall;
        self.stall = stall;
        changed.then_some(stall)
    }

    /// Drops the oldest rows until what waits has room. What was not acked of them becomes a gap at
    /// the next handshake.
    pub(super) fn make_room(
        &mut self,
        disk: Disk,
        write: &Transaction,
    ) -> Result<u64, DatabaseError> {
        let more = room::footprint(self.pending.cost() as u64);
        let room = self.settings.share.bytes;
        let most = if disk.may_grow() { room } else { self.footprint.max(TIGHT_BYTES).min(room) };
        let over = (self.footprint + more).saturating_sub(most);
        if over == 0 || self.chain.head().stock().bytes() == 0 {
            return Ok(0);
        }
        let unsent = self.chain.head().stock().unsent.records;
        let mut rows = write.rows(self.lane(), self.chain.head().first())?;
        self.chain.drop_oldest(&mut rows, over)?;
        self.footprint = rows.footprint(self.footprint);
        self.dirty = true;
        let dropped = unsent - self.chain.head().stock().unsent.records;
        self.dropped_records += dropped;
        Ok(dropped)
    }

    /// Seals one batch of what waits and gives its bytes; 0 if nothing waits.
    pub(super) fn seal(
        &mut self,
        write: &Transaction,
        sealing: Sealing,
    ) -> Result<u64, DatabaseError> {
        let mut most = self.expansion.target();
        loop {
            let (body, cut) = self.pending.body(&self.chain, most);
            if body.is_empty() {
                return Ok(0);
            }
            let packed = self.form.pack(&body, cut.cost, sealing);
            let packed = (packed.packing, packed.bytes);
            // What does not compress may exceed the largest batch: then the chain goes back to where it
            // was, and two batches are made of it.
            let before = (cut.cost > SURE_BYTES).then(|| self.chain.clone());
            let mut rows = write.rows(self.lane(), self.chain.head().first())?;
            let sealed = self.chain.seal_packed(&mut rows, &body, packed, sealing.clock);
            let row = match (sealed, before) {
                (Ok(row), _) => row,
                (Err(DatabaseError::Oversize { .. }), Some(before)) => {
                    self.chain = before;
                    most = SURE_BYTES.min(most / 2);
                    continue;
                }
                (Err(error), _) => return Err(error),
            };
            let bytes = rows.link(row)?.bytes;
            self.newest = rows.take_newest();
            self.footprint = rows.footprint(self.footprint);
            self.expansion.learn(cut.cost, usize::try_from(bytes).unwrap_or(usize::MAX));
            self.pending.remove(cut);
            self.sealed_bytes += bytes;
            self.ages.sealed(row);
            self.dirty = true;
            return Ok(bytes);
        }
    }

    /// Takes an ack. The rows leave the file once they are out of the grace buffer.
    pub(super) fn handle_ack(
        &mut self,
        write: &Transaction,
        ack: Ack,
    ) -> Result<Acked, DatabaseError> {
        let unsent = self.chain.head().stock().unsent.records;
        let mut rows = write.rows(self.lane(), self.chain.head().first())?;
        let acked = self.chain.handle_ack(&rows, ack.tip, ack.receipt)?;
        if let Acked::Through(row) = acked {
            self.chain.trim(&mut rows, self.settings.share.grace_bytes)?;
            self.footprint = rows.footprint(self.footprint);
            self.acked_records += unsent - self.chain.head().stock().unsent.records;
            self.ages.acked(row);
            self.dirty = true;
        }
        if acked != Acked::Foreign {
            // What was dropped lies before every state of the chain: it had been sent, and was applied.
            self.acked_records += std::mem::take(&mut self.dropped_records);
        }
        Ok(acked)
    }

    /// Whether going on from a state opens an epoch, which writes anew what was not acked.
    pub(super) fn opens(
        &self,
        write: &Transaction,
        state: &LaneState,
    ) -> Result<bool, DatabaseError> {
        let rows = write.rows(self.lane(), self.chain.head().first())?;
        Ok(!self.chain.holds(&rows, state.tip)?)
    }

    /// Bytes that an opening may write.
    pub(super) fn opening_bytes(&self) -> u64 {
        self.footprint + self.footprint / 8
    }

    /// Goes on from the ledger's state.
    pub(super) fn handle_state(
        &mut self,
        write: &Transaction,
        state: &LaneState,
        fresh: Fresh,
        sealing: Sealing,
    ) -> Result<Resumed, DatabaseError> {
        let mut rows = write.rows(self.lane(), self.chain.head().first())?;
        let resumed = self.chain.handle_state(&mut rows, state, fresh, sealing)?;
        self.go_on(rows, state, resumed)
    }

    /// Opens an epoch on the ledger's state, also if that is in the chain.
    pub(super) fn handle_state_anew(
        &mut self,
        write: &Transaction,
        state: &LaneState,
        fresh: Fresh,
        sealing: Sealing,
    ) -> Result<Resumed, DatabaseError> {
        let mut rows = write.rows(self.lane(), self.chain.head().first())?;
        let resumed = self.chain.handle_state_anew(&mut rows, state, fresh, sealing)?;
        self.go_on(rows, state, resumed)
    }

    fn go_on(
        &mut self,
        mut rows: LaneRows<'_>,
        state: &LaneState,
        resumed: Resumed,
    ) -> Result<Resumed, DatabaseError> {
        self.chain.trim(&mut rows, self.settings.share.grace_bytes)?;
        let ended = self.ended();
        if ended.len() > RUNS_STEP {
            self.release(&mut rows, ended)?;
        }
        self.footprint = rows.footprint(self.footprint);
        self.dirty = true;
        self.ledger = Some(state.totals);
        // What was dropped is applied, or declared.
        (self.acked_records, self.dropped_records) = (0, 0);
        match resumed {
            Resumed::InChain(row) => self.ages.acked(row),
            Resumed::Opened { .. } => self.ages.clear(),
        }
        Ok(resumed)
    }

    /// Runs beyond those that are remembered, of which nobody else knows whether they ended: the agent's own, and
    /// files' that were given up.
    fn ended(&self) -> Vec<Stream> {
        let mut runs: Vec<(&Stream, &Sealed)> = self.chain.streams().iter().collect();
        runs.sort_by_key(|(stream, _)| stream.run);
        runs.truncate(runs.len().saturating_sub(RUNS_KEPT));
        let is_own =
            |sealed: &Sealed| matches!(sealed.info, Some(SourceInfo::Host | SourceInfo::Device));
        let ended =
            runs.into_iter().filter(|(_, sealed)| is_own(sealed) || sealed.given_up.is_some());
        ended.map(|(stream, _)| *stream).collect()
    }

    /// Lets runs go, and gives those that went.
    pub(super) fn let_go(
        &mut self,
        write: &Transaction,
        ended: Vec<Stream>,
    ) -> Result<Vec<Stream>, DatabaseError> {
        let mut rows = write.rows(self.lane(), self.chain.head().first())?;
        let gone = self.release(&mut rows, ended)?;
        self.footprint = rows.footprint(self.footprint);
        self.dirty |= !gone.is_empty();
        Ok(gone)
    }

    /// Of what waits to be sealed nothing may go.
    fn release(
        &mut self,
        rows: &mut LaneRows<'_>,
        mut ended: Vec<Stream>,
    ) -> Result<Vec<Stream>, DatabaseError> {
        ended.retain(|stream| self.pending.last(*stream).is_none());
        self.chain.let_go(rows, ended, RUNS_MAX)
    }

    /// Every file that the ledger may have forgotten was declared.
    pub(super) fn settle_files(&mut self) {
        self.chain.settle_files();
        self.dirty = true;
    }

    /// Writes the head and the streams that changed.
    pub(super) fn store(&mut self, write: &Transaction) -> Result<(), DatabaseError> {
        if !self.dirty {
            return Ok(());
        }
        let changed = self.chain.take_changed();
        self.dirty = false;
        write.put(self.chain.head(), &changed, self.chain.streams())
    }

    pub(super) fn view(&self) -> LaneView {
        LaneView {
            head: self.chain.head().clone(),
            pending_records: self.pending.records(),
            stall: self.stall,
            footprint: self.footprint,
            share_bytes: self.settings.share.bytes,
            grace_bytes: self.settings.share.grace_bytes,
            sealed_bytes: self.sealed_bytes,
            dropped_records: self.dropped_records,
            ledger: self.ledger,
            acked_records: self.acked_records,
            oldest_unsent: self.ages.oldest(),
            ack_p99: self.ages.p99(),
            newest: self.newest.clone(),
        }
    }
}

/// Two thirds of the memory for what waits: the rest takes the largest chunk, so that reading never stops
/// for a batch that only waits.
const HELD_MAX: usize = CHUNK_BYTES_WAITING_MAX / 3 * 2;
/// What the live lane may take on a full disk, out of the reserve: some hours of samples.
const TIGHT_BYTES: u64 = 512 << 10;
/// What needs no second try: a batch is at most as large as its plain body and its header.
const SURE_BYTES: usize = limits::BATCH_BYTES_MAX - (192 << 10);
