//! A copy of a log, to be looked at: its files stay as they are to the last byte.

use std::path::Path;

use headwater_protocol::entry::identity;
use headwater_protocol::identity::{LogId, Offset, ShardCount, ShardId};
use redb::{Database, ReadOnlyDatabase, ReadableDatabase};

use super::meta::Meta;
use super::tables::BOUNDS;
use super::{AppendError, DeadLetter, Durable, Log, OpenError, ReadError, Stored, StoredSnapshot};
use super::{create, reader};
use crate::limits::{ByteCount, LOG_CACHE_BYTES, READ_BYTES};

/// The files of a log that nobody writes. What is kept or dropped all the same has no effect; to append to it is a mistake of
/// ours, and ends the process.
pub(crate) struct ReadOnlyLog {
    id: LogId,
    shards: ShardCount,
    files: Vec<ReadOnlyDatabase>,
}

impl std::fmt::Debug for ReadOnlyLog {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ReadOnlyLog").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why the entries of a shard are no chain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChainError {
    /// They can't be read.
    #[error("read the chain of the log")]
    Read(#[source] ReadError),
    /// An entry is not there, or is not what it was.
    #[error(
        "the log of shard {shard} is no chain: the entry at offset {offset} is missing or was changed"
    )]
    Broken {
        /// The shard.
        shard: ShardId,
        /// The entry.
        offset: Offset,
    },
}

impl ReadOnlyLog {
    /// Opens the files of a log.
    ///
    /// # Errors
    /// If one is missing, was not closed, is damaged, or not of this log.
    pub(crate) fn open(folder: &Path, id: LogId, shards: ShardCount) -> Result<Self, OpenError> {
        let (mut files, mut count) = (Vec::new(), 1);
        for file in 0.. {
            if file >= count {
                break;
            }
            let path = create::path(folder, file);
            let mut builder = Database::builder();
            let database = builder.set_cache_size(LOG_CACHE_BYTES).open_read_only(&path);
            let database = database.map_err(|source| OpenError::of(&path, source))?;
            let meta = Meta { log: id, shards, file };
            let of = meta.check(&database, &path).map_err(|source| OpenError::Meta { source })?;
            if file > 0 && of != count {
                return Err(OpenError::Number { file, found: of, expected: count });
            }
            count = of;
            files.push(database);
        }
        Ok(Self { id, shards, files })
    }

    /// Goes through the entries of a shard: each is there, and hangs on the one before. `visit` sees each, and may say that it is
    /// not one. The number of entries is returned.
    ///
    /// # Errors
    /// The first entry that is not as it was.
    pub(crate) fn check_chain(
        &self,
        shard: ShardId,
        mut visit: impl FnMut(&Stored) -> bool,
    ) -> Result<u64, ChainError> {
        let (start, end) = (self.start(shard), self.end(shard));
        let (start, end) = (start.map_err(ChainError::Read)?, end.map_err(ChainError::Read)?);
        let (mut next, mut last) = (start, (start == Offset(0)).then_some([0; 32]));
        loop {
            let entries = self.read(shard, next, READ_BYTES).map_err(ChainError::Read)?;
            if entries.is_empty() {
                break;
            }
            for stored in entries {
                let follows =
                    last.is_none_or(|last| identity(&last, &stored.entry) == stored.identity);
                if stored.offset != next || !follows || !visit(&stored) {
                    return Err(ChainError::Broken { shard, offset: next });
                }
                (next, last) = (stored.offset.next(), Some(stored.identity));
            }
        }
        let tip = self.reading("bounds", shard, |file| {
            let table = file.begin_read()?.open_table(BOUNDS)?;
            Ok(table.get(shard.0)?.map_or([0; 32], |row| *row.value().2))
        });
        let tip = tip.map_err(ChainError::Read)?;
        if next != end || last.is_some_and(|last| last != tip) {
            return Err(ChainError::Broken { shard, offset: next });
        }
        Ok(end.0 - start.0)
    }

    fn reading<T>(
        &self,
        what: &'static str,
        shard: ShardId,
        read: impl FnOnce(&ReadOnlyDatabase) -> Result<T, redb::Error>,
    ) -> Result<T, ReadError> {
        let file = &self.files[usize::from(shard.0) % self.files.len()];
        read(file).map_err(|source| ReadError { what, shard, source: Box::new(source) })
    }
}

impl Log for ReadOnlyLog {
    fn id(&self) -> LogId {
        self.id
    }

    fn shards(&self) -> ShardCount {
        self.shards
    }

    fn append(&self, shard: ShardId, _: Vec<u8>, _: Durable) -> Result<(), AppendError> {
        // To take an entry and drop it would be to say that it will be durable.
        unreachable!("nobody appends to shard {shard} of a log that is only looked at")
    }

    fn read(
        &self,
        shard: ShardId,
        from: Offset,
        budget: ByteCount,
    ) -> Result<Vec<Stored>, ReadError> {
        self.reading("entries", shard, |file| reader::entries(file, shard, from, budget))
    }

    fn start(&self, shard: ShardId) -> Result<Offset, ReadError> {
        self.reading("bounds", shard, |file| Ok(reader::bounds(file, shard)?.0))
    }

    fn end(&self, shard: ShardId) -> Result<Offset, ReadError> {
        self.reading("bounds", shard, |file| Ok(reader::bounds(file, shard)?.1))
    }

    fn trim(&self, _: ShardId, _: Offset) {}

    fn put_snapshot(&self, _: ShardId, _: StoredSnapshot) {}

    fn hold(&self, _: &str, _: ShardId, _: Offset) {}

    fn drop_snapshot(&self, _: ShardId, _: Offset) {}

    fn snapshots(&self, shard: ShardId) -> Result<Vec<Offset>, ReadError> {
        self.reading("snapshots", shard, |file| reader::snapshots(file, shard))
    }

    fn snapshot(&self, shard: ShardId, next: Offset) -> Result<Option<StoredSnapshot>, ReadError> {
        self.reading("a snapshot", shard, |file| reader::snapshot(file, shard, next))
    }

    fn put_dead_letter(&self, _: ShardId, _: DeadLetter) {}

    fn dead_letters(&self, shard: ShardId) -> Result<Vec<DeadLetter>, ReadError> {
        self.reading("dead letters", shard, |file| reader::dead_letters(file, shard))
    }
}
