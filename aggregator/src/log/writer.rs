//! The writer of one file: many appends, one fsync.
//!
//! While a commit is under way, requests gather; the next commit takes them all. Only if they do gather
//! is it worth waiting a little for more, as long as they keep coming: an idle log commits at once.

mod group;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headwater_protocol::identity::{Offset, ShardId};
use redb::{Database, DatabaseError, StorageBackend};

use super::meta::{Meta, MetaError};
use super::{DeadLetter, Durable, LogOptions, Space, StoredSnapshot, create, end_process};
use crate::killpoint;
use crate::limits::{GROUP_BYTES_MAX, LOG_CACHE_BYTES, LOG_REQUESTS_MAX};
use crate::metrics::LogMetrics;

/// What a writer is asked for.
pub(super) enum Request {
    Append { shard: ShardId, entry: Vec<u8>, durable: Durable },
    Snapshot { shard: ShardId, snapshot: StoredSnapshot },
    Hold { holder: String, shard: ShardId, from: Offset },
    DropSnapshot { shard: ShardId, next: Offset },
    DeadLetter { shard: ShardId, letter: DeadLetter },
    Trim { shard: ShardId, before: Offset },
    Stop,
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { entry, .. } => entry.len(),
            Self::Snapshot { snapshot, .. } => snapshot.bytes(),
            Self::DeadLetter { letter, .. } => letter.batch.len(),
            Self::Hold { .. } | Self::DropSnapshot { .. } | Self::Trim { .. } | Self::Stop => 0,
        }
    }
}

/// A file of the log with its writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    database: Arc<Database>,
    /// How many files the log was made with, as this one says.
    files: u16,
    requests: SyncSender<Request>,
    /// Taken by whoever stops the writer first; a handle can be joined once.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn open(folder: &Path, file: u16, options: &LogOptions) -> Result<Self, OpenError> {
        let path = create::path(folder, file);
        let started = Instant::now();
        let database = Database::builder().set_cache_size(LOG_CACHE_BYTES).open(&path);
        let writer = Self::start(database, path, file, options)?;
        tracing::debug!(file, took = ?started.elapsed(), "log file opened");
        Ok(writer)
    }

    /// Opens a file of the log that is kept on a storage.
    pub(super) fn open_on(
        storage: impl StorageBackend,
        file: u16,
        options: &LogOptions,
    ) -> Result<Self, OpenError> {
        let mut builder = Database::builder();
        let database = builder.set_cache_size(LOG_CACHE_BYTES).create_with_backend(storage);
        Self::start(database, create::path(Path::new(""), file), file, options)
    }

    /// Starts the writer of a file that is one of this log.
    fn start(
        database: Result<Database, DatabaseError>,
        path: PathBuf,
        file: u16,
        options: &LogOptions,
    ) -> Result<Self, OpenError> {
        let database = Arc::new(database.map_err(|source| OpenError::of(&path, source))?);
        let meta = Meta { log: options.id, shards: options.shards, file };
        let files = meta.check(&*database, &path).map_err(|source| OpenError::Meta { source })?;
        let (requests, inbox) = sync_channel(LOG_REQUESTS_MAX);
        let committing = Committing {
            database: Arc::clone(&database),
            path,
            inbox,
            group_commit: options.group_commit,
            space: Arc::clone(&options.space),
            metrics: options.metrics.clone(),
            held: Held::default(),
            contended: false,
        };
        let thread = std::thread::Builder::new()
            .name(format!("log-{file}"))
            .spawn(move || committing.run())
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Self { database, files, requests, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn files(&self) -> u16 {
        self.files
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn shared(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    /// Hands a request over. After `stop` it is dropped: nobody is told that it is durable.
    pub(super) fn ask(&self, request: Request) {
        // The writer is gone only after `stop`, and what is asked for after it is not promised.
        drop(self.requests.send(request));
    }

    pub(super) fn stop(&self) {
        self.ask(Request::Stop);
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            // A writer that panicked has said so; there is nothing to add while everything ends.
            drop(thread.join());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Of the longest wait, how short a part without a request ends it: who was answered by the last commit asks again soon.
const PAUSES: u32 = 8;

/// What is held: snapshots that somebody reads on from.
#[derive(Debug, Default)]
struct Held(BTreeMap<ShardId, BTreeMap<String, Offset>>);

impl Held {
    fn hold(&mut self, holder: String, shard: ShardId, from: Offset) {
        self.0.entry(shard).or_default().insert(holder, from);
    }

    /// The lowest offset that somebody reads on from. `None` if nobody does.
    fn lowest(&self, shard: ShardId) -> Option<Offset> {
        self.0.get(&shard)?.values().min().copied()
    }
}

/// The writer thread's own.
struct Committing {
    database: Arc<Database>,
    path: PathBuf,
    inbox: Receiver<Request>,
    group_commit: Duration,
    space: Arc<Space>,
    metrics: LogMetrics,
    held: Held,
    /// Whether the last group held more than one append.
    contended: bool,
}

impl Committing {
    fn run(mut self) {
        loop {
            let (group, stop) = self.gather();
            if !group.is_empty() {
                self.commit(group);
            }
            if stop {
                return;
            }
        }
    }

    /// Everything that waits, up to the limit; a little later, if there is contention.
    fn gather(&mut self) -> (Vec<Request>, bool) {
        let Ok(first) = self.inbox.recv() else { return (Vec::new(), true) };
        let (mut group, mut bytes) = (Vec::new(), first.bytes());
        match first {
            Request::Stop => return (group, true),
            // Nothing to write: it is asked for again after each start.
            Request::Hold { holder, shard, from } => {
                self.held.hold(holder, shard, from);
                return (group, false);
            }
            first => group.push(first),
        }
        let until = Instant::now() + self.group_commit;
        while bytes < GROUP_BYTES_MAX {
            let request = match self.inbox.try_recv() {
                Ok(request) => request,
                Err(TryRecvError::Disconnected) => return (group, true),
                Err(TryRecvError::Empty) if !self.contended && group.len() == 1 => break,
                Err(TryRecvError::Empty) => {
                    let left = until.saturating_duration_since(Instant::now());
                    match self.inbox.recv_timeout(left.min(self.group_commit / PAUSES)) {
                        Ok(request) => request,
                        Err(RecvTimeoutError::Timeout) => break,
                        Err(RecvTimeoutError::Disconnected) => return (group, true),
                    }
                }
            };
            bytes += request.bytes();
            match request {
                Request::Stop => return (group, true),
                Request::Hold { holder, shard, from } => self.held.hold(holder, shard, from),
                request => group.push(request),
            }
        }
        self.contended = group.len() > 1;
        (group, false)
    }

    fn commit(&self, group: Vec<Request>) {
        let started = Instant::now();
        let appended = match group::write(&self.database, group, &self.held) {
            Ok(appended) => appended,
            Err(error) => end_process(&format!("write {:?}", self.path), &error),
        };
        killpoint::pass("log.after_commit");
        self.metrics.commits.inc();
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        for append in appended {
            self.metrics.entries.inc();
            self.metrics.bytes.inc_by(append.stored.entry.len() as u64);
            (append.durable)(append.stored);
        }
        if let Err(error) = self.space.look() {
            tracing::warn!(%error, "ask how much room the disk has");
        }
    }
}

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("open {path:?}: another process has it open; is this node running already?")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not there.
    #[error("open {path:?}: it is missing; restore it with the other files of the same backup")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged, or may not be read.
    #[error("open {path:?}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: Box<DatabaseError>,
    },
    /// It is not a file of this log.
    #[error("open the log")]
    Meta {
        /// What does not fit.
        source: MetaError,
    },
    /// It is of a log with another number of files.
    #[error(
        "open the log: log-{file}.redb is of a log with {found} files, log-0.redb of one with {expected}; were files of two backups mixed?"
    )]
    Number {
        /// The file.
        file: u16,
        /// What it says.
        found: u16,
        /// What the first one says.
        expected: u16,
    },
    /// No thread for its writer.
    #[error("open the log: start a writer thread")]
    Thread {
        /// What the operating system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn missing(file: u16) -> Self {
        Self::Missing { path: create::path(Path::new(""), file) }
    }

    pub(super) fn of(path: &Path, error: DatabaseError) -> Self {
        let path = path.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse { path },
            DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == io::ErrorKind::NotFound =>
            {
                Self::Missing { path }
            }
            source => Self::Database { path, source: Box::new(source) },
        }
    }
}
