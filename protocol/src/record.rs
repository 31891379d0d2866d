//! Records: what is read, what travels, what is applied.

mod tick;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{put_bytes, put_varint, put_zigzag};
use crate::position::{Check, Stream};

pub(crate) use tick::Ticks;
pub use tick::{Measured, Tick};

/// One thing that was read at one place: the unit that is never split between two batches.
///
/// A tick holds many samples; each of them counts as one record and is identified by its index. An
/// event is one record. A gap stands for what could not be kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The stream it was read from.
    pub stream: Stream,
    /// Where it starts in the stream.
    pub start: u64,
    /// Where the next record starts. Equal to `start` only in a gap that moves no position.
    pub end: u64,
    /// When it was read or, if the source says so, when it happened: microseconds since 1970 UTC.
    pub time_us: i64,
    /// What it is.
    pub content: Content,
}

/// What a record is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// Samples taken at one moment, each of another series, in the order of the sampler.
    Tick(Tick),
    /// A line of a log, a message: the complete unaltered body.
    Event(Event),
    /// Labels and facts of the device, whole; they hold from here on.
    Facts(BTreeMap<String, String>),
    /// What could not be kept.
    Gap(Gap),
}

impl Record {
    /// How many records it counts for in totals: samples of a tick, 1 for an event, what a gap says.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.content {
            Content::Tick(tick) => tick.len() as u64,
            Content::Event(_) | Content::Facts(_) => 1,
            Content::Gap(gap) => gap.records,
        }
    }

    /// The check after it, in a stream that has no bytes: two lives of one agent that both go on from a state
    /// give a position records that differ at least in their time.
    #[must_use]
    pub fn check(&self) -> Check {
        let mut bytes = Vec::with_capacity(32);
        for number in [self.start, self.end] {
            put_varint(&mut bytes, number);
        }
        put_zigzag(&mut bytes, self.time_us);
        match &self.content {
            Content::Tick(tick) => {
                tick.values().iter().for_each(|value| put_zigzag(&mut bytes, *value));
            }
            Content::Event(event) => put_bytes(&mut bytes, &event.body),
            Content::Facts(facts) => {
                for text in facts.iter().flat_map(|(key, value)| [key, value]) {
                    put_bytes(&mut bytes, text.as_bytes());
                }
            }
            Content::Gap(gap) => {
                for number in [gap.cause as u64, gap.records, gap.bytes] {
                    put_varint(&mut bytes, number);
                }
            }
        }
        Check::of_record(&bytes)
    }

    /// How many facts it holds.
    #[must_use]
    pub fn facts(&self) -> usize {
        match &self.content {
            Content::Facts(facts) => facts.len(),
            Content::Tick(_) | Content::Event(_) | Content::Gap(_) => 0,
        }
    }

    /// About how many bytes it takes in a batch before compression.
    #[must_use]
    pub fn weight(&self) -> usize {
        16 + match &self.content {
            Content::Tick(tick) => tick.iter().map(|it| it.series.weight() + 6).sum(),
            Content::Event(event) => event.body.len(),
            Content::Facts(facts) => {
                facts.iter().map(|(key, value)| key.len() + value.len() + 4).sum()
            }
            Content::Gap(_) => 32,
        }
    }
}

/// A value of a series at a moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sample {
    /// The series, shared between its samples.
    pub series: Arc<Series>,
    /// The value, times ten to the power of the series' `scale`.
    pub value: i64,
}

impl Series {
    /// About how many bytes it takes in a dictionary.
    #[must_use]
    pub fn weight(&self) -> usize {
        let labels = self.labels.iter().map(|(key, value)| key.len() + value.len() + 2);
        self.metric.len() + labels.sum::<usize>() + 4
    }
}

/// What is measured: a metric and its dimensions. Values are exact integers of a fixed decimal scale.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Series {
    /// Dotted name with the unit last: `cpu.busy_ratio`, `memory.used_bytes`.
    pub metric: String,
    /// Dimensions, sorted by name: `mount=/var`.
    pub labels: Vec<(String, String)>,
    /// Decimal digits after the point: a ratio of 0.3125 at scale 4 is the integer 3,125.
    pub scale: u8,
}

/// A line of a log, or a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// The complete unaltered body, without the line's end.
    pub body: Vec<u8>,
    /// Which part of a line it is.
    pub part: Part,
}

/// A line as it was read: borrowed, so that nothing is taken per line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Line<'a> {
    /// Bytes that it takes in its file, line end included.
    pub taken: u64,
    /// When it was read: microseconds since 1970 UTC.
    pub time_us: i64,
    /// Which part of a line it is.
    pub part: Part,
    /// The body, without the line's end.
    pub body: &'a [u8],
}

/// Which part of a line a record holds. Lines above the limit are split, nothing of them is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The whole line, ended by LF.
    Whole,
    /// The whole line, ended by CR LF.
    WholeCrLf,
    /// A part that the next record continues.
    Continued,
    /// The last line of a file that ended without a line's end.
    Unended,
}

/// What could not be kept, how much, and why. It stands in the place of what it declares.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gap {
    /// Why.
    pub cause: Cause,
    /// Records that had been read, and are not there.
    pub records: u64,
    /// Bytes that were gone before they could be read; they stand beside the sum of records.
    pub bytes: u64,
    /// The stream that it is about, where that is not the stream it stands in; `None` otherwise.
    pub about: Option<Stream>,
}

/// Why something could not be kept.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Cause {
    /// The spool was full and its policy dropped the oldest samples.
    SpoolFull = 1,
    /// A line was cut at its limit.
    LineCut = 2,
    /// A file was truncated before it was read to its end.
    Truncated = 3,
    /// A file vanished before it was read to its end.
    Vanished = 4,
    /// A file came back shorter than it was, with the same content: its host lost the end.
    Regressed = 5,
    /// Applied once, then lost by the log, and held by the spool no longer.
    Lost = 6,
    /// Of a run that the ledger may have forgotten: whether it was applied cannot be decided.
    Undecided = 7,
    /// A batch whose body could not be decoded.
    Undecodable = 8,
    /// A file could not be read any further.
    Unreadable = 9,
    /// Loss cannot be excluded and cannot be shown.
    Suspected = 10,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 10] = [
        Self::SpoolFull,
        Self::LineCut,
        Self::Truncated,
        Self::Vanished,
        Self::Regressed,
        Self::Lost,
        Self::Undecided,
        Self::Undecodable,
        Self::Unreadable,
        Self::Suspected,
    ];

    /// The cause that a number stands for, `None` for a number that no cause has.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| *cause as u8 == code)
    }

    /// One word for tables and labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::SpoolFull => "spool-full",
            Self::LineCut => "line-cut",
            Self::Truncated => "truncated",
            Self::Vanished => "vanished",
            Self::Regressed => "regressed",
            Self::Lost => "lost",
            Self::Undecided => "undecided",
            Self::Undecodable => "undecodable",
            Self::Unreadable => "unreadable",
            Self::Suspected => "suspected",
        }
    }
}

/// What a source is, for people and for finding it again. Travels in the body beside its stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SourceInfo {
    /// The agent's own sampler of the host.
    Host,
    /// The agent's statements about the device.
    Device,
    /// A file that is tailed.
    File {
        /// Where it was when it was first read, as bytes of the path.
        path: Vec<u8>,
        /// BLAKE3 of the first bytes, cut to 16, and of how many bytes; 0 bytes where it is unknown.
        fingerprint: Fingerprint,
    },
}

/// Hash of a file's first line, line end included, or of its first `Fingerprint::BYTES` where that line
/// is longer. It stays the same while the file grows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fingerprint {
    /// How many bytes were hashed.
    pub length: u16,
    /// The first 16 bytes of their BLAKE3 hash.
    pub hash: [u8; 16],
}

impl Fingerprint {
    /// How many bytes of a file are hashed, at most.
    pub const BYTES: usize = 1024;

    /// The fingerprint of a file's first bytes; more than `BYTES` are cut.
    #[must_use]
    pub fn of(first: &[u8]) -> Self {
        let first = &first[..first.len().min(Self::BYTES)];
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(first).as_bytes()[..16]);
        let length = u16::try_from(first.len()).expect("at most 1,024 bytes are hashed");
        Self { length, hash }
    }
}
