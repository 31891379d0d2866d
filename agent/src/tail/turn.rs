//! One turn: look for files if it is time, then read a chunk of each that may have grown.
//!
//! The state of each file is one [`Tailed`]. A file is first *settled* (`settle.rs`: is its source known,
//! is it a copy, is it new), then *read* (`reading.rs`), and at last *closed* (`closing.rs`). Which files
//! there are is decided by `scan.rs`.

mod carrying;
mod changed;
mod closing;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod letting_go;
mod packed;
mod reading;
mod scan;
mod settle;
mod tailed;
mod unpacking;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater_protocol::position::{SourceId, Stream};
use rustix::io::Errno;

use self::carrying::Carrier;
use self::packed::{PackedFiles, Rest};
use self::scan::{Sighted, is_named_after};
use self::tailed::{Place, Role, Tailed};
use super::discover::Discovery;
use super::identity::{Facts, FileKey};
use super::known::Streams;
use super::lines::Splitter;
use super::notice::Notice;
use super::{Chunk, FileStatus, Landed, Landing, LandingClosed, Moment};
use crate::config::{Multiline, TailConfig, TailLimits};
use crate::limits::{RUNS_KEPT, RUNS_STEP};

/// All tailed files, and where their lines go.
#[derive(Debug)]
pub struct Tail<L> {
    tails: Vec<TailConfig>,
    limits: TailLimits,
    landing: L,
    discovery: Discovery,
    /// `None` until the landing says what is known.
    streams: Option<Streams>,
    files: BTreeMap<FileKey, Tailed>,
    /// Files that were read to their end and gave their place to others.
    resting: BTreeMap<FileKey, Resting>,
    /// Files that could not be opened, or have to wait for a place.
    waiting: BTreeMap<FileKey, Waiting>,
    /// The first bytes of runs that were read since the start.
    heads: BTreeMap<Stream, Vec<u8>>,
    /// What the last scan saw: files that a tail names, and the others of their families by folder.
    named: Vec<Sighted>,
    beside: BTreeMap<PathBuf, Vec<Sighted>>,
    packed: PackedFiles,
    /// Folders whose files beside the named ones were looked through since the start, and the generations
    /// that were there then and not read: from before the agent's time, as far as can be told.
    looked_beside: BTreeSet<PathBuf>,
    from_before: BTreeSet<FileKey>,
    /// By tail: whether a scan has seen its files before. What appears afterwards is read from its start.
    was_scanned: Vec<bool>,
    /// Runs that were read to their end and closed since the start.
    finished: BTreeSet<Stream>,
    /// How many runs are known when old ones are let go.
    let_go_at: usize,
    next_scan: Option<Instant>,
    told: BTreeSet<Notice>,
    notices: Vec<Notice>,
}

/// What a turn came to.
#[derive(Debug)]
pub struct Turn {
    /// There is more to read at once.
    pub busy: bool,
    /// When the next turn is due although nothing wakes the tail.
    pub look_at: Instant,
    /// Only a change of the files would bring anything on: none of them waits for time to pass.
    pub calm: bool,
    /// Files were looked at: their statuses and folders may be others than before.
    pub looked: bool,
    /// What people may want to know; each thing is told once.
    pub notices: Vec<Notice>,
}

/// What woke the tail.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wake {
    /// Files that were written to.
    pub touched: BTreeSet<PathBuf>,
    /// Files came, went or were renamed.
    pub names: bool,
    /// Anything may have changed.
    pub everything: bool,
}

/// A file that is closed until it changes.
#[derive(Debug)]
struct Resting {
    source: Option<SourceId>,
    size: u64,
    changed: i64,
}

/// A file that is not open and should be.
#[derive(Debug)]
struct Waiting {
    path: PathBuf,
    start: Start,
    retry_at: Instant,
    size: u64,
    reason: String,
}

/// Where a file is read from if nothing is known of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    Beginning,
    /// It was there at the first scan of a tail that starts at the end: the size it had.
    At(u64),
    /// It was there when the spool had been lost: what it held then, so many bytes, may have been read before.
    There(u64),
}

/// Why work on a file stops before its end.
#[derive(Debug)]
enum Interrupt {
    /// The landing takes nothing more.
    Closed(LandingClosed),
    /// The landing's positions have moved.
    Resync,
    /// The file cannot be read.
    Io(io::Error),
}

impl From<LandingClosed> for Interrupt {
    fn from(closed: LandingClosed) -> Self {
        Self::Closed(closed)
    }
}

impl From<io::Error> for Interrupt {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What looking at files came to.
struct Looked {
    /// There was something to look at.
    any: bool,
    /// There is more to read at once.
    busy: bool,
}

/// Whether a file stays open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stay {
    Open,
    Closed,
}

impl<L: Landing> Tail<L> {
    /// A tail that has looked at nothing.
    pub fn new(tails: &[TailConfig], limits: &TailLimits, landing: L) -> Self {
        Self {
            tails: tails.to_vec(),
            limits: limits.clone(),
            landing,
            discovery: Discovery::new(tails),
            streams: None,
            files: BTreeMap::new(),
            resting: BTreeMap::new(),
            waiting: BTreeMap::new(),
            heads: BTreeMap::new(),
            named: Vec::new(),
            beside: BTreeMap::new(),
            packed: PackedFiles::default(),
            looked_beside: BTreeSet::new(),
            from_before: BTreeSet::new(),
            was_scanned: vec![false; tails.len()],
            finished: BTreeSet::new(),
            let_go_at: RUNS_KEPT + RUNS_STEP,
            next_scan: None,
            told: BTreeSet::new(),
            notices: Vec::new(),
        }
    }

    /// Looks at every file that may have changed and hands over at most a chunk of each. Does not sleep,
    /// but waits in the landing while that is full.
    ///
    /// # Errors
    /// When the landing takes nothing more. What was not taken is read again after the next start.
    pub fn turn(&mut self, now: Moment) -> Result<Turn, LandingClosed> {
        if self.streams.is_none() {
            let Some(known) = self.landing.known() else {
                return Ok(self.end_of_turn(now, Looked { any: false, busy: false }));
            };
            self.adopt(Streams::new(known));
        }
        match self.look(now) {
            Ok(looked) => Ok(self.end_of_turn(now, looked)),
            Err(Interrupt::Closed(closed)) => Err(closed),
            Err(Interrupt::Resync) => {
                self.forget_positions();
                Ok(self.end_of_turn(now, Looked { any: true, busy: true }))
            }
            Err(Interrupt::Io(error)) => unreachable!("each file keeps its own errors: {error}"),
        }
    }

    /// Takes note of what has changed, for the next turn.
    pub fn handle_wake(&mut self, wake: &Wake) {
        if wake.names || wake.everything {
            self.next_scan = None;
        }
        for file in self.files.values_mut() {
            file.due |= wake.everything || wake.touched.contains(&file.path);
        }
    }

    /// The folders in which a change matters.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.discovery.folders()
    }

    /// The open files, as they were seen last.
    pub(super) fn open_files(&self) -> impl Iterator<Item = (&Path, &Facts)> {
        self.files.values().map(|file| (file.path.as_path(), &file.facts))
    }

    /// The files as they stand, those that cannot be opened included.
    #[must_use]
    pub fn statuses(&self) -> Vec<FileStatus> {
        let open = self.files.values().map(Tailed::status);
        let waiting = self.waiting.values().map(|waiting| FileStatus {
            path: waiting.path.clone(),
            stream: None,
            position: 0,
            size: waiting.size,
            stalled: Some(waiting.reason.clone()),
        });
        let packed = self.packed.carriers.iter().map(Carrier::status);
        open.chain(waiting).chain(packed).collect()
    }

    /// Gives the landing back.
    pub fn into_landing(self) -> L {
        self.landing
    }

    fn adopt(&mut self, streams: Streams) {
        for path in streams.paths() {
            if let Some(tail) = self.discovery.tail_of(path) {
                self.was_scanned[tail] = true;
            }
        }
        if streams.files_undecided {
            let open = self.files.values_mut().map(|file| (&mut file.start, file.facts.size));
            let waiting = self.waiting.values_mut().map(|it| (&mut it.start, it.size));
            let unread = open.chain(waiting).filter(|(start, _)| **start == Start::Beginning);
            unread.for_each(|(start, size)| *start = Start::There(size));
        }
        self.streams = Some(streams);
        self.discovery.forget_listings();
        self.next_scan = None;
    }

    /// After the landing's positions have moved: every file is settled anew.
    fn forget_positions(&mut self) {
        self.streams = None;
        self.finished.clear();
        self.packed = PackedFiles::default();
        for file in self.files.values_mut() {
            file.unsettle();
        }
    }

    fn look(&mut self, now: Moment) -> Result<Looked, Interrupt> {
        let is_time = self.next_scan.is_none_or(|at| now.at >= at);
        if is_time {
            self.next_scan = Some(now.at + SCAN_EVERY);
            self.scan(now)?;
            self.let_ended_go()?;
            self.files.values_mut().for_each(|file| file.due = true);
        }
        // What may be a copy comes after what it may be a copy of.
        let rank = |file: &Tailed| {
            let is_settled = matches!(file.role, Role::Reading { .. } | Role::Twin);
            (!is_settled, file.path != file.home)
        };
        let due = self.files.iter().filter(|(_, file)| file.due);
        let mut due: Vec<(FileKey, (bool, bool))> =
            due.map(|(key, file)| (*key, rank(file))).collect();
        due.sort_by_key(|(_, rank)| *rank);
        let any = is_time || !due.is_empty();
        for (key, _) in due {
            self.visit(key, now)?;
        }
        if self.streams().files_undecided {
            self.landing.settled()?;
            self.streams_mut().files_undecided = false;
        }
        let unpacks = self.unpack_on(now)?;
        let busy = unpacks || self.files.values().any(|file| file.due);
        Ok(Looked { any: any || unpacks, busy })
    }

    /// Goes on with one file. What fails in it stays with it.
    fn visit(&mut self, key: FileKey, now: Moment) -> Result<(), Interrupt> {
        let Some(mut file) = self.files.remove(&key) else {
            return Ok(());
        };
        let outcome = match self.go_on(&mut file, now) {
            Err(Interrupt::Io(error)) => self.stall(&mut file, &error, now),
            outcome => outcome,
        };
        if !matches!(outcome, Ok(Stay::Closed)) {
            self.files.insert(key, file);
        }
        outcome.map(|_| ())
    }

    fn go_on(&mut self, file: &mut Tailed, now: Moment) -> Result<Stay, Interrupt> {
        if file.retry_at.is_some_and(|at| now.at < at) {
            file.due = false;
            return Ok(Stay::Open);
        }
        let facts = Facts::of(&file.file)?;
        file.observe(&facts, now.at);
        match file.role {
            Role::Unsettled | Role::Copy => self.settle(file, now)?,
            Role::Twin => file.due = false,
            Role::Reading { .. } => {}
        }
        if self.waits_for_predecessor(file, now) {
            file.due = false;
            return Ok(Stay::Open);
        }
        if matches!(file.role, Role::Reading { .. }) {
            self.read_on(file, now)?;
        }
        file.stalled = None;
        file.retry_at = None;
        if file.due { Ok(Stay::Open) } else { self.close_if_done(file, now) }
    }

    /// Whether a file that begins a run has to wait until the one before it is read to its end: what is
    /// handed over later may be lost with the agent, and then nobody would wait for it.
    fn waits_for_predecessor(&mut self, file: &mut Tailed, now: Moment) -> bool {
        let begins = matches!(file.role, Role::Reading { stream: None, .. });
        let Some(source) = file.source.filter(|_| begins) else { return false };
        self.forget_where_it_stood(&file.path);
        let truncated = || self.truncated_before(file, source).filter(|_| file.position() == 0);
        let Some(before) = self.missing(file, source).or_else(truncated) else { return false };
        match self.rest_of(before, now) {
            Rest::Found => self.is_unpacked_for(before),
            Rest::Unknown => true,
            // It may have been renamed since the folder was listed, or packed: in this order.
            Rest::Nowhere if file.sought != Some(before) && self.stands_beside(file, before) => {
                file.sought = Some(before);
                self.discovery.forget_listings();
                self.next_scan = None;
                true
            }
            Rest::Nowhere => {
                self.look_for_packed(&file.home);
                self.rest_of(before, now) == Rest::Unknown
            }
        }
    }

    /// Notes why a file cannot be read, and tries again later. A file that its server has deleted is
    /// closed, and what was seen and not read is declared.
    fn stall(
        &mut self,
        file: &mut Tailed,
        error: &io::Error,
        now: Moment,
    ) -> Result<Stay, Interrupt> {
        let path = file.path.clone();
        self.tell(Notice::Stalled { path, reason: error.to_string() });
        file.due = false;
        if Errno::from_io_error(error) == Some(Errno::STALE) {
            self.look_for_packed(&file.home);
            // What may have been packed is not given up: its successor waits for the answer.
            self.discovery.forget_listings();
            if !self.has_packed(&file.home) {
                self.declare_vanished(file, now)?;
            }
            return Ok(Stay::Closed);
        }
        file.stalled = Some(error.to_string());
        file.retry_at = Some(now.at + RETRY_STALLED);
        Ok(Stay::Open)
    }

    /// Hands a chunk over and remembers where it ends.
    fn append(&mut self, chunk: Chunk) -> Result<(), Interrupt> {
        let (stream, end, check) = match &chunk {
            Chunk::Lines { stream, start, bytes, check, .. } => {
                (*stream, start + bytes.len() as u64, *check)
            }
            Chunk::Gap { stream, end, check, .. } => (*stream, *end, *check),
        };
        match self.landing.append(chunk)? {
            Landed::Taken => self.streams_mut().moved(stream, end, check),
            Landed::Resync => return Err(Interrupt::Resync),
        }
        Ok(())
    }

    fn tell(&mut self, notice: Notice) {
        let is_old = !notice.is_an_event() && self.told.contains(&notice);
        if !is_old && self.notices.len() < NOTICES_MAX {
            if self.told.len() < TOLD_MAX && !notice.is_an_event() {
                self.told.insert(notice.clone());
            }
            self.notices.push(notice);
        }
    }

    fn end_of_turn(&mut self, now: Moment, Looked { any, busy }: Looked) -> Turn {
        // Nothing is known yet, or something was found that makes another look worth while.
        let soon = now.at + LOOK_AGAIN;
        let look_at = self.next_scan.filter(|_| self.streams.is_some()).unwrap_or(soon);
        Turn {
            busy,
            look_at,
            calm: !busy && self.is_calm(),
            looked: any,
            notices: std::mem::take(&mut self.notices),
        }
    }

    fn is_calm(&self) -> bool {
        let is_known = self.streams.as_ref().is_some_and(|streams| !streams.files_undecided);
        is_known
            && self.next_scan.is_some()
            && self.waiting.is_empty()
            && self.packed.carriers.is_empty()
            && !self.awaits_packed()
            && self.discovery.reaches_everything()
            && self.files.values().all(Tailed::waits_for_its_writer)
    }

    fn streams(&self) -> &Streams {
        self.streams.as_ref().expect("files are looked at only once it is known what was read")
    }

    fn streams_mut(&mut self) -> &mut Streams {
        self.streams.as_mut().expect("files are looked at only once it is known what was read")
    }

    /// The splitter for what is or was at one of these paths: of the tail that names it, or the file that
    /// it is a rotated generation of.
    fn splitter(&self, paths: &[&Path]) -> Splitter {
        let own = paths.iter().find_map(|path| self.discovery.tail_of(path));
        let of_generation = || {
            let is_home =
                |sighted: &&Sighted| paths.iter().any(|path| is_named_after(path, &sighted.path));
            self.named.iter().find(is_home).and_then(|home| self.discovery.tail_of(&home.path))
        };
        let multiline = own.or_else(of_generation).map(|tail| self.tails[tail].multiline.clone());
        let multiline = multiline.unwrap_or(Multiline::None);
        Splitter::new(self.limits.max_line.as_usize(), self.limits.long_line, multiline)
    }
}

/// Files are looked at so often whether or not anything woke us.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// Until the next look where one scan asks for another, or the ledger's word is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A file that gave an error is tried again after this time: often enough for a server that comes back,
/// rarely enough for a broken disk.
const RETRY_STALLED: Duration = Duration::from_secs(5);
/// Notices of one turn: one for each file there may be, and some.
const NOTICES_MAX: usize = 512;
/// Notices that are remembered, so that each is told once.
const TOLD_MAX: usize = 4096;
