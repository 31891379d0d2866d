//! The log in a few redb files on one machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_protocol::identity::{LogId, Offset, ShardCount, ShardId};
use redb::{Database, StorageBackend};

use super::meta::Meta;
use super::writer::{OpenError, Request, Writer};
use super::{AppendError, CreateError, DeadLetter, Durable, Log, ReadError, Space, Stored};
use super::{StoredSnapshot, check_size, create, reader};
use crate::limits::{ByteCount, LOG_CACHE_BYTES};
use crate::metrics::LogMetrics;

/// How an embedded log is opened.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Which log it must be.
    pub id: LogId,
    /// How many shards it must have.
    pub shards: ShardCount,
    /// Longest wait to share one fsync, when there is somebody to share it with.
    pub group_commit: Duration,
    /// Where the writers note how much room is left.
    pub space: Arc<Space>,
    /// Where the writers count.
    pub metrics: LogMetrics,
}

/// A log in a few redb files, each with a writer thread. Closing it finishes what was asked for.
#[derive(Debug)]
pub struct EmbeddedLog {
    id: LogId,
    shards: ShardCount,
    writers: Vec<Writer>,
}

impl EmbeddedLog {
    /// Makes the files of a log that are not there yet. The folder exists.
    ///
    /// # Errors
    /// If a file can't be made. What is there stays.
    pub fn create(folder: &Path, id: LogId, shards: ShardCount) -> Result<(), CreateError> {
        create::create(folder, id, shards)
    }

    /// Opens a log, repairing what a crash left behind.
    ///
    /// # Errors
    /// If a file is missing, in use, damaged, or not of this log.
    pub fn open(folder: &Path, options: &LogOptions) -> Result<Self, OpenError> {
        let writers =
            (0..create::files_of(options.shards)).map(|file| Writer::open(folder, file, options));
        let writers = writers.collect::<Result<_, _>>()?;
        Ok(Self { id: options.id, shards: options.shards, writers })
    }

    /// Looks whether the files of a log are there and belong to it, without a change of them.
    ///
    /// # Errors
    /// If a file is missing, in use, was not closed, is damaged, or not of this log.
    pub fn look(folder: &Path, id: LogId, shards: ShardCount) -> Result<(), OpenError> {
        for file in 0..create::files_of(shards) {
            let path = create::path(folder, file);
            let mut builder = Database::builder();
            let database = builder.set_cache_size(LOG_CACHE_BYTES).open_read_only(&path);
            let database = database.map_err(|source| OpenError::of(&path, source))?;
            let meta = Meta { log: id, shards, file };
            meta.check(&database, &path).map_err(|source| OpenError::Meta { source })?;
        }
        Ok(())
    }

    /// Opens a log whose files are kept on storages, in the order of the files, instead of in a folder.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_on(
        storages: Vec<impl StorageBackend>,
        options: &LogOptions,
    ) -> Result<Self, OpenError> {
        let files = (0..create::files_of(options.shards)).zip(storages);
        let writers = files.map(|(file, storage)| Writer::open_on(storage, file, options));
        let writers = writers.collect::<Result<_, _>>()?;
        Ok(Self { id: options.id, shards: options.shards, writers })
    }

    /// Waits until everything that was asked for is durable, and closes the files.
    pub fn close(&self) {
        self.writers.iter().for_each(Writer::stop);
    }

    fn writer(&self, shard: ShardId) -> &Writer {
        &self.writers[usize::from(shard.0 % create::files_of(self.shards))]
    }

    fn reading<T>(
        &self,
        what: &'static str,
        shard: ShardId,
        read: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, ReadError> {
        read(self.writer(shard).database()).map_err(|source| ReadError {
            what,
            shard,
            source: Box::new(source),
        })
    }
}

impl Log for EmbeddedLog {
    fn id(&self) -> LogId {
        self.id
    }

    fn shards(&self) -> ShardCount {
        self.shards
    }

    fn append(&self, shard: ShardId, entry: Vec<u8>, durable: Durable) -> Result<(), AppendError> {
        check_size(&entry)?;
        self.writer(shard).ask(Request::Append { shard, entry, durable });
        Ok(())
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

    fn trim(&self, shard: ShardId, before: Offset) {
        self.writer(shard).ask(Request::Trim { shard, before });
    }

    fn put_snapshot(&self, shard: ShardId, snapshot: StoredSnapshot) {
        self.writer(shard).ask(Request::Snapshot { shard, snapshot });
    }

    fn drop_snapshot(&self, shard: ShardId, next: Offset) {
        self.writer(shard).ask(Request::DropSnapshot { shard, next });
    }

    fn snapshots(&self, shard: ShardId) -> Result<Vec<Offset>, ReadError> {
        self.reading("snapshots", shard, |file| reader::snapshots(file, shard))
    }

    fn snapshot(&self, shard: ShardId, next: Offset) -> Result<Option<StoredSnapshot>, ReadError> {
        self.reading("a snapshot", shard, |file| reader::snapshot(file, shard, next))
    }

    fn put_dead_letter(&self, shard: ShardId, letter: DeadLetter) {
        self.writer(shard).ask(Request::DeadLetter { shard, letter });
    }

    fn dead_letters(&self, shard: ShardId) -> Result<Vec<DeadLetter>, ReadError> {
        self.reading("dead letters", shard, |file| reader::dead_letters(file, shard))
    }
}
