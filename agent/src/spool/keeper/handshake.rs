//! The ledger's word: what it knows of a lane, what it applied, and who has to ask again for that.

use std::sync::atomic::Ordering;
use std::time::Instant;

use headwater_protocol::body::VERSION_NEWEST;
use headwater_protocol::chain::{Acked, Fresh, Resumed};
use headwater_protocol::identity::Lane;
use headwater_protocol::position::Stream;
use headwater_protocol::record::SourceInfo;
use headwater_protocol::wire::{Ack, LaneState};
use tracing::warn;

use super::{Keeper, random, random_epoch};
use crate::killpoint;
use crate::spool::database::DatabaseError;
use crate::spool::input::{NoRoom, Taken};
use crate::tail::{Known, KnownStream};

impl Keeper {
    pub(super) fn handle_ack(&mut self, ack: Ack, now: Instant) -> Result<Acked, DatabaseError> {
        self.begin()?;
        let (state, spool) = match ack.lane {
            Lane::Live => (&mut self.state, &mut self.live),
            Lane::Bulk => (&mut self.state, &mut self.bulk),
        };
        let write = state.write.as_ref().expect("a transaction was begun above");
        let acked = spool.handle_ack(write, ack)?;
        if matches!(acked, Acked::Through(_)) {
            state.dirty_since.get_or_insert(now);
            state.look_at = state.look_at.map(|_| now);
        }
        Ok(acked)
    }

    /// Seals what waits and goes on from the ledger's state, in one transaction. If positions moved,
    /// everybody who holds some asks for them again. What the node could not read is sealed anew.
    pub(super) fn handle_state(
        &mut self,
        state: &LaneState,
        body: u8,
        now: Instant,
    ) -> Result<Result<Resumed, NoRoom>, DatabaseError> {
        let disk = self.disk();
        let read_before = self.state.node_reads.insert(state.lane, body);
        let may_be_newer = body < VERSION_NEWEST && read_before != Some(body);
        match state.lane {
            Lane::Live => self.seal_live(now)?,
            Lane::Bulk => self.seal_bulk(now)?,
        }
        self.begin()?;
        let (fresh, sealing) = (Fresh { epoch: random_epoch(), seed: random() }, self.sealing());
        let (keeper, spool) = match state.lane {
            Lane::Live => (&mut self.state, &mut self.live),
            Lane::Bulk => (&mut self.state, &mut self.bulk),
        };
        let write = keeper.write.as_ref().expect("a transaction was begun above");
        let needed = spool.opening_bytes();
        let goes_on = !spool.opens(write, state)?;
        // A copy that has no room for that goes on as it is: nothing is lost by it.
        let is_unread = may_be_newer && spool.chain.head().stock().unsent.batches > 0;
        let anew = goes_on && (keeper.host.is_due(state.lane) || is_unread) && needed <= disk.free;
        let opens = anew || !goes_on;
        if opens && needed > disk.free {
            return Ok(Err(NoRoom { needed, free: disk.free }));
        }
        let was_anchored = spool.chain.head().anchored();
        let resumed = match anew {
            true => spool.handle_state_anew(write, state, fresh, sealing)?,
            false => spool.handle_state(write, state, fresh, sealing)?,
        };
        if opens && keeper.host.is_due(state.lane) {
            keeper.host.opened(state.lane);
            keeper.host_moved = true;
        }
        match state.lane {
            Lane::Live if opens => self.begin_live_anew(now),
            Lane::Live => {}
            Lane::Bulk => {
                let horizon = keeper.horizon.max(state.horizon);
                let moved = horizon != keeper.horizon;
                if moved {
                    write.put_horizon(horizon)?;
                    keeper.horizon = horizon;
                }
                if opens {
                    // What could not be sealed is in its files, and is read again.
                    self.bulk.pending.clear();
                }
                if opens || moved || !was_anchored {
                    self.raise_round();
                }
            }
        }
        killpoint::pass("spool.before_opening");
        self.commit()?;
        killpoint::pass("spool.after_opening");
        Ok(Ok(resumed))
    }

    /// Takes note that files which nobody knew were declared. Their gaps are sealed first; where there is no
    /// room for that, the next round declares again what is not known by then.
    pub(super) fn settle_files(&mut self, now: Instant) -> Result<(), DatabaseError> {
        self.seal_bulk(now)?;
        if self.bulk.pending.is_empty() {
            self.bulk.settle_files();
        }
        Ok(())
    }

    /// Lets runs go whose files are gone.
    pub(super) fn let_go(
        &mut self,
        ended: Vec<Stream>,
        now: Instant,
    ) -> Result<Vec<Stream>, DatabaseError> {
        self.begin()?;
        let write = self.state.write.as_ref().expect("a transaction was begun above");
        let gone = self.bulk.let_go(write, ended)?;
        self.state.dirty_since.get_or_insert(now);
        Ok(gone)
    }

    /// Samples that could not be sealed belong to the run before, which is closed: they are dropped, and
    /// the facts are told to the new epoch.
    fn begin_live_anew(&mut self, now: Instant) {
        let lost = self.live.pending.records();
        if lost > 0 {
            warn!(lane = %Lane::Live, records = lost, "samples dropped: nothing could be written, the disk is full");
        }
        self.live.pending.clear();
        self.tell_facts(now);
    }

    pub(super) fn taken(&self) -> Taken {
        let round = self.round.load(Ordering::Acquire);
        let (chain, pending) = (&self.bulk.chain, &self.bulk.pending);
        let waited = self.state.files_from.is_none_or(|from| Instant::now() >= from);
        let heard = self.bulk.has_heard() || waited;
        let known = (chain.head().anchored() && heard).then(|| {
            let files = chain.streams().iter().filter(|(_, sealed)| {
                let own = matches!(sealed.info, Some(SourceInfo::Host | SourceInfo::Device));
                !own && sealed.given_up.is_none()
            });
            let streams = files.filter_map(|(stream, sealed)| {
                let sealed_end = (!chain.is_only_begun(*stream))
                    .then_some((sealed.highest.position, sealed.check));
                let (position, check) = pending.last(*stream).or(sealed_end)?;
                // What waits is behind a gap that declares it, or was read since.
                let undecided = sealed.undecided && pending.last(*stream).is_none();
                let (before, info) = (sealed.before, sealed.info.clone());
                Some((*stream, KnownStream { position, check, before, undecided, info }))
            });
            let files_undecided = chain.head().files_undecided();
            Known { streams: streams.collect(), horizon: self.state.horizon, files_undecided }
        });
        Taken { round, known }
    }
}
