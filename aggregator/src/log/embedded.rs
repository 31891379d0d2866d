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
        Self::of(options, |file| Writer::open(folder, file, options))
    }

    /// Opens as many files as the first one says there are.
    fn of(
        options: &LogOptions,
        mut open: impl FnMut(u16) -> Result<Writer, OpenError>,
    ) -> Result<Self, OpenError> {
        let mut writers = vec![open(0)?];
        let files = writers[0].files();
        for file in 1..files {
            let writer = open(file)?;
            if writer.files() != files {
                return Err(OpenError::Number { file, found: writer.files(), expected: files });
            }
            writers.push(writer);
        }
        Ok(Self { id: options.id, shards: options.shards, writers })
    }

    /// Looks whether the files of a log are there and belong to it, without a change of them.
    ///
    /// # Errors
    /// If a file is missing, in use, was not closed, is damaged, or not of this log.
    pub fn look(folder: &Path, id: LogId, shards: ShardCount) -> Result<(), OpenError> {
        let (mut file, mut files) = (0, 1);
        while file < files {
            let path = create::path(folder, file);
            let mut builder = Database::builder();
            let database = builder.set_cache_size(LOG_CACHE_BYTES).open_read_only(&path);
            let database = database.map_err(|source| OpenError::of(&path, source))?;
            let meta = Meta { log: id, shards, file };
            let of = meta.check(&database, &path).map_err(|source| OpenError::Meta { source })?;
            if file > 0 && of != files {
                return Err(OpenError::Number { file, found: of, expected: files });
            }
            (file, files) = (file + 1, of);
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
        let mut storages = storages.into_iter();
        Self::of(options, |file| {
            let storage = storages.next().ok_or_else(|| OpenError::missing(file))?;
            Writer::open_on(storage, file, options)
        })
    }

    /// Its files, in order: whoever reads one sees what was committed when he began.
    pub(crate) fn databases(&self) -> Vec<Arc<Database>> {
        self.writers.iter().map(Writer::shared).collect()
    }

    /// Waits until everything that was asked for is durable, and closes the files.
    pub fn close(&self) {
        self.writers.iter().for_each(Writer::stop);
    }

    fn writer(&self, shard: ShardId) -> &Writer {
        &self.writers[usize::from(shard.0) % self.writers.len()]
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

    fn hold(&self, holder: &str, shard: ShardId, from: Offset) {
        self.writer(shard).ask(Request::Hold { holder: holder.to_owned(), shard, from });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_FILES;
    use crate::log::MinFree;
    use crate::metrics::Metrics;

    const ID: LogId = LogId([7; 16]);

    fn options(folder: &Path) -> LogOptions {
        LogOptions {
            id: ID,
            shards: ShardCount::DEFAULT,
            group_commit: Duration::from_millis(2),
            space: Arc::new(Space::of(folder, MinFree::Bytes(ByteCount(0))).unwrap()),
            metrics: Metrics::default().log,
        }
    }

    #[test]
    fn a_snapshot_that_somebody_goes_on_from_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        EmbeddedLog::create(folder.path(), ID, ShardCount::DEFAULT).unwrap();
        let log = EmbeddedLog::open(folder.path(), &options(folder.path())).unwrap();
        let shard = ShardId(3);
        let put = |next: u64| {
            let (next, part) = (Offset(next), vec![1, 2, 3]);
            let (ledger, view, windows) = (part.clone(), part.clone(), part);
            log.put_snapshot(shard, StoredSnapshot { next, ledger, view, windows });
            // A dead letter comes after it, and is waited for.
            let letter = DeadLetter { offset: next, reason: String::new(), batch: Vec::new() };
            log.put_dead_letter(shard, letter);
            let late = std::time::Instant::now() + Duration::from_secs(60);
            while log.dead_letters(shard).unwrap().last().is_none_or(|it| it.offset != next) {
                assert!(std::time::Instant::now() < late, "the writer writes");
                std::thread::sleep(Duration::from_millis(1));
            }
            log.snapshots(shard).unwrap().iter().map(|next| next.0).collect::<Vec<_>>()
        };
        put(1);
        put(4);
        assert_eq!(put(6), [6, 4]);
        log.hold("one", shard, Offset(5));
        log.hold("two", shard, Offset(9));
        assert_eq!(put(8), [8, 6, 4]);
        assert_eq!(put(10), [10, 8, 4]);
        log.hold("one", shard, Offset(10));
        assert_eq!(put(12), [12, 10, 8], "the lowest one counts");
        log.hold("two", shard, Offset(12));
        assert_eq!(put(13), [13, 12, 10]);
        assert_eq!(put(14), [14, 13, 10]);
    }

    #[test]
    fn a_log_keeps_the_files_that_it_was_made_with() {
        let (many, few) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        create::create_files(many.path(), ID, ShardCount::DEFAULT, LOG_FILES + 2).unwrap();
        for start in 0..2 {
            let log = EmbeddedLog::open(many.path(), &options(many.path())).unwrap();
            assert_eq!(log.writers.len(), usize::from(LOG_FILES) + 2);
            for shard in (0..8).map(ShardId) {
                assert_eq!(log.end(shard).unwrap(), Offset(start));
                let (told, durable) = std::sync::mpsc::channel();
                let callback = Box::new(move |stored| told.send(stored).unwrap());
                log.append(shard, vec![1], callback).unwrap();
                durable.recv().unwrap();
            }
        }
        EmbeddedLog::look(many.path(), ID, ShardCount::DEFAULT).unwrap();
        EmbeddedLog::create(few.path(), ID, ShardCount::DEFAULT).unwrap();
        let last = create::path(few.path(), LOG_FILES - 1);
        std::fs::copy(create::path(many.path(), LOG_FILES - 1), last).unwrap();
        let mixed = EmbeddedLog::open(few.path(), &options(few.path())).unwrap_err();
        assert!(matches!(mixed, OpenError::Number { found: 4, expected: 2, .. }), "{mixed}");
        EmbeddedLog::look(few.path(), ID, ShardCount::DEFAULT).unwrap_err();
    }
}
