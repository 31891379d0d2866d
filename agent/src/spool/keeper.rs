//! The spool's thread: it alone changes the chains and writes the database.
//!
//! It takes what comes, seals what is due, and commits what was sealed together. Nothing is shown to
//! the ship stage that is not durable, except that acks hold at once: a lost one comes again.

mod handshake;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use headwater_protocol::body::VERSION_OLDEST;
use headwater_protocol::chain::{Sealing, own_source};
use headwater_protocol::identity::{Epoch, Lane};
use headwater_protocol::position::{Run, SourceId};
use headwater_protocol::record::{Cause, Content, Record, Sample, SourceInfo};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::database::{Database, DatabaseError, Transaction};
use super::host::{Copied, HostFacts, HostRow};
use super::input::Input;
use super::lane::{LaneSpool, NotNext};
use super::room::{Disk, Reserve, Stall};
use super::wait::wait_until;
use super::{SpoolView, text};
use crate::clock::{Clocks, wall_us};
use crate::config::Room;
use crate::killpoint;

/// The source of the host's own sampler.
const HOST_SOURCE: SourceId = SourceId(*b"headwater.host:0");
/// How long what changed without a seal waits for a commit of its own, which costs two syncs. An ack that is
/// lost comes again, so it waits for the next batch even of a host that samples every 10 s.
const LAZY_COMMIT: Duration = Duration::from_secs(15);
/// The same where a lane stands still: acks make room.
const LAZY_COMMIT_WHEN_FULL: Duration = Duration::from_secs(1);
/// How long files wait for the ledger's word after each start. A spool that was rolled back learns by
/// then what it has forgotten; until then the file is the buffer. Long enough for a handshake on a slow
/// link, short enough that a host without a link goes on collecting.
const LEDGER_WAIT: Duration = Duration::from_secs(10);
/// How often a lane that stands still looks whether there is room.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Sealed bytes at which a transaction is committed although more is ready: a batch of the live lane
/// waits for no more than this.
const COMMIT_BYTES: u64 = 2 << 20;
/// How often people are told that samples are dropped.
const DROPPED_INTERVAL: Duration = Duration::from_secs(60);
/// Inputs that are taken before what is due is looked at again.
const INPUTS_PER_TURN: usize = 64;
/// Samples of one record. A tick of more is taken in parts, so that each fits into a batch.
const TICK_SAMPLES_MAX: usize = 1024;
/// Bytes of samples that wait while nothing can be written; beyond it they become a gap.
const HELD_BYTES_MAX: usize = 256 << 10;

/// What the thread needs from its start on.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) database: Arc<Database>,
    pub(super) folder: PathBuf,
    pub(super) live: LaneSpool,
    pub(super) bulk: LaneSpool,
    pub(super) clocks: Clocks,
    pub(super) level: i32,
    pub(super) min_free: Room,
    pub(super) reserve: Reserve,
    pub(super) round: Arc<AtomicU64>,
    pub(super) view: watch::Sender<SpoolView>,
    pub(super) state: State,
}

/// What changes while it runs, apart from the lanes.
#[derive(Debug, Default)]
pub(super) struct State {
    write: Option<Transaction>,
    /// Bytes sealed in the open transaction; 0 if nothing was.
    sealed_bytes: u64,
    dirty_since: Option<Instant>,
    look_at: Option<Instant>,
    /// Samples that were dropped and not spoken of, and when people were told last.
    dropped_untold: u64,
    dropped_told: Option<Instant>,
    facts: BTreeMap<String, String>,
    host: HostRow,
    /// Whether the row of the host is to be written with the next commit.
    host_moved: bool,
    /// The ledger may have forgotten runs of files numbered at or below it.
    horizon: u64,
    /// From when on files are read even if the ledger has not spoken since the start.
    files_from: Option<Instant>,
    /// The newest version of a body that the node of a lane reads, as was last heard.
    node_reads: BTreeMap<Lane, u8>,
}

impl State {
    pub(super) fn new(horizon: u64) -> Self {
        Self { horizon, files_from: Some(Instant::now() + LEDGER_WAIT), ..Self::default() }
    }
}

impl Keeper {
    /// Compares the host with the one of the row, which is written with the next commit.
    pub(super) fn meet(&mut self, facts: &HostFacts) -> Option<Copied> {
        let stored = match self.database.host() {
            Ok(stored) => stored,
            Err(error) => {
                warn!(%error, "what the spool says of its host can't be read: it is not compared");
                return None;
            }
        };
        self.state.host = stored.clone();
        let copied = self.state.host.meet(facts, wall_us());
        self.state.host_moved = self.state.host != stored;
        self.show();
        copied
    }

    /// Takes inputs until it is told to stop or nobody is left to tell it.
    pub(super) fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), DatabaseError> {
        loop {
            if let Some(input) = wait_until(self.wakes_at(), inputs.recv())
                && !self.take(input.unwrap_or(Input::Stop))?
            {
                return self.seal_all(Instant::now());
            }
            for _ in 1..INPUTS_PER_TURN {
                let Ok(input) = inputs.try_recv() else { break };
                if !self.take(input)? {
                    return self.seal_all(Instant::now());
                }
            }
            self.turn(Instant::now())?;
        }
    }

    /// Handles one input; false for the last one.
    fn take(&mut self, input: Input) -> Result<bool, DatabaseError> {
        let now = Instant::now();
        match input {
            Input::Lines { lines, permit } => {
                let taken =
                    self.bulk.pending.push_lines(&self.bulk.chain, lines, Some(permit), now);
                self.resync_unless(taken);
                self.seal_full_bulk(now)?;
            }
            Input::Gap { record, check } => {
                let check = Some(check);
                let taken = self.bulk.pending.push_record(&self.bulk.chain, record, check, now);
                self.resync_unless(taken);
            }
            Input::Tick { time_us, samples, lull } => {
                self.tick(time_us, samples, now);
                self.live.expect_nothing_for(lull);
            }
            Input::Facts(facts) => {
                let facts = text::fitting(facts);
                if facts != self.state.facts {
                    self.state.facts = facts;
                    self.tell_facts(now);
                }
            }
            Input::Begin { source, info, start, reply } => {
                let info = text::fitting_path(info);
                self.bulk.pending.hurry();
                let nonce = Run::nonce_of(start.content, random());
                let stream = self.bulk.chain.begin_run(source, info, start.position, nonce);
                self.bulk.touch();
                self.state.dirty_since.get_or_insert(now);
                // Whoever asked may be gone.
                let _ = reply.send(stream);
            }
            Input::Hurry => self.bulk.pending.hurry(),
            Input::Settled => self.settle_files(now)?,
            Input::LetGo { ended, reply } => {
                let gone = self.let_go(ended, now)?;
                // Whoever asked may be gone: it asks again after its next start.
                let _ = reply.send(gone);
            }
            Input::Known { reply } => {
                let _ = reply.send(self.taken());
            }
            Input::State { state, body, reply } => {
                let resumed = self.handle_state(&state, body, now)?;
                // Whoever asked may be gone: the next handshake finds the same.
                let _ = reply.send(resumed);
            }
            Input::Ack { ack, reply } => {
                let acked = self.handle_ack(ack, now)?;
                if self.state.sealed_bytes == 0 {
                    self.show();
                }
                let _ = reply.send(acked);
            }
            Input::Seal { reply } => {
                self.seal_all(now)?;
                let _ = reply.send(());
            }
            Input::Stop => return Ok(false),
        }
        Ok(true)
    }

    /// Seals what is due, commits what was sealed, and shows what changed.
    fn turn(&mut self, now: Instant) -> Result<(), DatabaseError> {
        if self.state.look_at.is_some_and(|at| at <= now) {
            self.bulk_has_room(now);
        }
        let is_due = |lane: &LaneSpool| lane.due().is_some_and(|due| due <= now);
        if is_due(&self.live) {
            self.seal_live(now)?;
        }
        self.seal_full_bulk(now)?;
        if is_due(&self.bulk) {
            self.seal_bulk(now)?;
        }
        let lazy = self.lazy_commit_at().is_some_and(|at| at <= now);
        if self.state.sealed_bytes > 0 || (lazy && self.has_room_for_lazy_commit(now)) {
            self.commit()?;
        } else {
            self.show();
        }
        Ok(())
    }

    /// When the next turn is due although nothing comes; `None` if never.
    fn wakes_at(&self) -> Option<Instant> {
        let lazy = self.lazy_commit_at();
        // A lane that stands still looks again at its own pace.
        let look = self.state.look_at;
        let live = self.live.due().filter(|_| self.live.stall().is_none());
        let bulk = self.bulk.due().filter(|_| self.bulk.stall().is_none());
        [lazy, look, live, bulk].into_iter().flatten().min()
    }

    fn lazy_commit_at(&self) -> Option<Instant> {
        let wait = if self.stands_still() { LAZY_COMMIT_WHEN_FULL } else { LAZY_COMMIT };
        self.state.dirty_since.map(|since| since + wait)
    }

    /// Whether the disk has room for a commit that nobody waits for; else it is put off. It would end the process, and the
    /// next one as well.
    fn has_room_for_lazy_commit(&mut self, now: Instant) -> bool {
        let has_room = self.disk().may_write();
        if !has_room {
            self.state.dirty_since = Some(now);
        }
        has_room
    }

    fn seal_full_bulk(&mut self, now: Instant) -> Result<(), DatabaseError> {
        while self.bulk.is_full() && self.bulk_has_room(now) {
            self.seal(Lane::Bulk)?;
        }
        Ok(())
    }

    /// Seals all of the bulk lane, as far as there is room.
    fn seal_bulk(&mut self, now: Instant) -> Result<(), DatabaseError> {
        while !self.bulk.pending.is_empty() && self.bulk_has_room(now) {
            self.seal(Lane::Bulk)?;
        }
        Ok(())
    }

    /// Whether the bulk lane may seal. While it may not, what waits stays where it is, the memory for
    /// it runs out, and so the reading of files stops: the files are the buffer.
    fn bulk_has_room(&mut self, now: Instant) -> bool {
        if self.bulk.stall().is_some() && self.state.look_at.is_some_and(|at| now < at) {
            return false;
        }
        let disk = self.disk();
        match self.bulk.look(disk) {
            Some(Some(stall)) => warn!(lane = %Lane::Bulk, "reading of files stops: {stall}"),
            Some(None) => info!(lane = %Lane::Bulk, "reading of files goes on"),
            None => {}
        }
        let stalled = self.bulk.stall().is_some();
        self.state.look_at = self.stands_still().then(|| now + LOOK_INTERVAL);
        !stalled
    }

    fn stands_still(&self) -> bool {
        self.live.stall().is_some() || self.bulk.stall().is_some()
    }

    /// Seals all of the live lane. A full one drops its oldest rows, a full disk holds samples in memory
    /// and then only their number.
    fn seal_live(&mut self, now: Instant) -> Result<(), DatabaseError> {
        let disk = self.disk();
        if !disk.may_write() {
            if self.live.pending.cost() > HELD_BYTES_MAX {
                let dropped = self.live.pending.declare(Cause::SpoolFull);
                self.tell_dropped(dropped, now);
            }
            self.live.stand_still(Some(Stall::DiskFull));
            self.state.look_at = Some(now + LOOK_INTERVAL);
            return Ok(());
        }
        self.begin()?;
        let write = self.state.write.as_ref().expect("a transaction was begun above");
        let dropped = self.live.make_room(disk, write)?;
        self.tell_dropped(dropped, now);
        self.live.stand_still(None);
        while !self.live.pending.is_empty() {
            self.seal(Lane::Live)?;
        }
        Ok(())
    }

    /// Says how many samples were dropped, not each time.
    fn tell_dropped(&mut self, records: u64, now: Instant) {
        self.state.dropped_untold += records;
        let is_time = self.state.dropped_told.is_none_or(|at| now >= at + DROPPED_INTERVAL);
        if self.state.dropped_untold > 0 && is_time {
            let records = std::mem::take(&mut self.state.dropped_untold);
            self.state.dropped_told = Some(now);
            warn!(lane = %Lane::Live, records, "oldest samples dropped: the spool or its disk is full");
        }
    }

    fn seal(&mut self, lane: Lane) -> Result<(), DatabaseError> {
        self.begin()?;
        let sealing = self.sealing();
        let (state, spool) = match lane {
            Lane::Live => (&mut self.state, &mut self.live),
            Lane::Bulk => (&mut self.state, &mut self.bulk),
        };
        let write = state.write.as_ref().expect("a transaction was begun above");
        state.sealed_bytes += spool.seal(write, sealing)?;
        if state.sealed_bytes >= COMMIT_BYTES {
            self.commit()?;
        }
        Ok(())
    }

    fn tick(&mut self, time_us: i64, samples: Vec<Sample>, now: Instant) {
        let mut samples = samples.into_iter().peekable();
        while samples.peek().is_some() {
            let part = samples.by_ref().take(TICK_SAMPLES_MAX).collect();
            self.push_own((HOST_SOURCE, &SourceInfo::Host), time_us, Content::Tick(part), now);
        }
    }

    fn tell_facts(&mut self, now: Instant) {
        if self.state.facts.is_empty() {
            return;
        }
        let source = (own_source(Lane::Live), &SourceInfo::Device);
        let facts = Content::Facts(self.state.facts.clone());
        self.push_own(source, wall_us(), facts, now);
    }

    /// Appends a record of the agent's own to the present run of a source.
    fn push_own(
        &mut self,
        (source, info): (SourceId, &SourceInfo),
        time_us: i64,
        content: Content,
        now: Instant,
    ) {
        let stream = self.live.chain.sampler(source, info, random());
        let start = self.live.pending.end(&self.live.chain, stream).unwrap_or(0);
        let record = Record { stream, start, end: start + 1, time_us, content };
        let taken = self.live.pending.push_record(&self.live.chain, record, None, now);
        taken.expect("the record starts where its stream was just seen to end");
    }

    fn resync_unless(&mut self, taken: Result<(), NotNext>) {
        if taken.is_err() {
            self.raise_round();
        }
    }

    fn raise_round(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
    }

    fn begin(&mut self) -> Result<(), DatabaseError> {
        if self.state.write.is_none() {
            self.state.write = Some(self.database.begin()?);
        }
        Ok(())
    }

    /// Commits everything that changed, and shows it.
    fn commit(&mut self) -> Result<(), DatabaseError> {
        if self.state.write.is_some() || self.live.is_dirty() || self.bulk.is_dirty() {
            self.begin()?;
            let write = self.state.write.take().expect("a transaction was begun above");
            self.live.store(&write)?;
            self.bulk.store(&write)?;
            if self.state.host_moved {
                write.put_host(&self.state.host)?;
                self.state.host_moved = false;
            }
            killpoint::pass("spool.before_commit");
            write.commit()?;
            killpoint::pass("spool.after_commit");
        }
        self.state.sealed_bytes = 0;
        self.state.dirty_since = None;
        self.show();
        Ok(())
    }

    /// Whoever asks sees the present state; woken is nobody by what merely waits to be sealed.
    fn show(&self) {
        let copied = self.state.host.copied().cloned();
        let (live, bulk) = (self.live.view(), self.bulk.view());
        self.view.send_if_modified(|shown| {
            let is_news = live.is_news_after(&shown.live)
                || bulk.is_news_after(&shown.bulk)
                || copied != shown.copied;
            *shown = SpoolView { live, bulk, copied };
            is_news
        });
    }

    /// Seals and commits what waits, as far as there is room.
    fn seal_all(&mut self, now: Instant) -> Result<(), DatabaseError> {
        self.seal_live(now)?;
        self.seal_bulk(now)?;
        self.commit()
    }

    fn sealing(&self) -> Sealing {
        let body = self.state.node_reads.values().min().copied().unwrap_or(VERSION_OLDEST);
        Sealing { clock: self.clocks.now(), level: self.level, body }
    }

    /// What the disk has left. While the reserve is given up, its room is not there for anything else.
    fn disk(&mut self) -> Disk {
        let before = self.measured();
        let kept = self.reserve.keep(before);
        if let Err(error) = &kept {
            warn!(%error, "the reserve of the spool can't be kept");
        }
        let is_same = matches!(kept, Ok(false));
        let disk = if is_same { before } else { self.measured() };
        Disk { keep: disk.keep.saturating_add(self.reserve.missing()), ..disk }
    }

    fn measured(&self) -> Disk {
        // A filesystem that does not answer is not taken for a full one: a write will tell.
        let unknown = Disk { free: u64::MAX, keep: 0 };
        Disk::of(&self.folder, self.min_free).unwrap_or(unknown)
    }
}

/// A random number. A host that has no randomness has no keys either, and runs no agent.
pub(super) fn random() -> u64 {
    getrandom::u64().expect("the kernel gives randomness once it has booted")
}

pub(super) fn random_epoch() -> Epoch {
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).expect("the kernel gives randomness once it has booted");
    Epoch(epoch)
}
