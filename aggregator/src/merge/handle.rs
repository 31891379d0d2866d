//! The way into the merge fold: how it is started, stopped and looked at.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headwater_protocol::identity::{LogId, NodeId, ShardCount};
use redb::Database;
use tokio::sync::watch;

use super::driver::{Driver, Input, Saved};
use super::recovery::{RecoveryError, recover};
use super::sending::{Merged, Outbox};
use super::store::{Store, StoreError};
use crate::alert::{AlertBoard, RuleSet};
use crate::log::{CreateError, EmbeddedLog, Log, LogOptions, OpenError, Space};
use crate::metrics::{LogMetrics, MergeMetrics};

/// Inputs that wait for the merge thread: a window of every shard, and some more. Beyond it fold workers
/// wait, and agents with them.
const INPUTS_MAX: usize = 1024;

/// What the merge fold works with.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// The folder of its log and of the store; made if it is not there.
    pub folder: PathBuf,
    /// The shards' log: the merge log belongs to it.
    pub log: LogId,
    /// Who appends.
    pub node: NodeId,
    /// Longest wait to share one fsync.
    pub group_commit: Duration,
    /// How long a window is.
    pub length: Duration,
    /// How long averages are kept.
    pub keep: Duration,
    /// Whether a sink writes them to files: none is let go before that.
    pub is_followed: bool,
    /// Where it shows alerts.
    pub board: AlertBoard,
    /// Where the log's writer notes how much room is left.
    pub space: Arc<Space>,
    /// Where the log counts.
    pub log_metrics: LogMetrics,
    /// Where the fold counts.
    pub metrics: MergeMetrics,
}

/// Why the merge fold does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder can't be made.
    #[error("start the merge fold: create {folder:?}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its log can't be made.
    #[error("start the merge fold")]
    Create(#[source] CreateError),
    /// Its log can't be opened.
    #[error("start the merge fold")]
    Open(#[source] OpenError),
    /// The store can't be opened.
    #[error("start the merge fold")]
    Store(#[source] StoreError),
    /// It can't be recovered.
    #[error("start the merge fold")]
    Recovery(#[source] RecoveryError),
    /// No thread for it.
    #[error("start the merge fold: start its thread")]
    Thread(#[source] io::Error),
}

/// The merge fold. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct MergeHandle {
    inputs: SyncSender<Input>,
    merged: Merged,
    store: Store,
    changed: watch::Receiver<u64>,
    log: Arc<EmbeddedLog>,
    /// Taken by whoever stops it first; a handle can be joined once.
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Input")
    }
}

impl MergeHandle {
    /// Opens log and store, recovers the state and starts the thread. Blocks until it is recovered.
    ///
    /// # Errors
    /// Each names what is in the way.
    pub fn start(options: MergeOptions) -> Result<Self, StartError> {
        let log = open(&options)?;
        let store =
            Store::open(&options.folder.join("averages.redb"), log.id(), options.is_followed);
        let mut store = store.map_err(StartError::Store)?;
        let end = log.end(super::recovery::SHARD);
        let end = end.map_err(|error| StartError::Recovery(RecoveryError::Read(error)))?;
        if store.next().map_err(StartError::Store)? > end {
            tracing::warn!("the merge log lost its tail: averages are made anew of what it holds");
            let path = options.folder.join("averages.redb");
            drop(store);
            // If it can't be deleted, opening it says so.
            drop(std::fs::remove_file(&path));
            store = Store::open(&path, log.id(), options.is_followed).map_err(StartError::Store)?;
        }
        let recovered = recover(&*log, &store).map_err(StartError::Recovery)?;
        tracing::debug!(entries = recovered.replayed, "merge fold recovered");
        let merged = Merged::default();
        recovered.state.positions().for_each(|(shard, at)| merged.note(shard, at));
        options.board.show(recovered.state.alerts());
        let (inputs, inbox) = sync_channel(INPUTS_MAX);
        let (changed, watching) = watch::channel(0);
        let driver = Driver {
            log: Arc::clone(&log) as _,
            node: options.node,
            store: store.clone(),
            keep: options.keep,
            length: options.length,
            metrics: options.metrics,
            merged: merged.clone(),
            board: options.board,
            changed,
            state: recovered.state,
            next: recovered.next,
            tip: recovered.tip,
            saved: Saved {
                bytes: 0,
                at: Instant::now(),
                is_behind: recovered.replayed > 0,
                store_failed: false,
            },
        };
        let thread = std::thread::Builder::new().name("merge".to_owned());
        let thread = thread.spawn(move || driver.run(&inbox)).map_err(StartError::Thread)?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self { inputs, merged, store, changed: watching, log, thread })
    }

    /// Where fold workers put what their shards let out.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        Outbox { inputs: self.inputs.clone(), merged: self.merged.clone() }
    }

    /// Has revisions of the thresholds appended, in order; those that the fold knows it ignores.
    pub fn publish(&self, revisions: &[RuleSet]) {
        for rules in revisions {
            // The merge fold has stopped: the next start finds that it lacks them.
            drop(self.inputs.send(Input::Rules(Box::new(rules.clone()))));
        }
    }

    /// The averages.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The files of the merge log: whoever reads one sees what was committed when he began.
    pub(crate) fn databases(&self) -> Vec<Arc<Database>> {
        self.log.databases()
    }

    /// Changes whenever the store has.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// Folds what was handed over, saves it and ends the thread. Blocks until it is done.
    pub fn stop(&self) {
        let (stopped, told) = sync_channel(1);
        // A thread that was stopped before tells nobody.
        if self.inputs.send(Input::Stop(stopped)).is_ok() {
            _ = told.recv();
        }
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            // A thread that panicked has said so; there is nothing to add while everything ends.
            drop(thread.join());
        }
        self.log.close();
    }
}

fn open(options: &MergeOptions) -> Result<Arc<EmbeddedLog>, StartError> {
    let folder = &options.folder;
    make_folder(folder)?;
    let shards = ShardCount::new(1).expect("one shard is a number of shards");
    let id = log_id(options.log);
    EmbeddedLog::create(folder, id, shards).map_err(StartError::Create)?;
    let options = LogOptions {
        id,
        shards,
        group_commit: options.group_commit,
        space: Arc::clone(&options.space),
        metrics: options.log_metrics.clone(),
    };
    EmbeddedLog::open(folder, &options).map(Arc::new).map_err(StartError::Open)
}

fn make_folder(folder: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StartError::Folder { folder: folder.to_owned(), source })
}

/// The identity of the merge log that belongs to a log.
pub(crate) fn log_id(log: LogId) -> LogId {
    let key = blake3::derive_key("headwater merge log 1", &log.0);
    let mut id = [0; 16];
    id.copy_from_slice(&key[..16]);
    LogId(id)
}
