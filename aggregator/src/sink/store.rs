//! Where sinks stand: cursors, what is decided, what was written. One small database, `sinks.redb`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_protocol::identity::{Generation, LogId, Offset, ShardId};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::range::Range;
use crate::backup::CopiedTable;
use crate::log::Log;

/// The version of the tables that this build writes.
const FORMAT: u32 = 1;
const CACHE_BYTES: usize = 1 << 20;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Ranges that were written, by sink, shard and first entry: end, generation, clock, identity of the log at the end. The
/// last one is the cursor.
const RANGES: TableDefinition<'_, (&str, u16, u64), Row> = TableDefinition::new("ranges");
/// Where the range ends that is being written, and the identity of the log there, by sink and shard.
const DECIDED: TableDefinition<'_, (&str, u16), (u64, [u8; 32])> = TableDefinition::new("decided");
/// Sinks that a person has stopped.
const PAUSED: TableDefinition<'_, &str, ()> = TableDefinition::new("paused");

type Row = (u64, u64, i64, [u8; 32]);

/// What is in a backup.
pub(crate) fn copied_tables() -> Vec<&'static dyn CopiedTable> {
    vec![&META, &RANGES, &DECIDED, &PAUSED]
}

/// Where something ends, and the identity of the log there.
pub(super) type Tip = (Offset, [u8; 32]);

/// For how long every range is kept, in the log's own time; of older ones the last of each hour is. A log that lost a tail
/// is followed again from the last one that it still has.
const RANGES_KEPT_US: i64 = 2 * 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// Where sinks stand. Clones share one file.
#[derive(Clone, Debug)]
pub struct SinkStore {
    database: Arc<Database>,
    path: Arc<Path>,
}

/// Why where sinks stand can't be read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// redb says no.
    #[error("{what} in {path:?}")]
    Database {
        /// What was attempted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// It is of another log, or of another build.
    #[error(
        "open {path:?}: it belongs to another log or another build; move it away to write all history again"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

impl SinkStore {
    /// Opens the store of a log, making it if it is not there.
    ///
    /// # Errors
    /// If it can't be opened, or is another log's.
    pub fn open(path: &Path, log: LogId) -> Result<Self, StoreError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        let database = database.map_err(|error| StoreError::Database {
            what: "open the database",
            path: path.to_owned(),
            source: Box::new(error.into()),
        })?;
        let store = Self { database: Arc::new(database), path: path.into() };
        let format = FORMAT.to_le_bytes();
        let is_ours = store.write("make the tables", |transaction| {
            let mut meta = transaction.open_table(META)?;
            if meta.first()?.is_none() {
                meta.insert("format", format.as_slice())?;
                meta.insert("log", log.0.as_slice())?;
            }
            let is = |name, expected: &[u8]| -> Result<bool, redb::Error> {
                Ok(meta.get(name)?.is_some_and(|found| found.value() == expected))
            };
            let is_ours = is("format", &format)? && is("log", &log.0)?;
            drop(transaction.open_table(RANGES)?);
            drop(transaction.open_table(DECIDED)?);
            drop(transaction.open_table(PAUSED)?);
            Ok(is_ours)
        })?;
        if is_ours { Ok(store) } else { Err(StoreError::Foreign { path: path.to_owned() }) }
    }

    /// Its database: whoever reads it sees what was committed when he began.
    pub(crate) fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    /// Whether a file is the store of a log, without a change of it.
    ///
    /// # Errors
    /// If it is in use, was not closed, is damaged, or another log's.
    pub(crate) fn look(path: &Path, log: LogId) -> Result<(), StoreError> {
        let is_ours = || -> Result<bool, redb::Error> {
            let database = Database::builder().set_cache_size(CACHE_BYTES).open_read_only(path)?;
            let meta = database.begin_read()?.open_table(META)?;
            Ok(meta.get("log")?.is_some_and(|found| found.value() == log.0))
        };
        match is_ours() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Foreign { path: path.to_owned() }),
            Err(source) => {
                let (what, source) = ("open the database", Box::new(source));
                Err(StoreError::Database { what, path: path.to_owned(), source })
            }
        }
    }

    /// Has a log keep the snapshots that a sink goes on from. To be called before new ones are put.
    ///
    /// # Errors
    /// If where the sink stands can't be read.
    pub fn hold_ground(&self, sink: &str, log: &dyn Log) -> Result<(), StoreError> {
        for shard in log.shards().shards() {
            let last = self.newest(sink, shard, |_| true)?;
            log.hold(sink, shard, last.map_or(Offset(0), |range| range.end));
        }
        Ok(())
    }

    /// The last ranges that a sink wrote of a shard, the newest first, as long as `wanted` says so.
    pub(super) fn newest(
        &self,
        sink: &str,
        shard: ShardId,
        mut wanted: impl FnMut(&Range) -> bool,
    ) -> Result<Option<Range>, StoreError> {
        self.read("read where a sink stands", |transaction| {
            let ranges = transaction.open_table(RANGES)?;
            for row in ranges.range((sink, shard.0, 0)..=(sink, shard.0, u64::MAX))?.rev() {
                let (key, row) = row?;
                let range = range_of(shard, key.value().2, row.value());
                if wanted(&range) {
                    return Ok(Some(range));
                }
            }
            Ok(None)
        })
    }

    /// Where the range ends that a sink has begun to write, and the identity of the log there. `None` if there is none.
    pub(super) fn decided(&self, sink: &str, shard: ShardId) -> Result<Option<Tip>, StoreError> {
        self.read("read what a sink has begun", |transaction| {
            let row = transaction.open_table(DECIDED)?.get((sink, shard.0))?.map(|row| row.value());
            Ok(row.map(|(end, tip)| (Offset(end), tip)))
        })
    }

    /// Decides where the next range ends, before anything of it is written.
    pub(super) fn decide(&self, sink: &str, range: &Range) -> Result<(), StoreError> {
        self.write("note what a sink begins", |transaction| {
            let mut decided = transaction.open_table(DECIDED)?;
            decided.insert((sink, range.shard.0), (range.end.0, range.tip))?;
            Ok(())
        })
    }

    /// A range is safe at its destination: the cursor moves behind it.
    pub(super) fn note_written(&self, sink: &str, range: &Range) -> Result<(), StoreError> {
        self.write("move a sink's cursor", |transaction| {
            transaction.open_table(DECIDED)?.remove((sink, range.shard.0))?;
            let mut ranges = transaction.open_table(RANGES)?;
            let row = (range.end.0, range.generation.0, range.clock_us, range.tip);
            let all = (sink, range.shard.0, 0)..=(sink, range.shard.0, u64::MAX);
            let before = ranges.range(all.clone())?.next_back().transpose()?;
            let before_us = before.map(|(_, row)| row.value().2);
            ranges.insert((sink, range.shard.0, range.first.0), row)?;
            if before_us.is_some_and(|before_us| hour(before_us) != hour(range.clock_us)) {
                let mut hours = BTreeMap::new();
                for row in ranges.range(all)? {
                    let (key, row) = row?;
                    let (first, clock_us) = (key.value().2, row.value().2);
                    if clock_us >= range.clock_us.saturating_sub(RANGES_KEPT_US) {
                        break;
                    }
                    hours.entry(hour(clock_us)).or_insert_with(Vec::new).push(first);
                }
                let earlier = hours.values().flat_map(|firsts| &firsts[..firsts.len() - 1]);
                for first in earlier {
                    ranges.remove((sink, range.shard.0, *first))?;
                }
            }
            Ok(())
        })
    }

    /// The log has lost what lies from an offset on: the cursor goes back to there.
    pub(super) fn go_back(&self, sink: &str, shard: ShardId, to: Offset) -> Result<(), StoreError> {
        self.write("move a sink's cursor back", |transaction| {
            transaction.open_table(DECIDED)?.remove((sink, shard.0))?;
            let beyond = (sink, shard.0, to.0)..=(sink, shard.0, u64::MAX);
            transaction.open_table(RANGES)?.retain_in(beyond, |_, _| false)?;
            Ok(())
        })
    }

    /// Whether a person has stopped a sink.
    pub(super) fn is_paused(&self, sink: &str) -> Result<bool, StoreError> {
        self.read("read whether a sink is paused", |transaction| {
            Ok(transaction.open_table(PAUSED)?.get(sink)?.is_some())
        })
    }

    /// Stops a sink, or lets it go on.
    pub(super) fn set_paused(&self, sink: &str, paused: bool) -> Result<(), StoreError> {
        self.write("pause a sink", |transaction| {
            let mut table = transaction.open_table(PAUSED)?;
            if paused {
                table.insert(sink, ())?;
            } else {
                table.remove(sink)?;
            }
            Ok(())
        })
    }

    fn read<T>(
        &self,
        what: &'static str,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let begun = self.database.begin_read().map_err(redb::Error::from);
        begun.and_then(|transaction| read(&transaction)).map_err(|error| self.failed(what, error))
    }

    fn write<T>(
        &self,
        what: &'static str,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let done = || {
            let mut transaction = self.database.begin_write()?;
            transaction.set_quick_repair(true);
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        done().map_err(|error| self.failed(what, error))
    }

    fn failed(&self, what: &'static str, source: redb::Error) -> StoreError {
        StoreError::Database { what, path: self.path.to_path_buf(), source: Box::new(source) }
    }
}

fn hour(time_us: i64) -> i64 {
    time_us.div_euclid(HOUR_US)
}

fn range_of(shard: ShardId, first: u64, (end, generation, clock_us, tip): Row) -> Range {
    let (first, end, generation) = (Offset(first), Offset(end), Generation(generation));
    Range { shard, generation, first, end, tip, clock_us }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_belongs_to_the_log_that_it_was_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sinks.redb");
        drop(SinkStore::open(&path, LogId([1; 16])).unwrap());
        let other = SinkStore::open(&path, LogId([2; 16])).unwrap_err();
        assert!(matches!(other, StoreError::Foreign { .. }), "{other}");
        assert!(SinkStore::look(&path, LogId([2; 16])).is_err());
        SinkStore::look(&path, LogId([1; 16])).unwrap();
    }
}
