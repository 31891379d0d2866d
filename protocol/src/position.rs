//! Where an agent reads, and how far it has read.
//!
//! A **source** is a place that is read: a sampler, a file. A source is read in **runs**: a sampler
//! begins one at each start of the agent, a file begins one whenever its content starts anew (the
//! run is its generation). Within a run, positions only grow. A run of a source is a **stream**: the
//! thing that positions belong to. A record takes the half-open range `[start, end)` of its stream.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place where an agent reads, unique within its device. For a file it is made of what stays when
/// the file is renamed.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct SourceId(pub [u8; 16]);

impl fmt::Display for SourceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// One run of a source.
///
/// Numbers come from one counter per lane, so they grow over all sources of the lane; the ledger's
/// horizon is such a number. The nonce tells two runs apart that got one number because a spool was
/// rolled back in between.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Run {
    /// Grows over all runs of a lane; the first is 1.
    pub number: u64,
    /// Random; for a file, the upper half is made of its first line.
    pub nonce: u64,
}

impl Run {
    /// The nonce of a file's run: the upper half from its first line (cut at 1 KiB), the lower half
    /// from `random`. An agent whose spool was rolled back finds the same content again under another
    /// number; by the upper half it is recognised, by the lower half never mistaken.
    #[must_use]
    pub fn file_nonce(first_line: &[u8], random: u64) -> u64 {
        let mut head = [0; 4];
        head.copy_from_slice(&blake3::hash(first_line).as_bytes()[..4]);
        Self::nonce_of(u32::from_le_bytes(head), random)
    }

    /// The nonce of a file's run from what stands for its content.
    #[must_use]
    pub fn nonce_of(content: u32, random: u64) -> u64 {
        u64::from(content) << 32 | random & 0xffff_ffff
    }

    /// What stands for the content of a file's run.
    #[must_use]
    pub fn content(self) -> u32 {
        (self.nonce >> 32) as u32
    }
}

/// A run of a source: what a position belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Stream {
    /// The source.
    pub source: SourceId,
    /// Its run.
    pub run: Run,
}

/// A place in a stream: the position, and how many records were read up to it.
///
/// The count makes every gap exact: what lies between two marks is known in records, whether or not
/// anything of it is still held. Gaps count with the records that they stand for.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct Mark {
    /// Bytes for a file, ticks for a sampler, from the start of the run's source.
    pub position: u64,
    /// Records read in this run up to the position, gaps included.
    pub records: u64,
}

/// What stands just before a position, by which is seen that it is the same there: of a file the hash of the
/// bytes before it, of a sampler that of the last record (`Record::check`). `NONE` where it is not known.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Check(pub u64);

impl Check {
    /// Nothing to compare.
    pub const NONE: Self = Self(0);

    /// How many bytes before a position are hashed, at most.
    pub const BYTES: usize = 256;

    /// The check of a position whose last (at most `BYTES`) bytes are given; `NONE` for no bytes.
    ///
    /// # Panics
    /// If more than `BYTES` are given: a caller's mistake.
    #[must_use]
    pub fn of(before: &[u8]) -> Self {
        assert!(before.len() <= Self::BYTES, "a check covers at most {} bytes", Self::BYTES);
        if before.is_empty() { Self::NONE } else { Self::of_record(before) }
    }

    /// The check after a record, from its encoding.
    pub(crate) fn of_record(bytes: &[u8]) -> Self {
        let mut head = [0; 8];
        head.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
        Self(u64::from_le_bytes(head) | 1)
    }
}

/// The part of a stream that a batch covers. What lies in it is recorded or declared as a gap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The stream.
    pub stream: Stream,
    /// Where the batch starts in it.
    pub start: Mark,
    /// Where the batch ends in it.
    pub end: Mark,
    /// The check at the end.
    pub check: Check,
}
