//! Tail: log files, line by line, each byte of a file exactly once.
//!
//! A file is a **source**, recognised by inode and birth time wherever it is renamed to. It is read in
//! **runs**: a run begins with the file, and anew whenever its content starts anew; within a run the
//! position only grows. What was read goes to a [`Landing`], the spool's side, which stores lines and
//! position in one transaction; a crash reads again from there. While the spool is full, `append`
//! blocks: the file is the buffer.
//!
//! A record is a line, or several as the tail is configured: it begins where the one before ended and is
//! complete when the next line begins another, or does not come. Its body is every byte of it but the last
//! line's end.
//!
//! A file is continued only where its bytes before the position are the ones that were read
//! ([`Check`]). Otherwise it was truncated or rewritten: the bytes that were not read yet are looked
//! for in a copy beside it, else declared as a gap, and the file is read from its start as a new run.
//! A file that is merely shorter, with the same content, is never read again. One that lost its end and has
//! grown since is compared with what the spool still holds ([`Held`]) and goes on where it begins to differ.
//!
//! Rotated and deleted files keep their descriptor until their end stood still for
//! `tail_limits.deleted_grace`. After a restart they are found among the files beside their path, also
//! packed with gzip: the packed file that begins like the run and has the bytes before its position holds
//! its rest, which is unpacked a little in each turn and read as the same run. Before the successor begins,
//! it is known whether there is such a file; if not, a gap says so.
//!
//! What is decided stands in `resume` and `divergence` (pure), what is read in `file` and `lines`, where files are in
//! `discover`, and [`Tail::turn`] brings them together; it never sleeps. [`run`] is the thread around
//! it, woken by inotify and once a second in any case; every ten seconds where all there is to see are files at
//! rest on local filesystems, of whose changes the kernel tells.
//!
//! Never here: a line that is emitted before its end has come, unless the file is closed for good; a
//! symlink or anything but a regular file that is opened; a compressed file that holds no known run.

mod access;
mod discover;
mod divergence;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod identity;
mod known;
mod lines;
mod notice;
mod resume;
mod stop;
mod survey;
mod turn;
mod watch;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headwater_protocol::position::{Check, Run, SourceId, Stream};
use headwater_protocol::record::{Fingerprint, Gap, Part, SourceInfo};

pub use self::access::Refusal;
pub(crate) use self::access::name_of;
pub use self::notice::{Notice, Severity};
pub use self::stop::TailStop;
pub use self::survey::{Survey, survey};
pub use self::turn::{Tail, Turn, Wake};
use crate::config::Config;

/// Where chunks go: the spool's side of tailing.
pub trait Landing {
    /// What the spool knows of file sources; `None` while it waits for the ledger's word, as a spool
    /// that was made anew does before its first handshake: no file is read before.
    fn known(&mut self) -> Option<Known>;

    /// Begins a new run of a source at a position. Number and nonce of the run are the spool's.
    ///
    /// Nothing is stored yet: a run becomes durable with its first chunk.
    ///
    /// # Errors
    /// When the spool takes nothing more.
    fn begin(
        &mut self,
        source: SourceId,
        info: SourceInfo,
        start: Start,
    ) -> Result<Stream, LandingClosed>;

    /// Hands over what was read; blocks while the spool is full.
    ///
    /// # Errors
    /// When the spool takes nothing more; the chunk was not taken.
    fn append(&mut self, chunk: Chunk) -> Result<Landed, LandingClosed>;

    /// Every file that was there when [`Known::files_undecided`] was told has been looked at, and what was
    /// known of none was declared.
    ///
    /// # Errors
    /// When the spool takes nothing more.
    fn settled(&mut self) -> Result<(), LandingClosed>;

    /// What was handed over may soon be in no file any more: it is sealed without waiting for more.
    ///
    /// # Errors
    /// When the spool takes nothing more.
    fn hurry(&mut self) -> Result<(), LandingClosed>;

    /// Lets runs go whose files are gone, and gives those that went: of which nothing is held any more. A run that is
    /// let go is not recognised again.
    ///
    /// # Errors
    /// When the spool takes nothing more.
    fn let_go(&mut self, ended: Vec<Stream>) -> Result<Vec<Stream>, LandingClosed>;

    /// Shows what is still held of a source, the newest first, until `take` has seen enough: everything
    /// that was handed over and not dropped since, sent or not.
    ///
    /// # Errors
    /// When the spool takes nothing more.
    fn recall(
        &mut self,
        source: SourceId,
        take: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> Result<(), LandingClosed>;
}

/// A stretch of a stream that the spool holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    /// Where it belongs.
    pub stream: Stream,
    /// Position of its first byte.
    pub start: u64,
    /// Position after its last one.
    pub end: u64,
    /// Its lines, in order; where gaps stand there are none.
    pub lines: Vec<HeldLine>,
}

/// A line, or lines that belong together, as the spool holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldLine {
    /// Position of its first byte.
    pub start: u64,
    /// As they stood in the file, the line's end included.
    pub bytes: Vec<u8>,
}

impl HeldLine {
    /// Position after its last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Start {
    /// The position of its first byte.
    pub position: u64,
    /// Stands for the file's first line ([`Run::content`]): a spool that was rolled back is told by it
    /// that a file it finds anew is one that the ledger knows.
    pub content: u32,
}

impl Start {
    /// Of a file whose first bytes are `head`.
    #[must_use]
    pub fn new(position: u64, head: &[u8]) -> Self {
        let end = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |lf| lf + 1);
        let first_line = &head[..end.min(Fingerprint::BYTES)];
        let run = Run { number: 0, nonce: Run::file_nonce(first_line, 0) };
        Self { position, content: run.content() }
    }
}

/// The agent is stopping: what was not taken is read again after the next start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the spool takes nothing more")]
pub struct LandingClosed;

/// What the spool knows of file sources, the ledger's word included.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Each run of each source, ended ones included.
    pub streams: BTreeMap<Stream, KnownStream>,
    /// The ledger may have forgotten runs numbered at or below it; 0 for none. They are not continued:
    /// their files go on as new runs from the same position.
    pub horizon: u64,
    /// The spool was lost or went back, and the ledger may have forgotten files that were read: what a file
    /// that nobody knows holds so far is declared undecided, and it is read from its end on.
    pub files_undecided: bool,
}

/// How far a run was read.
#[derive(Clone, Debug)]
pub struct KnownStream {
    /// Where the next byte to read stands.
    pub position: u64,
    /// Of the bytes before it.
    pub check: Check,
    /// A place before it, and the check there, up to which a spool that was restored had read it.
    pub before: Option<(u64, Check)>,
    /// What its file holds beyond the position so far may have been read under another name that the
    /// ledger has forgotten: it is declared undecided, and read from its end on.
    pub undecided: bool,
    /// `None` where only the position is known.
    pub info: Option<SourceInfo>,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Landed {
    /// It is in the spool, or will be with the next commit.
    Taken,
    /// It was not taken: the spool's positions have moved (an epoch was opened). The tail forgets its
    /// own, asks for what is known and goes on from there.
    Resync,
}

/// A stretch of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Chunk {
    /// Lines that follow each other without a hole.
    Lines {
        /// Where they belong.
        stream: Stream,
        /// Position of the first byte.
        start: u64,
        /// The file's bytes from there on, at most [`CHUNK_BYTES_MAX`]. Empty to store a run's start.
        bytes: Vec<u8>,
        /// They cover `bytes` exactly: the sum of `taken` is its length. At most [`CHUNK_LINES_MAX`].
        lines: Vec<Line>,
        /// Of the position after the last line.
        check: Check,
        /// When they were read, in microseconds since 1970 UTC.
        time_us: i64,
    },
    /// Bytes that could not be kept.
    Gap {
        /// Where they belong.
        stream: Stream,
        /// Position of the first one.
        start: u64,
        /// Position after the last one; equal to `start` where no byte is known to be missing.
        end: u64,
        /// Why.
        gap: Gap,
        /// Of the position `end`; `NONE` if the bytes before it are gone too.
        check: Check,
        /// When it was noticed, in microseconds since 1970 UTC.
        time_us: i64,
    },
}

/// One record's part of a chunk's bytes: a line, or lines that belong together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Line {
    /// Bytes of the body; they come first.
    pub body: u32,
    /// Bytes it takes in the file, its end included.
    pub taken: u32,
    /// Which part of a record it is, and how its last line ends. A line that was cut is `Whole`, and a gap follows.
    pub part: Part,
}

/// A tailed file, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileStatus {
    /// Where it is, or was when it was last seen.
    pub path: PathBuf,
    /// What it is read as; `None` before its first line.
    pub stream: Option<Stream>,
    /// Where the next byte to read stands.
    pub position: u64,
    /// Its size when it was last looked at.
    pub size: u64,
    /// Why it is not read any further; `None` for a file that is.
    pub stalled: Option<String>,
}

/// The files as they stand, from the tail's thread for whoever asks for the status.
///
/// A lock and not a channel: the writer never waits for a reader, and a reader wants the latest only.
pub type FileStatuses = Arc<Mutex<Vec<FileStatus>>>;

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For distances in time.
    pub at: Instant,
    /// For records: microseconds since 1970 UTC.
    pub time_us: i64,
}

impl Moment {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { at: Instant::now(), time_us: i64::try_from(since.as_micros()).unwrap_or(i64::MAX) }
    }
}

/// Why tailing ended before it was told to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TailError {
    /// The spool takes nothing more although nobody asked for the end.
    #[error("hand lines to the spool")]
    Landing(#[source] LandingClosed),
}

/// Tails until it is told to stop. Blocks: it wants a thread.
///
/// # Errors
/// When the landing closes before.
pub fn run(
    config: &Config,
    landing: impl Landing,
    stop: &TailStop,
    statuses: &FileStatuses,
) -> Result<(), TailError> {
    let mut tail = Tail::new(&config.tails, &config.tail_limits, landing);
    let mut watch = watch::Watch::new();
    watch.failure().into_iter().for_each(|notice| notice.log());
    let (mut is_heard, mut calm_since) = (false, Instant::now());
    while !stop.is_ordered() {
        let turn = match tail.turn(Moment::now()) {
            Ok(turn) => turn,
            Err(_) if stop.is_ordered() => break,
            Err(closed) => return Err(TailError::Landing(closed)),
        };
        turn.notices.iter().for_each(Notice::log);
        if turn.looked {
            *statuses.lock().unwrap_or_else(PoisonError::into_inner) = tail.statuses();
            is_heard = !watch.keep(tail.folders());
        }
        if !(turn.calm && is_heard && watch.hears_of(tail.open_files())) {
            calm_since = Instant::now();
        }
        let rests = calm_since.elapsed() >= CALM_FOR;
        let look_at = if rests { Instant::now() + CALM_LOOK_EVERY } else { turn.look_at };
        let idle = look_at.saturating_duration_since(Instant::now());
        let pause = if turn.busy { Duration::ZERO } else { idle };
        tail.handle_wake(&watch.wait(pause, stop));
    }
    Ok(())
}

/// Once all files have been at rest for so long, there is a look only so often: they are looked at all the same, for
/// writes by memory mapping make no event.
const CALM_FOR: Duration = Duration::from_secs(3);
const CALM_LOOK_EVERY: Duration = Duration::from_secs(10);

/// Bytes of a chunk. Two whole lines of the greatest length fit, so a chunk always holds one, and it
/// stays below what a batch aims at before compression.
pub const CHUNK_BYTES_MAX: usize = 512 << 10;
/// Lines of a chunk: a quarter of what a batch may hold.
pub const CHUNK_LINES_MAX: usize = 16_384;
