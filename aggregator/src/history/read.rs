//! The reader: rows of events and gaps from the files of the history, up to where its sink stands.
//!
//! Who asks takes the sink's **cursor** of a shard once: what lies before it is in files, what lies from it on is in the log, and
//! a row is in exactly one of the two. Files are found by folder (hour and shard), then pruned by the statistics and the bloom
//! filter of their row groups. They come in the order of the log, range by range; within a range by time, where no stream is ever
//! out of its own order.
//!
//! Nothing is decoded whose digest is not that of its bytes: such a file is named, and its rows are left out. A file that was
//! listed and is gone was merged: its folder is listed again, and of what is found there only the rows are taken that were
//! not taken before.
//!
//! All of it waits for the disk: it runs off the async threads.

mod decode;
mod folders;
mod opened;
mod order;
mod rest;
mod sweep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use headwater_protocol::identity::{DeviceId, Offset, ShardId};
use headwater_protocol::position::Stream;
use headwater_protocol::record::Part;

use super::table::{Hour, Table};
use crate::log::Log;
use crate::sink::{CursorError, SinkStore, cursor};

pub(crate) use decode::line_end;
pub use folders::{ListError, Listing};
pub use rest::rows_of;
pub use sweep::{Effort, Order, Sweep};

/// A row of the events or of the gaps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// The device.
    pub device: DeviceId,
    /// Source and run.
    pub stream: Stream,
    /// Path of the file when it was first read; empty if it has none, or its agent never said.
    pub path: Arc<str>,
    /// Of the event, corrected, microseconds since 1970 UTC.
    pub time_us: i64,
    /// What was added to the device's own time, microseconds.
    pub shift_us: i64,
    /// Where it begins in its stream.
    pub start: u64,
    /// Where the next one begins.
    pub end: u64,
    /// What it holds.
    pub content: RowContent,
}

/// What a row holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RowContent {
    /// A line of a log, or a part of one.
    Line {
        /// Without its end.
        body: Vec<u8>,
        /// Which part.
        part: Part,
    },
    /// What could not be kept.
    Gap {
        /// Why, in the ledger's word.
        cause: Arc<str>,
        /// Records that had been read.
        records: u64,
        /// Bytes that had not.
        bytes: u64,
    },
}

/// Which rows. What is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this device alone.
    pub device: Option<DeviceId>,
    /// Of files with this path alone.
    pub path: Option<String>,
    /// Of this stream alone.
    pub stream: Option<Stream>,
    /// Of this time.
    pub times: Times,
    /// Lines that hold these bytes.
    pub contains: Option<Vec<u8>>,
    /// Whether bodies are left out: a line has an empty one then, and an end that says nothing.
    pub is_without_bodies: bool,
}

impl Wanted {
    /// Whether a row of this path may be wanted: of one that has none, the caller knows more.
    fn may_be_of(&self, path: &str) -> bool {
        path.is_empty() || self.path.as_deref().is_none_or(|wanted| wanted == path)
    }

    /// Whether a line has what is looked for in lines.
    #[must_use]
    pub fn finds(&self, body: &[u8]) -> bool {
        match self.contains.as_deref() {
            None | Some([]) => true,
            Some(text) => body.windows(text.len()).any(|part| part == text),
        }
    }
}

/// A span of corrected time: from its beginning up to its end, without it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Times {
    /// Where it begins, microseconds since 1970 UTC; `i64::MIN` for no beginning.
    pub from_us: i64,
    /// Where it ends; `i64::MAX` for no end.
    pub to_us: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { from_us: i64::MIN, to_us: i64::MAX }
    }
}

impl Times {
    /// Whether a time lies in it.
    #[must_use]
    pub fn holds(self, time_us: i64) -> bool {
        self.from_us <= time_us && (time_us < self.to_us || self.to_us == i64::MAX)
    }

    fn hours(self) -> std::ops::RangeInclusive<Hour> {
        let last_us = if self.to_us == i64::MAX { i64::MAX } else { self.to_us.saturating_sub(1) };
        Hour::of(self.from_us)..=Hour::of(last_us)
    }
}

/// A reader of the files of a history.
#[derive(Clone, Debug)]
pub struct HistoryReader {
    root: PathBuf,
    sink: &'static str,
    log: Arc<dyn Log>,
    store: SinkStore,
}

impl HistoryReader {
    /// A reader of the folder that a sink writes, which follows a log.
    #[must_use]
    pub fn new(root: PathBuf, sink: &'static str, log: Arc<dyn Log>, store: SinkStore) -> Self {
        Self { root, sink, log, store }
    }

    /// Where files end and the log goes on, of each shard: to be taken once, and before folders are listed. 0 for all, if the
    /// folder is not there: the log has everything.
    ///
    /// # Errors
    /// If where the sink stands can't be read.
    pub fn cursors(&self, shards: &[ShardId]) -> Result<BTreeMap<ShardId, Offset>, CursorError> {
        let is_there = self.root.is_dir();
        let cursor = |shard: &ShardId| match is_there {
            true => Ok((*shard, cursor(&self.store, self.sink, &*self.log, *shard)?)),
            false => Ok((*shard, Offset(0))),
        };
        shards.iter().map(cursor).collect()
    }

    /// Lists the folders of a table that may have rows of a span of time: those of shards that have a cursor.
    ///
    /// # Errors
    /// If a folder can't be listed.
    pub fn list(
        &self,
        table: Table,
        times: Times,
        cursors: &BTreeMap<ShardId, Offset>,
    ) -> Result<Listing, ListError> {
        Listing::of((&self.root, self.log.id()), table, times, cursors)
    }
}

#[cfg(test)]
mod tests;
