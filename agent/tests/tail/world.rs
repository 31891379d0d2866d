//! A folder of real files, a landing in memory that checks every chunk, and a tail between them that
//! can be stopped, killed and started again. Time is counted by hand; nothing sleeps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use headwater_agent::config::{
    ByteCount, Config, Globs, LongLine, Multiline, StartAt, TailConfig, TailLimits,
};
use headwater_agent::tail::{
    CHUNK_BYTES_MAX, CHUNK_LINES_MAX, Chunk, FileStatus, Held, HeldLine, Known, KnownStream,
    Landed, Landing, LandingClosed, Line, Moment, Notice, Start, Tail, Wake,
};
use headwater_protocol::position::{Check, Run, SourceId, Stream};
use headwater_protocol::record::{Cause, Gap, Part, SourceInfo};
use tempfile::TempDir;

/// What a spool and a ledger would hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) streams: BTreeMap<Stream, Stored>,
    pub(crate) horizon: u64,
    /// The spool was lost, and the ledger may have forgotten files.
    pub(crate) files_undecided: bool,
    runs: u64,
    /// How often it was said that a file may soon be gone.
    pub(crate) hurries: u64,
    /// The next chunk is refused, and positions are asked for again.
    pub(crate) resync: bool,
    /// Nothing is known yet.
    pub(crate) waits: bool,
    /// What lies before it is trimmed from the spool, in every run.
    pub(crate) held_from: u64,
    /// The spool was lost: only the ledger's positions are known.
    pub(crate) lost_spool: bool,
}

/// What one run came to.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) info: SourceInfo,
    pub(crate) start: u64,
    pub(crate) position: u64,
    pub(crate) check: Check,
    /// Where a spool that went back had read it to.
    pub(crate) before: Option<(u64, Check)>,
    /// What lies beyond it may have been read under another name.
    pub(crate) undecided: bool,
    /// A chunk has come: it would survive a crash.
    is_durable: bool,
    /// It was let go.
    pub(crate) is_gone: bool,
    pub(crate) records: Vec<Stretch>,
    /// The bytes since the start or the last gap.
    bytes: Vec<u8>,
}

/// A record with its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Stretch {
    Line { body: Vec<u8>, part: Part, start: u64, end: u64 },
    Gap { gap: Gap, start: u64, end: u64 },
}

/// A landing that many tails use one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<Store>>);

impl Landing for Memory {
    fn known(&mut self) -> Option<Known> {
        let store = self.0.borrow();
        let known = |stored: &Stored| KnownStream {
            position: stored.position,
            check: stored.check,
            before: stored.before,
            undecided: stored.undecided,
            info: (!store.lost_spool).then(|| stored.info.clone()),
        };
        let there = store.streams.iter().filter(|(_, stored)| !stored.is_gone);
        let streams = there.map(|(stream, stored)| (*stream, known(stored)));
        let Store { horizon, files_undecided, .. } = *store;
        let known = Known { streams: streams.collect(), horizon, files_undecided };
        (!store.waits).then_some(known)
    }

    fn begin(
        &mut self,
        source: SourceId,
        info: SourceInfo,
        start: Start,
    ) -> Result<Stream, LandingClosed> {
        let mut store = self.0.borrow_mut();
        store.runs += 1;
        let stream = Stream {
            source,
            run: Run { number: store.runs, nonce: Run::nonce_of(start.content, 7) },
        };
        let stored = Stored {
            info,
            start: start.position,
            position: start.position,
            check: Check::NONE,
            before: None,
            undecided: false,
            is_durable: false,
            is_gone: false,
            records: Vec::new(),
            bytes: Vec::new(),
        };
        store.streams.insert(stream, stored);
        Ok(stream)
    }

    fn append(&mut self, chunk: Chunk) -> Result<Landed, LandingClosed> {
        let mut store = self.0.borrow_mut();
        if std::mem::take(&mut store.resync) {
            store.streams.retain(|_, stored| stored.is_durable);
            return Ok(Landed::Resync);
        }
        match chunk {
            Chunk::Lines { stream, start, bytes, lines, check, .. } => {
                store.stored(stream, start).take_lines(&bytes, &lines, check);
            }
            Chunk::Gap { stream, start, end, gap, check, .. } => {
                store.stored(stream, start).take_gap(end, gap, check);
            }
        }
        Ok(Landed::Taken)
    }

    fn hurry(&mut self) -> Result<(), LandingClosed> {
        self.0.borrow_mut().hurries += 1;
        Ok(())
    }

    fn let_go(&mut self, ended: Vec<Stream>) -> Result<Vec<Stream>, LandingClosed> {
        let mut store = self.0.borrow_mut();
        for stream in &ended {
            store.streams.get_mut(stream).unwrap().is_gone = true;
        }
        Ok(ended)
    }

    fn settled(&mut self) -> Result<(), LandingClosed> {
        self.0.borrow_mut().files_undecided = false;
        Ok(())
    }

    fn recall(
        &mut self,
        source: SourceId,
        take: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> Result<(), LandingClosed> {
        let store = self.0.borrow();
        let own = store.streams.iter().rev().filter(|(stream, _)| stream.source == source);
        let held = own.flat_map(|(stream, stored)| stored.held(*stream));
        let held = held.filter(|held| !store.lost_spool && held.start >= store.held_from);
        let _ = held.into_iter().try_for_each(|held| take(&held));
        Ok(())
    }
}

impl Store {
    fn stored(&mut self, stream: Stream, start: u64) -> &mut Stored {
        let stored = self.streams.get_mut(&stream).expect("a run is begun before its chunks");
        assert_eq!(stored.position, start, "chunks of a run follow each other without a hole");
        stored.is_durable = true;
        stored.undecided = false;
        stored.before = None;
        stored
    }

    /// Every line of every run, runs in the order in which they began; parts are put together.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut runs: Vec<(&Stream, &Stored)> = self.streams.iter().collect();
        runs.sort_by_key(|(stream, _)| stream.run.number);
        runs.into_iter().flat_map(|(_, stored)| stored.lines()).collect()
    }

    pub(crate) fn gaps(&self) -> Vec<(Cause, u64)> {
        let all = self.streams.values().flat_map(|stored| &stored.records);
        all.filter_map(|record| match record {
            Stretch::Gap { gap, .. } => Some((gap.cause, gap.bytes)),
            Stretch::Line { .. } => None,
        })
        .collect()
    }

    /// The last run of all.
    pub(crate) fn last(&self) -> &Stored {
        self.streams.iter().max_by_key(|(stream, _)| stream.run.number).expect("a run has begun").1
    }
}

impl Stored {
    fn take_lines(&mut self, bytes: &[u8], lines: &[Line], check: Check) {
        assert!(
            bytes.len() <= CHUNK_BYTES_MAX && lines.len() <= CHUNK_LINES_MAX,
            "a chunk's limits"
        );
        assert!(self.position == self.start || !bytes.is_empty(), "an empty chunk begins a run");
        let start = self.position;
        for line in lines {
            let at = usize::try_from(self.position - start).unwrap();
            let body = bytes[at..at + line.body as usize].to_vec();
            let end = self.position + u64::from(line.taken);
            self.records.push(Stretch::Line { body, part: line.part, start: self.position, end });
            self.position = end;
        }
        assert_eq!(self.position - start, bytes.len() as u64, "lines cover the bytes exactly");
        self.bytes.extend_from_slice(bytes);
        self.check = check;
        let is_whole = self.start == 0 && self.bytes.len() as u64 == self.position;
        if is_whole || self.bytes.len() >= Check::BYTES {
            let before = &self.bytes[self.bytes.len().saturating_sub(Check::BYTES)..];
            assert_eq!(check, Check::of(before), "the check is of the bytes before the position");
        }
    }

    /// As batches of a few records each, the newest first.
    fn held(&self, stream: Stream) -> Vec<Held> {
        let place = |record: &Stretch| match record {
            Stretch::Line { start, end, .. } | Stretch::Gap { start, end, .. } => (*start, *end),
        };
        let line = |record: &Stretch| match record {
            Stretch::Line { body, part, start, .. } => {
                Some(HeldLine { start: *start, bytes: [body, end_of(*part)].concat() })
            }
            Stretch::Gap { .. } => None,
        };
        let batch = |records: &[Stretch]| Held {
            stream,
            start: place(&records[0]).0,
            end: place(&records[records.len() - 1]).1,
            lines: records.iter().filter_map(line).collect(),
        };
        let mut held: Vec<Held> = self.records.chunks(7).map(batch).collect();
        if self.records.is_empty() {
            let (start, end) = (self.start, self.position);
            held.push(Held { stream, start, end, lines: Vec::new() });
        }
        held.reverse();
        held
    }

    fn take_gap(&mut self, end: u64, gap: Gap, check: Check) {
        assert!(end >= self.position, "positions grow");
        self.records.push(Stretch::Gap { gap, start: self.position, end });
        if end > self.position {
            self.bytes.clear();
        }
        self.position = end;
        self.check = check;
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![Vec::new()];
        for record in &self.records {
            if let Stretch::Line { body, part, .. } = record {
                lines.last_mut().unwrap().extend_from_slice(body);
                if *part != Part::Continued {
                    lines.push(Vec::new());
                }
            }
        }
        lines.pop();
        lines.into_iter().map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
    }

    /// The bytes of the file, put back together from bodies and parts.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in &self.records {
            if let Stretch::Line { body, part, .. } = record {
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(end_of(*part));
            }
        }
        bytes
    }
}

/// Files, a landing, and a tail that may be stopped.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) memory: Memory,
    tail: Option<Tail<Memory>>,
    pub(crate) tails: Vec<TailConfig>,
    pub(crate) limits: TailLimits,
    now: Moment,
    pub(crate) notices: Vec<Notice>,
    /// Whether after the last turn only a change of the files would bring anything on.
    pub(crate) is_calm: bool,
}

impl World {
    /// A world whose one tail reads a pattern from the beginning.
    pub(crate) fn new(pattern: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            folder,
            memory: Memory::default(),
            tail: None,
            tails: Vec::new(),
            limits: Config::default().tail_limits,
            now: Moment::now(),
            notices: Vec::new(),
            is_calm: false,
        };
        world.add_tail(&[pattern], StartAt::Beginning);
        world
    }

    pub(crate) fn add_tail(&mut self, patterns: &[&str], start_at: StartAt) {
        let paths: Vec<String> = patterns
            .iter()
            .map(|pattern| self.path(pattern).to_str().unwrap().to_owned())
            .collect();
        self.tails.push(TailConfig {
            name: format!("tail-{}", self.tails.len()),
            paths: Globs::new(&paths).unwrap(),
            exclude: Globs::new(&[]).unwrap(),
            start_at,
            multiline: Multiline::None,
            labels: BTreeMap::new(),
        });
    }

    /// The same world, whose first tail begins at the end of files that are there.
    pub(crate) fn starting_at_the_end(mut self) -> Self {
        self.tails[0].start_at = StartAt::End;
        self
    }

    pub(crate) fn with_lines(mut self, max_line: u64, long_line: LongLine) -> Self {
        self.limits.max_line = ByteCount(max_line);
        self.limits.long_line = long_line;
        self
    }

    pub(crate) fn with_multiline(mut self, multiline: Multiline) -> Self {
        self.tails[0].multiline = multiline;
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// Opens a file to go on writing to it under whatever name.
    pub(crate) fn writer(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap()
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn truncate(&self, name: &str, size: u64) {
        OpenOptions::new().write(true).open(self.path(name)).unwrap().set_len(size).unwrap();
    }

    /// What logrotate does with `copytruncate`: the copy is made first.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    /// What gzip does: the packed file is complete, and as old as the other, when that is removed.
    pub(crate) fn gzip(&self, name: &str) {
        self.pack(name, &format!("{name}.gz"));
        self.remove(name);
    }

    /// Packs a file as another one; both are there then.
    pub(crate) fn pack(&self, from: &str, to: &str) {
        let modified = fs::metadata(self.path(from)).unwrap().modified().unwrap();
        let packed = packed(&fs::read(self.path(from)).unwrap());
        fs::write(self.path(to), packed).unwrap();
        File::options().append(true).open(self.path(to)).unwrap().set_modified(modified).unwrap();
    }

    /// One turn of a tail that is started if none runs. True if there is more to read at once.
    pub(crate) fn turn(&mut self) -> bool {
        let (tails, limits, memory) = (&self.tails, &self.limits, &self.memory);
        let tail = self.tail.get_or_insert_with(|| Tail::new(tails, limits, memory.clone()));
        let turn = tail.turn(self.now).unwrap();
        self.notices.extend(turn.notices);
        self.is_calm = turn.calm;
        turn.busy
    }

    /// Tells the running tail that a file was written to, and nothing else.
    pub(crate) fn touch(&mut self, name: &str) {
        let touched = [self.path(name)].into();
        let wake = Wake { touched, ..Wake::default() };
        self.tail.as_mut().expect("a tail runs").handle_wake(&wake);
    }

    /// Lets the tail read everything there is.
    pub(crate) fn run(&mut self) {
        for _ in 0..2 {
            self.pass(Duration::from_millis(1_100));
            let mut turns = 0;
            while self.turn() {
                turns += 1;
                assert!(turns < 10_000, "a tail comes to rest when nothing changes");
            }
        }
    }

    /// Lets time pass, and the tail look once in a while.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.at += time;
        self.now.time_us += i64::try_from(time.as_micros()).unwrap();
    }

    /// Lets everything be read, and so much time pass that no line waits for another one.
    pub(crate) fn pass_the_wait(&mut self) {
        self.run();
        self.run();
    }

    /// Lets so much time pass that what is closed for good is closed.
    pub(crate) fn pass_the_grace(&mut self) {
        self.run();
        self.pass(self.limits.deleted_grace * 2);
        self.run();
    }

    /// The agent is gone; what was handed over stays.
    pub(crate) fn kill(&mut self) {
        self.tail = None;
        self.memory.0.borrow_mut().streams.retain(|_, stored| stored.is_durable);
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        self.run();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.memory.0.borrow().lines()
    }

    pub(crate) fn gaps(&self) -> Vec<(Cause, u64)> {
        self.memory.0.borrow().gaps()
    }

    pub(crate) fn runs(&self) -> usize {
        self.memory.0.borrow().streams.len()
    }

    pub(crate) fn statuses(&self) -> Vec<FileStatus> {
        self.tail.as_ref().map(Tail::statuses).unwrap_or_default()
    }

    pub(crate) fn status_of(&self, name: &str) -> Option<FileStatus> {
        let path = self.path(name);
        self.statuses().into_iter().find(|status| status.path == path)
    }

    #[track_caller]
    pub(crate) fn assert_lines(&self, expected: &[&str]) {
        assert_eq!(self.lines(), expected, "gaps {:?}, notices {:?}", self.gaps(), self.notices);
    }

    pub(crate) fn was_told(&self, wanted: fn(&Notice) -> bool) -> usize {
        self.notices.iter().filter(|notice| wanted(notice)).count()
    }
}

/// The bytes of a line's end.
fn end_of(part: Part) -> &'static [u8] {
    match part {
        Part::Whole => b"\n",
        Part::WholeCrLf => b"\r\n",
        Part::Continued | Part::Unended => b"",
    }
}

/// Content as gzip packs it.
pub(crate) fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Numbered lines that look like a log's.
pub(crate) fn numbered(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|number| format!("2026-11-21T12:00:00Z line {number:06} of the test\n")).collect()
}

/// The numbers of lines of [`numbered`].
pub(crate) fn numbers(lines: &[String]) -> Vec<u64> {
    let number = |line: &String| {
        let word = line.split(' ').nth(2).unwrap_or_else(|| panic!("not a numbered line: {line}"));
        word.parse().unwrap_or_else(|_| panic!("not a numbered line: {line}"))
    };
    lines.iter().map(number).collect()
}

/// Used where a deadline is real.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} within 20 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a path is that of a name, in whatever folder.
pub(crate) fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|found| found == name)
}
