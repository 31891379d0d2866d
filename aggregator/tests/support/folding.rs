//! A fold over a log on a real disk, asked as the intake asks it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_aggregator::alert::AlertBoard;
use headwater_aggregator::fold::{
    Answer, Answered, Credit, FoldHandle, FoldOptions, Hello, Live, Reply,
};
use headwater_aggregator::log::EmbeddedLog;
use headwater_aggregator::merge::{MergeHandle, MergeOptions};
use headwater_aggregator::metrics::Metrics;
use headwater_protocol::batch::Batch;
use headwater_protocol::entry::{Entry, EntryKind, SentClock};
use headwater_protocol::identity::{
    DeviceId, Generation, Lane, LogId, NodeId, Offset, Receipt, ShardCount, ShardId,
};
use headwater_protocol::wire::LaneState;
use tokio::sync::mpsc;

use crate::disk::{self, DEADLINE};

pub(crate) const NODE: NodeId = NodeId([3; 16]);

/// A fold, and what it works with.
pub(crate) struct Folding {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) merge: MergeHandle,
    pub(crate) fold: FoldHandle,
    pub(crate) live: Live,
    pub(crate) metrics: Metrics,
}

impl Folding {
    /// Starts on the log of a folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let log = Arc::new(disk::open(folder).unwrap());
        let (live, metrics) = (Live::default(), Metrics::default());
        let merge = MergeHandle::start(MergeOptions {
            folder: folder.join("merge"),
            log: disk::LOG,
            node: NODE,
            group_commit: Duration::from_millis(2),
            length: Duration::from_secs(10),
            keep: Duration::from_secs(3_600),
            is_followed: false,
            board: AlertBoard::default(),
            space: disk::space(folder),
            log_metrics: metrics.merge_log.clone(),
            metrics: metrics.merge.clone(),
        });
        let merge = merge.unwrap();
        let options = FoldOptions {
            log: Arc::clone(&log) as _,
            node: NODE,
            windows: Vec::new(),
            beat_us: None,
            restored: Vec::new().into(),
            outbox: merge.outbox(),
            live: live.clone(),
            space: disk::space(folder),
            metrics: metrics.fold.clone(),
            intake: metrics.intake.clone(),
        };
        let fold = FoldHandle::start(&options, 2).unwrap();
        Self { log, merge, fold, live, metrics }
    }

    pub(crate) async fn stop(self) {
        self.fold.stop().await;
        self.merge.stop();
        self.log.close();
    }

    /// Hands batches over at once, and gives the answers in order.
    pub(crate) async fn batches(&self, batches: Vec<Batch>) -> Vec<Answer> {
        let (told, mut answers) = mpsc::channel::<Box<Answered>>(batches.len().max(1));
        for batch in batches {
            let reply = Reply::new(told.clone(), Instant::now(), Credit::default());
            self.fold.append(Box::new(batch), SentClock::default(), reply).await;
        }
        drop(told);
        let mut all = Vec::new();
        while let Some(answered) = tokio::time::timeout(DEADLINE, answers.recv()).await.unwrap() {
            all.push(answered.answer);
        }
        all
    }

    /// Hands one batch over.
    pub(crate) async fn batch(&self, batch: Batch) -> Answer {
        self.batches(vec![batch]).await.pop().expect("each batch is answered")
    }

    /// Says hello.
    pub(crate) async fn hello(&self, device: DeviceId, receipt: Option<Receipt>) -> LaneState {
        let (told, mut answers) = mpsc::channel(1);
        let reply = Reply::new(told, Instant::now(), Credit::default());
        self.fold.hello(Hello { device, lane: Lane::Bulk, receipt, reply }).await;
        let answered = tokio::time::timeout(DEADLINE, answers.recv()).await.unwrap();
        match answered.expect("each hello is answered").answer {
            Answer::State(state) => *state,
            other => panic!("a hello is answered by a state, not by {other:?}"),
        }
    }
}

/// What another node would append.
pub(crate) fn entry(batch: &Batch) -> Vec<u8> {
    let kind = EntryKind::Batch { sent: SentClock::default(), batch: Box::new(batch.clone()) };
    Entry { appender: NodeId([4; 16]), stamp_us: 77, generation: Generation(0), kind }.encode()
}

/// An entry that changes nothing, for a shard of the same file: once it is durable, so is what was asked
/// of the file's writer before it.
pub(crate) fn tick() -> Vec<u8> {
    let generation = Generation(0);
    Entry { appender: NodeId([4; 16]), stamp_us: 77, generation, kind: EntryKind::Tick }.encode()
}

pub(crate) fn shard_of(device: DeviceId) -> ShardId {
    ShardId::of(device, ShardCount::DEFAULT)
}

pub(crate) fn receipt(device: DeviceId, generation: u64, offset: u64) -> Receipt {
    let (log, generation) = (disk::LOG, Generation(generation));
    Receipt { log, generation, shard: shard_of(device), offset: Offset(offset) }
}

pub(crate) fn of_another_log(mut receipt: Receipt) -> Receipt {
    receipt.log = LogId([0xaa; 16]);
    receipt
}
