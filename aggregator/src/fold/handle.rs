//! The way into the fold: who owns which shard, and how they are started and stopped.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use headwater_protocol::batch::Batch;
use headwater_protocol::entry::{SentClock, WindowRules};
use headwater_protocol::identity::{
    DeviceId, Generation, Lane, NodeId, Offset, ShardCount, ShardId,
};
use headwater_protocol::ledger::LaneLedger;
use tokio::sync::{mpsc, oneshot};

use super::answer::Reply;
use super::live::Live;
use super::owned::OwnedShard;
use super::recovery::{RecoveryError, recover};
use super::state::ShardState;
use super::view::DeviceKnown;
use super::worker::{Input, Worker};
use crate::limits::FOLD_INPUTS_MAX;
use crate::log::{Log, Space};
use crate::merge::Outbox;
use crate::metrics::{FoldMetrics, IntakeMetrics};
use crate::node::LedgerView;
use crate::window::DeviceHeld;

pub use super::owned::Hello;

/// What the fold works with.
#[derive(Clone, Debug)]
pub struct FoldOptions {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Who appends.
    pub node: NodeId,
    /// How samples are added up: every version of it, the oldest first.
    pub windows: Vec<WindowRules>,
    /// In a shard that hears nothing more, time is told once a stretch of so many microseconds has ended in which something
    /// was applied: sinks wait for its end. `None` if nobody does.
    pub beat_us: Option<i64>,
    /// The least generation of each shard, in order: that of a node that was restored from a backup. Empty if none was.
    pub restored: Arc<[Generation]>,
    /// Where goes what the shards let out.
    pub outbox: Outbox,
    /// Who listens.
    pub live: Live,
    /// Whether the disk has room for snapshots.
    pub space: Arc<Space>,
    /// Where it counts.
    pub metrics: FoldMetrics,
    /// Where it counts what peers say wrongly.
    pub intake: IntakeMetrics,
}

/// What a shard's fold knows, copied at one moment.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The shard.
    pub shard: ShardId,
    /// Everything below it is in.
    pub next: Offset,
    /// The log's generation.
    pub generation: Generation,
    /// The lanes that were asked for.
    pub lanes: BTreeMap<(DeviceId, Lane), LaneLedger>,
    /// The devices that were asked for.
    pub devices: BTreeMap<DeviceId, DeviceKnown>,
}

impl Standing {
    /// What a shard's state says of all devices, or of one.
    pub(crate) fn of(state: &ShardState, device: Option<DeviceId>) -> Self {
        let wanted = |id: &DeviceId| device.is_none_or(|device| device == *id);
        let (ledger, known) = (state.ledger(), state.view().devices());
        let lanes = ledger.lanes().iter().filter(|((id, _), _)| wanted(id));
        let devices = known.iter().filter(|(id, _)| wanted(id));
        Self {
            shard: ledger.shard(),
            next: ledger.next(),
            generation: ledger.generation(),
            lanes: lanes.map(|(key, lane)| (*key, lane.clone())).collect(),
            devices: devices.map(|(id, known)| (*id, known.clone())).collect(),
        }
    }
}

/// Why the fold does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A shard can't be served.
    #[error("start the fold")]
    Recovery(#[source] RecoveryError),
    /// No thread for a worker.
    #[error("start the fold: start a worker thread")]
    Thread(#[source] io::Error),
}

/// The fold's workers. Clones are handles of the same workers.
#[derive(Clone, Debug)]
pub struct FoldHandle {
    workers: Arc<[mpsc::Sender<Input>]>,
    shards: ShardCount,
    unsaved_since_us: Arc<[Arc<AtomicI64>]>,
    /// Taken by whoever stops the fold first; a handle can be joined once.
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Input")
    }
}

impl FoldHandle {
    /// Recovers every shard and starts the workers, as many as given. Blocks until all is recovered.
    ///
    /// # Errors
    /// If a shard can't be served.
    ///
    /// # Panics
    /// If a worker panics during recovery: our mistake.
    pub fn start(options: &FoldOptions, workers: usize) -> Result<Self, StartError> {
        let workers = workers.max(1);
        let mut starting = Vec::new();
        for worker in 0..workers {
            let shards: Vec<ShardId> =
                options.log.shards().shards().skip(worker).step_by(workers).collect();
            let (sender, inputs) = mpsc::channel(FOLD_INPUTS_MAX);
            let (recovered, told) = std::sync::mpsc::sync_channel(1);
            let (own, options) = (sender.clone(), options.clone());
            let unsaved = Arc::new(AtomicI64::new(0));
            let since = Arc::clone(&unsaved);
            let run = move || match recover_all(&options, &shards) {
                Ok((shards, lost)) => {
                    let mut worker = Worker::new(options, shards, (own, inputs), since);
                    lost.into_iter()
                        .for_each(|(shard, generation)| worker.raise(shard, generation));
                    worker.raise_restored();
                    worker.bring_rules();
                    // The starter waits for it.
                    drop(recovered.send(Ok(())));
                    worker.run();
                }
                Err(error) => drop(recovered.send(Err(error))),
            };
            let thread = std::thread::Builder::new().name(format!("fold-{worker}")).spawn(run);
            starting.push((sender, told, unsaved, thread.map_err(StartError::Thread)?));
        }
        let (mut senders, mut threads, mut unsaved) = (Vec::new(), Vec::new(), Vec::new());
        for (sender, told, since, thread) in starting {
            let told = told.recv().expect("a worker tells how its recovery went");
            told.map_err(StartError::Recovery)?;
            senders.push(sender);
            threads.push(thread);
            unsaved.push(since);
        }
        let shards = options.log.shards();
        let (workers, unsaved_since_us) = (senders.into(), unsaved.into());
        Ok(Self { workers, shards, unsaved_since_us, threads: Arc::new(Mutex::new(threads)) })
    }

    fn worker(&self, shard: ShardId) -> &mpsc::Sender<Input> {
        &self.workers[usize::from(shard.0) % self.workers.len()]
    }

    /// The shard of a device.
    #[must_use]
    pub fn shard_of(&self, device: DeviceId) -> ShardId {
        ShardId::of(device, self.shards)
    }

    /// Hands a batch over: it is appended and folded, and the verdict goes to `reply`. Batches that one
    /// task hands over are appended in this order. Waits while the worker has too much to do.
    pub async fn append(&self, batch: Box<Batch>, sent: SentClock, reply: Reply) {
        let shard = self.shard_of(batch.header().device);
        // Stopped: nobody acks it, and its agent sends it again.
        drop(self.worker(shard).send(Input::Batch { shard, batch, sent, reply }).await);
    }

    /// Hands a hello over: it is answered once everything that was handed over before it is folded, and
    /// the fold has read as far as the receipt says.
    pub async fn hello(&self, hello: Hello) {
        let shard = self.shard_of(hello.device);
        // Stopped: the session ends too.
        drop(self.worker(shard).send(Input::Hello { shard, hello }).await);
    }

    /// What the fold knows of a device, or of all.
    pub async fn standings(&self, device: Option<DeviceId>) -> Vec<Standing> {
        let shard = device.map(|device| self.shard_of(device));
        self.ask(shard, device).await
    }

    /// What the fold knows of all devices of a shard. `None` once it is stopped.
    pub async fn standing(&self, shard: ShardId) -> Option<Standing> {
        self.ask(Some(shard), None).await.pop()
    }

    async fn ask(&self, shard: Option<ShardId>, device: Option<DeviceId>) -> Vec<Standing> {
        let mut standings = Vec::new();
        let asked = match shard {
            Some(shard) => std::slice::from_ref(self.worker(shard)),
            None => &self.workers,
        };
        for worker in asked {
            let (answer, told) = oneshot::channel();
            drop(worker.send(Input::Ask { shard, device, answer }).await);
            standings.extend(told.await.unwrap_or_default());
        }
        standings
    }

    /// All lanes together.
    pub async fn sum(&self) -> LedgerView {
        let mut sum = LedgerView::default();
        for worker in self.workers.iter() {
            let (answer, told) = oneshot::channel();
            drop(worker.send(Input::Sum(answer)).await);
            sum.merge(told.await.unwrap_or_default());
        }
        sum
    }

    /// Has a snapshot written of every shard that changed.
    pub async fn save(&self) {
        for worker in self.workers.iter() {
            drop(worker.send(Input::Snapshot).await);
        }
    }

    /// Has a tick appended to every shard in which time stands still although something waits for it.
    pub async fn tick(&self) {
        for worker in self.workers.iter() {
            drop(worker.send(Input::Tick).await);
        }
    }

    /// The windows of a device that its shard holds, in order; the last one is mostly still open.
    pub async fn windows(&self, device: DeviceId) -> DeviceHeld {
        let shard = self.shard_of(device);
        let (answer, told) = oneshot::channel();
        drop(self.worker(shard).send(Input::Windows { shard, device, answer }).await);
        told.await.unwrap_or_default()
    }

    /// Since when there is something that no snapshot holds, microseconds since 1970 UTC. `None` if
    /// there is nothing.
    #[must_use]
    pub fn unsaved_since_us(&self) -> Option<i64> {
        let since = self.unsaved_since_us.iter().map(|since| since.load(Ordering::Relaxed));
        since.filter(|since| *since != 0).min()
    }

    /// Folds what was handed over, writes snapshots and ends the workers.
    pub async fn stop(&self) {
        for worker in self.workers.iter() {
            let (stopped, told) = oneshot::channel();
            drop(worker.send(Input::Stop(stopped)).await);
            // A worker that was stopped before tells nobody.
            drop(told.await);
        }
        let threads = self.threads.lock().map(|mut threads| std::mem::take(&mut *threads));
        // They have said that they are done.
        threads.unwrap_or_default().into_iter().for_each(|thread| drop(thread.join()));
    }
}

type RecoveredShards = (BTreeMap<ShardId, OwnedShard>, Vec<(ShardId, Generation)>);

fn recover_all(
    options: &FoldOptions,
    shards: &[ShardId],
) -> Result<RecoveredShards, RecoveryError> {
    let (mut owned, mut lost, mut replayed) = (BTreeMap::new(), Vec::new(), 0);
    for shard in shards {
        let recovered = recover(&*options.log, *shard, Some(&options.outbox))?;
        let (from, entries) = (recovered.snapshot, recovered.replayed);
        tracing::debug!(%shard, ?from, entries, "shard recovered");
        replayed += entries;
        lost.extend(recovered.lost_in.map(|generation| (*shard, generation)));
        owned.insert(*shard, OwnedShard::new(recovered.state));
    }
    if replayed > 0 {
        tracing::info!(shards = owned.len(), entries = replayed, "log replayed from snapshots");
    }
    Ok((owned, lost))
}
