//! What a file says of itself: from which log and ranges its rows come, and a digest by which a damaged one is known.

use std::fmt::Write as _;

use headwater_protocol::identity::LogId;
use parquet::file::metadata::KeyValue;

use crate::sink::Range;

/// Version of the tables. Columns are only added within one.
const FORMAT: u32 = 1;

/// What a file says of itself.
pub(in crate::history) type Said = Vec<KeyValue>;

/// What a file says that holds a span of time, as the merge log had it up to an entry.
pub(in crate::history) fn said_of_span(
    log: LogId,
    (from_us, to_us): (i64, i64),
    as_of: u64,
) -> Said {
    let known = [
        ("headwater.format", FORMAT.to_string()),
        ("headwater.log", hex(&log.0)),
        ("headwater.from_us", from_us.to_string()),
        ("headwater.to_us", to_us.to_string()),
        ("headwater.as_of", as_of.to_string()),
        (DIGEST, NO_DIGEST.to_owned()),
    ];
    known.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
}

/// From where the rows of a file come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::history) struct Footer {
    pub(in crate::history) log: LogId,
    pub(in crate::history) shard: u16,
    /// The ranges that it holds rows of, in order of their first entries.
    pub(in crate::history) held: Vec<Held>,
    /// The identity of the log at the end of the last of them.
    pub(in crate::history) tip: String,
    /// Whether the file is of one range, or merged from such.
    pub(in crate::history) is_merged: bool,
}

/// A range of which a file holds rows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::history) struct Held {
    pub(in crate::history) first: u64,
    pub(in crate::history) end: u64,
    pub(in crate::history) generation: u64,
    pub(in crate::history) rows: u64,
}

/// How the digest of a file stands to its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::history) enum Seal {
    /// It is as it was written.
    Whole,
    /// It is not.
    Broken,
    /// A build wrote it that made no digests.
    Absent,
}

impl Footer {
    /// Of the file of a range.
    pub(super) fn of(log: LogId, range: &Range, rows: u64) -> Self {
        let (first, end) = (range.first.0, range.end.0);
        let held = vec![Held { first, end, generation: range.generation.0, rows }];
        Self { log, shard: range.shard.0, held, tip: hex(&range.tip), is_merged: false }
    }

    /// First entry, end and generation of all that it holds; the generation is that of the range that ends last.
    pub(in crate::history) fn span(&self) -> (u64, u64, u64) {
        let first = self.held.iter().map(|held| held.first).min().unwrap_or_default();
        let last = self.held.iter().max_by_key(|held| held.end);
        let (end, generation) = last.map_or((0, 0), |held| (held.end, held.generation));
        (first, end, generation)
    }

    /// Rows of all ranges.
    pub(in crate::history) fn rows(&self) -> u64 {
        self.held.iter().fold(0, |rows, held| rows.saturating_add(held.rows))
    }

    /// As properties of a file. The digest has no value yet.
    pub(in crate::history) fn says(&self) -> Said {
        let (first, end, generation) = self.span();
        let ranges = self.held.iter().map(|held| {
            let Held { first, end, generation, rows } = held;
            format!("{generation}:{first}:{end}:{rows}")
        });
        let ranges = self.is_merged.then(|| ranges.collect::<Vec<_>>().join(","));
        let known = [
            ("headwater.format", FORMAT.to_string()),
            ("headwater.log", hex(&self.log.0)),
            ("headwater.shard", self.shard.to_string()),
            ("headwater.generation", generation.to_string()),
            ("headwater.first", first.to_string()),
            ("headwater.end", end.to_string()),
            ("headwater.tip", self.tip.clone()),
            (DIGEST, NO_DIGEST.to_owned()),
        ];
        let ranges = ranges.map(|ranges| ("headwater.ranges", ranges));
        let all = known.into_iter().chain(ranges);
        all.map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
    }

    /// From the properties of a file that has so many rows. `None` if it is not a file that this build can read.
    pub(in crate::history) fn parse(said: &[KeyValue], rows: u64) -> Option<Self> {
        let value = |key: &str| said.iter().find(|it| it.key == key)?.value.as_deref();
        let number = |key: &str| value(key)?.parse::<u64>().ok();
        if number("headwater.format")? != u64::from(FORMAT) {
            return None;
        }
        let held = match value("headwater.ranges") {
            Some(ranges) => ranges.split(',').map(held).collect::<Option<Vec<Held>>>()?,
            None => {
                let (first, end) = (number("headwater.first")?, number("headwater.end")?);
                let generation = number("headwater.generation")?;
                vec![Held { first, end, generation, rows }]
            }
        };
        let footer = Self {
            log: LogId(bytes_of(value("headwater.log")?)?),
            shard: value("headwater.shard")?.parse().ok()?,
            held,
            tip: value("headwater.tip")?.to_owned(),
            is_merged: value("headwater.ranges").is_some(),
        };
        (footer.rows() == rows).then_some(footer)
    }
}

/// A range as the property says it.
fn held(text: &str) -> Option<Held> {
    let numbers: Option<Vec<u64>> = text.split(':').map(|number| number.parse().ok()).collect();
    let [generation, first, end, rows] = numbers?.try_into().ok()?;
    Some(Held { first, end, generation, rows })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes_of(hex: &str) -> Option<[u8; 16]> {
    let number = u128::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 32)?;
    Some(number.to_be_bytes())
}

const DIGEST: &str = "headwater.digest";
/// What stands in the place of a digest while it is made.
const NO_DIGEST: &str = "00000000000000000000000000000000";

/// Puts the digest of a file into it: of all bytes, with zeros in its own place.
pub(super) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = digest_at(&bytes).expect("each file of ours has a place for its digest");
    let digest = digest(&bytes, at);
    bytes[at..at + NO_DIGEST.len()].copy_from_slice(digest.as_bytes());
    bytes
}

/// Whether the bytes are those that were written. To be asked before anything of a file is decoded: a decoder is not made for
/// bytes that nobody wrote.
pub(in crate::history) fn check_seal(bytes: &[u8]) -> Seal {
    let Some(at) = digest_at(bytes) else {
        let is_ended = footer_of(bytes).is_some();
        return if is_ended { Seal::Absent } else { Seal::Broken };
    };
    let is_whole = digest(bytes, at).as_bytes() == &bytes[at..at + NO_DIGEST.len()];
    if is_whole { Seal::Whole } else { Seal::Broken }
}

fn digest(bytes: &[u8], at: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..at]).update(NO_DIGEST.as_bytes());
    hasher.update(&bytes[at + NO_DIGEST.len()..]);
    hex(&hasher.finalize().as_bytes()[..NO_DIGEST.len() / 2])
}

/// Where the digest stands: behind its key in the footer, as Thrift's compact protocol has a text of 32 bytes.
fn digest_at(bytes: &[u8]) -> Option<usize> {
    const BETWEEN: [u8; 2] = [0x18, 32];
    let footer = footer_of(bytes)?;
    let key = DIGEST.as_bytes();
    let in_footer = footer.windows(key.len()).rposition(|window| window == key)?;
    let after = in_footer + key.len();
    let is_there = footer.get(after..after + BETWEEN.len())? == BETWEEN;
    let value = after + BETWEEN.len();
    footer.get(value..value + NO_DIGEST.len()).filter(|_| is_there)?;
    Some(bytes.len() - TAIL_BYTES - footer.len() + value)
}

/// Length of the footer, and four letters.
const TAIL_BYTES: usize = 8;

fn footer_of(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, tail) = bytes.split_last_chunk::<TAIL_BYTES>()?;
    let (length, letters) = tail.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let from = rest.len().checked_sub(length).filter(|_| letters == b"PAR1")?;
    Some(&rest[from..])
}
